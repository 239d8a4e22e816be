//! The command line: every subcommand, flag and example.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::hub::args::HubArgs;

/// Chains of custody for devices: from the brand's root through every manufacturer's hands to the device.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, max_term_width = 110, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs a whole supply chain on this machine: real services over mTLS, a lot from hand to hand, device certificates.
    #[command(after_help = "Example:\n  countersign demo --devices 20 --hops 3 --out ./my-demo")]
    Demo(DemoArgs),
    /// Verifies a device's chain and tells through whose hands it passed, or which rule refuses it.
    #[command(
        after_help = "Example:\n  countersign verify --trust countersign-demo/trust/bundle.json countersign-demo/devices/sn0000001/chain.pem"
    )]
    Verify(VerifyArgs),
    /// Says in words what a file is: certificate, CSR, chain, pfx, CRL, bundle, handoff file.
    #[command(after_help = "Example:\n  countersign inspect countersign-demo/devices/sn0000001/fullchain.pem")]
    Inspect(InspectArgs),
    /// Explains a reason: what it means and what to do.
    #[command(after_help = "Examples:\n  countersign explain QUANTITY_SPENT\n  countersign explain --list")]
    Explain(ExplainArgs),
    /// Measures how fast certificates are issued, as a share of what the cryptography allows on this machine.
    #[command(
        after_help = "Examples:\n  countersign bench --local --target line --mode stream -o json\n  countersign demo --stay & countersign bench --target signer --duration 1s --rate 100"
    )]
    Bench(BenchArgs),
    /// A simulated device.
    #[command(
        subcommand,
        after_help = "Example:\n  countersign device run --pfx countersign-demo/devices/sn0000001/device.pfx --hub localhost --ca countersign-demo/company-x/hub-devices-ca.pem"
    )]
    Device(DeviceCommand),
    /// A hub's operator: CA certificates, devices, why one was refused, what they sent.
    #[command(
        after_help = "Examples:\n  countersign hub ca prove root\n  countersign hub why sn0000001\n  countersign hub telemetry --follow"
    )]
    Hub(HubArgs),
    /// Makes a root, or an order CA under an offline root, from one reviewed file, and leaves evidence. Overwrites nothing.
    #[command(
        after_help = "Examples:\n  countersign ceremony --input deploy/ceremony/root.toml --dry-run\n  countersign ceremony --input root.toml\n\ndeploy/ceremony has a sample of each kind."
    )]
    Ceremony(CeremonyArgs),
    /// Makes a development chain for you to start: keys, a root, commented configurations, stores, what to do next.
    #[command(after_help = "Example:\n  countersign init my-chain")]
    Init(InitArgs),
    /// Copies a running service's store into a folder. No key is in it: docs/recovery.md says what that means.
    #[command(after_help = "Example:\n  countersign backup --at intermediate-ca --out backups/2026-11-29")]
    Backup(BackupArgs),
    /// Makes a store of a backup. A CA's is suspended until `store reconcile`: docs/recovery.md.
    #[command(after_help = "Example:\n  countersign restore backups/2026-11-29 --into factory-y/intermediate-ca-store")]
    Restore(RestoreArgs),
    /// Prints a script that completes commands and flags in your shell.
    #[command(
        after_help = "Example:\n  countersign completions bash > ~/.local/share/bash-completion/completions/countersign"
    )]
    Completions(CompletionsArgs),
    /// Runs one of the services in this process.
    #[command(hide = true)]
    Service(ServiceArgs),
}

/// What goes to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Words for people.
    Text,
    /// JSON for machines.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Where stores, keys, certificates and chains go.
    #[arg(long, default_value = "./countersign-demo", value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// How many devices are provisioned.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) devices: u32,
    /// How many manufacturers, one handoff and one intermediate each.
    #[arg(long, default_value_t = 2, value_name = "H", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) hops: u32,
    /// For devices on mbedTLS, which cannot read a critical nameConstraints: it is not critical in the handoff certificates.
    #[arg(long)]
    pub(crate) compatible: bool,
    /// Leaves the services running until ctrl-c or SIGTERM, and writes DIR/demo.json for those who want to call them.
    #[arg(long)]
    pub(crate) stay: bool,
    /// The hub is open for devices at 8883 (MQTT), 5671 (AMQP) and 8443 (HTTPS) instead of at free ports.
    #[arg(long)]
    pub(crate) standard_ports: bool,
    /// Output: words or JSON (the manifest).
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The folder to write; it must be empty or not there.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Who you are and which services you work with; without it, the environment's COUNTERSIGN_PROFILE.
    #[arg(long = "as", value_name = "FILE")]
    pub(crate) profile: Option<PathBuf>,
    /// Which of the profile's services, by its role.
    #[arg(long, value_name = "ROLE")]
    pub(crate) at: Option<String>,
    /// Output: words or JSON.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The folder that `backup` wrote.
    #[arg(value_name = "BACKUP")]
    pub(crate) backup: PathBuf,
    /// The service's store directory, as its configuration names it; it must be empty or not there.
    #[arg(long, value_name = "DIR")]
    pub(crate) into: PathBuf,
    /// Output: words or JSON.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

