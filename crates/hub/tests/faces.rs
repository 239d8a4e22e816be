//! The hub through its faces: gRPC for operators and lines, HTTPS for devices and for the REST face, over real TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use api::{
    Refusal, RequestId,
    hub::v1::{
        ca_certificate_service_client::CaCertificateServiceClient, device_service_client::DeviceServiceClient,
        hub_service_client::HubServiceClient, judgement_service_client::JudgementServiceClient,
        registration_service_client::RegistrationServiceClient, telemetry_service_client::TelemetryServiceClient, *,
    },
};
use serde_json::{Value, json};
use support::{AUDITOR, Ca, Held, LINE, OPERATOR, STATION, Site};
use tonic::{Code, Status};

fn fresh_id() -> String {
    let mut octets = [0; 16];
    aws_lc_rs::rand::fill(&mut octets).unwrap();
    RequestId::from_octets(octets).to_string()
}

fn reason(status: &Status) -> &'static str {
    Refusal::from_status(status).reason()
}

/// Another makers' chain: root, intermediate, devices.
struct Maker {
    root: Ca,
    middle: Ca,
}

impl Maker {
    fn new() -> Self {
        let root = Ca::root("Maker root");
        let middle = root.below("Maker intermediate");
        Self { root, middle }
    }

    fn device(&self, id: &str) -> Held {
        self.middle.issue(id, &[&self.middle])
    }
}

async fn https(site: &Site) -> String {
    let mut hub = HubServiceClient::new(site.channel(OPERATOR));
    hub.get_hub(GetHubRequest {}).await.unwrap().into_inner().https
}

fn registration(maker: &Maker) -> RegisterCaCertificateRequest {
    RegisterCaCertificateRequest {
        request_id: fresh_id(),
        name: "maker".to_owned(),
        certificate: maker.root.der.clone().into(),
        rules: ChainRules::Plain.into(),
        ..RegisterCaCertificateRequest::default()
    }
}

async fn create(site: &Site, id: &str) {
    let device = NewDevice { device_id: id.to_owned(), ..NewDevice::default() };
    let request = CreateDeviceRequest { request_id: fresh_id(), device: Some(device) };
    DeviceServiceClient::new(site.channel(OPERATOR)).create_device(request).await.unwrap();
}

fn telemetry(id: &str) -> String {
    format!("POST /devices/{id}/messages/events?api-version=2021-04-12\niothub-app-temperatureAlert: true")
}

#[tokio::test]
async fn a_ca_is_registered_proven_and_its_devices_send_and_a_stranger_learns_why_not() {
    let mut site = Site::with("refused").await;
    let maker = Maker::new();
    let mut cas = CaCertificateServiceClient::new(site.channel(OPERATOR));
    let verified = RegisterCaCertificateRequest { verified: true, ..registration(&maker) };
    let status = cas.register_ca_certificate(verified).await.unwrap_err();
    assert_eq!(reason(&status), "VERIFIED_ON_UPLOAD_REFUSED");
    let registered = cas.register_ca_certificate(registration(&maker)).await.unwrap().into_inner();
    let etag = registered.ca_certificate.unwrap().etag;
    let door = https(&site).await;
    create(&site, "Widget_1").await;
    let device = maker.device("Widget_1");
    let (status, body) = site.http(&door, &device, &telemetry("Widget_1"), "{\"temperature\":31}").await;
    assert_eq!((status, body.contains("CA_UNVERIFIED")), (401, true), "{body}");

    let request = GenerateVerificationCodeRequest { request_id: fresh_id(), name: "maker".to_owned(), etag };
    let coded = cas.generate_verification_code(request).await.unwrap().into_inner().ca_certificate.unwrap();
    let proof = maker.root.issue(&coded.verification_code.unwrap(), &[]);
    let request = VerifyCaCertificateRequest {
        request_id: fresh_id(),
        name: "maker".to_owned(),
        etag: coded.etag,
        certificate: proof.chain[0].clone().into(),
    };
    cas.verify_ca_certificate(request).await.unwrap();
    let (status, body) = site.http(&door, &device, &telemetry("Widget_1"), "{\"temperature\":31}").await;
    assert_eq!(status, 204, "{body}");
    let (status, _) = site.http(&door, &maker.device("Widget_2"), &telemetry("Widget_2"), "{}").await;
    assert_eq!(status, 401);

    site.restart().await;
    let property = Property { name: "temperatureAlert".to_owned(), value: "true".to_owned() };
    let filter = TelemetryFilter { properties: vec![property], ..TelemetryFilter::default() };
    let request = ListTelemetryRequest { filter: Some(filter), ..ListTelemetryRequest::default() };
    let mut kept = TelemetryServiceClient::new(site.channel(AUDITOR));
    let messages = kept.list_telemetry(request).await.unwrap().into_inner().messages;
    assert_eq!(messages.len(), 1);
    assert_eq!((messages[0].device_id.as_str(), &messages[0].body[..]), ("Widget_1", &b"{\"temperature\":31}"[..]));
    let mut judgements = JudgementServiceClient::new(site.channel(AUDITOR));
    let request = ListJudgementsRequest { device_id: "Widget_2".to_owned(), page_size: 0 };
    let told = judgements.list_judgements(request).await.unwrap().into_inner().judgements;
    let judgement = told[0].judgement.clone().unwrap();
    assert_eq!((judgement.reason.as_str(), judgement.chain.len()), ("DEVICE_NOT_REGISTERED", 2));
    assert!(told[0].remedy.contains("hub device add"));
    site.stop().await;
}

