//! Verbs whose answer is a file.

use std::path::Path;

use api::program::v1::{GetBundleRequest, GetBundleResponse};
use serde_json::{Value, json};

use super::{answer::Answer, session::Session, table::Given};
use crate::{failure::Failure, files};

/// `program bundle`: the bundle as verifiers read it. An older one is replaced: it is fetched again and again.
pub(super) fn bundle(session: &Session, given: &Given<'_>) -> Result<Answer, Failure> {
    let rpc = "countersign.program.v1.ProgramService/GetBundle";
    let answer: GetBundleResponse = session.ask(rpc, &GetBundleRequest {})?;
    let Some(out) = given.text("out").map(Path::new) else {
        let json: Value = serde_json::from_slice(&answer.bundle)
            .map_err(|e| Failure::named("BUNDLE_MALFORMED", format!("the service answered no JSON: {e}")))?;
        let words = String::from_utf8_lossy(&answer.bundle).trim_end().to_owned();
        return Ok(Answer::new(json, words));
    };
    files::replace(out, &answer.bundle)?;
    Ok(Answer::new(json!({ "file": out }), format!("Wrote {}", out.display())))
}
