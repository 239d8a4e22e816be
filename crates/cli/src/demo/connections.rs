//! The end of the demo: devices connect to the hub with what was just issued, one lot's key is disabled, and its device learns why not.

use std::{fmt::Write as _, path::Path, time::Duration};

use api::hub::v1::{
    DisableCaKeyRequest, EnableCaKeyRequest, FirstConnect, GetDeviceRequest, ListDisabledCaKeysRequest,
    ListJudgementsRequest, ListTelemetryRequest, Property, TelemetryFilter, TelemetryMessage,
};
use bytes::Bytes;
use pki::{Sha256, pem};
use service::{Clock as _, SystemClock, identity::Role};
use simulator::{
    BRAND, Clients, DeviceEntry, Manifest, World,
    device::{self, Afterwards, DeviceError, DeviceIdentity, DevicePlan, DeviceProtocol, Told},
};
use tonic::Code;

use super::narration::Narration;
use crate::{
    failure::{Failure, read_file},
    files,
    hub::{
        connect::Hub,
        fresh_id,
        prove::{Asked, Signer, round},
        why,
    },
    reach::failure as refused,
};

/// Whom the demo calls the hub as.
const OPERATOR: &str = "alice";
/// What the root is called at the hub.
const ROOT: &str = "root";
/// How many messages a device sends.
const MESSAGES: u32 = 5;
/// The first devices connect, each by another protocol.
const PROTOCOLS: [(DeviceProtocol, &str, &str); 3] = [
    (DeviceProtocol::Mqtt, "mqtt", "MQTT"),
    (DeviceProtocol::Amqp, "amqp", "AMQP"),
    (DeviceProtocol::Https, "https", "HTTPS"),
];
/// How long the line may take to register a device.
const REGISTERED_WITHIN: Duration = Duration::from_secs(60);

/// The hub of a demo, as its operator and its devices see it.
pub(super) struct Connections<'a> {
    world: &'a World,
    out: &'a Path,
    hub: Hub,
    narration: &'a Narration,
}

impl<'a> Connections<'a> {
    /// The hub of a world whose root-ca and hub run.
    pub(super) fn open(world: &'a World, out: &'a Path, narration: &'a Narration) -> Result<Self, Failure> {
        let hub = Hub::at(channel(world, "hub", Role::Hub)?);
        Ok(Self { world, out, hub, narration })
    }

    /// The root-ca proves to the hub that it holds the root's key, if it has not done so before.
    pub(super) async fn prove_root(&self) -> Result<(), Failure> {
        let signer = Signer::at(channel(self.world, "root-ca", Role::RootCa)?, None);
        let asked = Asked { name: ROOT, first_connect: FirstConnect::Refuse };
        self.narration.tell("Hub: it believes a CA whose key is proven to be held.");
        round(&self.hub, &signer, &asked, &mut |step| self.narration.tell(&format!("  {step}"))).await?;
        Ok(())
    }

    /// Devices connect and send; a lot is cut off, its device refused, and let in again.
    pub(super) async fn run(&self, manifest: &Manifest) -> Result<(), Failure> {
        let Some(first) = manifest.devices.first() else { return Ok(()) };
        let lot = self.lot_key(first)?;
        self.let_in(&lot).await?;
        let began = SystemClock.now();
        self.narration.tell("\nDevices connect to the hub, each with its chain and its key; it knows only the root:");
        for (entry, by) in manifest.devices.iter().zip(PROTOCOLS) {
            self.until_registered(&entry.device_id).await?;
            self.connect(entry, by).await.map_err(|error| unexpected(entry, &error))?;
        }
        self.show_telemetry(first, began).await?;
        self.narration.tell(&format!(
            "\nLot {} is reported stolen: {OPERATOR} disables its CA key at the hub, and all that is below it.",
            first.lot
        ));
        self.disable(&lot, "stolen").await?;
        match self.connect(first, PROTOCOLS[0]).await {
            Err(DeviceError::Refused(_)) => self.show_why(&first.device_id).await?,
            Err(error) => return Err(unexpected(first, &error)),
            Ok(()) => {
                let message = format!("{} was let in although its lot is disabled", first.device_id);
                return Err(Failure::named("INTERNAL", message));
            }
        }
        self.enable(&lot).await?;
        self.narration.tell("\nIt was found again: the key is enabled.");
        self.connect(first, PROTOCOLS[0]).await.map_err(|error| unexpected(first, &error))
    }

    async fn connect(&self, entry: &DeviceEntry, by: (DeviceProtocol, &str, &str)) -> Result<(), DeviceError> {
        let (protocol, door, words) = by;
        let plan = self.plan(entry, protocol, door).map_err(|error| DeviceError::NotUnderstood(error.to_string()))?;
        let mut sent = 0_u32;
        let ended = device::run(&plan, &mut |told| match told {
            Told::Sent(_) => sent += 1,
            Told::Accepted | Told::Message { .. } | Told::Method { .. } | Told::Desired(_) | Told::Waiting => {}
        })
        .await;
        let what = match &ended {
            Ok(()) => format!("accepted, sent {sent} messages"),
            Err(error) => error.to_string(),
        };
        self.narration.tell(&format!("  {} by {words}: {what}", entry.device_id));
        ended
    }

