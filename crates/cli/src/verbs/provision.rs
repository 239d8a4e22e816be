//! `device provision`: one device, a list, or a folder of CSRs; a result for each, and a repetition goes on where it stopped.
//!
//! The request id of each device follows from the batch's name and from what is asked for it. So a repetition asks the same again: what
//! was issued is answered with the same chain, and spends nothing.

mod batch;
mod folder;
mod line;

use std::{
    io::{IsTerminal as _, Write as _},
    path::Path,
};

use serde_json::{Value, json};

use super::{
    answer::{Answer, Outcome},
    session::Session,
    table::Given,
};
use crate::{args::Output, failure::Failure, stdout::say};
use batch::{Batch, Item};
use folder::DeviceFolder;
use line::Line;

/// What became of one item.
pub(super) enum Fate {
    /// It would be provisioned.
    Valid,
    /// Its chain is on disk.
    Written { state: String, certificate_serial: String, note: Option<&'static str> },
    /// Why not.
    Refused { reason: &'static str, message: String },
}

/// `device provision`.
pub(super) fn provision(session: &Session, given: &Given<'_>) -> Result<Answer, Failure> {
    let batch = Batch::read(given)?;
    let out = Path::new(given.required("out")?);
    let line = Line::new(session)?;
    let mut results = Results::new(given.output(), batch.items.len());
    let ended = if given.is_dry_run() {
        session.runtime().block_on(line.validate(&batch, &mut |item, fate| results.add(item, &fate)))
    } else {
        let devices = DeviceFolder::make(out)?;
        let confirming = if given.flag("confirm") { Some(&batch) } else { None };
        session
            .runtime()
            .block_on(line.provision(&batch, &devices, confirming, &mut |item, fate| results.add(item, &fate)))
    };
    results.end_of_progress();
    if let Err(failure) = ended {
        eprintln!(
            "{} of {} devices were answered; the same command goes on from there",
            results.items.len(),
            batch.items.len()
        );
        return Err(failure);
    }
    Ok(results.answer())
}

/// The results so far, told one by one.
struct Results {
    output: Output,
    all: usize,
    items: Vec<Value>,
    refused: usize,
    progress: bool,
}

impl Results {
    fn new(output: Output, all: usize) -> Self {
        let progress = std::io::stderr().is_terminal() && (!std::io::stdout().is_terminal() || output == Output::Json);
        Self { output, all, items: Vec::new(), refused: 0, progress }
    }

    fn add(&mut self, item: &Item, fate: &Fate) {
        let (json, words) = match fate {
            Fate::Valid => (json!({ "result": "valid" }), "would be provisioned".to_owned()),
            Fate::Written { state, certificate_serial: serial, note } => (
                json!({ "result": "provisioned", "state": state, "certificate_serial": serial, "note": note }),
                format!("{state} certificate serial {serial}{}", note.map(|n| format!(" ({n})")).unwrap_or_default()),
            ),
            Fate::Refused { reason, message } => {
                self.refused += 1;
                (
                    json!({ "result": "refused", "reason": reason, "message": message }),
                    format!("refused {reason}: {message}"),
                )
            }
        };
        let mut entry = json!({ "line": item.line, "device_id": item.device_id.as_str() });
        if let (Some(entry), Value::Object(more)) = (entry.as_object_mut(), json) {
            entry.extend(more);
        }
        self.items.push(entry);
        match self.output {
            Output::Text => say!("{} {words}", item.device_id.as_str()),
            Output::Json => {}
        }
        if self.progress {
            let mut err = std::io::stderr().lock();
            let _ = write!(err, "\r{} of {}", self.items.len(), self.all).and_then(|()| err.flush());
        }
    }

    fn end_of_progress(&self) {
        if self.progress {
            eprintln!();
        }
    }

    fn answer(self) -> Answer {
        let refused = self.refused;
        let json = json!({ "devices": self.all, "refused": refused, "results": self.items });
        let outcome = if refused == 0 { Outcome::Done } else { Outcome::SomeRefused };
        let words = format!("{} of {} devices, {refused} refused", self.all.saturating_sub(refused), self.all);
        Answer::new(json, words).with_outcome(outcome)
    }
}
