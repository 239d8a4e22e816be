//! What the brand registers and keeps: programs, which never change, and manufacturers, whose keys and state do.

mod change;
mod manufacturer;

use api::{Refusal, journal::v1::record::Fact, program::v1::Program};
use issuance::Stage;
use mfg::{OidArc, ProgramId};
use pki::DnsName;
use records::{Act, keys, named, once, read, refuse_conflict, refuse_store, reused};
use store::{Claim, Conflict, Entry, Key, Record, Rule, Store};

use crate::orders::Orders;

pub(crate) use manufacturer::published;

/// Something that is registered under an id.
pub(crate) trait Registered: Clone + PartialEq + Sized {
    /// The collection it is listed in.
    const COLLECTION: &'static str;
    /// Refused when the id is unknown.
    const UNKNOWN: &'static str;
    /// Refused when the id is taken by other content.
    const EXISTS: &'static str;

    fn id(&self) -> &str;
    fn key(id: &str) -> Key;
    /// The fact that registers it.
    fn fact(self) -> Fact;
    /// What a fact that was recorded at this moment, in seconds since 1970, says about it.
    fn of(fact: Fact, at: i64) -> Option<Self>;
    /// What a request may say about it: not what the service sets.
    fn as_asked(&self) -> Self;
    fn check(&self) -> Result<(), Refusal>;

    /// What must be this one's alone besides its id, with the reason that refuses a second owner.
    ///
    /// # Errors
    /// As [`Registered::check`].
    fn only_its_own(&self) -> Result<Option<(Key, &'static str)>, Refusal>;
}

/// Registers `item`, once per request and once per id; the same content again is the same registration.
pub(crate) fn register<T: Registered>(store: &dyn Store, act: &Act, item: T) -> Result<T, Refusal> {
    let item = item.as_asked();
    item.check()?;
    let id = item.id();
    let own = item.only_its_own()?;
    let before = |record: &Record| {
        // A change of the same thing is no registration, whatever it comes to.
        if read(record)?.1 == item.clone().fact() { find(store, id) } else { Err(reused(act, "content")) }
    };
    once(store, act, before, |attempt| {
        let mut unit = act.unit(item.clone().fact());
        unit.claims.push(Claim { key: T::key(id), rule: Rule::Absent });
        unit.claims.extend(own.map(|(key, _)| Claim { key, rule: Rule::Absent }));
        unit.entry = Some(Entry::new(T::COLLECTION, id).map_err(named(store::EntryInvalid::reason))?);
        match attempt.commit(unit)? {
            Ok(_) => find(store, id),
            Err(Conflict::KeyTaken { key, .. }) if let Some((_, reason)) = own.filter(|(own, _)| *own == key) => {
                Err(Refusal::new(reason, format!("what {id} brings is registered for another")).with("id", id))
            }
            Err(Conflict::KeyTaken { .. }) => {
                let before = find::<T>(store, id)?;
                let same = before.as_asked() == item;
                let exists = || Refusal::new(T::EXISTS, format!("{id} exists with other content")).with("id", id);
                if same { Ok(before) } else { Err(exists()) }
            }
            Err(conflict) => Err(refuse_conflict(&conflict, id)),
        }
    })
}

impl Orders {
    /// Refuses certificates for real devices under an arc that is nobody's.
    ///
    /// # Errors
    /// `DOCUMENTATION_ARC`.
    pub(crate) fn check_arc(&self, program: &Program) -> Result<(), Refusal> {
        let is_documentation = OidArc::parse(&program.oid_arc).is_ok_and(|arc| arc.is_documentation());
        match self.root.stage {
            Stage::Production if is_documentation => Err(Refusal::new(
                "DOCUMENTATION_ARC",
                format!("program {} would stand under the documentation arc", program.program),
            )),
            Stage::Production | Stage::Development => Ok(()),
        }
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
    let (entry, fact) = read(record)?;
    T::of(fact, entry.at).ok_or_else(|| {
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

    fn of(fact: Fact, _at: i64) -> Option<Self> {
        if let Fact::ProgramCreated(program) = fact { Some(program) } else { None }
    }

    fn as_asked(&self) -> Self {
        self.clone()
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

    fn only_its_own(&self) -> Result<Option<(Key, &'static str)>, Refusal> {
        Ok(None)
    }
}
