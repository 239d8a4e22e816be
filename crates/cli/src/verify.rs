//! `countersign verify`: the chain's journey, or the rule that refuses it.

use std::process::ExitCode;

use mfg::{Bundle, Journey, ManufacturerId, Quantity, journey};
use pki::{
    UnixTime,
    path::{PathOptions, Purpose, ReferenceName, Rules, verify_path},
};
use serde_json::{Value, json};

use crate::{
    args::{Output, PurposeArg, VerifyArgs},
    failure::Failure,
    files,
    stdout::say,
};

/// What was found out.
enum Verdict {
    /// `suspended`: manufacturers of the journey that the bundle says are suspended by now. It makes no chain less genuine.
    Journey {
        journey: Box<Journey>,
        anchor: String,
        intermediates: usize,
        suspended: Vec<ManufacturerId>,
    },
    Plain {
        subject: String,
        device_id: Option<String>,
        anchor: String,
        intermediates: usize,
    },
    Refused {
        reason: &'static str,
        detail: String,
    },
}

pub(crate) fn run(args: &VerifyArgs) -> Result<ExitCode, Failure> {
    let verdict = match judge(args) {
        Ok(verdict) => verdict,
        // A script that reads JSON gets its answer there, also about content that cannot be read.
        Err(failure) => match (args.output, failure.as_answer()) {
            (Output::Json, Some((reason, detail))) => Verdict::Refused { reason, detail: detail.to_owned() },
            (Output::Json | Output::Text, _) => return Err(failure),
        },
    };
    match args.output {
        Output::Json => say!("{}", as_json(&verdict)),
        Output::Text => print_words(&verdict),
    }
    Ok(match verdict {
        Verdict::Journey { .. } | Verdict::Plain { .. } => ExitCode::SUCCESS,
        Verdict::Refused { .. } => ExitCode::from(1),
    })
}

fn judge(args: &VerifyArgs) -> Result<Verdict, Failure> {
    let (at, name) = (moment(args)?, args.name.as_deref().map(reference_name).transpose()?);
    let trust = trust(args)?;
    let crls = args.crl.iter().map(|path| files::revocation_list(path)).collect::<Result<Vec<_>, _>>()?;
    let options = PathOptions {
        at,
        purpose: match args.purpose {
            PurposeArg::Client => Purpose::Client,
            PurposeArg::Server => Purpose::Server,
            PurposeArg::Any => Purpose::Any,
        },
        name,
        crls: &crls,
        max_depth: args.max_depth,
        rules: if args.plain { Rules::Plain } else { Rules::Countersign },
    };
    let chain = files::certificates(&args.chain)?;
    let Some((leaf, candidates)) = chain.split_first() else {
        return Err(Failure::malformed(&args.chain, "holds no certificate"));
    };
    let path = match verify_path(leaf, candidates, &trust.anchors, &options) {
        Ok(path) => path,
        Err(refusal) => return Ok(Verdict::Refused { reason: refusal.reason(), detail: refusal.to_string() }),
    };
    let anchor = path.anchor().sha256().to_string();
    let intermediates = path.intermediates().len();
    if args.plain {
        let subject = path.leaf().subject().to_string();
        let device_id = path.leaf().subject().common_names().pop();
        return Ok(Verdict::Plain { subject, device_id, anchor, intermediates });
    }
    // A bundle without identity keys or programs says no more than its anchors do.
    match journey::read(&path, Some(&trust)) {
        Ok(journey) => {
            let receivers = journey.hops.iter().map(|hop| &hop.to);
            let suspended = receivers.filter(|to| trust.is_suspended(to)).cloned().collect();
            Ok(Verdict::Journey { journey: Box::new(journey), anchor, intermediates, suspended })
        }
        Err(refusal) => Ok(Verdict::Refused { reason: refusal.reason(), detail: refusal.to_string() }),
    }
}

