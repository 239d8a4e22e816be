//! The intermediate-ca binary.

fn main() -> std::process::ExitCode {
    service::shell::main(&intermediate_ca::IntermediateCa)
}
