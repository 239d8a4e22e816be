//! A lot key that names one device too many: the device is refused, and the hub's operators are woken, told who came in, and can see why.

use std::process::Command;

use api::hub::v1::{CreateDeviceRequest, NewDevice, device_service_client::DeviceServiceClient};
use bytes::Bytes;
use issuance::SoftwareKey;
use pki::{Certificate, pem};
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use serde_json::{Value, json};
use simulator::{
    BRAND,
    device::{self, Afterwards, DeviceError, DeviceIdentity, DevicePlan, DeviceProtocol},
};

use crate::{
    custody::Custody,
    devices::{Device, Signer},
    operated::{log, metrics, value},
    world::{At, BINARY, Chain, TECHNICIAN, Who, fresh_id},
};

const LOT: &str = "t-thin";
/// The extension that tells a certificate's generation.
const GENERATION: &[u64] = &[1, 3, 6, 1, 4, 1, 32473, 1, 2];

/// A device with its chain and its key, PEM.
struct Carried {
    id: String,
    chain: String,
    key: String,
}

impl Carried {
    fn new(id: &str, chain: &[Bytes], key: &[u8]) -> Self {
        let chain = chain.iter().map(|der| pem::encode("CERTIFICATE", der)).collect();
        Self { id: id.to_owned(), chain, key: pem::encode("PRIVATE KEY", key) }
    }

    async fn connect(&self, chain: &Chain) -> Result<(), DeviceError> {
        let hub_ca = std::fs::read_to_string(chain.world.hub_ca_path()).unwrap();
        let door = &chain.world.service(BRAND, "hub").unwrap().further["mqtt"];
        let plan = DevicePlan {
            host: "localhost".to_owned(),
            port: door.rsplit(':').next().unwrap().parse().unwrap(),
            anchors: pem::certificates(&hub_ca).unwrap().iter().map(|ca| ca.der().to_vec()).collect(),
            identity: DeviceIdentity::from_pem(&self.chain, &self.key).unwrap(),
            device_id: self.id.clone(),
            protocol: DeviceProtocol::Mqtt,
            count: 1,
            afterwards: Afterwards::Leave,
        };
        device::run(&plan, &mut |_| {}).await
    }
}

/// `countersign hub` as the brand's alice.
fn hub(chain: &Chain, line: &str) -> Value {
    let profile = chain.world.brand.folder().join("as-alice.toml");
    let mut command = Command::new(BINARY);
    command.arg("hub").args(line.split(' ')).args(["-o", "json", "--as"]).arg(profile);
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{line}: {}", String::from_utf8_lossy(&ended.stderr));
    serde_json::from_slice(&ended.stdout).unwrap()
}

/// The key of a lot, as a thief finds it.
fn stolen_key(chain: &Chain, ca: &Certificate) -> KeyPair {
    let folder = chain.organisation(TECHNICIAN).folder().path().join("lot-keys");
    let keys = std::fs::read_dir(folder).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    let is_it = |der: &Vec<u8>| {
        issuance::SigningKey::public_key(&SoftwareKey::from_pkcs8(der).unwrap()).sha256() == ca.public_key().sha256()
    };
    KeyPair::try_from(keys.into_iter().find(is_it).unwrap()).unwrap()
}

/// A device that the signer never heard of, right in every detail.
fn forged(chain: &Chain, id: &str, cas: &[Bytes]) -> Carried {
    let ca = Certificate::parse(&cas[0]).unwrap();
    let mut signer = CertificateParams::default();
    signer.distinguished_name = DistinguishedName::new();
    signer.distinguished_name.push(DnType::OrganizationName, ca.subject().organization().unwrap());
    signer.distinguished_name.push(DnType::CommonName, ca.subject().common_names()[0].clone());
    signer.key_identifier_method = KeyIdMethod::PreSpecified(ca.subject_key_id().unwrap().to_vec());
    let issuer = Issuer::new(signer, stolen_key(chain, &ca));
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, id);
    let name = format!("{id}.{LOT}.{TECHNICIAN}.{LOT}-f.factory-y.smart-widget.company-x.example");
    params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.custom_extensions = vec![CustomExtension::from_oid_content(GENERATION, vec![2, 1, 1])];
    params.use_authority_key_identifier_extension = true;
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2028, 1, 1);
    let key = KeyPair::generate().unwrap();
    let leaf = Bytes::copy_from_slice(params.signed_by(&key, &issuer).unwrap().der());
    Carried::new(id, &[&[leaf], cas].concat(), key.serialized_der())
}

#[tokio::test]
async fn one_device_too_many_wakes_somebody_and_is_told_with_everybody_who_came_in() {
    let chain = Chain::with_devices().await;
    let custody = Custody::ordered_in(chain, "po-thin", 2).await;
    custody.hand_to_factory(&format!("{LOT}-f"), 2).await;
    custody.hand_to_technician(&format!("{LOT}-f"), LOT, 2).await;
    chain.world.write_profiles().unwrap();
    hub(chain, "ca prove root");
    let mut devices = DeviceServiceClient::new(chain.channel(Who::Alice, At::Hub));
    for device_id in ["thin-1", "thin-2", "thin-3"] {
        let device = NewDevice { device_id: device_id.to_owned(), ..NewDevice::default() };
        let request = CreateDeviceRequest { request_id: fresh_id(), device: Some(device) };
        devices.create_device(request).await.unwrap();
    }
    let mut cas = Vec::new();
    let mut honest = Vec::new();
    for id in ["thin-1", "thin-2"] {
        let device = Device::new(id);
        let issued = Signer::of(chain).issue(&device.at_signer(LOT)).await;
        cas = issued.issuer_chain.to_vec();
        let presented = [&[issued.certificate], cas.as_slice()].concat();
        honest.push(Carried::new(id, &presented, &device.key.to_pkcs8().unwrap()));
    }
    for device in &honest {
        device.connect(chain).await.unwrap();
    }
    assert!(!log(chain, At::Hub).contains("LOT_OVERDRAWN"));
    let refused = forged(chain, "thin-3", &cas);
    let answer = refused.connect(chain).await;
    assert!(matches!(&answer, Err(DeviceError::Refused(told)) if told.contains("CONNACK 5")), "{answer:?}");
    let why = hub(chain, "why thin-3");
    assert_eq!(why[0]["reason"], "LOT_OVERDRAWN", "{why}");

    // Who is to be woken: by the log, or by the metric.
    let log = log(chain, At::Hub);
    let alarms: Vec<&str> = log.lines().filter(|line| line.contains(" ERROR ")).collect();
    let [alarm] = alarms.as_slice() else { panic!("one alarm: {alarms:?}") };
    let words =
        ["LOT_OVERDRAWN", "a lot key names devices that it must not", "device thin-3 is one too many under lot t-thin"];
    assert!(words.iter().all(|words| alarm.contains(words)), "{alarm}");
    let counted = value(&metrics(chain, At::Hub).await, "countersign_hub_refused_total{reason=\"LOT_OVERDRAWN\"}");
    assert_eq!(counted, Some(1.0));

    // What they see besides: who came in.
    let presented = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(presented.path(), &refused.chain).unwrap();
    let admitted = hub(chain, &format!("ca admitted --of {}", presented.path().display()));
    assert_eq!(admitted["devices"], json!(["thin-1", "thin-2"]), "{admitted}");
    // The honest ones go on, and so does the rest of the hub.
    honest[0].connect(chain).await.unwrap();
}
