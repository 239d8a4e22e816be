//! The command line of `countersign hub`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::args::Output;

#[derive(Debug, Args)]
pub(crate) struct HubArgs {
    #[command(flatten)]
    pub(crate) at: HubAt,
    /// Output: words or JSON.
    #[arg(short, long, value_enum, default_value_t = Output::Text, global = true)]
    pub(crate) output: Output,
    #[command(subcommand)]
    pub(crate) command: HubCommand,
}

/// Which hub, and as whom: what a profile says, a demo that stays, or these flags.
#[derive(Debug, Args)]
pub(crate) struct HubAt {
    /// Your profile [env: COUNTERSIGN_PROFILE].
    #[arg(long = "as", value_name = "FILE", global = true)]
    pub(crate) profile: Option<PathBuf>,
    /// The folder of a demo that stays [default without a profile: ./countersign-demo].
    #[arg(long, value_name = "DIR", global = true, conflicts_with = "profile")]
    pub(crate) demo: Option<PathBuf>,
    /// The hub's gRPC address.
    #[arg(long, value_name = "HOST:PORT", global = true, conflicts_with_all = ["profile", "demo"])]
    pub(crate) address: Option<String>,
    /// The operator's service certificate (PEM).
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) cert: Option<PathBuf>,
    /// Its private key (PEM, mode 0600).
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) key: Option<PathBuf>,
    /// The CA certificates that vouch for the hub's service certificate (PEM).
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) service_ca: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HubCommand {
    /// Where the hub is open for devices, and how many are connected.
    Status,
    /// CA certificates: what devices' chains may end at.
    #[command(subcommand)]
    Ca(CaCommand),
    /// The register of devices.
    #[command(subcommand)]
    Device(HubDeviceCommand),
    /// Tells why a device was refused, or when it was let in.
    #[command(after_help = "Example:\n  countersign hub why sn0000001")]
    Why(WhyArgs),
    /// Shows what devices sent.
    #[command(after_help = "Example:\n  countersign hub telemetry --follow --where temperatureAlert=true")]
    Telemetry(TelemetryArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum CaCommand {
    /// Registers a CA certificate, unverified.
    Add(CaAddArgs),
    /// Generates a verification code, to be the common name of a certificate that the CA's key signs.
    Code(CaName),
    /// Uploads that certificate.
    Verify(CaVerifyArgs),
    /// Has a CA of this chain prove itself, from first to last: registers it, generates the code, has it signed, uploads the answer.
    #[command(
        after_help = "Examples:\n  countersign hub ca prove root --as company-x/as-alice.toml\n  countersign hub ca prove t7 --lot t7 --as company-x/as-alice.toml --signer-as technician-z/as-operator.toml"
    )]
    Prove(CaProveArgs),
    /// Lists CA certificates.
    List,
    /// Shows one.
    Show(CaName),
    /// Cuts off every device below a CA key, registered or not.
    Disable(CaDisableArgs),
    /// Lets it in again.
    Enable(CaKeyArgs),
    /// Lists the disabled keys.
    Disabled,
    /// Lists the devices that came in under a CA key, and tells how many more may.
    #[command(after_help = "Example:\n  countersign hub ca admitted --of CHAIN.pem")]
    Admitted(CaKeyArgs),
    /// Forgets a CA certificate.
    Delete(CaName),
}

