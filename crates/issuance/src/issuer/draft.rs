//! Drafting: every rule of the hop, each with its name, before anything is recorded or signed.

use mfg::{DeviceId, Generation, Handoff, OrderCa};
use pki::{CertificateSerial, DnsName, UnixTime};

use super::{IssueRefusal, Issuer};
use crate::csr::SubjectKey;
use crate::cycle::{Draft, Kind, Receipt};
use crate::profile::HandoffFields;
use crate::profile::{Device, OrderCaProfile, OrderProfiles, Period, check_name};

/// A handoff that the receiver has accepted. The receiver's name and identity keys are those of the terms.
#[derive(Debug)]
pub struct HandoffRequest<'a> {
    /// The lot key, through the gate.
    pub key: &'a SubjectKey,
    /// What passes on, with the receiver's acceptance.
    pub handoff: &'a Handoff,
    /// From this issuer's serial source.
    pub serial: CertificateSerial,
    /// When.
    pub now: UnixTime,
}

/// A device certificate.
#[derive(Debug)]
pub struct DeviceRequest<'a> {
    /// The device's key, through the gate.
    pub key: &'a SubjectKey,
    /// Its id.
    pub device: &'a DeviceId,
    /// 1, or one more for each rework.
    pub generation: Generation,
    /// From this issuer's serial source.
    pub serial: CertificateSerial,
    /// When.
    pub now: UnixTime,
}

/// An order CA under an offline root.
#[derive(Debug)]
pub struct OrderCaRequest<'a> {
    /// Its key, through the gate.
    pub key: &'a SubjectKey,
    /// What it is to be.
    pub profile: &'a OrderCaProfile,
    /// From this issuer's serial source.
    pub serial: CertificateSerial,
    /// When.
    pub now: UnixTime,
}

impl<R: Receipt> Issuer<R> {
    /// Drafts the CA certificate of a handoff.
    ///
    /// # Errors
    /// Every [`IssueRefusal`] that concerns a handoff.
    pub fn draft_handoff(&self, order: &OrderProfiles, request: HandoffRequest<'_>) -> Result<Draft, IssueRefusal> {
        self.check_window(request.now)?;
        order.lot_keys().check_kind(request.key.public_key())?;
        self.check_consignment(order, request.handoff)?;
        check_acceptance(order, &request)?;
        let path_length = self.path_length_for(order, request.handoff)?;
        let profile = order.handoff();
        self.check_nesting(&profile.document().validity, &profile.document().signing_window)?;
        if !profile.document().validity.encloses(&order.device().document().validity) {
            return Err(IssueRefusal::DevicesOutliveCa);
        }
        let consignment = &request.handoff.consignment;
        let receiver = order.terms().party(&consignment.to).ok_or(IssueRefusal::AcceptanceKeyUnknown)?;
        check_name("organization", &receiver.name).map_err(IssueRefusal::Name)?;
        let parent = self.parent_subtree(order)?;
        let subtree = mfg::subtree::subtree(parent, &consignment.lot, &consignment.to)?;
        mfg::room::check(&subtree, order.terms().document().program.max_device_id_length)?;
        let common_name = mfg::subtree::handoff_common_name(&consignment.lot, &consignment.to, &subtree);
        let fields = HandoffFields {
            organization: &receiver.name,
            common_name: &common_name,
            path_length,
            subtree: &subtree,
            handoff: request.handoff.to_der(),
        };
        let key = request.key.public_key();
        let params = profile.params(fields, key, &self.ca.signatory);
        Ok(self.ca.signatory.draft(params, key, request.serial, profile.hash(), Kind::Ca)?)
    }

    /// Whether every handoff of an order fits below this CA: for the brand, before anybody approves the order.
    ///
    /// # Errors
    /// `CHAIN_TOO_DEEP`, `PATH_LENGTH_SPENT`, `VALIDITY_NOT_NESTED`, `SIGNING_WINDOW_NOT_NESTED`, `SUBTREE_NOT_NESTED`.
    pub fn check_order(&self, order: &OrderProfiles) -> Result<(), IssueRefusal> {
        let hops = order.terms().graph().longest_route().len().saturating_sub(1);
        mfg::depth::check(self.standing.intermediates() + hops, OrderCa::Absent)?;
        self.check_path_length(u32::try_from(hops).unwrap_or(u32::MAX))?;
        let document = order.handoff().document();
        self.check_nesting(&document.validity, &document.signing_window)?;
        self.parent_subtree(order)?;
        Ok(())
    }

    /// Drafts a device certificate.
    ///
    /// # Errors
    /// Every [`IssueRefusal`] that concerns a device.
    pub fn draft_device(&self, order: &OrderProfiles, request: DeviceRequest<'_>) -> Result<Draft, IssueRefusal> {
        self.check_window(request.now)?;
        order.device_keys().check_kind(request.key.public_key())?;
        let own = self.standing.handoff.as_ref().ok_or(IssueRefusal::NoDevicesHere)?;
        check_order(order, own)?;
        order.terms().check_device(&own.consignment.to, request.device)?;
        let profile = order.device();
        if !self.ca.validity.encloses(&profile.document().validity) {
            return Err(IssueRefusal::ValidityNotNested);
        }
        let subtree = self.standing.subtree.as_ref().ok_or(IssueRefusal::NoDevicesHere)?;
        let dns_name = mfg::subtree::device_name(request.device, subtree)?;
        let key = request.key.public_key();
        let DeviceRequest { device: id, generation, ref serial, .. } = request;
        let tbs = profile.tbs(&Device { id, dns_name: &dns_name, generation, key, serial }, &self.ca.signatory);
        Ok(self.ca.signatory.draft_of(tbs, key, request.serial, profile.hash(), Kind::EndEntity))
    }

