//! `order approve`: an operator signs the terms that were shown.

use std::path::PathBuf;

use api::order::v1::{GetOrderRequest, GetOrderResponse, Order};
use issuance::SigningKey as _;
use mfg::{OrderId, Statement};
use pki::Sha256;
use prost_reflect::Value as Field;
use serde_json::json;

use super::{answer::Answer, care, request, session::Session, table::Given, terms::laid_out};
use crate::{failure::Failure, passphrase};

const GET_ORDER: &str = "countersign.order.v1.OrderService/GetOrder";

/// Reads the order, makes sure that its terms are those which the operator read, signs their digest, hands it in.
pub(super) fn approve(session: &Session, given: &Given<'_>) -> Result<Answer, Failure> {
    let name = given.required("ORDER")?;
    let request = GetOrderRequest { order: name.to_owned(), version: None };
    let answer: GetOrderResponse = session.ask(GET_ORDER, &request)?;
    let order = answer.order.ok_or_else(|| Failure::named("INTERNAL", "the service answered no order"))?;
    // The operator signs the digest of the exact octets, not one that somebody names.
    let digest = Sha256::of(&order.terms);
    agree(given, &order, &digest)?;
    if given.is_dry_run() {
        let words = format!("{}\nWould sign the digest {digest} of these terms of order {name}.", shown(&order));
        let terms = String::from_utf8_lossy(&order.terms);
        return Ok(care::would(words, json!({ "order": name, "terms": terms, "terms_digest": digest.to_string() })));
    }
    let key_file = key_file(session, given)?;
    let passphrase_file = given.text("passphrase-file").map(PathBuf::from);
    let key = ceremony::keys::read(&key_file, passphrase_file.as_deref(), &mut passphrase::ask)
        .map_err(|e| Failure::by_reason(e.reason(), &e))?;
    let order_id = OrderId::parse(name).map_err(|e| Failure::usage(format!("ORDER {name:?}: {e}")))?;
    let signature = key.sign(Statement::order_approval(&order_id, &digest).to_be_signed());
    let signature = signature.map_err(|e| Failure::by_reason(e.reason(), &e))?;

    let method = session.method()?;
    let mut message = request::build(&method, given)?;
    request::stamp(&mut message, given)?;
    message.set_field_by_name("terms_digest", Field::Bytes(bytes::Bytes::copy_from_slice(digest.as_bytes())));
    message.set_field_by_name("signature", Field::Bytes(bytes::Bytes::from(signature)));
    Ok(Answer::of(given.verb, session.change(&method, &message)?))
}

/// Either the digest was read before and is named, or the terms are shown now and the order's id is typed.
fn agree(given: &Given<'_>, order: &Order, digest: &Sha256) -> Result<(), Failure> {
    if let Some(read) = given.text("digest") {
        let read = Sha256::parse(read).map_err(|_| Failure::usage("--digest: want 64 hex digits"))?;
        return if read == *digest {
            Ok(())
        } else {
            let words = format!("the terms of {} have the digest {digest}, not {read}", order.order);
            Err(Failure::named("TERMS_DIGEST_MISMATCH", words))
        };
    }
    if given.is_dry_run() {
        return Ok(());
    }
    eprintln!("{}\nTheir digest is {digest}.", shown(order));
    care::typed(&order.order, given, "Signs these terms.")
}

/// The exact terms, in lines.
fn shown(order: &Order) -> String {
    laid_out(&String::from_utf8_lossy(&order.terms)).join("\n")
}

fn key_file(session: &Session, given: &Given<'_>) -> Result<PathBuf, Failure> {
    if let Some(file) = given.text("key") {
        return Ok(PathBuf::from(file));
    }
    let profile = session.profile()?;
    let section = profile.content.approval.as_ref();
    let file = section.map(|approval| profile.directory.path(&approval.key));
    file.ok_or_else(|| Failure::usage("no approval key: name one with --key, or in the profile's [approval]"))
}
