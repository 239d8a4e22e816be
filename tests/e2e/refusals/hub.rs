//! The hub's register of CAs and devices.

use api::{
    hub::v1::{
        ChainRules, CreateDeviceRequest, CreateDevicesRequest, CreateDevicesResponse, DeleteCaCertificateRequest,
        DeleteDeviceRequest, DeviceStatus, DisableCaKeyRequest, EnableCaKeyRequest, FirstConnect,
        GenerateVerificationCodeRequest, InvokeMethodRequest, LineEvent, NewDevice, RegisterCaCertificateRequest,
        RegisterDevicesRequest, RegisterDevicesResponse, Registration, SendCloudToDeviceMessageRequest,
        SetDeviceStatusRequest, UpdateCaCertificateRequest, UpdateDesiredPropertiesRequest, VerifyCaCertificateRequest,
        created_device,
    },
    reason::v1::Reason,
};
use bytes::Bytes;

use super::{
    scene::Scene,
    table::{Caller, Row},
};
use crate::world::{At, Who, fresh_id};

const REGISTER: &str = "hub.v1.CaCertificateService/RegisterCaCertificate";
const CODE: &str = "hub.v1.CaCertificateService/GenerateVerificationCode";
const VERIFY: &str = "hub.v1.CaCertificateService/VerifyCaCertificate";
const UPDATE: &str = "hub.v1.CaCertificateService/UpdateCaCertificate";
const DELETE_CA: &str = "hub.v1.CaCertificateService/DeleteCaCertificate";
const DISABLE: &str = "hub.v1.CaCertificateService/DisableCaKey";
const ENABLE: &str = "hub.v1.CaCertificateService/EnableCaKey";
const CREATE: &str = "hub.v1.DeviceService/CreateDevice";
const CREATE_MANY: &str = "hub.v1.DeviceService/CreateDevices";
const STATUS: &str = "hub.v1.DeviceService/SetDeviceStatus";
const DELETE: &str = "hub.v1.DeviceService/DeleteDevice";
const TWIN: &str = "hub.v1.DeviceService/UpdateDesiredProperties";
const SEND: &str = "hub.v1.DeviceService/SendCloudToDeviceMessage";
const INVOKE: &str = "hub.v1.DeviceService/InvokeMethod";
const FEED: &str = "hub.v1.RegistrationService/RegisterDevices";

pub(super) fn rows(scene: &Scene) -> Vec<Row> {
    [cas(scene), keys(scene), devices(scene), talk(scene), feed(scene)].concat()
}

fn cas(scene: &Scene) -> Vec<Row> {
    let alice = Caller::of(scene.chain, Who::Alice, At::Hub);
    let ca = &scene.ca;
    let register = |name: &str, certificate: Bytes| RegisterCaCertificateRequest {
        request_id: fresh_id(),
        name: name.to_owned(),
        certificate,
        rules: ChainRules::Countersign.into(),
        first_connect: FirstConnect::Refuse.into(),
        verified: false,
    };
    let again = register("another", ca.certificate.clone());
    let on_upload =
        RegisterCaCertificateRequest { verified: true, ..register("lot", scene.answer_file.chain[1].clone()) };
    let leaf = register("leaf", scene.in_doubt.clone());
    let code = |name: &str, etag: &str| GenerateVerificationCodeRequest {
        request_id: fresh_id(),
        name: name.to_owned(),
        etag: etag.to_owned(),
    };
    let verify = |name: &str, etag: &str| VerifyCaCertificateRequest {
        request_id: fresh_id(),
        name: name.to_owned(),
        etag: etag.to_owned(),
        certificate: scene.in_doubt.clone(),
    };
    let update = |name: &str, etag: &str| UpdateCaCertificateRequest {
        request_id: fresh_id(),
        name: name.to_owned(),
        etag: etag.to_owned(),
        rules: ChainRules::Plain.into(),
        first_connect: FirstConnect::Refuse.into(),
    };
    let delete = |name: &str, etag: &str| DeleteCaCertificateRequest {
        request_id: fresh_id(),
        name: name.to_owned(),
        etag: etag.to_owned(),
    };
    vec![
        alice.row(REGISTER, "twice, under another name", again.clone(), Reason::CaExists),
        alice.row(
            REGISTER,
            "under an id that is used",
            RegisterCaCertificateRequest { request_id: scene.ids.hub.clone(), ..again },
            Reason::RequestIdReused,
        ),
        alice.row(REGISTER, "as verified, against the policy", on_upload, Reason::VerifiedOnUploadRefused),
        alice.row(REGISTER, "of a device's certificate", leaf, Reason::CaCertificateUnfit),
        alice.row(CODE, "for an unknown CA", code("nothing", "x"), Reason::CaUnknown),
        alice.row(CODE, "of what was changed since", code("unproven", "x"), Reason::EtagStale),
        alice.row(VERIFY, "of an unknown CA", verify("nothing", "x"), Reason::CaUnknown),
        alice.row(VERIFY, "of what was changed since", verify("unproven", "x"), Reason::EtagStale),
        alice.row(VERIFY, "before there is a code", verify("unproven", &ca.etag), Reason::VerificationCodeMissing),
        alice.row(UPDATE, "of an unknown CA", update("nothing", "x"), Reason::CaUnknown),
        alice.row(UPDATE, "of what was changed since", update("unproven", "x"), Reason::EtagStale),
        alice.row(DELETE_CA, "of an unknown CA", delete("nothing", "x"), Reason::CaUnknown),
        alice.row(DELETE_CA, "of what was changed since", delete("unproven", "x"), Reason::EtagStale),
    ]
}