    /// What a device needs to connect: its own files, and what it believes the hub by.
    fn plan(&self, entry: &DeviceEntry, protocol: DeviceProtocol, door: &str) -> Result<DevicePlan, Failure> {
        let text = |path: &Path| String::from_utf8(read_file(path)?).map_err(|error| Failure::malformed(path, error));
        let (chain, hub_ca) = (self.out.join(&entry.chain), self.world.hub_ca_path());
        let (chain_pem, key_pem) = (text(&chain)?, text(&chain.with_file_name("key.pem"))?);
        let anchors = pem::certificates(&text(&hub_ca)?).map_err(|error| Failure::malformed(&hub_ca, error))?;
        let identity = DeviceIdentity::from_pem(&chain_pem, &key_pem);
        Ok(DevicePlan {
            host: "localhost".to_owned(),
            port: self.port(door)?,
            anchors: anchors.iter().map(|anchor| anchor.der().to_vec()).collect(),
            identity: identity.map_err(|error| Failure::named(error.reason(), error.to_string()))?,
            device_id: entry.device_id.clone(),
            protocol,
            count: MESSAGES,
            afterwards: Afterwards::Leave,
        })
    }

    fn port(&self, door: &str) -> Result<u16, Failure> {
        let hub = self.world.service(BRAND, "hub").map_err(|error| setup(&error))?;
        let port = hub.further.get(door).and_then(|address| address.rsplit(':').next()?.parse().ok());
        port.ok_or_else(|| Failure::unavailable("SETUP_FAILED", format!("the hub is not open by {door}")))
    }

    /// Waits until the line has registered a device: it tells the hub in its own time.
    async fn until_registered(&self, device: &str) -> Result<(), Failure> {
        let registered = async {
            loop {
                match self.hub.devices().get_device(GetDeviceRequest { device_id: device.to_owned() }).await {
                    Ok(_) => return Ok(()),
                    Err(status) if status.code() == Code::NotFound => {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    Err(status) => return Err(refused(&status)),
                }
            }
        };
        tokio::time::timeout(REGISTERED_WITHIN, registered).await.unwrap_or_else(|_| {
            Err(Failure::unavailable("UPSTREAM_UNREACHABLE", format!("the line has not registered {device}")))
        })
    }

    /// What the hub kept of the alerts.
    async fn show_telemetry(&self, entry: &DeviceEntry, since: pki::UnixTime) -> Result<(), Failure> {
        let alert = Property { name: "temperatureAlert".to_owned(), value: "true".to_owned() };
        let filter = TelemetryFilter {
            device_id: entry.device_id.clone(),
            properties: vec![alert],
            since: Some(prost_types::Timestamp { seconds: since.as_secs(), nanos: 0 }),
        };
        let request = ListTelemetryRequest { filter: Some(filter), ..ListTelemetryRequest::default() };
        let kept = self.hub.telemetry().list_telemetry(request).await.map_err(|status| refused(&status))?;
        self.narration
            .tell(&format!("The hub keeps what they send; of {}, with temperatureAlert=true:", entry.device_id));
        for TelemetryMessage { body, .. } in kept.into_inner().messages {
            self.narration.tell(&format!("  {}", String::from_utf8_lossy(&body)));
        }
        Ok(())
    }

    /// What `countersign hub why` says.
    async fn show_why(&self, device: &str) -> Result<(), Failure> {
        let request = ListJudgementsRequest { device_id: device.to_owned(), page_size: 1 };
        let answer = self.hub.judgements().list_judgements(request).await.map_err(|status| refused(&status))?;
        let mut told = format!("A device is told no more than that. `countersign hub why {device}` says:");
        for line in answer.into_inner().judgements.iter().map(why::words).collect::<String>().lines() {
            let _ = write!(told, "\n    {line}");
        }
        self.narration.tell(&told);
        Ok(())
    }

    /// The key of the CA that issued a device's certificate.
    fn lot_key(&self, entry: &DeviceEntry) -> Result<Sha256, Failure> {
        let path = self.out.join(&entry.chain);
        let chain = files::certificates(&path)?;
        let lot = chain.get(1).ok_or_else(|| Failure::malformed(&path, "holds no intermediate"))?;
        Ok(lot.public_key().sha256())
    }

    /// An earlier run may have stopped while the key was disabled.
    async fn let_in(&self, key: &Sha256) -> Result<(), Failure> {
        let request = ListDisabledCaKeysRequest { page_size: 1000, page_token: String::new() };
        let held = self.hub.cas().list_disabled_ca_keys(request).await.map_err(|status| refused(&status))?;
        if held.into_inner().keys.iter().any(|held| held.key_sha256 == key.as_bytes().as_slice()) {
            self.enable(key).await?;
        }
        Ok(())
    }

    async fn disable(&self, key: &Sha256, why: &str) -> Result<(), Failure> {
        let request = DisableCaKeyRequest { request_id: fresh_id()?, key_sha256: octets(key), why: why.to_owned() };
        self.hub.cas().disable_ca_key(request).await.map_err(|status| refused(&status))?;
        Ok(())
    }

    async fn enable(&self, key: &Sha256) -> Result<(), Failure> {
        let request = EnableCaKeyRequest { request_id: fresh_id()?, key_sha256: octets(key) };
        self.hub.cas().enable_ca_key(request).await.map_err(|status| refused(&status))?;
        Ok(())
    }
}

fn octets(key: &Sha256) -> Bytes {
    Bytes::copy_from_slice(key.as_bytes())
}

/// A channel to one of the brand's services.
fn channel(world: &World, kind: &str, role: Role) -> Result<tonic::transport::Channel, Failure> {
    let open = || {
        let address = &world.service(BRAND, kind)?.grpc;
        Clients::load(&world.brand, OPERATOR, &[&world.brand])?.channel(address, BRAND, role)
    };
    open().map_err(|error| setup(&error))
}

fn setup(error: &anyhow::Error) -> Failure {
    Failure::unavailable("SETUP_FAILED", format!("{error:#}"))
}

fn unexpected(entry: &DeviceEntry, error: &DeviceError) -> Failure {
    let message = format!("{}: {error}; `countersign hub why {0}` at a demo that stays", entry.device_id);
    Failure::named(error.reason(), message)
}
