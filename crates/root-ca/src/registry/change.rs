//! What changes about a manufacturer after its registration: its identity key, who its services say they are, its state.
//!
//! A change is recorded whole, against the record before it: two at once do not undo each other.

use api::{
    Refusal,
    journal::v1::{KeyRotation, ManufacturerChanged, record::Fact},
    manufacturer::v1::{
        IdentityKey, Manufacturer, ManufacturerState, ReinstateManufacturerRequest, RotateIdentityKeyRequest,
        SetServiceIdentityRequest, SuspendManufacturerRequest, rotate_identity_key_request::Word,
    },
};
use bytes::Bytes;
use mfg::{ManufacturerId, Statement, bundle::MAX_RETIRED_KEYS};
use pki::{PublicKey, Sha256};
use prost::Message;
use records::{Act, keys, named, once, read, refuse_conflict, refuse_store, reused, wire};
use store::{Claim, Conflict, Entry, Record, Rule, Store};

use super::{
    Registered, decode, find,
    manufacturer::{check_services, invalid, read_identity_key},
};
use crate::orders::Orders;

/// Longest reason in an operator's words, in characters.
const MAX_WORDS: usize = 200;

/// What a change comes to.
struct Changed {
    manufacturer: Manufacturer,
    rotation: Option<KeyRotation>,
    /// A key that is registered for nobody yet.
    new_key: Option<PublicKey>,
}

impl Changed {
    fn only(manufacturer: Manufacturer) -> Self {
        Self { manufacturer, rotation: None, new_key: None }
    }
}

impl Orders {
    /// Nobody is registered as the brand itself, nor with its key: in the bundle it would be a second key that signs terms.
    ///
    /// # Errors
    /// `MANUFACTURER_EXISTS`, `IDENTITY_KEY_SHARED`.
    pub(crate) fn not_the_brand(&self, id: &str, identity_key: &[u8]) -> Result<(), Refusal> {
        let (brand, key) = self.brand_key();
        if id == brand.as_str() {
            return Err(Refusal::new("MANUFACTURER_EXISTS", format!("{brand} is the brand")).with("id", brand));
        }
        if identity_key == key.spki() {
            return Err(Refusal::new("IDENTITY_KEY_SHARED", format!("{id} brings the brand's key")).with("id", id));
        }
        Ok(())
    }

    /// Replaces a manufacturer's identity key. Orders from now on name the new one.
    ///
    /// # Errors
    /// `MANUFACTURER_UNKNOWN`, `MANUFACTURER_INVALID`, `KEY_ROTATION_INVALID`, `IDENTITY_KEY_USED_BEFORE`, `IDENTITY_KEY_SHARED`,
    /// `REQUEST_ID_REUSED`.
    pub(crate) fn rotate(&self, act: &Act, request: &RotateIdentityKeyRequest) -> Result<Manufacturer, Refusal> {
        let content = RotateIdentityKeyRequest { request_id: String::new(), ..request.clone() };
        change(self.authority.store(), act, &request.manufacturer, &content, |before| {
            self.not_the_brand(&request.manufacturer, &request.new_key)?;
            rotated(before, request, act)
        })
    }

    /// Registers anew who a manufacturer's services and people say they are.
    ///
    /// # Errors
    /// `MANUFACTURER_UNKNOWN`, `MANUFACTURER_INVALID`, `REQUEST_ID_REUSED`.
    pub(crate) fn set_services(&self, act: &Act, request: &SetServiceIdentityRequest) -> Result<Manufacturer, Refusal> {
        let content = SetServiceIdentityRequest { request_id: String::new(), ..request.clone() };
        change(self.authority.store(), act, &request.manufacturer, &content, |before| {
            request.service_identity.as_ref().map_or(Ok(()), check_services)?;
            Ok(Changed::only(Manufacturer { service_identity: request.service_identity.clone(), ..before }))
        })
    }

    /// Suspends a manufacturer: no new offer to it, no acceptance by it.
    ///
    /// # Errors
    /// `MANUFACTURER_UNKNOWN`, `MANUFACTURER_SUSPENDED`, `REQUEST_MALFORMED`, `REQUEST_ID_REUSED`.
    pub(crate) fn suspend(&self, act: &Act, request: &SuspendManufacturerRequest) -> Result<Manufacturer, Refusal> {
        let content = SuspendManufacturerRequest { request_id: String::new(), ..request.clone() };
        change(self.authority.store(), act, &request.manufacturer, &content, |before| {
            check_words("why", &request.why)?;
            match before.state() {
                ManufacturerState::Active | ManufacturerState::Unspecified => {}
                ManufacturerState::Suspended => {
                    return Err(wrong_state("MANUFACTURER_SUSPENDED", &before, "is suspended already"));
                }
            }
            let (state, suspended_because) = (ManufacturerState::Suspended.into(), request.why.clone());
            Ok(Changed::only(Manufacturer { state, suspended_because, ..before }))
        })
    }

    /// Ends a manufacturer's suspension.
    ///
    /// # Errors
    /// `MANUFACTURER_UNKNOWN`, `MANUFACTURER_NOT_SUSPENDED`, `REQUEST_ID_REUSED`.
    pub(crate) fn reinstate(&self, act: &Act, request: &ReinstateManufacturerRequest) -> Result<Manufacturer, Refusal> {
        let content = ReinstateManufacturerRequest { request_id: String::new(), ..request.clone() };
        change(self.authority.store(), act, &request.manufacturer, &content, |before| {
            match before.state() {
                ManufacturerState::Suspended => {}
                ManufacturerState::Active | ManufacturerState::Unspecified => {
                    return Err(wrong_state("MANUFACTURER_NOT_SUSPENDED", &before, "is not suspended"));
                }
            }
            let (state, suspended_because) = (ManufacturerState::Active.into(), String::new());
            Ok(Changed::only(Manufacturer { state, suspended_because, ..before }))
        })
    }
}

