//! The provisioner binary.

fn main() -> std::process::ExitCode {
    service::shell::main(&provisioner::Provisioner)
}
