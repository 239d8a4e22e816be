//! What a factory is asked, repeatable to the octet.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use api::{
    Refusal, RequestId,
    journal::v1::{BlanksScrapped, LotClosing, UnitsReinstated, record::Fact},
};
use authority::{AcceptOrder, Authority, DeviceOrder, Occasion, OfferOrder, Written};
use bytes::Bytes;
use issuance::{SigningKey as _, SoftwareKey, make_csr};
use mfg::{Acceptance, Consignment, DeviceId, Hop, LotId, Movement, Quantity, Statement};
use pki::Sha256;
use records::{Act, keys, once, refuse_conflict};
use store::{TallyMove, Unit};

use super::{Shop, caller};
use crate::paper::{LOT, PAPER, consignment, key, maker};

/// How long an offer stands here.
pub(crate) const OFFER_STANDS: u32 = 3600;

/// One thing that somebody asks. The number of the request is its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    Issue { request: u64, device: u32, key: u32, occasion: Occasion },
    Confirm { device: u32, certificate: Sha256 },
    AllowRework { request: u64, device: u32 },
    ScrapDevice { request: u64, device: u32 },
    ReinstateDevice { request: u64, device: u32 },
    ScrapBlanks { request: u64, units: u32 },
    ReinstateBlanks { request: u64, units: u32 },
    Offer { request: u64, lot: u32, units: u32 },
    Cancel { request: u64, lot: u32 },
    Accept { request: u64, lot: u32, units: u32 },
    Close { request: u64 },
}

/// What a caller holds in its hand afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// Certificates, the one asked for first.
    Certificates(Vec<Bytes>),
    /// That it is done.
    Done,
}

type Csrs<K> = LazyLock<Mutex<HashMap<K, Bytes>>>;

pub(crate) fn device_id(device: u32) -> DeviceId {
    DeviceId::parse(&format!("sn{device}")).unwrap()
}

/// Every device has as many keys as it needs, made once.
fn device_csr(device: u32, number: u32) -> Bytes {
    static CSRS: Csrs<(u32, u32)> = LazyLock::new(Mutex::default);
    if let Some(made) = CSRS.lock().unwrap().get(&(device, number)) {
        return made.clone();
    }
    let made = Bytes::from(make_csr(&key(), device_id(device).as_str()).unwrap());
    CSRS.lock().unwrap().entry((device, number)).or_insert(made).clone()
}

fn lot_name(lot: u32) -> LotId {
    LotId::parse(&format!("a{lot}")).unwrap()
}

/// technician-z's acceptance of a lot, by its one key for that lot.
fn acceptance(lot: u32, units: u32) -> AcceptOrder {
    static KEYS: LazyLock<Mutex<HashMap<u32, Arc<SoftwareKey>>>> = LazyLock::new(Mutex::default);
    let lot_key = Arc::clone(KEYS.lock().unwrap().entry(lot).or_insert_with(|| Arc::new(key())));
    let lot = lot_name(lot);
    let consignment = Consignment {
        from: maker("factory-y"),
        to: maker("technician-z"),
        hop: Hop::of(2).unwrap(),
        ..consignment(lot.as_str(), u64::from(units), PAPER.terms.digest())
    };
    let statement = Statement::acceptance(lot_key.public_key().spki(), &consignment);
    let acceptance = Acceptance {
        identity_key_digest: PAPER.technician.public_key().sha256(),
        signature: PAPER.technician.sign(statement.to_be_signed()).unwrap(),
    };
    AcceptOrder { csr: Bytes::from(make_csr(lot_key.as_ref(), lot.as_str()).unwrap()), lot, acceptance }
}

pub(super) fn act(authority: &Authority, manufacturer: &str, request: u64) -> Act {
    let mut octets = [0x5a; 16];
    // A UUID keeps its version and variant in octets 6 and 8.
    octets[9..].copy_from_slice(&request.to_be_bytes()[1..]);
    authority.act(caller(manufacturer), RequestId::from_octets(octets))
}

