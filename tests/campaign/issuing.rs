//! Devices: half of the clients are provisioners at the signer, half are stations at the line.

use std::sync::Arc;

use api::{
    issuance::v1::{DeviceRequest, IssueDeviceRequest, IssueDeviceResponse},
    journal::v1::record::Fact,
};
use bytes::Bytes;
use issuance::{KeyKind, SoftwareKey, make_csr};
use prost::Message as _;
use records::keys;
use simulator::World;

use crate::{
    book::Entries,
    deed::{Deed, Desk},
    ground::{FACTORY, Ground, LOT, SIGNER, Work, facts, with_both_indexes},
    inject,
    story::{Act, Heard, Story, Tellers, request_id},
};

/// Devices that the journey itself makes.
const BEFORE: u64 = 1;

pub(crate) struct Issuing;

impl Work for Issuing {
    const NAME: &'static str = "issuing";
    const HOPS: u32 = 1;
    const HAS_HUB: bool = false;

    async fn prepare(_: &World) -> Tellers {
        let begin = |client, story| Box::new(Device(Some(wanted(client, story)))) as Box<dyn Story>;
        Tellers { begin: Arc::new(begin), desks: &[Desk::Provisioner, Desk::Station], fresh: 12 }
    }

    async fn agree(ground: &Ground, _: &[Entries]) {
        let operator_sees = inject::provisioned(&ground.world).await;
        assert_eq!(operator_sees, BEFORE + acknowledged(ground), "the tally is what was acknowledged");
    }

    fn agree_on_disk(ground: &Ground, _: &[Entries]) {
        let provisioned = BEFORE + acknowledged(ground);
        with_both_indexes(&ground.store(FACTORY, SIGNER), |store| {
            let tally = store.tally(&keys::lot(LOT)).unwrap().unwrap();
            assert_eq!(tally.provisioned(), provisioned);
            let facts = facts(store);
            let count = |wanted: fn(&Fact) -> bool| facts.iter().filter(|fact| wanted(fact)).count() as u64;
            let signed = count(|fact| matches!(fact, Fact::DeviceSigned(_)));
            let voided = count(|fact| matches!(fact, Fact::IntentVoided(_)));
            let intents = count(|fact| matches!(fact, Fact::DeviceIntent(_)));
            assert_eq!((intents, signed), (provisioned + voided, provisioned), "every intent is signed or voided");
        });
    }
}

/// One device a story, and all stories are at their end.
fn acknowledged(ground: &Ground) -> u64 {
    ground.clients.iter().map(|client| client.begun() as u64).sum()
}

/// One device that a client wants.
struct Device(Option<Deed>);

impl Story for Device {
    fn next(&mut self) -> Option<Act> {
        self.0.take().map(Act::Ask)
    }

    fn heard(&mut self, _: &Bytes) -> Heard {
        Heard::Done
    }
}

fn wanted(client: usize, story: usize) -> Deed {
    let device_id = format!("c{client}-{story}");
    let request_id = request_id(client, story, 0);
    let key = SoftwareKey::generate(KeyKind::P256).unwrap();
    let csr = Bytes::from(make_csr(&key, &device_id).unwrap());
    if client.is_multiple_of(2) {
        let request = DeviceRequest { request_id, device_id, csr, lot: LOT.to_owned(), ..DeviceRequest::default() };
        let request = IssueDeviceRequest { request: Some(request) };
        return Deed::new(Desk::Provisioner, "/countersign.issuance.v1.IssuanceService/IssueDevice", &request)
            .keeping(|answer| IssueDeviceResponse::decode(answer.clone()).unwrap().certificate.unwrap().certificate);
    }
    Deed::provision(request_id, device_id, csr)
}
