//! One line over a signer that a test holds in its hand: units, keys in escrow, lots that run out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod again;
mod keys_in_escrow;
mod lots_that_end;
mod outbox;
mod sent_again;
mod signer;
mod units;

use std::{path::PathBuf, sync::Arc, time::Duration};

use api::{
    Refusal, RequestId,
    issuance::v1::{Occasion, issuance_service_client::IssuanceServiceClient},
    lot::v1::lot_service_client::LotServiceClient,
    provisioning::v1::Unit,
};
use bytes::Bytes;
use issuance::{KeyKind, SigningKey as _, SoftwareKey, make_csr};
use mfg::{DeviceId, LotId};
use pki::{Sha256, UnixTime};
use records::{Act, Caller, CommitQueue};
use service::{ManualClock, Workers, client::PeerChannel, secret::SecretDirectory};
use store::{FaultPlan, MemoryStore, StoreIdentity};

use crate::{
    desk::{Desk, KeySource, UnitOrder},
    escrow::Escrow,
    lots::KnownLots,
    signer::Signer,
};
use signer::FakeSigner;

struct Line {
    signer: FakeSigner,
    store: Arc<MemoryStore>,
    faults: FaultPlan,
    folder: tempfile::TempDir,
    desk: Arc<Desk>,
}

impl Line {
    /// A line whose signer has these lots, with so many units each.
    fn new(lots: &[(&str, u32)]) -> Self {
        let faults = FaultPlan::default();
        let identity = StoreIdentity::new("provisioner", "technician-z", [1; 16]).unwrap();
        let store = Arc::new(MemoryStore::new(&identity, faults.clone()));
        let folder = tempfile::tempdir().unwrap();
        let signer = FakeSigner::start(lots);
        let desk = desk(&store, &folder, &signer, Vec::new());
        Self { signer, store, faults, folder, desk }
    }

    /// Its units come from these lots, in this order.
    fn queued(mut self, lots: &[&str]) -> Self {
        let queue = lots.iter().map(|id| LotId::parse(id).unwrap()).collect();
        self.desk = desk(&self.store, &self.folder, &self.signer, queue);
        self
    }

    /// The process ends and comes back, with what the store and the escrow kept.
    fn start_again(&mut self) {
        self.faults.clear();
        self.store.power_cut();
        self.desk = desk(&self.store, &self.folder, &self.signer, Vec::new());
    }

    fn act(&self, request: u8) -> Act {
        self.act_as(RequestId::from_octets([request; 16]))
    }

    fn act_as(&self, request: RequestId) -> Act {
        let by = "spiffe://technician-z.example/technician-z/station/line-1".to_owned();
        let caller = Caller { manufacturer: "technician-z".to_owned(), by };
        self.desk.act(caller, request)
    }

    fn order(&self, request: u8, device: &str, lot: Option<&str>, key: KeySource) -> UnitOrder {
        let lot = lot.map(str::to_owned);
        UnitOrder { act: self.act(request), device_id: device_id(device), lot, key, occasion: Occasion::First }
    }

    /// A unit whose key the device made, from whichever lot is next.
    async fn provision(&self, request: u8, device: &str, key: &SoftwareKey) -> Result<Unit, Refusal> {
        self.desk.provision(self.order(request, device, None, with_csr(key))).await
    }

    /// A unit whose key the provisioner makes.
    async fn make(&self, request: u8, device: &str) -> Result<Unit, Refusal> {
        self.desk.provision(self.order(request, device, None, KeySource::Server(KeyKind::P256))).await
    }

    async fn confirm(&self, request: u8, device: &str, certificate: &[u8]) -> Result<Unit, Refusal> {
        self.desk.confirm(self.act(request), &device_id(device), Sha256::of(certificate)).await
    }

    /// The wrapped keys on disk.
    fn kept_keys(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.folder.path().join("escrow")).unwrap();
        files.map(|file| file.unwrap().path()).collect()
    }
}

fn desk(store: &Arc<MemoryStore>, folder: &tempfile::TempDir, signer: &FakeSigner, queue: Vec<LotId>) -> Arc<Desk> {
    let store = Arc::clone(store) as Arc<dyn store::Store>;
    let (commits, _) = CommitQueue::start(Arc::clone(&store)).unwrap();
    let escrow = SecretDirectory::create(&folder.path().join("escrow")).unwrap();
    let channel = PeerChannel::from(signer.channel());
    Arc::new(Desk {
        lots: KnownLots::new(LotServiceClient::new(channel.clone()), Arc::clone(&store), commits.clone(), queue),
        signer: Signer::start(IssuanceServiceClient::new(channel.clone()), Duration::from_secs(30)),
        calls: IssuanceServiceClient::new(channel),
        store,
        commits,
        clock: Arc::new(ManualClock::new(UnixTime::parse("2026-06-01T00:00:00Z").unwrap())),
        workers: Workers::Inline,
        escrow: Arc::new(Escrow::new(escrow, &[7; 32]).unwrap()),
        outbox: tokio::sync::watch::Sender::default(),
    })
}

fn device_id(text: &str) -> DeviceId {
    DeviceId::parse(text).unwrap()
}

fn key() -> SoftwareKey {
    SoftwareKey::generate(KeyKind::P256).unwrap()
}

fn with_csr(key: &SoftwareKey) -> KeySource {
    KeySource::Device(Bytes::from(make_csr(key, "device").unwrap()))
}

/// Whether a private key belongs to the key that the fake signer certified.
fn fits(private_key: &[u8], certificate: &[u8]) -> bool {
    let key = SoftwareKey::from_pkcs8(private_key).unwrap();
    certificate.ends_with(key.public_key().sha256().as_bytes())
}

/// The name of a refusal.
fn reason<T>(outcome: Result<T, Refusal>) -> &'static str {
    outcome.map(|_| ()).unwrap_err().reason()
}