#[tokio::test]
async fn telemetry_is_followed_as_it_comes() {
    let mut site = Site::start().await;
    let maker = Maker::new();
    let request = RegisterCaCertificateRequest { verified: true, ..registration(&maker) };
    CaCertificateServiceClient::new(site.channel(OPERATOR)).register_ca_certificate(request).await.unwrap();
    create(&site, "d1").await;
    let door = https(&site).await;
    let mut kept = TelemetryServiceClient::new(site.channel(OPERATOR));
    let mut stream = kept.watch_telemetry(WatchTelemetryRequest::default()).await.unwrap().into_inner();
    let device = maker.device("d1");
    for n in 0..3 {
        let (status, _) = site.http(&door, &device, &telemetry("d1"), &n.to_string()).await;
        assert_eq!(status, 204);
        let messages = stream.message().await.unwrap().unwrap().messages;
        assert_eq!(messages.iter().map(|m| m.body.to_vec()).collect::<Vec<_>>(), [n.to_string().into_bytes()]);
    }
    drop(stream);
    site.stop().await;
}

#[tokio::test]
async fn a_page_token_of_another_list_or_of_nobodys_is_refused_by_every_list() {
    let mut site = Site::start().await;
    for id in ["d1", "d2"] {
        create(&site, id).await;
    }
    let mut devices = DeviceServiceClient::new(site.channel(OPERATOR));
    let page = ListDevicesRequest { page_size: 1, ..ListDevicesRequest::default() };
    let first = devices.list_devices(page).await.unwrap().into_inner();
    assert_eq!(first.devices[0].device_id, "d1");
    let second = ListDevicesRequest { page_size: 1, page_token: first.next_page_token.clone() };
    assert_eq!(devices.list_devices(second).await.unwrap().into_inner().devices[0].device_id, "d2");
    let mut cas = CaCertificateServiceClient::new(site.channel(OPERATOR));
    let mut kept = TelemetryServiceClient::new(site.channel(OPERATOR));
    let end = kept.list_telemetry(ListTelemetryRequest::default()).await.unwrap().into_inner().next_page_token;
    let again = ListTelemetryRequest { page_token: end.clone(), ..ListTelemetryRequest::default() };
    assert!(kept.list_telemetry(again).await.unwrap().into_inner().at_end);
    let others = [first.next_page_token.as_str(), end.as_str(), "telemetry:0:5", "telemetry:1:3", "\u{0}", "x:y", "::"];
    for token in others {
        let page_token = token.to_owned();
        let mut refused = Vec::new();
        if token != first.next_page_token {
            let request = ListDevicesRequest { page_token: page_token.clone(), ..ListDevicesRequest::default() };
            refused.push(devices.list_devices(request).await.map(drop));
        }
        let request =
            GetLotAdmissionsRequest { page_token: page_token.clone(), key_sha256: vec![7; 32].into(), page_size: 0 };
        refused.push(devices.get_lot_admissions(request).await.map(drop));
        let request =
            ListCaCertificatesRequest { page_token: page_token.clone(), ..ListCaCertificatesRequest::default() };
        refused.push(cas.list_ca_certificates(request).await.map(drop));
        let request =
            ListDisabledCaKeysRequest { page_token: page_token.clone(), ..ListDisabledCaKeysRequest::default() };
        refused.push(cas.list_disabled_ca_keys(request).await.map(drop));
        if token != end {
            let request = ListTelemetryRequest { page_token: page_token.clone(), ..ListTelemetryRequest::default() };
            refused.push(kept.list_telemetry(request).await.map(drop));
            let request = WatchTelemetryRequest { page_token, ..WatchTelemetryRequest::default() };
            refused.push(kept.watch_telemetry(request).await.map(drop));
        }
        for outcome in refused {
            assert_eq!(outcome.map_err(|status| reason(&status)), Err("PAGE_TOKEN_INVALID"), "{token:?}");
        }
    }
    site.stop().await;
}

