//! `countersign explain`: a reason in words.

use std::process::ExitCode;

use api::reason_table::{self, Explanation};
use serde_json::{Value, json};

use crate::{
    args::{ExplainArgs, Output},
    failure::Failure,
    stdout::say,
};

pub(crate) fn run(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    let Some(name) = &args.reason else {
        list(args.output);
        return Ok(ExitCode::SUCCESS);
    };
    let Some(found) = reason_table::explain(name).filter(|e| e.number != 0) else {
        let near = nearest(name).map(|e| format!("; did you mean {}?", e.reason)).unwrap_or_default();
        return Err(Failure::named("NO_SUCH_REASON", format!("{name:?} is no published reason{near}")));
    };
    match args.output {
        Output::Json => say!("{}", as_json(found)),
        Output::Text => say!(
            "{}\n\n  {}\n\n  what to do: {}\n  answered as: {:?}",
            found.reason,
            found.meaning,
            found.remedy,
            found.code
        ),
    }
    Ok(ExitCode::SUCCESS)
}

fn list(output: Output) {
    let published = reason_table::ALL.iter().filter(|e| e.number != 0);
    match output {
        Output::Json => say!("{}", Value::from(published.map(as_json).collect::<Vec<_>>())),
        Output::Text => published.for_each(|e| say!("{:<32} {}", e.reason, e.meaning)),
    }
}

fn as_json(e: &Explanation) -> Value {
    json!({ "reason": e.reason, "meaning": e.meaning, "remedy": e.remedy, "code": format!("{:?}", e.code) })
}

/// The published reason that shares the most words with `name`, if it shares any.
fn nearest(name: &str) -> Option<&'static Explanation> {
    let name = name.to_ascii_uppercase();
    let words: Vec<&str> = name.split('_').filter(|w| w.len() > 2).collect();
    let shared = |e: &Explanation| e.reason.split('_').filter(|w| words.contains(w)).count();
    reason_table::ALL.iter().filter(|e| shared(e) > 0).max_by_key(|e| shared(e))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_misspelt_reason_finds_its_neighbour() {
        assert_eq!(
            super::nearest("quantity_spend").map(|e| e.reason).unwrap_or_default().split('_').next(),
            Some("QUANTITY")
        );
        assert!(super::nearest("xyzzy").is_none());
    }
}