/// What the chain is judged for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PurposeArg {
    /// TLS client authentication.
    Client,
    /// TLS server authentication.
    Server,
    /// Neither.
    Any,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// A root certificate (PEM or DER) or a bundle.json; may be given more than once.
    #[arg(long, required = true, value_name = "FILE")]
    pub(crate) trust: Vec<PathBuf>,
    /// The moment to judge at (RFC 3339); now if absent.
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// What the chain is judged for.
    #[arg(long, value_enum, default_value_t = PurposeArg::Client)]
    pub(crate) purpose: PurposeArg,
    /// A DNS name or IP address that the leaf must carry.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// A certificate revocation list (PEM or DER); may be given more than once.
    #[arg(long, value_name = "FILE")]
    pub(crate) crl: Vec<PathBuf>,
    /// Most intermediates that are not self-issued.
    #[arg(long, value_name = "N")]
    pub(crate) max_depth: Option<u32>,
    /// Judges by RFC 5280 alone: chains of other makers.
    #[arg(long)]
    pub(crate) plain: bool,
    /// The chain: the leaf first, then candidate intermediates in any order.
    #[arg(value_name = "CHAIN")]
    pub(crate) chain: PathBuf,
    /// Output: words or JSON.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Password of a pfx, read from this file; without it the demo's, 1234, is tried.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Output: words or JSON.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The reason, e.g. QUANTITY_SPENT.
    #[arg(value_name = "REASON", required_unless_present = "list")]
    pub(crate) reason: Option<String>,
    /// Lists every reason.
    #[arg(long, conflicts_with = "reason")]
    pub(crate) list: bool,
    /// Output: words or JSON.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

/// Whose face is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchTarget {
    /// The intermediate-ca alone, as its provisioner sees it.
    Signer,
    /// Station, provisioner, intermediate-ca.
    Line,
    /// The hub: devices that connect, all at once too, and send telemetry over MQTT.
    Hub,
}

/// How requests travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchMode {
    /// One stream for each client.
    Stream,
    /// One call for each request.
    Unary,
}

/// Which device keys are certified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchKey {
    /// Made by the device, P-256.
    P256,
    /// Made by the device, P-384.
    P384,
    /// Made by the device, Ed25519.
    Ed25519,
    /// Made by the provisioner, P-256 (with --target line).
    Server,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Starts services of its own, in their own processes on loopback over mTLS with stores on disk, and ends them.
    #[arg(long)]
    pub(crate) local: bool,
    /// Without --local: the folder of a demo that stays. Its last lot has some thousand units.
    #[arg(long, default_value = "./countersign-demo", value_name = "DIR", conflicts_with = "local")]
    pub(crate) demo: PathBuf,
    /// With --local: keeps keys, stores, logs and report.json here, in a folder that is empty. Without: they are removed.
    #[arg(long, value_name = "DIR", requires = "local")]
    pub(crate) out: Option<PathBuf>,
    /// Whose face is driven.
    #[arg(long, value_enum, default_value_t = BenchTarget::Line)]
    pub(crate) target: BenchTarget,
    /// How requests travel.
    #[arg(long, value_enum, default_value_t = BenchMode::Stream)]
    pub(crate) mode: BenchMode,
    /// Which device keys are certified.
    #[arg(long, value_enum, default_value_t = BenchKey::P256)]
    pub(crate) key: BenchKey,
    /// Connections.
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) clients: u32,
    /// Requests that wait for an answer at one time, over all connections; at least one on each.
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) in_flight: u32,
    /// How long is measured: 20s, 500ms, 30m.
    #[arg(long, default_value = "20s", value_name = "TIME", value_parser = duration)]
    pub(crate) duration: Duration,
    /// How long the services run under load before that.
    #[arg(long, default_value = "5s", value_name = "TIME", value_parser = duration)]
    pub(crate) warmup: Duration,
    /// Requests a second, over all connections; without it as fast as answers come.
    #[arg(long, value_name = "PER_SECOND")]
    pub(crate) rate: Option<f64>,
    /// Devices that are issued before anything is measured.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) prefill: u64,
    /// With --target hub: devices that are connected at one time.
    #[arg(long, default_value_t = 2000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) devices: u32,
    /// Output: words or JSON.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

/// The longest time of a measurement.
const DAY: Duration = Duration::from_secs(86_400);
/// The longest time that an offer stays open.
pub(crate) const LONGEST_OFFER: Duration = Duration::from_secs(90 * 86_400);

