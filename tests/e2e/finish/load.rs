//! Many clients at once, with refusals mixed in: every unit is spent once or not at all.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use api::{
    Refusal, custody::v1::quantity::Amount, issuance::v1::GetDeviceRequest, provisioning::v1::unit_request::Key,
};
use bytes::Bytes;
use pki::Certificate;
use tokio::task::JoinSet;

use crate::{
    custody::Custody,
    devices::{Device, Line, Signer, device_request, unit_request},
    issue::forged,
    world::{TECHNICIAN, fresh_id},
};

const CLIENTS: usize = 16;
const REQUESTS: usize = 50;
/// Fewer than honest devices ask for, so that the lot is spent while all of them ask.
const UNITS: u32 = 450;
const LOT: &str = "n-load";

/// What a client was told: a certificate, or the reason of a refusal.
type Told = Result<Bytes, &'static str>;

/// One of the two faces of the line, as a client that does not care which.
enum Face {
    Signer(Signer),
    Line(Line),
}

impl Face {
    async fn ask(&self, request_id: &str, lot: &str, id: &str, csr: Bytes) -> Told {
        let answer = match self {
            Self::Signer(signer) => {
                let mut request = device_request(lot, id, csr);
                request_id.clone_into(&mut request.request_id);
                signer.ask(&request).await.map(|a| a.into_inner().certificate.unwrap().certificate)
            }
            Self::Line(line) => {
                let mut request = unit_request(Some(lot), id, Key::Csr(csr));
                request_id.clone_into(&mut request.request_id);
                line.ask(&request).await.map(|a| a.into_inner().unit.unwrap().chain[0].clone())
            }
        };
        answer.map_err(|status| Refusal::from_status(&status).reason())
    }
}

/// What one client heard: its devices' certificates, and how often it was refused for which reason.
#[derive(Default)]
struct Heard {
    certificates: BTreeMap<String, Bytes>,
    refusals: BTreeMap<&'static str, usize>,
}

impl Heard {
    fn told(&mut self, id: &str, told: Told) {
        match told {
            Ok(certificate) => {
                let before = self.certificates.insert(id.to_owned(), certificate.clone());
                assert!(before.is_none_or(|b| b == certificate), "{id} has two certificates");
            }
            Err(reason) => *self.refusals.entry(reason).or_default() += 1,
        }
    }
}

/// One client's requests, one after the other: of ten, six for devices of its own, and one each that is forged, repeated, contested
/// by all clients, and for a lot that does not exist.
async fn client(face: Face, number: usize, contested: Arc<Vec<String>>) -> Heard {
    let mut heard = Heard::default();
    let mut last = None;
    for step in 0..REQUESTS {
        let device = Device::new(&format!("{LOT}-{number}-{step}"));
        match step % 10 {
            6 => {
                let csr = forged::wants_to_be_ca(&device.id).remove(0);
                heard.told(&device.id, face.ask(&fresh_id(), LOT, &device.id, csr).await);
            }
            7 => {
                let (request_id, device, told): (String, Device, Told) = last.take().unwrap();
                let again = face.ask(&request_id, LOT, &device.id, device.csr()).await;
                assert_eq!(again, told, "a repetition is answered alike");
            }
            8 => {
                let rival = Device::new(&contested[step / 10]);
                heard.told(&rival.id, face.ask(&fresh_id(), LOT, &rival.id, rival.csr()).await);
            }
            9 => heard.told(&device.id, face.ask(&fresh_id(), "n-nowhere", &device.id, device.csr()).await),
            _ => {
                let request_id = fresh_id();
                let told = face.ask(&request_id, LOT, &device.id, device.csr()).await;
                heard.told(&device.id, told.clone());
                last = Some((request_id, device, told));
            }
        }
    }
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn the_law_of_conservation_holds_under_a_mixed_load() {
    let custody = Custody::at_technician("finish-load", LOT, UNITS).await;
    let contested = Arc::new((0..REQUESTS / 10).map(|n| format!("{LOT}-all-{n}")).collect::<Vec<_>>());
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let face = match number % 2 {
            0 => Face::Signer(Signer::of(custody.chain)),
            _ => Face::Line(Line::of(custody.chain)),
        };
        clients.spawn(client(face, number, Arc::clone(&contested)));
    }
    let mut all = Heard::default();
    while let Some(heard) = clients.join_next().await {
        let heard = heard.unwrap();
        for (id, certificate) in heard.certificates {
            assert!(all.certificates.insert(id, certificate).is_none(), "a contested device went to two clients");
        }
        for (reason, times) in heard.refusals {
            *all.refusals.entry(reason).or_default() += times;
        }
    }

    let tally = custody.tally(TECHNICIAN, LOT).await;
    let received = match tally.received.and_then(|q| q.amount) {
        Some(Amount::Units(units)) => u64::from(units),
        other => panic!("the lot has a quantity: {other:?}"),
    };
    let elsewhere = tally.handed_over + tally.reserved + tally.scrapped;
    assert_eq!(received, tally.provisioned + elsewhere + tally.remaining.unwrap(), "the law of conservation");
    assert_eq!(
        (tally.provisioned, elsewhere),
        (u64::from(UNITS), 0),
        "the lot is spent, to the last unit and no further"
    );
    assert_eq!(all.certificates.len(), UNITS as usize, "as many certificates as units");

    let each = CLIENTS * REQUESTS / 10;
    assert_eq!(all.refusals["CSR_ASKS_FOR_CA"], each);
    assert_eq!(all.refusals["LOT_UNKNOWN"], each);
    let known = ["CSR_ASKS_FOR_CA", "DEVICE_ID_TAKEN", "LOT_UNKNOWN", "QUANTITY_SPENT"];
    assert!(all.refusals.keys().all(|reason| known.contains(reason)), "{:?}", all.refusals);
    let answered = all.certificates.len() + all.refusals.values().sum::<usize>();
    assert_eq!(answered, CLIENTS * REQUESTS - each, "everything but the repetitions");

    every_certificate_is_on_record_once(&custody, &all.certificates).await;
}

async fn every_certificate_is_on_record_once(custody: &Custody, certificates: &BTreeMap<String, Bytes>) {
    let mut serials = BTreeSet::new();
    let mut issuing = custody.chain.issuing();
    for (id, certificate) in certificates {
        let leaf = Certificate::parse(certificate).unwrap();
        assert!(serials.insert(leaf.serial().to_string()), "certificate serials are unique");
        let found = issuing.get_device(GetDeviceRequest { device_id: id.clone() }).await.unwrap().into_inner();
        assert_eq!(&found.certificate.unwrap().certificate, certificate, "{id}");
    }
}
