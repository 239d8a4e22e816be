//! `countersign ceremony`: a root or an order CA from one reviewed file.

use std::process::ExitCode;

use ceremony::{Ceremony, CeremonyRefusal, Evidence, Outline};
use issuance::Stage;
use serde_json::json;
use service::{Clock as _, SystemClock};

use crate::{
    args::{CeremonyArgs, Output},
    failure::Failure,
    passphrase,
    stdout::say,
};

pub(crate) fn run(args: &CeremonyArgs) -> Result<ExitCode, Failure> {
    let refused = |e: CeremonyRefusal| Failure::by_reason(e.reason(), &e);
    let ceremony = Ceremony::read(&args.input).map_err(refused)?;
    let now = SystemClock.now();
    if args.dry_run {
        let outline = ceremony.check(now, &mut passphrase::ask).map_err(refused)?;
        tell_outline(args.output, &outline);
    } else {
        let evidence = ceremony.hold(now, &mut passphrase::ask).map_err(refused)?;
        tell_evidence(args.output, &evidence, &ceremony)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn tell_outline(output: Output, outline: &Outline) {
    let stage = match outline.stage {
        Stage::Development => "development",
        Stage::Production => "production",
    };
    match output {
        Output::Json => say!(
            "{}",
            json!({
                "dry_run": true,
                "kind": outline.kind,
                "stage": stage,
                "input_sha256": outline.input.to_string(),
                "profile_sha256": outline.profile.to_string(),
                "outputs": outline.outputs,
            })
        ),
        Output::Text => {
            say!("Every check passes. It would make a {stage} {}:", outline.kind);
            outline.outputs.iter().for_each(|path| say!("  {}", path.display()));
            say!("  input sha256    {}", in_groups(&outline.input.to_string()));
            say!("  profile sha256  {}", in_groups(&outline.profile.to_string()));
            say!("Nothing was made.");
        }
    }
}

fn tell_evidence(output: Output, evidence: &Evidence, ceremony: &Ceremony) -> Result<(), Failure> {
    let certificate = &evidence.certificate;
    match output {
        Output::Json => {
            say!("{}", serde_json::to_string(evidence).map_err(|e| Failure::named("INTERNAL", e.to_string()))?);
        }
        Output::Text => {
            say!("{}: a {} {}", evidence.title, certificate.stage, evidence.kind);
            say!("  subject             {}", certificate.subject);
            say!("  validity            {} to {}", certificate.not_before, certificate.not_after);
            say!("  certificate serial  {}", certificate.serial);
            say!("  certificate sha256  {}", in_groups(&certificate.sha256));
            say!("  key sha256          {}", in_groups(&evidence.key.spki_sha256));
            say!("  input sha256        {}", in_groups(&evidence.input.sha256));
            say!("  key                 {}, {}", evidence.key.algorithm, evidence.key.attributes);
            if let Some(issuer) = &evidence.issuer {
                say!("  signed by           {}", issuer.subject);
                say!("  its sha256          {}", in_groups(&issuer.sha256));
            }
            say!("Wrote {} and the evidence in {}.", certificate.file, ceremony.evidence_folder().display());
        }
    }
    Ok(())
}

/// A fingerprint as people read it to each other: four digits at a time.
fn in_groups(hex: &str) -> String {
    let digits: Vec<char> = hex.chars().collect();
    digits.chunks(4).map(String::from_iter).collect::<Vec<_>>().join(" ")
}