#[derive(Debug, Args)]
pub(crate) struct CaAddArgs {
    /// Friendly name.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The CA certificate (PEM or DER).
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: PathBuf,
    /// Chains of other makers, judged by RFC 5280 alone.
    #[arg(long)]
    pub(crate) plain: bool,
    /// Registers unknown devices when they first connect with a chain that is in order.
    #[arg(long)]
    pub(crate) register_on_first_connect: bool,
    /// Takes it as verified without a proof, where the hub's policy allows it.
    #[arg(long)]
    pub(crate) verified: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CaProveArgs {
    /// Friendly name.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) signer: SignerAt,
    /// Registers unknown devices when they first connect with a chain that is in order.
    #[arg(long)]
    pub(crate) register_on_first_connect: bool,
}

/// Which CA, and as whom it is asked.
#[derive(Debug, Args)]
pub(crate) struct SignerAt {
    /// The lot whose CA it is, at its intermediate-ca; without it, the CA of the root-ca.
    #[arg(long, value_name = "LOT")]
    pub(crate) lot: Option<String>,
    /// The profile of an operator of the CA's organisation, where that is not the hub's.
    #[arg(long, value_name = "FILE")]
    pub(crate) signer_as: Option<PathBuf>,
    /// In a demo: the manufacturer that received the lot [default: the first].
    #[arg(long, value_name = "MANUFACTURER", conflicts_with = "signer_as")]
    pub(crate) of: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CaName {
    /// Friendly name.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct CaVerifyArgs {
    /// Friendly name.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The certificate with the code as its common name (PEM or DER).
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: PathBuf,
}

/// Which CA key.
#[derive(Debug, Args)]
pub(crate) struct CaKeyArgs {
    /// A registered CA's name, or the SHA-256 of the public key in 64 hex digits.
    #[arg(value_name = "NAME|KEY", required_unless_present = "of")]
    pub(crate) which: Option<String>,
    /// The key of the first CA certificate in this file (PEM or DER): any CA of a chain, registered or not. Of a device's chain, the CA that
    /// issued the device's certificate.
    #[arg(long, value_name = "FILE", conflicts_with = "which")]
    pub(crate) of: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CaDisableArgs {
    #[command(flatten)]
    pub(crate) key: CaKeyArgs,
    /// Why; refused devices are told.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) why: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HubDeviceCommand {
    /// Creates devices.
    Add(DeviceAddArgs),
    /// Lists devices.
    List,
    /// Shows one, with its journey, its connection and its twin.
    Show(DeviceName),
    /// Refuses a device, and ends its session.
    Disable(DeviceDisableArgs),
    /// Lets it in again.
    Enable(DeviceName),
    /// Forgets a device.
    Delete(DeviceName),
    /// Queues a message for a device.
    Send(DeviceSendArgs),
    /// Calls a method on a connected device.
    Call(DeviceCallArgs),
    /// Shows a device's twin, or changes its desired properties.
    Twin(DeviceTwinArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DeviceAddArgs {
    /// Device ids.
    #[arg(value_name = "DEVICE", required_unless_present = "file")]
    pub(crate) devices: Vec<String>,
    /// More device ids, one a line.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The device's certificate is known by this thumbprint (SHA-1 or SHA-256 in hex digits) and by no CA. Twice: primary, secondary.
    #[arg(long, value_name = "HEX")]
    pub(crate) thumbprint: Vec<String>,
    /// Creates them disabled.
    #[arg(long)]
    pub(crate) disabled: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeviceName {
    /// Device id.
    #[arg(value_name = "DEVICE")]
    pub(crate) device: String,
}

#[derive(Debug, Args)]
pub(crate) struct DeviceDisableArgs {
    /// Device id.
    #[arg(value_name = "DEVICE")]
    pub(crate) device: String,
    /// Why.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) why: String,
}

#[derive(Debug, Args)]
pub(crate) struct DeviceSendArgs {
    /// Device id.
    #[arg(value_name = "DEVICE")]
    pub(crate) device: String,
    /// The payload.
    #[arg(value_name = "TEXT")]
    pub(crate) payload: String,
    /// A property of the application; may be given more than once.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) property: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(crate) struct DeviceCallArgs {
    /// Device id.
    #[arg(value_name = "DEVICE")]
    pub(crate) device: String,
    /// The method's name.
    #[arg(value_name = "METHOD")]
    pub(crate) method: String,
    /// The payload, JSON.
    #[arg(value_name = "JSON", default_value = "null")]
    pub(crate) payload: String,
    /// Seconds that the device may take.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=300))]
    pub(crate) timeout: u32,
}

#[derive(Debug, Args)]
pub(crate) struct DeviceTwinArgs {
    /// Device id.
    #[arg(value_name = "DEVICE")]
    pub(crate) device: String,
    /// A JSON merge patch for the desired properties.
    #[arg(long, value_name = "JSON")]
    pub(crate) desired: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// The device id as the device claims it.
    #[arg(value_name = "DEVICE")]
    pub(crate) device: String,
    /// How many judgements, the newest first.
    #[arg(short = 'n', long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=100))]
    pub(crate) count: i32,
}

#[derive(Debug, Args)]
pub(crate) struct TelemetryArgs {
    /// Only this device's.
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<String>,
    /// Only messages with this property; may be given more than once.
    #[arg(long = "where", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) properties: Vec<(String, String)>,
    /// Goes on with what comes, until ctrl-c.
    #[arg(long)]
    pub(crate) follow: bool,
}

/// Reads `name=value`.
fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| "a property is name=value".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}