impl Shop {
    /// Asks once. Another try is another call with the same.
    pub(crate) async fn ask(&self, ask: &Ask) -> Result<Told, Refusal> {
        match ask {
            Ask::Issue { request, device, key, occasion } => {
                let order = DeviceOrder {
                    act: self.act(*request),
                    lot: LOT.to_owned(),
                    device_id: device_id(*device),
                    csr: device_csr(*device, *key),
                    occasion: *occasion,
                };
                let issued = self.line().issue(order).await?;
                let chain = std::iter::once(issued.certificate).chain(issued.issuer_chain);
                Ok(Told::Certificates(chain.collect()))
            }
            Ask::Confirm { .. }
            | Ask::AllowRework { .. }
            | Ask::ScrapDevice { .. }
            | Ask::ReinstateDevice { .. }
            | Ask::ScrapBlanks { .. }
            | Ask::ReinstateBlanks { .. }
            | Ask::Offer { .. }
            | Ask::Cancel { .. }
            | Ask::Accept { .. }
            | Ask::Close { .. } => ask_authority(self.authority(), ask),
        }
    }
}

/// Everything that does not go through the line.
fn ask_authority(authority: &Authority, ask: &Ask) -> Result<Told, Refusal> {
    let own = |request: &u64| act(authority, "factory-y", *request);
    match ask {
        Ask::Issue { .. } => unreachable!("goes through the line"),
        Ask::Confirm { device, certificate } => {
            let written = Written { device_id: device_id(*device), certificate: *certificate };
            let act = Act { request: None, ..own(&0) };
            authority.confirm(&act, &[written])?.pop().unwrap()?;
        }
        Ask::AllowRework { request, device } => {
            authority.allow_rework(&own(request), &device_id(*device))?;
        }
        Ask::ScrapDevice { request, device } => {
            authority.scrap_device(&own(request), &device_id(*device), "dropped")?;
        }
        Ask::ReinstateDevice { request, device } => reinstate(authority, &own(request), 0, &[device_id(*device)])?,
        Ask::ReinstateBlanks { request, units } => reinstate(authority, &own(request), *units, &[])?,
        Ask::ScrapBlanks { request, units } => {
            let fact = BlanksScrapped { lot: LOT.to_owned(), units: *units, why: "warped".to_owned() };
            moving(authority, &own(request), Fact::BlanksScrapped(fact), Movement::ScrapBlank(*units))?;
        }
        Ask::Close { request } => {
            let fact = LotClosing { lot: LOT.to_owned(), received_at: 0 };
            moving(authority, &own(request), Fact::LotClosing(fact), Movement::Close)?;
        }
        Ask::Offer { request, lot, units } => {
            let order = OfferOrder {
                source: LOT.to_owned(),
                to: maker("technician-z"),
                lot: lot_name(*lot),
                quantity: Quantity::of(u64::from(*units)).unwrap(),
                ttl_seconds: OFFER_STANDS,
            };
            authority.offer(&own(request), &order)?;
        }
        Ask::Cancel { request, lot } => {
            authority.cancel(&own(request), &lot_name(*lot))?;
        }
        Ask::Accept { request, lot, units } => {
            let act = act(authority, "technician-z", *request);
            return Ok(Told::Certificates(authority.accept(&act, &acceptance(*lot, *units))?.chain));
        }
    }
    Ok(Told::Done)
}

/// What an operator's request does to the tally and nothing else; the same request again is done already.
fn moving(authority: &Authority, act: &Act, fact: Fact, movement: Movement) -> Result<(), Refusal> {
    let moves = vec![TallyMove { lot: keys::lot(LOT), movement }];
    let unit = Unit { moves, ..act.unit(fact) };
    once(
        authority.store(),
        act,
        |_| Ok(()),
        |attempt| attempt.commit(unit)?.map(drop).map_err(|c| refuse_conflict(&c, LOT)),
    )
}

fn reinstate(authority: &Authority, act: &Act, blanks: u32, devices: &[DeviceId]) -> Result<(), Refusal> {
    once(
        authority.store(),
        act,
        |_| Ok(()),
        |attempt| {
            let back = UnitsReinstated { lot: LOT.to_owned(), blanks, ..UnitsReinstated::default() };
            let unit = authority.reinstatement(act, LOT, back, devices)?;
            attempt.commit(unit)?.map(drop).map_err(|c| refuse_conflict(&c, LOT))
        },
    )
}