/// Records one change, once per request; `content` is the request without its id.
fn change<M: Message>(
    store: &dyn Store,
    act: &Act,
    id: &str,
    content: &M,
    make: impl FnOnce(Manufacturer) -> Result<Changed, Refusal>,
) -> Result<Manufacturer, Refusal> {
    // The kind of request is part of what was asked for.
    let digest = wire::digest(&Sha256::of(&[std::any::type_name::<M>().as_bytes(), &content.encode_to_vec()].concat()));
    once(
        store,
        act,
        |record| repeated(store, act, id, &digest, record),
        |attempt| {
            let key = Manufacturer::key(id);
            let Some(before) = store.get(&key).map_err(|e| refuse_store(&e))? else { return find(store, id) };
            let Changed { manufacturer, rotation, new_key } = make(decode(&before)?)?;
            let fact =
                ManufacturerChanged { manufacturer: Some(manufacturer), request_digest: digest.clone(), rotation };
            let mut unit = act.unit(Fact::ManufacturerChanged(fact));
            unit.claims = vec![Claim { key, rule: Rule::At(before.position) }];
            unit.claims.extend(new_key.map(|new| Claim { key: keys::identity_key(&new.sha256()), rule: Rule::Absent }));
            unit.entry = Some(Entry::new(Manufacturer::COLLECTION, id).map_err(named(store::EntryInvalid::reason))?);
            match attempt.commit(unit)? {
                Ok(_) => find(store, id),
                Err(Conflict::KeyTaken { .. }) => {
                    Err(Refusal::new("IDENTITY_KEY_SHARED", format!("what {id} brings is registered for another"))
                        .with("id", id))
                }
                Err(conflict) => Err(refuse_conflict(&conflict, id)),
            }
        },
    )
}

/// The answer to a repeated change: the manufacturer as it stands now.
fn repeated(store: &dyn Store, act: &Act, id: &str, digest: &Bytes, record: &Record) -> Result<Manufacturer, Refusal> {
    if let Fact::ManufacturerChanged(before) = read(record)?.1
        && before.manufacturer.is_some_and(|then| then.manufacturer == id)
        && before.request_digest == *digest
    {
        return find(store, id);
    }
    Err(reused(act, "content"))
}

/// The manufacturer with its new key, if both signatures, or one and a statement, speak for it.
fn rotated(before: Manufacturer, request: &RotateIdentityKeyRequest, act: &Act) -> Result<Changed, Refusal> {
    let new = read_identity_key("new_key", &request.new_key)?;
    if before.identity_keys.iter().any(|key| key.public_key == request.new_key) {
        let message = format!("{} has or had this very key", before.manufacturer);
        return Err(Refusal::new("IDENTITY_KEY_USED_BEFORE", message).with("manufacturer", &before.manufacturer));
    }
    if before.identity_keys.len() >= MAX_RETIRED_KEYS {
        return Err(invalid("identity_keys", format!("has had {MAX_RETIRED_KEYS} keys, and no more are kept")));
    }
    let former = read_identity_key("identity_key", &before.identity_key)?;
    let id = ManufacturerId::parse(&before.manufacturer).map_err(named(mfg::IdRefusal::reason))?;
    let statement = Statement::key_rotation(&id, &former.sha256(), &new.sha256());
    let signed_by = |key: &PublicKey, whose: &str, signature: &[u8]| {
        statement.verify(key, signature).map_err(|e| {
            Refusal::from_error(e.reason(), &e).with("manufacturer", &before.manufacturer).with("signer", whose)
        })
    };
    signed_by(&new, "the new key", &request.proof)?;
    let (endorsement, lost_because) = match &request.word {
        None => return Err(Refusal::malformed("word", "neither endorsement nor lost_because is set")),
        Some(Word::Endorsement(signature)) => {
            signed_by(&former, "the key in use", signature)?;
            (Some(signature.clone()), String::new())
        }
        Some(Word::LostBecause(why)) => {
            check_words("lost_because", why)?;
            (None, why.clone())
        }
    };
    let rotation = KeyRotation {
        former_key_digest: wire::digest(&former.sha256()),
        proof: request.proof.clone(),
        lost_because,
        endorsement,
    };
    let now = wire::timestamp(act.at);
    let mut identity_keys = before.identity_keys.clone();
    for key in identity_keys.iter_mut().filter(|key| key.retired_at.is_none()) {
        key.retired_at = Some(now);
        key.lost = rotation.endorsement.is_none();
    }
    let in_use =
        IdentityKey { public_key: request.new_key.clone(), registered_at: Some(now), retired_at: None, lost: false };
    identity_keys.insert(0, in_use);
    let manufacturer = Manufacturer { identity_key: request.new_key.clone(), identity_keys, ..before };
    Ok(Changed { manufacturer, rotation: Some(rotation), new_key: Some(new) })
}

fn wrong_state(reason: &'static str, manufacturer: &Manufacturer, what: &str) -> Refusal {
    let id = &manufacturer.manufacturer;
    Refusal::new(reason, format!("{id} {what}")).with("manufacturer", id)
}

fn check_words(field: &str, words: &str) -> Result<(), Refusal> {
    let length = words.chars().count();
    if !(1..=MAX_WORDS).contains(&length) || words.chars().any(char::is_control) || words.trim().is_empty() {
        return Err(Refusal::malformed(
            field,
            format!("is not 1 to {MAX_WORDS} characters without control characters"),
        ));
    }
    Ok(())
}
