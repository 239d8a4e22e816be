//! The root-ca binary.

fn main() -> std::process::ExitCode {
    service::shell::main(&root_ca::RootCa)
}
