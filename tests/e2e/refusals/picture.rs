//! Everything that anybody can read of the whole chain, and where its journals end.

use std::{collections::BTreeMap, fs, time::Duration};

use api::{
    handoff::v1::{ListHandoffsRequest, handoff_service_client::HandoffServiceClient},
    hub::v1::{
        self as hub, ca_certificate_service_client::CaCertificateServiceClient,
        device_service_client::DeviceServiceClient,
    },
    issuance::v1::{self as issuance, issuance_service_client::IssuanceServiceClient},
    lot::v1::{ListLotsRequest, lot_service_client::LotServiceClient},
    manufacturer::v1::{ListManufacturersRequest, manufacturer_service_client::ManufacturerServiceClient},
    order::v1::{ListOrdersRequest, order_service_client::OrderServiceClient},
    program::v1::{GetBundleRequest, ListProgramsRequest, program_service_client::ProgramServiceClient},
    provisioning::v1::{self as line, provisioning_service_client::ProvisioningServiceClient},
};
use pki::Sha256;
use prost::Message;
use tonic::{Code, Response, Status, transport::Channel};

use super::scene::{DEVICES, Scene, UNITS};
use crate::{
    operated::{metrics, value},
    world::{At, Chain, TECHNICIAN, Who},
};

/// Most entries of a page; all of a scene fits one.
const PAGE: i32 = 1000;
/// Where a service's journal ends.
const JOURNAL: &str = "countersign_store_journal_octets_total";
/// What a line has not told yet.
const LAG: &str = "countersign_outbox_lag_octets{destination=\"signer\"}";

/// What was read, by what was asked.
#[derive(PartialEq)]
pub(super) struct Picture(BTreeMap<String, String>);

/// Whoever may read, at each service, connected once.
pub(super) struct Readers {
    brand: Channel,
    factory: Channel,
    technician: Channel,
    station: Channel,
    hub: Channel,
}

impl Readers {
    pub(super) fn of(chain: &Chain) -> Self {
        Self {
            brand: chain.channel(Who::Alice, At::RootCa),
            factory: chain.channel(Who::FactoryOperator, At::FactoryCa),
            technician: chain.channel(Who::TechnicianOperator, At::TechnicianCa),
            station: chain.channel(Who::Station, At::Provisioner),
            hub: chain.channel(Who::Alice, At::Hub),
        }
    }
}

impl Picture {
    pub(super) async fn of(scene: &Scene) -> Self {
        let mut read = BTreeMap::new();
        brand(&scene.readers, &mut read).await;
        custody(&scene.readers, &mut read).await;
        devices(&scene.readers, &mut read).await;
        hub(&scene.readers, &mut read).await;
        for at in At::ALL {
            let end = value(&metrics(scene.chain, at).await, JOURNAL).unwrap();
            read.insert(journal_of(at), end.to_string());
        }
        for folder in ["lot-keys", "escrow"] {
            let folder = scene.chain.organisation(TECHNICIAN).folder().join(folder);
            let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            files.sort();
            read.insert(folder.display().to_string(), format!("{files:?}"));
        }
        Self(read)
    }

    /// As it is when nothing of what was done before is still on its way.
    pub(super) async fn settled(scene: &Scene) -> Self {
        let quiet = async {
            let mut before = Self::of(scene).await;
            loop {
                let lag = value(&metrics(scene.chain, At::Provisioner).await, LAG);
                let now = Self::of(scene).await;
                if lag == Some(0.0) && before == now {
                    return now;
                }
                before = now;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), quiet).await.expect("the chain comes to rest")
    }

    /// What differs afterwards, the journal of a service that may have recorded something aside.
    pub(super) fn changes(&self, after: &Self, recorded_at: Option<At>) -> Vec<String> {
        let may_differ = recorded_at.map(journal_of);
        let differs = |(asked, read): &(&String, &String)| {
            after.0.get(*asked) != Some(*read) && may_differ.as_ref() != Some(*asked)
        };
        self.0.iter().filter(differs).map(|(asked, _)| asked.clone()).collect()
    }
}

fn journal_of(at: At) -> String {
    format!("the journal at {at:?}")
}

