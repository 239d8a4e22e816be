//! `countersign hub why`: a judgement in words, with what to do.

use std::{fmt::Write as _, process::ExitCode};

use api::hub::v1::{ExplainedJudgement, ListJudgementsRequest, Outcome};
use serde_json::{Value, json};

use super::{args::WhyArgs, connect::Hub, print, refused, shown};
use crate::{args::Output, failure::Failure};

pub(super) async fn run(hub: &Hub, args: &WhyArgs, output: Output) -> Result<ExitCode, Failure> {
    let request = ListJudgementsRequest { device_id: args.device.clone(), page_size: args.count };
    let answer = hub.judgements().list_judgements(request).await.map_err(|s| refused(&s))?;
    let judgements = answer.into_inner().judgements;
    let words: String = judgements.iter().map(words).collect();
    let words = if judgements.is_empty() {
        format!("nobody who claims to be {} came to this hub, as far as it remembers", args.device)
    } else {
        words
    };
    let json: Vec<Value> = judgements.iter().map(as_json).collect();
    print(output, &words, &Value::from(json));
    Ok(ExitCode::SUCCESS)
}

/// A judgement in words.
pub(crate) fn words(explained: &ExplainedJudgement) -> String {
    let mut words = String::new();
    let Some(judgement) = &explained.judgement else { return words };
    let at = shown::moment(judgement.at.as_ref());
    let came = format!("by {} from {}", judgement.protocol, judgement.from);
    match judgement.outcome() {
        Outcome::Admitted => {
            let _ = writeln!(words, "{at}  let in {came}");
        }
        Outcome::Ended | Outcome::Unspecified => {
            let _ = writeln!(words, "{at}  session ended: {}", judgement.message);
        }
        Outcome::Refused => {
            let _ = writeln!(words, "{at}  refused {came}: {}", judgement.reason);
            let _ = writeln!(words, "  {}", judgement.message);
            let _ = writeln!(words, "  meaning: {}", explained.meaning);
            let _ = writeln!(words, "  what to do: {}", explained.remedy);
            if !explained.advice.is_empty() {
                let _ = writeln!(words, "  here: {}", explained.advice);
            }
            if judgement.repeated_before > 0 {
                let _ = writeln!(words, "  {} times before, within a minute", judgement.repeated_before);
            }
            if !explained.chain.is_empty() {
                let _ = writeln!(words, "  presented:");
            }
            for line in &explained.chain {
                let _ = writeln!(words, "    {line}");
            }
        }
    }
    words
}

fn as_json(explained: &ExplainedJudgement) -> Value {
    let judgement = explained.judgement.clone().unwrap_or_default();
    json!({
        "at": shown::moment(judgement.at.as_ref()),
        "claimed": judgement.claimed,
        "outcome": match judgement.outcome() {
            Outcome::Admitted => "admitted",
            Outcome::Refused => "refused",
            Outcome::Ended | Outcome::Unspecified => "ended",
        },
        "reason": judgement.reason,
        "detail": judgement.message,
        "facts": judgement.metadata.iter().collect::<std::collections::BTreeMap<_, _>>(),
        "protocol": judgement.protocol,
        "from": judgement.from,
        "repeated_before": judgement.repeated_before,
        "meaning": explained.meaning,
        "remedy": explained.remedy,
        "advice": explained.advice,
        "chain": explained.chain,
    })
}
