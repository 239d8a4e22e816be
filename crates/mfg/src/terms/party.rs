//! Who takes part in an order: names and identity keys, so that each sender can check the next acceptance offline.

use std::collections::{BTreeMap, BTreeSet};

use pki::PublicKey;
use serde::{Deserialize, Serialize};

use crate::id::ManufacturerId;
use crate::terms::{Graph, TermsRefusal};

/// Longest organization name in a certificate (RFC 5280 appendix A.1, ub-organization-name), in characters.
pub const MAX_NAME_LENGTH: usize = 64;
/// Most identity keys of one manufacturer in one order's terms.
pub const MAX_IDENTITY_KEYS: usize = 8;

/// One receiver of lots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// The manufacturer.
    pub manufacturer: ManufacturerId,
    /// Its name, the organization in its handoff certificates.
    pub name: String,
    /// Its registered identity keys, SubjectPublicKeyInfo in DER; hex in JSON.
    #[serde(with = "hex_list")]
    pub identity_keys: Vec<Vec<u8>>,
}

/// The identity keys of every party.
pub(super) type IdentityKeys = BTreeMap<ManufacturerId, Vec<PublicKey>>;

/// Checks that the parties are exactly the receivers of the graph, each with a name and keys of its own.
pub(super) fn check(parties: &[Party], graph: &Graph) -> Result<IdentityKeys, TermsRefusal> {
    let mut all = IdentityKeys::new();
    let mut seen = BTreeSet::new();
    for party in parties {
        let who = &party.manufacturer;
        let receives = graph.remaining_hops(who).is_some() && who != graph.brand();
        let counted = (1..=MAX_IDENTITY_KEYS).contains(&party.identity_keys.len());
        if !receives || !counted || !is_name(&party.name) {
            return Err(TermsRefusal::Party(who.clone()));
        }
        let mut keys = Vec::with_capacity(party.identity_keys.len());
        for spki in &party.identity_keys {
            let key = PublicKey::parse(spki).map_err(|_| TermsRefusal::IdentityKey(who.clone()))?;
            // With one key for two names, an acceptance by one would prove the other's.
            if !seen.insert(*key.sha256().as_bytes()) {
                return Err(TermsRefusal::IdentityKeyShared(who.clone()));
            }
            keys.push(key);
        }
        if all.insert(who.clone(), keys).is_some() {
            return Err(TermsRefusal::Party(who.clone()));
        }
    }
    match graph.manufacturers().find(|who| *who != graph.brand() && !all.contains_key(who)) {
        Some(missing) => Err(TermsRefusal::Party(missing.clone())),
        None => Ok(all),
    }
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME_LENGTH).contains(&name.chars().count()) && name.trim() == name && !name.contains(char::is_control)
}

mod hex_list {
    use pki::hex;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(keys: &[Vec<u8>], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(keys.iter().map(|key| hex::encode(key)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Vec<u8>>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        texts.iter().map(|text| hex::decode(text).map_err(serde::de::Error::custom)).collect()
    }
}
