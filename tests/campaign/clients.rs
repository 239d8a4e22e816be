//! Clients that want devices: half of them are provisioners at the signer, half are stations at the line.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use api::{
    RequestId,
    issuance::v1::{DeviceRequest, IssueDeviceRequest, issuance_service_client::IssuanceServiceClient},
    provisioning::v1::{
        ProvisionRequest, UnitRequest, provisioning_service_client::ProvisioningServiceClient, unit_request::Key,
    },
};
use bytes::Bytes;
use issuance::{KeyKind, SoftwareKey, make_csr};
use pki::Sha256;
use service::identity::Role;
use simulator::{Clients, World};
use tokio::{sync::watch, time::timeout};
use tonic::{Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::{
    book::Book,
    ground::{FACTORY, LOT},
};

pub(crate) const CLIENTS: usize = 16;
/// Devices that a client begins in one round at most; then it repeats earlier ones.
const FRESH: usize = 12;
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the world stands, as clients hear it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// So many starts so far: who was refused may try again.
    Up(u32),
    /// The round is over.
    Stop,
}

#[derive(Clone)]
enum Way {
    Signer(IssuanceServiceClient<Channel>),
    Line(ProvisioningServiceClient<Channel>),
}

/// One device that a client wants; repeated to the octet.
#[derive(Clone)]
struct Wanted {
    request_id: String,
    device_id: String,
    csr: Bytes,
}

pub(crate) struct Client {
    number: usize,
    wanted: Vec<Wanted>,
    /// Certificates by device, as this client remembers them.
    told: BTreeMap<String, Bytes>,
    pub(crate) book: Book,
    /// Answers that differ from what was told before.
    pub(crate) lost: usize,
    /// Requests that ended without a certificate.
    pub(crate) failures: usize,
    /// Whether the power is off: nobody hears anything then.
    dark: Arc<AtomicBool>,
}

impl Client {
    pub(crate) fn new(books: &Path, number: usize, dark: &Arc<AtomicBool>) -> Self {
        let (book, dark) = (Book::open(books, number), Arc::clone(dark));
        Self { number, wanted: Vec::new(), told: BTreeMap::new(), book, lost: 0, failures: 0, dark }
    }

    fn way(&self, world: &World) -> Way {
        let (_, own) = &world.manufacturers[0];
        let channel = |who: &str, kind: &str, role| {
            let address = &world.service(FACTORY, kind).unwrap().grpc;
            Clients::load(own, who, &[own]).unwrap().channel(address, own.id(), role).unwrap()
        };
        if self.number.is_multiple_of(2) {
            let channel = channel("provisioner", "intermediate-ca", Role::IntermediateCa);
            Way::Signer(IssuanceServiceClient::new(channel))
        } else {
            Way::Line(ProvisioningServiceClient::new(channel("station", "provisioner", Role::Provisioner)))
        }
    }

    fn want_another(&mut self) -> Wanted {
        let device_id = format!("c{}-{}", self.number, self.wanted.len());
        let mut octets = [0; 16];
        octets[..4].copy_from_slice(&u32::try_from(self.number).unwrap().to_be_bytes());
        octets[12..].copy_from_slice(&u32::try_from(self.wanted.len()).unwrap().to_be_bytes());
        let key = SoftwareKey::generate(KeyKind::P256).unwrap();
        let csr = Bytes::from(make_csr(&key, &device_id).unwrap());
        let wanted = Wanted { request_id: RequestId::from_octets(octets).to_string(), device_id, csr };
        self.wanted.push(wanted.clone());
        wanted
    }

    /// One round: what was not answered first, then new devices, then everything again, until told to stop.
    pub(crate) fn round(
        mut self,
        world: &World,
        mut signal: watch::Receiver<Signal>,
    ) -> impl Future<Output = Self> + use<> {
        let mut way = self.way(world);
        async move {
            let mut fresh = FRESH;
            let mut place = 0;
            loop {
                let Signal::Up(starts) = *signal.borrow_and_update() else { return self };
                let unanswered = self.wanted.iter().find(|wanted| !self.told.contains_key(&wanted.device_id)).cloned();
                let next = match unanswered {
                    Some(wanted) => wanted,
                    None if fresh > 0 => {
                        fresh -= 1;
                        self.want_another()
                    }
                    None => {
                        place += 1;
                        self.wanted[place % self.wanted.len()].clone()
                    }
                };
                if self.ask(&mut way, &next).await.is_err() {
                    // Nothing to do before the world changes.
                    let changed = signal.wait_for(|now| *now != Signal::Up(starts));
                    if timeout(PATIENCE, changed).await.is_err() {
                        return self;
                    }
                }
            }
        }
    }

