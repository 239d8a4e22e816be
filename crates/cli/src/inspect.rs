//! `countersign inspect`: what a file is, in words.
use crate::{args::InspectArgs, failure::Failure};
use std::process::ExitCode;
pub(crate) fn run(_args: &InspectArgs) -> Result<ExitCode, Failure> {
    Err(Failure::usage(""))
}
