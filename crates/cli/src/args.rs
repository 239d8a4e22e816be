//! The command line: every subcommand, flag and example.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// Says in words what a file is: certificate, CSR, chain, pfx, CRL, bundle.
    #[command(after_help = "Example:\n  countersign inspect countersign-demo/devices/sn0000001/fullchain.pem")]
    Inspect(InspectArgs),
    /// Explains a reason: what it means and what to do.
    #[command(after_help = "Examples:\n  countersign explain QUANTITY_SPENT\n  countersign explain --list")]
    Explain(ExplainArgs),
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
    /// Leaves the services running until ctrl-c or SIGTERM, and writes DIR/demo.json for those who want to call them.
    #[arg(long)]
    pub(crate) stay: bool,
    /// Output: words or JSON (the manifest).
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

#[derive(Debug, Args)]
pub(crate) struct ServiceArgs {
    /// root-ca, intermediate-ca or provisioner.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Checks the configuration and ends.
    #[arg(long)]
    pub(crate) check_config: bool,
    /// Initialises the store and ends.
    #[arg(long)]
    pub(crate) init_store: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

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
