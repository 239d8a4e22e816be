//! Replacing an identity key: its holder signs, the brand's operator hands it in.

use std::path::{Path, PathBuf};

use issuance::{SigningKey as _, SoftwareKey};
use mfg::{ManufacturerId, Statement};
use pki::{PublicKey, hex, pem};
use prost_reflect::Value as Field;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{answer::Answer, care, request, session::Session, table::Given};
use crate::{
    failure::{Failure, read_file},
    files::{self, as_pem},
    passphrase,
};

/// What `sign-rotation` writes and `rotate-key` reads.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    manufacturer: String,
    /// PEM.
    new_key: String,
    /// Signature by the new key, hex.
    proof: String,
    /// Signature by the key in use, hex; none when that is lost.
    endorsement: Option<String>,
}

/// `manufacturer sign-rotation`: signs the statement with the new key, and with the current one where it is held.
pub(super) fn sign(_: &Session, given: &Given<'_>) -> Result<Answer, Failure> {
    let name = given.required("MANUFACTURER")?;
    let manufacturer =
        ManufacturerId::parse(name).map_err(|e| Failure::usage(format!("MANUFACTURER {name:?}: {e}")))?;
    let out = Path::new(given.required("out")?);
    let new = read_key(Path::new(given.required("new-key")?))?;
    let current = current_key(Path::new(given.required("current-key")?))?;
    let former = match &current {
        Current::Held(key) => key.public_key().sha256(),
        Current::Lost(key) => key.sha256(),
    };
    let statement = Statement::key_rotation(&manufacturer, &former, &new.public_key().sha256());
    let signed = |key: &SoftwareKey| {
        let signature = key.sign(statement.to_be_signed()).map_err(|e| Failure::by_reason(e.reason(), &e))?;
        Ok::<_, Failure>(hex::encode(&signature))
    };
    let rotation = Rotation {
        manufacturer: name.to_owned(),
        new_key: pem::encode(pem::PUBLIC_KEY, new.public_key().spki()),
        proof: signed(&new)?,
        endorsement: match &current {
            Current::Held(key) => Some(signed(key)?),
            Current::Lost(_) => None,
        },
    };
    let json = serde_json::to_string_pretty(&rotation).map_err(|e| Failure::named("INTERNAL", e.to_string()))?;
    files::write_new(out, format!("{json}\n").as_bytes())?;
    let words = format!("Wrote {}; the brand's operator takes it: countersign manufacturer rotate-key", out.display());
    Ok(Answer::new(json!({ "file": out, "new_key_sha256": new.public_key().sha256().to_string() }), words))
}

/// `manufacturer rotate-key`: hands in what its holder signed.
pub(super) fn rotate(session: &Session, given: &Given<'_>) -> Result<Answer, Failure> {
    let path = PathBuf::from(given.required("rotation")?);
    let rotation: Rotation = serde_json::from_slice(&read_file(&path)?).map_err(|e| Failure::malformed(&path, e))?;
    let name = given.required("MANUFACTURER")?;
    if rotation.manufacturer != name {
        return Err(Failure::malformed(&path, format!("is of {}, not of {name}", rotation.manufacturer)));
    }
    let key = pem::single(&rotation.new_key, pem::PUBLIC_KEY).map_err(|e| Failure::malformed(&path, e))?;
    let octets = |text: &str| hex::decode(text).map_err(|_| Failure::malformed(&path, "a signature that is not hex"));
    let method = session.method()?;
    let mut message = request::build(&method, given)?;
    request::stamp(&mut message, given)?;
    message.set_field_by_name("new_key", Field::Bytes(bytes::Bytes::copy_from_slice(key.der())));
    message.set_field_by_name("proof", Field::Bytes(octets(&rotation.proof)?.into()));
    match (&rotation.endorsement, given.text("lost")) {
        (Some(endorsement), None) => {
            message.set_field_by_name("endorsement", Field::Bytes(octets(endorsement)?.into()))
        }
        // The operator's word stands in the place of the signature; it is already in its field.
        (None, Some(_)) => {}
        (None, None) => return Err(Failure::usage("the former key did not sign; if it is lost, say so with --lost")),
        (Some(_), Some(_)) => return Err(Failure::usage("--lost: the former key signed, so it is not lost")),
    }
    if given.is_dry_run() {
        return care::dry_run(session, given, &method, &message);
    }
    care::confirm(session, given)?;
    Ok(Answer::of(given.verb, session.change(&method, &message)?))
}

/// The key in use, as far as it is there.
enum Current {
    Held(SoftwareKey),
    Lost(PublicKey),
}

fn current_key(path: &Path) -> Result<Current, Failure> {
    let octets = read_file(path)?;
    let is_public = as_pem(&octets).is_some_and(|text| text.contains("-----BEGIN PUBLIC KEY-----"));
    if is_public { Ok(Current::Lost(request::public_key(path)?)) } else { Ok(Current::Held(read_key(path)?)) }
}

fn read_key(path: &Path) -> Result<SoftwareKey, Failure> {
    ceremony::keys::read(path, None, &mut passphrase::ask).map_err(|e| Failure::by_reason(e.reason(), &e))
}
