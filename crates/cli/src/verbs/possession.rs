//! `countersign ca`: the CAs whose keys a service holds, and their proof to a hub.

use std::path::Path;

use pki::{Certificate, pem};
use prost_reflect::{DynamicMessage, ReflectMessage as _};
use serde_json::json;

use super::{
    answer::Answer,
    care, request,
    session::Session,
    table::{
        Argument,
        Form::{Path as File, Text},
        Given, Verb, changes, optional, reads, required,
    },
};
use crate::{failure::Failure, files};

const LOT: Argument =
    optional("lot", Text, "lot", "At an intermediate-ca: the lot whose CA it is; at a root-ca there is only one");

pub(super) const CA: &[Verb] = &[
    reads(
        "show",
        "Shows the CA that signs here: what is registered at a hub.",
        "countersign ca show --lot t7 --out t7.pem",
        &["countersign.possession.v1.PossessionService/GetSigningCa"],
        &[LOT, optional("out", File, "", "Writes its certificate to this file, PEM; it must not be there")],
    )
    .own(&[], show),
    changes(
        "prove",
        "Signs a hub's verification code by the CA's key: no device certificate, on record, valid a day.",
        "countersign ca prove 3f0c1d9a2b4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60 --lot t7 --out proof.pem",
        &["countersign.possession.v1.PossessionService/ProvePossession"],
        &[
            required("CODE", Text, "code", "The hub's code: 48 hexadecimal digits"),
            LOT,
            required("out", File, "", "The verification certificate, PEM; the file must not be there"),
        ],
    )
    .own(&[], prove),
];

fn show(session: &Session, given: &Given<'_>) -> Result<Answer, Failure> {
    let method = session.method()?;
    let ca = certificate(&session.send(&method, &request::build(&method, given)?)?)?;
    let mut words =
        format!("{}\n  valid until {}\n  key SHA-256 {}", ca.subject(), ca.not_after(), ca.public_key().sha256());
    let pem = pem::encode(pem::CERTIFICATE, ca.der());
    if let Some(out) = given.text("out").map(Path::new) {
        files::write_new(out, pem.as_bytes())?;
        words.push_str(&format!("\n  written to {}", out.display()));
    }
    let json = json!({
        "subject": ca.subject().to_string(),
        "not_after": ca.not_after().to_string(),
        "sha256": ca.sha256().to_string(),
        "key_sha256": ca.public_key().sha256().to_string(),
        "certificate": pem,
    });
    Ok(Answer::new(json, words))
}

fn prove(session: &Session, given: &Given<'_>) -> Result<Answer, Failure> {
    let out = Path::new(given.required("out")?);
    let method = session.method()?;
    let mut message = request::build(&method, given)?;
    request::stamp(&mut message, given)?;
    if given.is_dry_run() {
        return care::dry_run(session, given, &method, &message);
    }
    if out.symlink_metadata().is_ok() {
        return Err(Failure::named("OUTPUT_EXISTS", format!("{} is there already", out.display())));
    }
    let proof = certificate(&session.change(&method, &message)?)?;
    files::write_new(out, pem::encode(pem::CERTIFICATE, proof.der()).as_bytes())?;
    let words = format!("Wrote the proof to {}; the hub takes it: countersign hub ca verify", out.display());
    Ok(Answer::new(json!({ "file": out, "not_after": proof.not_after().to_string() }), words))
}

/// The certificate that an answer is.
fn certificate(answer: &DynamicMessage) -> Result<Certificate, Failure> {
    let field = answer.descriptor().get_field_by_name("certificate");
    let value = field.map(|field| answer.get_field(&field).into_owned());
    let octets = value.as_ref().and_then(|value| value.as_bytes().cloned()).unwrap_or_default();
    Certificate::parse(&octets)
        .map_err(|error| Failure::named(error.reason(), format!("the service's answer: {error}")))
}