fn keys(scene: &Scene) -> Vec<Row> {
    let alice = Caller::of(scene.chain, Who::Alice, At::Hub);
    let key = Bytes::from_static(&[7; 32]);
    let disable = |request_id: String, key_sha256: Bytes| DisableCaKeyRequest {
        request_id,
        key_sha256,
        why: "stolen".to_owned(),
    };
    let enable = EnableCaKeyRequest { request_id: fresh_id(), key_sha256: key.clone() };
    vec![
        alice.row(DISABLE, "of a truncated digest", disable(fresh_id(), key.slice(..31)), Reason::RequestMalformed),
        alice.row(DISABLE, "under an id that is used", disable(scene.ids.hub.clone(), key), Reason::RequestIdReused),
        alice.row(ENABLE, "of what is not disabled", enable, Reason::CaKeyNotDisabled),
    ]
}

fn devices(scene: &Scene) -> Vec<Row> {
    let alice = Caller::of(scene.chain, Who::Alice, At::Hub);
    let device = |id: &str| NewDevice { device_id: id.to_owned(), ..NewDevice::default() };
    let disabled = |id: &str| NewDevice { status: DeviceStatus::Disabled.into(), ..device(id) };
    let create = |request_id: String, device| CreateDeviceRequest { request_id, device: Some(device) };
    let many = CreateDevicesRequest { request_id: fresh_id(), devices: vec![disabled("hub-1")] };
    let refusal: fn(CreateDevicesResponse) -> _ = |answer| {
        answer.results.into_iter().find_map(|created| match created.result.unwrap() {
            created_device::Result::Refusal(refusal) => Some(refusal),
            created_device::Result::Device(_) => None,
        })
    };
    let status = |id: &str, etag: Option<&str>| SetDeviceStatusRequest {
        request_id: fresh_id(),
        device_id: id.to_owned(),
        status: DeviceStatus::Disabled.into(),
        status_reason: "lost".to_owned(),
        etag: etag.map(str::to_owned),
    };
    let delete = |id: &str, etag: Option<&str>| DeleteDeviceRequest {
        request_id: fresh_id(),
        device_id: id.to_owned(),
        etag: etag.map(str::to_owned),
    };
    vec![
        alice.row(CREATE, "twice, with another status", create(fresh_id(), disabled("hub-1")), Reason::HubDeviceExists),
        alice.row(
            CREATE,
            "under an id that is used",
            create(scene.ids.hub.clone(), device("hub-2")),
            Reason::RequestIdReused,
        ),
        // The answer to a batch is kept, refused items included.
        alice
            .item(CREATE_MANY, "twice, with another status", many, refusal, Reason::HubDeviceExists)
            .recorded_at(At::Hub),
        alice.row(STATUS, "of nothing", status("nothing", None), Reason::DeviceUnknown),
        alice.row(STATUS, "of what was changed since", status("hub-1", Some("x")), Reason::EtagStale),
        alice.row(DELETE, "of nothing", delete("nothing", None), Reason::DeviceUnknown),
        alice.row(DELETE, "of what was changed since", delete("hub-1", Some("x")), Reason::EtagStale),
    ]
}

fn talk(scene: &Scene) -> Vec<Row> {
    let alice = Caller::of(scene.chain, Who::Alice, At::Hub);
    let patch = |id: &str, patch: &str, version: Option<u64>| UpdateDesiredPropertiesRequest {
        device_id: id.to_owned(),
        patch: patch.to_owned(),
        desired_version: version,
    };
    let send = |id: &str| SendCloudToDeviceMessageRequest {
        request_id: fresh_id(),
        device_id: id.to_owned(),
        body: Bytes::from_static(b"hello"),
        ..SendCloudToDeviceMessageRequest::default()
    };
    let reused = SendCloudToDeviceMessageRequest { request_id: scene.ids.hub.clone(), ..send("hub-1") };
    let invoke = |id: &str| InvokeMethodRequest {
        device_id: id.to_owned(),
        method: "reboot".to_owned(),
        payload: "null".to_owned(),
        timeout_seconds: 5,
    };
    vec![
        alice.row(TWIN, "of nothing", patch("nothing", "{}", None), Reason::DeviceUnknown),
        alice.row(TWIN, "that is truncated", patch("hub-1", "{\"a\":", None), Reason::TwinPatchInvalid),
        alice.row(TWIN, "of what was changed since", patch("hub-1", "{\"a\":1}", Some(7)), Reason::EtagStale),
        alice.row(SEND, "to nothing", send("nothing"), Reason::DeviceUnknown),
        alice.row(SEND, "under an id that is used", reused, Reason::RequestIdReused),
        alice.row(INVOKE, "at nothing", invoke("nothing"), Reason::DeviceUnknown),
        alice.row(INVOKE, "at a device that is away", invoke("hub-1"), Reason::DeviceNotConnected),
    ]
}

/// What a line tells of its units.
fn feed(scene: &Scene) -> Vec<Row> {
    let line = Caller::of(scene.chain, Who::Provisioner, At::Hub);
    let tell = |event: LineEvent, chain: Vec<Bytes>| RegisterDevicesRequest {
        feed: fresh_id(),
        registrations: vec![Registration {
            sequence: 1,
            device_id: "hub-2".to_owned(),
            event: event.into(),
            chain,
            certificate_sha256: Bytes::from_static(&[7; 32]),
        }],
    };
    let refusal: fn(RegisterDevicesResponse) -> _ = |answer| answer.results.into_iter().find_map(|r| r.refusal);
    // How far a feed has come is kept, refused events included.
    let stranger = tell(LineEvent::Written, vec![scene.ca.certificate.clone()]);
    vec![
        line.item(FEED, "of a device with a CA's certificate", stranger, refusal, Reason::UnknownIssuer)
            .recorded_at(At::Hub),
    ]
}
