//! CA certificates: registered, proven, changed, forgotten.

use api::{
    Refusal,
    hub::v1::{CaCertificate, ChainRules, FirstConnect, Verification},
    journal::v1::{HubCaChanged, record::Fact},
};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use bytes::Bytes;
use pki::{Certificate, Sha256};
use records::{Act, Attempt, named, read, refuse_conflict, refuse_store, wire};
use store::{Claim, Entry, Position, Record, Rule};

use super::{
    books::{Books, MOST_CAS, Stage, VerifiedOnUpload},
    change::{Change, check_etag},
    keys, proof,
};

/// A CA certificate to be registered.
#[derive(Debug, Clone)]
pub(crate) struct NewCa {
    pub(crate) name: String,
    pub(crate) certificate: Bytes,
    pub(crate) rules: ChainRules,
    pub(crate) first_connect: FirstConnect,
    pub(crate) verification: Verification,
}

impl Books {
    /// Registers a CA certificate.
    ///
    /// # Errors
    /// `CA_EXISTS`, `CA_CERTIFICATE_UNFIT`, `CA_LIMIT_REACHED`, `DEVELOPMENT_ANCHOR`, `PRIVATE_KEY_IN_UPLOAD`,
    /// `VERIFIED_ON_UPLOAD_REFUSED`, `REQUEST_MALFORMED`, what does not parse.
    pub(crate) fn register_ca(&self, change: &Change, new: &NewCa) -> Result<CaCertificate, Refusal> {
        self.make_change(change, |attempt| {
            check_name(&new.name)?;
            let certificate = proof::read_upload(&new.certificate)?;
            proof::check_ca(&certificate)?;
            self.check_policy(new, &certificate)?;
            let registered = self.cas()?;
            let same = registered.iter().find(|(_, ca)| ca.name == new.name || ca.certificate == certificate.der());
            if let Some((_, same)) = same {
                let what = if same.name == new.name { "a ca certificate of this name" } else { "this ca certificate" };
                let message = format!("{what} is registered already, as {}", same.name);
                return Err(Refusal::new("CA_EXISTS", message).with("name", &same.name));
            }
            if registered.len() >= MOST_CAS {
                return Err(Refusal::new("CA_LIMIT_REACHED", format!("{MOST_CAS} ca certificates are registered")));
            }
            let before = self.store.get(&keys::ca(&new.name)).map_err(|e| refuse_store(&e))?;
            let ca = self.new_ca(change, new, &certificate);
            self.write_ca(change, before.map(|record| record.position), ca, Fate::Kept, attempt)
        })
    }

    /// Makes a fresh verification code.
    ///
    /// # Errors
    /// `CA_UNKNOWN`, `ETAG_STALE`, `CA_ALREADY_VERIFIED`.
    pub(crate) fn verification_code(&self, change: &Change, name: &str, etag: &str) -> Result<CaCertificate, Refusal> {
        self.change_ca(change, name, etag, |ca| {
            still_unverified(ca)?;
            ca.verification_code = Some(proof::fresh_code()?);
            Ok(())
        })
    }

    /// Takes a proof that somebody holds the CA's key.
    ///
    /// # Errors
    /// `CA_UNKNOWN`, `ETAG_STALE`, `CA_ALREADY_VERIFIED`, `VERIFICATION_CODE_MISSING`, `POSSESSION_NOT_PROVEN`.
    pub(crate) fn verify_ca(
        &self,
        change: &Change,
        name: &str,
        etag: &str,
        proof: &[u8],
    ) -> Result<CaCertificate, Refusal> {
        let now = self.clock.now();
        self.change_ca(change, name, etag, |ca| {
            still_unverified(ca)?;
            let code = ca.verification_code.take().ok_or_else(|| {
                Refusal::new("VERIFICATION_CODE_MISSING", format!("no verification code is open for {name}"))
            })?;
            let certificate = Certificate::parse(&ca.certificate)
                .map_err(|error| Refusal::new("JOURNAL_DAMAGED", format!("ca certificate {name}: {error}")))?;
            proof::check_proof(&certificate, &code, &proof::read_upload(proof)?, now)?;
            ca.set_verification(Verification::Verified);
            Ok(())
        })
    }