    /// Asks once for a device that nobody wanted before; answers the reason if it is refused.
    pub(crate) async fn ask_for_another(&mut self, world: &World) -> Option<String> {
        let (mut way, wanted) = (self.way(world), self.want_another());
        let refused = self.ask(&mut way, &wanted).await.err()?;
        let reason = refused.get_details_error_info().map(|info| info.reason);
        Some(reason.unwrap_or_else(|| refused.to_string()))
    }

    /// Asks for everything once more; every device must be answered, and as before.
    pub(crate) async fn settle(&mut self, world: &World) {
        let mut way = self.way(world);
        for wanted in self.wanted.clone() {
            let mut outcome = self.ask(&mut way, &wanted).await;
            for _ in 0..20 {
                match &outcome {
                    Err(status) if status.code() == tonic::Code::Unavailable => {
                        outcome = self.ask(&mut way, &wanted).await;
                    }
                    Ok(()) | Err(_) => break,
                }
            }
            assert!(outcome.is_ok(), "{}: {outcome:?}", wanted.device_id);
        }
    }

    /// Asks whether everything that was acknowledged is still answered, and as before; answers how much is not.
    pub(crate) async fn count_lost(&mut self, world: &World) -> usize {
        let mut way = self.way(world);
        let acknowledged = self.wanted.iter().filter(|wanted| self.told.contains_key(&wanted.device_id));
        for wanted in acknowledged.cloned().collect::<Vec<_>>() {
            if self.ask(&mut way, &wanted).await.is_err() {
                self.lost += 1;
            }
        }
        self.lost
    }

    /// Asks for everything that was acknowledged and counts, in `lost`, the answers that differ; refusals are none.
    pub(crate) async fn count_different(&mut self, world: &World) {
        let mut way = self.way(world);
        for wanted in self.wanted.clone() {
            let _ = self.ask(&mut way, &wanted).await;
        }
    }

    async fn ask(&mut self, way: &mut Way, wanted: &Wanted) -> Result<(), Status> {
        let answer = timeout(PATIENCE, call(way, wanted)).await;
        match answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer"))) {
            Ok(_) if self.dark.load(Ordering::SeqCst) => Err(Status::unavailable("the power is off")),
            Ok(certificate) => {
                match self.told.get(&wanted.device_id) {
                    Some(before) if *before != certificate => self.lost += 1,
                    Some(_) => {}
                    None => {
                        self.book.note(&wanted.device_id, &certificate);
                        self.told.insert(wanted.device_id.clone(), certificate);
                    }
                }
                Ok(())
            }
            Err(status) => {
                self.failures += 1;
                Err(status)
            }
        }
    }

    /// What the book says is what this client remembers.
    pub(crate) fn read_book(&self) -> BTreeMap<String, (String, String)> {
        let book = self.book.read();
        let digests = self.told.iter().map(|(device, der)| (device.clone(), Sha256::of(der).to_string()));
        assert!(digests.eq(book.iter().map(|(device, (digest, _))| (device.clone(), digest.clone()))));
        book
    }
}

async fn call(way: &mut Way, wanted: &Wanted) -> Result<Bytes, Status> {
    let Wanted { request_id, device_id, csr } = wanted.clone();
    match way {
        Way::Signer(signer) => {
            let lot = LOT.to_owned();
            let request = DeviceRequest { request_id, device_id, csr, lot, ..DeviceRequest::default() };
            let answer = signer.issue_device(IssueDeviceRequest { request: Some(request) }).await?;
            Ok(answer.into_inner().certificate.unwrap().certificate)
        }
        Way::Line(line) => {
            let (lot, key) = (Some(LOT.to_owned()), Some(Key::Csr(csr)));
            let request = UnitRequest { request_id, device_id, lot, key, ..UnitRequest::default() };
            let request = ProvisionRequest { request: Some(request), ..ProvisionRequest::default() };
            Ok(line.provision(request).await?.into_inner().unit.unwrap().chain[0].clone())
        }
    }
}