#[tokio::test]
async fn who_may_not_is_refused_before_anything_is_read() {
    let mut site = Site::start().await;
    let maker = Maker::new();
    let mut auditor = CaCertificateServiceClient::new(site.channel(AUDITOR));
    let status = auditor.register_ca_certificate(registration(&maker)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::PermissionDenied, "RPC_NOT_ALLOWED"));
    let mut line = CaCertificateServiceClient::new(site.channel(LINE));
    let status = line.list_ca_certificates(ListCaCertificatesRequest::default()).await.unwrap_err();
    assert_eq!(reason(&status), "RPC_NOT_ALLOWED");
    let feed = RegisterDevicesRequest { feed: fresh_id(), registrations: Vec::new() };
    for (who, allowed) in [(LINE, true), (STATION, false), (OPERATOR, false)] {
        let outcome = RegistrationServiceClient::new(site.channel(who)).register_devices(feed.clone()).await;
        assert_eq!(outcome.is_ok(), allowed, "{who}");
    }
    site.stop().await;
}

#[tokio::test]
async fn a_feed_event_of_a_stranger_is_refused_on_its_own() {
    let mut site = Site::start().await;
    let maker = Maker::new();
    let request = RegisterCaCertificateRequest { verified: true, ..registration(&maker) };
    CaCertificateServiceClient::new(site.channel(OPERATOR)).register_ca_certificate(request).await.unwrap();
    let chain = maker.device("d1").chain.into_iter().map(Into::into).collect();
    let event = Registration {
        sequence: 1,
        device_id: "d1".to_owned(),
        event: LineEvent::Written.into(),
        chain,
        ..Registration::default()
    };
    let request = RegisterDevicesRequest { feed: fresh_id(), registrations: vec![event] };
    let answer = RegistrationServiceClient::new(site.channel(LINE)).register_devices(request).await.unwrap();
    let answer = answer.into_inner();
    let refusal = Refusal::from_wire(answer.results[0].refusal.clone().unwrap());
    assert_eq!((refusal.reason(), answer.reached), ("NOT_YOURS", 1));
    site.stop().await;
}

#[tokio::test]
async fn the_rest_face_speaks_the_shapes_that_people_know() {
    let mut site = Site::start().await;
    let maker = Maker::new();
    let door = https(&site).await;
    let operator = site.own.service(OPERATOR);
    let certificate = pki::pem::encode("CERTIFICATE", &maker.root.der);
    let path = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Devices/IotHubs/h/certificates/maker";
    let put = json!({ "properties": { "certificate": certificate, "rules": "plain" } }).to_string();
    let call = async |request: String, body: &str| {
        let (status, answer) = site.http(&door, &operator, &request, body).await;
        (status, serde_json::from_str::<Value>(&answer).unwrap_or_default())
    };
    let (status, ca) = call(format!("PUT {path}?api-version=2021-07-02"), &put).await;
    assert_eq!((status, &ca["properties"]["isVerified"]), (201, &Value::from(false)), "{ca}");
    assert_eq!(ca["properties"]["thumbprint"].as_str().unwrap().len(), 40);
    let etag = ca["etag"].as_str().unwrap().to_owned();
    let generate = format!("POST {path}/generateVerificationCode?api-version=2021-07-02");
    let (status, refused) = call(format!("{generate}\nif-match: other"), "").await;
    assert_eq!((status, &refused["code"]), (412, &Value::from("ETAG_STALE")));
    let (status, coded) = call(format!("{generate}\nif-match: {etag}"), "").await;
    let code = coded["properties"]["verificationCode"].as_str().unwrap();
    assert_eq!((status, code.len()), (200, 48));
    let proof = maker.root.issue(code, &[]);
    let proof = json!({ "certificate": pki::pem::encode("CERTIFICATE", &proof.chain[0]) }).to_string();
    let etag = coded["etag"].as_str().unwrap();
    let (status, verified) = call(format!("POST {path}/verify\nif-match: {etag}"), &proof).await;
    assert_eq!((status, &verified["properties"]["isVerified"]), (200, &Value::from(true)), "{verified}");
    let (_, list) = call("GET /certificates".to_owned(), "").await;
    assert_eq!(list["value"].as_array().unwrap().len(), 1);

    let new = json!({ "deviceId": "d1", "status": "enabled", "authentication": { "type": "certificateAuthority" } });
    let (status, device) = call("PUT /devices/d1?api-version=2021-04-12".to_owned(), &new.to_string()).await;
    assert_eq!((status, &device["connectionState"]), (200, &Value::from("Disconnected")), "{device}");
    let bulk = json!([{ "id": "d2", "importMode": "create" }, { "id": "d 3", "importMode": "create" }]).to_string();
    let (status, outcome) = call("POST /devices?api-version=2021-04-12".to_owned(), &bulk).await;
    assert_eq!((status, &outcome["errors"][0]["errorCode"]), (400, &Value::from("HUB_DEVICE_ID_INVALID")));
    let (status, _) = site.http(&door, &maker.device("d1"), &telemetry("d1"), "{}").await;
    assert_eq!(status, 204);
    let disable = json!({ "deviceId": "d1", "status": "disabled", "statusReason": "lost" }).to_string();
    let (status, disabled) = call("PUT /devices/d1\nif-match: *".to_owned(), &disable).await;
    assert_eq!((status, &disabled["status"]), (200, &Value::from("disabled")));
    let (status, _) = site.http(&door, &maker.device("d1"), &telemetry("d1"), "{}").await;
    assert_eq!(status, 401);
    let (_, devices) = call("GET /devices?top=10".to_owned(), "").await;
    assert_eq!(devices.as_array().unwrap().len(), 2);
    assert_eq!(call("DELETE /devices/d2".to_owned(), "").await.0, 204);
    assert_eq!(call("GET /devices/d2".to_owned(), "").await.0, 404);
    assert_eq!(call("GET /nothing".to_owned(), "").await.1["code"], "REST_PATH_UNKNOWN");
    site.stop().await;
}