    /// Drafts an order CA. Only an anchor may.
    ///
    /// # Errors
    /// Every [`IssueRefusal`] that concerns an order CA.
    pub fn draft_order_ca(&self, request: OrderCaRequest<'_>) -> Result<Draft, IssueRefusal> {
        self.check_window(request.now)?;
        if self.standing.intermediates() != 0 {
            return Err(IssueRefusal::NoOrderCaHere);
        }
        let profile = request.profile;
        let document = profile.document();
        let needed = u32::from(document.path_length).saturating_add(1);
        self.check_path_length(needed)?;
        self.check_nesting(&document.validity, &document.signing_window)?;
        self.check_within(profile.base_name())?;
        let key = request.key.public_key();
        let params = profile.params(key, &self.ca.signatory);
        Ok(self.ca.signatory.draft(params, key, request.serial, profile.hash(), Kind::Ca)?)
    }

    /// Program, order, terms, sender, hop and quantity follow from the issuer's own handoff.
    fn check_consignment(&self, order: &OrderProfiles, handoff: &Handoff) -> Result<(), IssueRefusal> {
        check_order(order, handoff)?;
        let consignment = &handoff.consignment;
        let (owner, own_hop) = match &self.standing.handoff {
            None => (&order.terms().document().brand, 0),
            Some(own) => {
                check_order(order, own)?;
                if !own.consignment.quantity.covers(consignment.quantity) {
                    return Err(IssueRefusal::QuantityNotNested);
                }
                (&own.consignment.to, own.consignment.hop.get())
            }
        };
        if consignment.from != *owner {
            let (owner, named) = (owner.to_string(), consignment.from.to_string());
            return Err(IssueRefusal::SenderMismatch { owner, named });
        }
        if consignment.hop.get() != own_hop.saturating_add(1) {
            return Err(IssueRefusal::HopMismatch { own: own_hop, named: consignment.hop.get() });
        }
        order.terms().check_offer(&consignment.from, &consignment.to, &consignment.lot, consignment.quantity)?;
        Ok(())
    }

    /// The handoff's pathLenConstraint: what the longest route below the receiver needs, so that a route that does
    /// not fit is refused here and not at its last hop.
    fn path_length_for(&self, order: &OrderProfiles, handoff: &Handoff) -> Result<u8, IssueRefusal> {
        let below = order.terms().graph().remaining_hops(&handoff.consignment.to).unwrap_or(0);
        mfg::depth::check(self.standing.intermediates() + 1 + below, OrderCa::Absent)?;
        let path_length = u8::try_from(below).unwrap_or(u8::MAX);
        self.check_path_length(u32::from(path_length).saturating_add(1))?;
        Ok(path_length)
    }

    fn check_path_length(&self, needed: u32) -> Result<(), IssueRefusal> {
        match self.standing.path_length_left {
            Some(left) if left < needed => Err(IssueRefusal::PathLengthSpent { needed, left }),
            Some(_) | None => Ok(()),
        }
    }

    fn check_nesting(&self, validity: &Period, window: &Period) -> Result<(), IssueRefusal> {
        if !self.ca.validity.encloses(validity) {
            return Err(IssueRefusal::ValidityNotNested);
        }
        let outer = self.ca.window.as_ref().unwrap_or(&self.ca.validity);
        if outer.encloses(window) { Ok(()) } else { Err(IssueRefusal::WindowNotNested) }
    }

    /// Under which name the lot's subtree stands: the issuer's own, or the program's base when an anchor issues.
    fn parent_subtree<'a>(&'a self, order: &'a OrderProfiles) -> Result<&'a DnsName, IssueRefusal> {
        let base = &order.terms().document().program.base_name;
        match (&self.standing.subtree, &self.standing.handoff) {
            (Some(own), Some(_)) if own.is_within(base) => Ok(own),
            (Some(own), Some(_)) => Err(IssueRefusal::SubtreeNotNested(own.as_str().to_owned())),
            (_, None) => {
                self.check_within(base)?;
                Ok(base)
            }
            (None, Some(_)) => Err(IssueRefusal::SubtreeNotNested(base.as_str().to_owned())),
        }
    }

    fn check_within(&self, name: &DnsName) -> Result<(), IssueRefusal> {
        match &self.standing.subtree {
            Some(own) if !name.is_within(own) => Err(IssueRefusal::SubtreeNotNested(name.as_str().to_owned())),
            Some(_) | None => Ok(()),
        }
    }
}

fn check_order(order: &OrderProfiles, handoff: &Handoff) -> Result<(), IssueRefusal> {
    let (terms, consignment) = (order.terms(), &handoff.consignment);
    if consignment.terms_digest != terms.digest() {
        return Err(IssueRefusal::OrderMismatch("terms digest"));
    }
    if consignment.order != terms.document().order {
        return Err(IssueRefusal::OrderMismatch("order"));
    }
    if consignment.program != terms.document().program.id {
        return Err(IssueRefusal::OrderMismatch("program"));
    }
    if handoff.manifest_digest != terms.document().manifest_digest {
        return Err(IssueRefusal::OrderMismatch("manifest digest"));
    }
    Ok(())
}

/// No sender can invent a hop: the named receiver's registered key must have signed over this lot key.
fn check_acceptance(order: &OrderProfiles, request: &HandoffRequest<'_>) -> Result<(), IssueRefusal> {
    let Handoff { consignment, acceptance, .. } = request.handoff;
    let identity = order
        .terms()
        .identity_key(&consignment.to, &acceptance.identity_key_digest)
        .ok_or(IssueRefusal::AcceptanceKeyUnknown)?;
    let spki = request.key.public_key().spki();
    mfg::Statement::acceptance(spki, consignment).verify(identity, &acceptance.signature)?;
    Ok(())
}
