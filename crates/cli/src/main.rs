//! The `countersign` command.

fn main() -> std::process::ExitCode {
    cli::main()
}
