//! The hub binary.

fn main() -> std::process::ExitCode {
    service::shell::main(&hub::Hub)
}