/// Reads a time such as 20s, 500ms or 30m; at most a day.
fn duration(text: &str) -> Result<Duration, String> {
    time(text, DAY)
}

/// Reads a time such as 20s, 500ms, 30m, 12h or 7d; at most `longest`.
pub(crate) fn time(text: &str, longest: Duration) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let number: u32 = number.parse().map_err(|_| "a time is a number with ms, s, m, h or d, such as 20s".to_owned())?;
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3600),
        "d" => DAY,
        _ => return Err("the unit of a time is ms, s, m, h or d".to_owned()),
    };
    let longest_in_words = || format!("{} hours are the longest", longest.as_secs() / 3600);
    unit.checked_mul(number).filter(|time| *time <= longest).ok_or_else(longest_in_words)
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// Connects to a hub with the device's chain, sends readings and waits for messages.
    #[command(
        after_help = "Example:\n  countersign device run --pfx countersign-demo/devices/sn0000001/device.pfx --hub localhost --ca countersign-demo/company-x/hub-devices-ca.pem --exit-after-send"
    )]
    Run(DeviceRunArgs),
}

/// By which protocol the device connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceProtocolArg {
    /// MQTT 3.1.1 over TLS, port 8883.
    Mqtt,
    /// AMQP 1.0 over TLS, port 5671.
    Amqp,
    /// HTTPS, port 8443: it sends and does not wait.
    Https,
}

#[derive(Debug, Args)]
pub(crate) struct DeviceRunArgs {
    /// The device's chain and key in one file.
    #[arg(long, value_name = "FILE", required_unless_present = "chain", conflicts_with_all = ["chain", "key"])]
    pub(crate) pfx: Option<PathBuf>,
    /// Password of the pfx.
    #[arg(long, default_value = simulator::DEMO_PASSWORD, value_name = "TEXT")]
    pub(crate) password: String,
    /// Password of the pfx, read from this file.
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    pub(crate) password_file: Option<PathBuf>,
    /// Instead of a pfx: the chain in PEM, the device's certificate first.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) chain: Option<PathBuf>,
    /// Instead of a pfx: the key in PEM.
    #[arg(long, value_name = "FILE", requires = "chain")]
    pub(crate) key: Option<PathBuf>,
    /// The hub's host, as its certificate names it.
    #[arg(long, value_name = "HOST")]
    pub(crate) hub: String,
    /// The hub's port; without it the protocol's own.
    #[arg(long, value_name = "N")]
    pub(crate) port: Option<u16>,
    /// The certificates that the hub's own is believed by (PEM or DER).
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: PathBuf,
    /// By which protocol it connects.
    #[arg(long, value_enum, default_value_t = DeviceProtocolArg::Mqtt)]
    pub(crate) protocol: DeviceProtocolArg,
    /// The device id that it claims; without it the one in its certificate.
    #[arg(long, value_name = "ID")]
    pub(crate) device_id: Option<String>,
    /// How many readings it sends.
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub(crate) count: u32,
    /// Says goodbye when they are sent, instead of waiting for messages.
    #[arg(long)]
    pub(crate) exit_after_send: bool,
    /// Output: words or JSON, one object a line.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct CeremonyArgs {
    /// The reviewed file (TOML).
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// Makes every check and nothing else.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Output: words or JSON.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The folder: new, or empty.
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// How many manufacturers, one handoff and one intermediate each.
    #[arg(long, default_value_t = 2, value_name = "H", value_parser = clap::value_parser!(u32).range(1..=6))]
    pub(crate) hops: u32,
    /// Only what the organisations begin with. The root's ceremony, the stores and all registrations are left to you.
    #[arg(long)]
    pub(crate) bare: bool,
    /// Output: words or JSON.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ServiceArgs {
    /// root-ca, intermediate-ca, provisioner or hub.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Checks the configuration and ends.
    #[arg(long)]
    pub(crate) check_config: bool,
    /// Initialises the store and ends.
    #[arg(long, conflicts_with = "check_config")]
    pub(crate) init_store: bool,
    /// Ends, as by SIGTERM, when standard input ends: with the process that started this one.
    #[arg(long)]
    pub(crate) until_stdin_ends: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn a_time_is_a_number_with_a_unit() {
        assert_eq!(duration("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("30m"), Ok(Duration::from_secs(1800)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(time("7d", LONGEST_OFFER), Ok(Duration::from_secs(7 * 86_400)));
        for wrong in ["", "s", "20", "20 s", "-1s", "1.5s", "25h", "2d", "99999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_command_line_is_consistent_and_every_command_has_an_example() {
        let command = super::Arguments::command();
        command.clone().debug_assert();
        for sub in command.get_subcommands().filter(|c| !c.is_hide_set()) {
            let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("countersign "), "{} has no example", sub.get_name());
        }
    }
}
