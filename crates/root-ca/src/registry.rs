//! What the brand registers once and keeps: programs and manufacturers.

use api::{Refusal, journal::v1::record::Fact, manufacturer::v1::Manufacturer, program::v1::Program};
use mfg::{ManufacturerId, OidArc, ProgramId};
use pki::{DnsName, PublicKey};
use records::{Act, Once, commit_once, keys, named, read, refuse_conflict, refuse_store, reused};
use store::{Claim, Conflict, Entry, Key, Record, Rule, Store};

/// Something that is registered under an id and never changes.
pub(crate) trait Registered: Clone + PartialEq + Sized {
    /// The collection it is listed in.
    const COLLECTION: &'static str;
    /// Refused when the id is unknown.
    const UNKNOWN: &'static str;
    /// Refused when the id is taken by other content.
    const EXISTS: &'static str;

    fn id(&self) -> &str;
    fn key(id: &str) -> Key;
    fn fact(self) -> Fact;
    fn of(fact: Fact) -> Option<Self>;
    fn check(&self) -> Result<(), Refusal>;
}

/// Registers `item`, once per request and once per id; the same content again is the same registration.
pub(crate) fn register<T: Registered>(store: &dyn Store, act: &Act, item: T) -> Result<T, Refusal> {
    item.check()?;
    let mut unit = act.unit(item.clone().fact());
    unit.claims.push(Claim { key: T::key(item.id()), rule: Rule::Absent });
    unit.entry = Some(Entry::new(T::COLLECTION, item.id()).map_err(named(store::EntryInvalid::reason))?);
    match commit_once(store, act, unit)? {
        Once::Committed(_) => Ok(item),
        Once::Before(record) => match decode::<T>(&record) {
            Ok(before) if before == item => Ok(before),
            Ok(_) | Err(_) => Err(reused(act, "content")),
        },
        Once::Refused(Conflict::KeyTaken { at, .. }) => {
            let before = decode::<T>(&store.read(at).map_err(|e| refuse_store(&e))?)?;
            if before == item {
                Ok(before)
            } else {
                Err(Refusal::new(T::EXISTS, format!("{} exists with other content", item.id())).with("id", item.id()))
            }
        }
        Once::Refused(conflict) => Err(refuse_conflict(&conflict, item.id())),
    }
}

/// Reads one by its id.
pub(crate) fn find<T: Registered>(store: &dyn Store, id: &str) -> Result<T, Refusal> {
    match store.get(&T::key(id)).map_err(|e| refuse_store(&e))? {
        Some(record) => decode(&record),
        None => Err(Refusal::new(T::UNKNOWN, format!("{id:?} is not known here")).with("id", id)),
    }
}

/// Turns a listed record back.
pub(crate) fn decode<T: Registered>(record: &Record) -> Result<T, Refusal> {
    let (_, fact) = read(record)?;
    T::of(fact).ok_or_else(|| {
        Refusal::new("JOURNAL_DAMAGED", format!("the record at {} is not what its key says", record.position))
    })
}

impl Registered for Program {
    const COLLECTION: &'static str = "programs";
    const UNKNOWN: &'static str = "PROGRAM_UNKNOWN";
    const EXISTS: &'static str = "PROGRAM_EXISTS";

    fn id(&self) -> &str {
        &self.program
    }

    fn key(id: &str) -> Key {
        keys::program(id)
    }

    fn fact(self) -> Fact {
        Fact::ProgramCreated(self)
    }

    fn of(fact: Fact) -> Option<Self> {
        if let Fact::ProgramCreated(program) = fact { Some(program) } else { None }
    }

    fn check(&self) -> Result<(), Refusal> {
        ProgramId::parse(&self.program).map_err(named(mfg::IdRefusal::reason))?;
        let invalid = |field: &str, what: String| {
            Err(Refusal::new("PROGRAM_INVALID", format!("{field}: {what}")).violation(field, what))
        };
        if let Err(error) = DnsName::parse(&self.base_name) {
            return invalid("base_name", error.to_string());
        }
        if let Err(error) = OidArc::parse(&self.oid_arc) {
            return invalid("oid_arc", error.to_string());
        }
        if !(1..=63).contains(&self.max_device_id_length) {
            return invalid("max_device_id_length", "is not between 1 and 63".to_owned());
        }
        if !(1..=24).contains(&self.max_lot_id_length) {
            return invalid("max_lot_id_length", "is not between 1 and 24".to_owned());
        }
        Ok(())
    }
}

/// X.520 ub-organization-name.
const MAX_ORGANIZATION_NAME: usize = 64;

impl Registered for Manufacturer {
    const COLLECTION: &'static str = "manufacturers";
    const UNKNOWN: &'static str = "MANUFACTURER_UNKNOWN";
    const EXISTS: &'static str = "MANUFACTURER_EXISTS";

    fn id(&self) -> &str {
        &self.manufacturer
    }

    fn key(id: &str) -> Key {
        keys::manufacturer(id)
    }

    fn fact(self) -> Fact {
        Fact::ManufacturerRegistered(self)
    }

    fn of(fact: Fact) -> Option<Self> {
        if let Fact::ManufacturerRegistered(manufacturer) = fact { Some(manufacturer) } else { None }
    }

    fn check(&self) -> Result<(), Refusal> {
        ManufacturerId::parse(&self.manufacturer).map_err(named(mfg::IdRefusal::reason))?;
        let invalid = |field: &str, what: String| {
            Err(Refusal::new("MANUFACTURER_INVALID", format!("{field}: {what}")).violation(field, what))
        };
        let name_length = self.display_name.chars().count();
        if !(1..=MAX_ORGANIZATION_NAME).contains(&name_length) || self.display_name.chars().any(char::is_control) {
            return invalid("display_name", "is not 1 to 64 characters without control characters".to_owned());
        }
        match PublicKey::parse(&self.identity_key) {
            Err(error) => invalid("identity_key", error.to_string()),
            Ok(_) => Ok(()),
        }
    }
}