/// Everything trusted, of all the files given.
fn trust(args: &VerifyArgs) -> Result<Bundle, Failure> {
    let mut all = Bundle::default();
    for path in &args.trust {
        let bundle = files::trust(path)?;
        all.anchors.extend(bundle.anchors);
        all.identity_keys.extend(bundle.identity_keys);
        all.programs.extend(bundle.programs);
        all.manufacturers.extend(bundle.manufacturers);
    }
    Ok(all)
}

fn moment(args: &VerifyArgs) -> Result<UnixTime, Failure> {
    match &args.at {
        Some(text) => UnixTime::parse(text).map_err(|e| Failure::usage(format!("--at {text}: {e}"))),
        None => Ok(service::clock::Clock::now(&service::clock::SystemClock)),
    }
}

fn reference_name(text: &str) -> Result<ReferenceName, Failure> {
    ReferenceName::parse(text).map_err(|e| Failure::usage(format!("--name {text}: {e}")))
}

/// `quantity` in JSON: an integer or `"unlimited"`.
fn quantity(quantity: Quantity) -> Value {
    quantity.units().map_or_else(|| Value::from("unlimited"), Value::from)
}

/// One hop; `suspended` stands in it only where it is true.
fn hop_as_json(hop: &journey::Hop, suspended: &[ManufacturerId]) -> Value {
    let mut value = json!({
        "from": hop.from.as_str(),
        "to": hop.to.as_str(),
        "lot": hop.lot.as_str(),
        "quantity": quantity(hop.quantity),
        "subtree": hop.subtree.as_str(),
        "accepted": hop.accepted.as_str(),
    });
    if let (true, Some(fields)) = (suspended.contains(&hop.to), value.as_object_mut()) {
        fields.insert("suspended".to_owned(), Value::from(true));
    }
    value
}

fn as_json(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Journey { journey, anchor, intermediates, suspended } => json!({
            "valid": true,
            "device_id": journey.device_id.as_str(),
            "plain": false,
            "anchor_sha256": anchor,
            "intermediates": intermediates,
            "program": journey.program.as_str(),
            "order": journey.order.as_str(),
            "generation": journey.generation.get(),
            "hops": journey.hops.iter().map(|hop| hop_as_json(hop, suspended)).collect::<Vec<_>>(),
        }),
        Verdict::Plain { device_id, anchor, intermediates, subject } => json!({
            "valid": true,
            "device_id": device_id,
            "subject": subject,
            "plain": true,
            "anchor_sha256": anchor,
            "intermediates": intermediates,
            "hops": [],
        }),
        Verdict::Refused { reason, detail } => json!({ "valid": false, "reason": reason, "detail": detail }),
    }
}

fn print_words(verdict: &Verdict) {
    match verdict {
        Verdict::Journey { journey, anchor, suspended, .. } => {
            say!("valid: {} of program {}, order {}", journey.device_id, journey.program, journey.order);
            for (number, hop) in journey.hops.iter().enumerate() {
                let units = hop.quantity.units().map_or_else(|| "unlimited".to_owned(), |n| format!("{n} units"));
                say!(
                    "  {}. {} -> {}, lot {}, {units}, acceptance {}",
                    number + 1,
                    hop.from,
                    hop.to,
                    hop.lot,
                    hop.accepted.as_str()
                );
                say!("     may name devices under {}", hop.subtree);
            }
            say!("  device certificate, generation {}", journey.generation.get());
            for manufacturer in suspended {
                say!("  note: the brand has suspended {manufacturer}; what it built before that is genuine");
            }
            say!("  trust anchor sha256 {anchor}");
        }
        Verdict::Plain { subject, anchor, intermediates, .. } => {
            say!("valid by RFC 5280: {subject}, {intermediates} intermediates");
            say!("  trust anchor sha256 {anchor}");
        }
        Verdict::Refused { reason, detail } => {
            say!("not valid: {reason}\n  {detail}");
            if let Some(explanation) = api::reason_table::explain(reason) {
                say!("  what to do: {}", explanation.remedy);
            }
        }
    }
}