/// The digest of an answer; that there is no such thing is an answer as well.
fn told<T: Message>(answer: Result<Response<T>, Status>) -> String {
    match answer {
        Ok(answer) => Sha256::of(&answer.into_inner().encode_to_vec()).to_string(),
        Err(status) => {
            assert_eq!(status.code(), Code::NotFound, "{status:?}");
            "none".to_owned()
        }
    }
}

async fn brand(readers: &Readers, read: &mut BTreeMap<String, String>) {
    let mut programs = ProgramServiceClient::new(readers.brand.clone());
    let page = ListProgramsRequest { page_size: PAGE, page_token: String::new() };
    read.insert("programs".to_owned(), told(programs.list_programs(page).await));
    read.insert("bundle".to_owned(), told(programs.get_bundle(GetBundleRequest {}).await));
    let mut manufacturers = ManufacturerServiceClient::new(readers.brand.clone());
    let page = ListManufacturersRequest { page_size: PAGE, page_token: String::new() };
    read.insert("manufacturers".to_owned(), told(manufacturers.list_manufacturers(page).await));
    let mut orders = OrderServiceClient::new(readers.brand.clone());
    let page = ListOrdersRequest { page_size: PAGE, page_token: String::new() };
    read.insert("orders".to_owned(), told(orders.list_orders(page).await));
}

async fn custody(readers: &Readers, read: &mut BTreeMap<String, String>) {
    for (at, channel) in [(At::RootCa, &readers.brand), (At::FactoryCa, &readers.factory)] {
        let mut handoffs = HandoffServiceClient::new(channel.clone());
        let page = ListHandoffsRequest { page_size: PAGE, page_token: String::new() };
        read.insert(format!("handoffs at {at:?}"), told(handoffs.list_handoffs(page).await));
    }
    for (at, channel) in [(At::FactoryCa, &readers.factory), (At::TechnicianCa, &readers.technician)] {
        let mut lots = LotServiceClient::new(channel.clone());
        let page = ListLotsRequest { page_size: PAGE, page_token: String::new() };
        read.insert(format!("lots at {at:?}"), told(lots.list_lots(page).await));
    }
}

async fn devices(readers: &Readers, read: &mut BTreeMap<String, String>) {
    let mut signer = IssuanceServiceClient::new(readers.technician.clone());
    for id in DEVICES.iter().chain(&UNITS) {
        let request = issuance::GetDeviceRequest { device_id: (*id).to_owned() };
        read.insert(format!("device {id}"), told(signer.get_device(request).await));
    }
    let mut station = ProvisioningServiceClient::new(readers.station.clone());
    for id in UNITS {
        let request = line::GetUnitRequest { device_id: id.to_owned() };
        read.insert(format!("unit {id}"), told(station.get_unit(request).await));
    }
    let page = line::ListInDoubtRequest { page_size: PAGE, page_token: String::new(), lot: String::new() };
    read.insert("in doubt at the line".to_owned(), told(station.list_in_doubt(page).await));
    let page = issuance::ListInDoubtRequest { page_size: PAGE, ..issuance::ListInDoubtRequest::default() };
    read.insert("in doubt at the signer".to_owned(), told(signer.list_in_doubt(page).await));
}

async fn hub(readers: &Readers, read: &mut BTreeMap<String, String>) {
    let mut cas = CaCertificateServiceClient::new(readers.hub.clone());
    let page = hub::ListCaCertificatesRequest { page_size: PAGE, page_token: String::new() };
    read.insert("CAs at the hub".to_owned(), told(cas.list_ca_certificates(page).await));
    let page = hub::ListDisabledCaKeysRequest { page_size: PAGE, page_token: String::new() };
    read.insert("disabled CA keys".to_owned(), told(cas.list_disabled_ca_keys(page).await));
    let mut devices = DeviceServiceClient::new(readers.hub.clone());
    let page = hub::ListDevicesRequest { page_size: PAGE, page_token: String::new() };
    read.insert("devices at the hub".to_owned(), told(devices.list_devices(page).await));
    let request = hub::GetTwinRequest { device_id: "hub-1".to_owned() };
    read.insert("twin".to_owned(), told(devices.get_twin(request).await));
    let request = hub::GetDeviceRequest { device_id: "hub-1".to_owned() };
    read.insert("messages".to_owned(), told(devices.get_device(request).await));
}