    /// Changes how chains under a CA are judged.
    ///
    /// # Errors
    /// `CA_UNKNOWN`, `ETAG_STALE`.
    pub(crate) fn update_ca(
        &self,
        change: &Change,
        name: &str,
        etag: &str,
        rules: ChainRules,
        first_connect: FirstConnect,
    ) -> Result<CaCertificate, Refusal> {
        self.change_ca(change, name, etag, |ca| {
            match rules {
                ChainRules::Unspecified => {}
                ChainRules::Countersign | ChainRules::Plain => ca.set_rules(rules),
            }
            match first_connect {
                FirstConnect::Unspecified => {}
                FirstConnect::Refuse | FirstConnect::Register => ca.set_first_connect(first_connect),
            }
            Ok(())
        })
    }

    /// Forgets a CA certificate.
    ///
    /// # Errors
    /// `CA_UNKNOWN`, `ETAG_STALE`.
    pub(crate) fn delete_ca(&self, change: &Change, name: &str, etag: &str) -> Result<(), Refusal> {
        let delete = |attempt: Attempt<'_>| {
            let (at, ca) = self.ca_on_record(name)?;
            check_etag(name, &ca.etag, etag)?;
            self.write_ca(change, Some(at), ca, Fate::Deleted, attempt)
        };
        self.make_change(change, delete).map(drop)
    }

    /// One CA certificate.
    ///
    /// # Errors
    /// `CA_UNKNOWN`.
    pub(crate) fn ca(&self, name: &str) -> Result<CaCertificate, Refusal> {
        self.ca_on_record(name).map(|(_, ca)| self.shown(ca))
    }

    /// Every CA certificate, in the order of their names.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) fn all_cas(&self) -> Result<Vec<CaCertificate>, Refusal> {
        Ok(self.cas()?.into_iter().map(|(_, ca)| self.shown(ca)).collect())
    }

    fn change_ca(
        &self,
        change: &Change,
        name: &str,
        etag: &str,
        with: impl FnOnce(&mut CaCertificate) -> Result<(), Refusal>,
    ) -> Result<CaCertificate, Refusal> {
        self.make_change(change, |attempt| {
            let (at, mut ca) = self.ca_on_record(name)?;
            check_etag(name, &ca.etag, etag)?;
            with(&mut ca)?;
            ca.updated_at = Some(wire::timestamp(self.clock.now()));
            ca.etag = change.etag(&ca.etag);
            self.write_ca(change, Some(at), ca, Fate::Kept, attempt)
        })
    }

    fn ca_on_record(&self, name: &str) -> Result<(Position, CaCertificate), Refusal> {
        let unknown =
            || Refusal::new("CA_UNKNOWN", format!("no ca certificate {name:?} is registered")).with("name", name);
        let record = self.store.get(&keys::ca(name)).map_err(|e| refuse_store(&e))?.ok_or_else(unknown)?;
        match read(&record)? {
            (_, Fact::HubCaChanged(HubCaChanged { ca_certificate: Some(ca), deleted: false, .. })) => {
                Ok((record.position, ca))
            }
            _ => Err(unknown()),
        }
    }

    /// Makes a change of one CA certificate, and has it trusted accordingly; a repetition gets the certificate that the change made.
    fn make_change(
        &self,
        change: &Change,
        make: impl FnOnce(Attempt<'_>) -> Result<CaCertificate, Refusal>,
    ) -> Result<CaCertificate, Refusal> {
        let before = |act: &Act, record: &Record| ca_of_repetition(change, act, record);
        self.make_trusted(change, before, make).map(|ca| self.shown(ca))
    }

    fn write_ca(
        &self,
        change: &Change,
        before: Option<Position>,
        ca: CaCertificate,
        fate: Fate,
        attempt: Attempt<'_>,
    ) -> Result<CaCertificate, Refusal> {
        let deleted = match fate {
            Fate::Kept => false,
            Fate::Deleted => true,
        };
        let mut unit = attempt.act().unit(Fact::HubCaChanged(HubCaChanged {
            ca_certificate: Some(ca.clone()),
            deleted,
            request_digest: change.digest(),
        }));
        unit.claims = vec![Claim { key: keys::ca(&ca.name), rule: before.map_or(Rule::Absent, Rule::At) }];
        unit.entry = Some(Entry::new(keys::CAS, &ca.name).map_err(named(store::EntryInvalid::reason))?);
        attempt.commit(unit)?.map_err(|c| refuse_conflict(&c, &ca.name))?;
        Ok(ca)
    }

    fn check_policy(&self, new: &NewCa, certificate: &Certificate) -> Result<(), Refusal> {
        if new.verification == Verification::Verified && self.policy.verified_on_upload == VerifiedOnUpload::Refused {
            let message = "this hub does not take a ca certificate as verified on upload";
            return Err(Refusal::new("VERIFIED_ON_UPLOAD_REFUSED", message));
        }
        if self.policy.stage == Stage::Production && mfg::oid::is_development_anchor(certificate) {
            let message = format!("{} is a development anchor, and this hub is in production", certificate.subject());
            return Err(Refusal::new("DEVELOPMENT_ANCHOR", message));
        }
        Ok(())
    }

    fn new_ca(&self, change: &Change, new: &NewCa, certificate: &Certificate) -> CaCertificate {
        let now = Some(wire::timestamp(self.clock.now()));
        let sha1 = digest(&SHA1_FOR_LEGACY_USE_ONLY, certificate.der());
        CaCertificate {
            name: new.name.clone(),
            certificate: Bytes::copy_from_slice(certificate.der()),
            subject: certificate.subject().to_string(),
            expires_at: Some(wire::timestamp(certificate.not_after())),
            thumbprint_sha1: Bytes::copy_from_slice(sha1.as_ref()),
            thumbprint_sha256: wire::digest(&certificate.sha256()),
            key_sha256: wire::digest(&certificate.public_key().sha256()),
            verification: match new.verification {
                Verification::Verified => Verification::Verified,
                Verification::Unspecified | Verification::Unverified => Verification::Unverified,
            }
            .into(),
            rules: match new.rules {
                ChainRules::Plain => ChainRules::Plain,
                ChainRules::Unspecified | ChainRules::Countersign => ChainRules::Countersign,
            }
            .into(),
            first_connect: match new.first_connect {
                FirstConnect::Register => FirstConnect::Register,
                FirstConnect::Unspecified | FirstConnect::Refuse => FirstConnect::Refuse,
            }
            .into(),
            created_at: now,
            updated_at: now,
            etag: change.etag(""),
            verification_code: None,
            disabled: false,
        }
    }

    /// Whether its key is disabled is not its own to say: the key may come and go with other certificates.
    fn shown(&self, mut ca: CaCertificate) -> CaCertificate {
        let key = Sha256::from_slice(&ca.key_sha256);
        ca.disabled = key.is_some_and(|key| self.view().disabled_key(&key).is_some());
        ca
    }
}

/// What becomes of a CA certificate with a change.
enum Fate {
    Kept,
    Deleted,
}

fn ca_of_repetition(change: &Change, act: &Act, before: &Record) -> Result<CaCertificate, Refusal> {
    match read(before)? {
        (_, Fact::HubCaChanged(HubCaChanged { ca_certificate: Some(ca), request_digest, .. })) => {
            change.is_repetition_of(&request_digest)?;
            Ok(ca)
        }
        _ => Err(records::reused(act, "content")),
    }
}

fn still_unverified(ca: &CaCertificate) -> Result<(), Refusal> {
    match ca.verification() {
        Verification::Unspecified | Verification::Unverified => Ok(()),
        Verification::Verified => {
            Err(Refusal::new("CA_ALREADY_VERIFIED", format!("the ca certificate {} is verified", ca.name)))
        }
    }
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_');
    if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(Refusal::malformed("name", "is not 1 to 64 of A-Z, a-z, 0-9, '.', '-', '_'"))
}
