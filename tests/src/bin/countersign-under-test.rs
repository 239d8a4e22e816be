//! The `countersign` command as the tests run it: the same `main`, built with the tests, so that cargo tells them where it lies.

fn main() -> std::process::ExitCode {
    cli::main()
}