#[tokio::test]
async fn the_rest_face_is_for_operators_and_auditors_of_the_hubs_own_organisation() {
    let mut site = Site::start().await;
    let door = https(&site).await;
    let maker = Maker::new();
    let auditor = site.own.service(AUDITOR);
    let strangers = [maker.device("d1"), site.factory.service(LINE), Ca::root("else").service(OPERATOR)];
    for stranger in &strangers {
        let (status, body) = site.http(&door, stranger, "GET /certificates", "").await;
        assert!(matches!(status, 401 | 403), "{status} {body}");
    }
    assert_eq!(site.http(&door, &auditor, "GET /certificates", "").await.0, 200);
    let new = json!({ "deviceId": "d1" }).to_string();
    assert_eq!(site.http(&door, &auditor, "PUT /devices/d1", &new).await.0, 403);
    site.stop().await;
}

#[tokio::test]
async fn twins_messages_and_methods_are_reached_by_operators() {
    let mut site = Site::start().await;
    create(&site, "d1").await;
    let mut devices = DeviceServiceClient::new(site.channel(OPERATOR));
    let request = UpdateDesiredPropertiesRequest {
        device_id: "d1".to_owned(),
        patch: "{\"interval\":5}".to_owned(),
        desired_version: Some(1),
    };
    let twin = devices.update_desired_properties(request.clone()).await.unwrap().into_inner().twin.unwrap();
    assert_eq!((twin.desired.as_str(), twin.desired_version), ("{\"interval\":5}", 2));
    let status = devices.update_desired_properties(request).await.unwrap_err();
    assert_eq!(reason(&status), "ETAG_STALE");
    let message = SendCloudToDeviceMessageRequest {
        request_id: fresh_id(),
        device_id: "d1".to_owned(),
        body: "hello".into(),
        ..SendCloudToDeviceMessageRequest::default()
    };
    for _ in 0..2 {
        let answer = devices.send_cloud_to_device_message(message.clone()).await.unwrap().into_inner();
        assert_eq!(answer.sequence, 1);
    }
    let call = InvokeMethodRequest {
        device_id: "d1".to_owned(),
        method: "reboot".to_owned(),
        payload: "{}".to_owned(),
        timeout_seconds: 1,
    };
    assert_eq!(reason(&devices.invoke_method(call.clone()).await.unwrap_err()), "DEVICE_NOT_CONNECTED");
    let bad = InvokeMethodRequest { method: "a/b".to_owned(), ..call };
    assert_eq!(reason(&devices.invoke_method(bad).await.unwrap_err()), "REQUEST_MALFORMED");
    site.restart().await;
    let mut devices = DeviceServiceClient::new(site.channel(OPERATOR));
    let shown = devices.get_device(GetDeviceRequest { device_id: "d1".to_owned() }).await.unwrap().into_inner();
    assert_eq!(shown.connection.unwrap().cloud_to_device_messages, 1);
    let request = GetTwinRequest { device_id: "d2".to_owned() };
    assert_eq!(reason(&devices.get_twin(request).await.unwrap_err()), "DEVICE_UNKNOWN");
    site.stop().await;
}
