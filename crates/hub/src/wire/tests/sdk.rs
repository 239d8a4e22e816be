//! The unmodified device SDKs against the hub: what they can do when they are let in, and what they and the hub's operator are told
//! when they are not. `tests/interop/hub_sdk` has their scripts, and says how to install them.
//!
//! Each SDK is one process for all cases, with a chain of three intermediates each time.

mod cases;
mod script;

use api::hub::v1::{Outcome, Property};
use serde_json::{Value, json};

use self::{
    cases::{Arrival, Identities, REFUSED, Scene},
    script::Script,
};
use super::house::House;
use crate::{
    registry::{Stage, tests::World},
    wire::Addresses,
};

/// What this SDK calls a refusal, and the script that runs it.
struct Sdk<'a> {
    house: &'a House,
    identities: &'a Identities,
    script: Script,
    refusal: &'static str,
}

impl Sdk<'_> {
    fn scene<'a>(&'a self, name: &'a str) -> Scene<'a> {
        Scene { world: &self.house.world, identities: self.identities, name }
    }

    async fn everything(mut self) {
        for (device, arrival) in [
            ("under-a-root", cases::under_a_root as fn(&Scene<'_>) -> Arrival),
            ("under-an-intermediate", cases::under_an_intermediate),
        ] {
            let arrival = arrival(&self.scene(device));
            self.let_in(device, &arrival).await;
        }
        for case in &REFUSED {
            let arrival = (case.arrival)(&self.scene(case.name));
            if let Some((device, chain)) = &arrival.before {
                self.house.world.connect(chain.clone(), device).await.unwrap();
            }
            self.refused(case.name, case.reason, &arrival).await;
        }
        self.script.end().await;
    }

    /// Everything an SDK can do: the script sends, says that it is ready, and is then sent one of each.
    async fn let_in(&mut self, device: &str, arrival: &Arrival) {
        self.script.connect(device, &arrival.chain, &arrival.key).await;
        let messages = self.house.telemetry_until(device, b"{\"ready\"").await;
        let pair = |name: &str, value: &str| Property { name: name.to_owned(), value: value.to_owned() };
        let alerts: Vec<_> = messages.iter().map(|(_, properties)| properties.clone()).collect();
        assert_eq!(alerts, [[pair("temperatureAlert", "false")], [pair("temperatureAlert", "true")]]);
        assert!(messages.iter().all(|(system, _)| system.contains(&pair("ct", "application/json"))), "{messages:?}");

        assert_eq!(self.house.send_everything(device).await, (202, json!({"did": "reboot"})));
        let saw = self.script.saw().await;
        let has = |wanted: Value| assert!(saw.contains(&wanted), "{wanted} in {saw:?}");
        has(json!({"message": "hello", "properties": {"alert": "1"}, "message_id": "m-1"}));
        has(json!({"method": "reboot", "payload": {"in": 1}}));
        has(json!({"desired": {"interval": 5, "$version": 2}}));
        has(json!({"twin": {"desired": {"$version": 1}, "reported": {"$version": 1}}}));
        has(json!({"missing": []}));
        assert_eq!(self.house.reported(device).await, json!({"level": 3}));
    }

    /// The device is told in its SDK's own words, and the operator why.
    async fn refused(&mut self, name: &str, reason: &str, arrival: &Arrival) {
        self.script.connect(&arrival.claimed, &arrival.chain, &arrival.key).await;
        let saw = self.script.saw().await;
        let refused: Vec<_> = saw.iter().filter_map(|said| said.get("refused")).collect();
        assert_eq!(refused, [self.refusal], "{name}: {saw:?}");
        let why = self.house.why(&arrival.claimed).await;
        let judgement = why.judgement.unwrap();
        assert_eq!(
            (judgement.outcome(), judgement.reason.as_str()),
            (Outcome::Refused, reason),
            "{name}: {judgement:?}"
        );
        assert_eq!(judgement.chain, arrival.chain, "{name}");
        assert!(!why.meaning.is_empty() && !why.remedy.is_empty(), "{name}");
    }
}

async fn house(identities: &Identities, addresses: &Addresses) -> House {
    House::open(World::with(Stage::Development, Some(identities.bundle())), addresses).await
}

#[tokio::test]
#[ignore = "needs python3 with azure-iot-device, and port 8883"]
async fn the_python_sdk_over_mqtt() {
    let identities = Identities::new();
    let mqtt = Some("127.0.0.1:8883".to_owned());
    let house = house(&identities, &Addresses { mqtt, ..Addresses::default() }).await;
    let python = std::env::var("HUB_SDK_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = Script::start(&python, "device.py", &house.doors.server, &[]);
    Sdk { house: &house, identities: &identities, script, refusal: "CredentialError" }.everything().await;
}

async fn node(protocol: &str) {
    let identities = Identities::new();
    let free = || Some("127.0.0.1:0".to_owned());
    let house = house(&identities, &Addresses { mqtt: free(), amqp: free(), https: None }).await;
    let bound = if protocol == "amqp" { &house.doors.bound.amqp } else { &house.doors.bound.mqtt };
    let port = bound.as_ref().unwrap().rsplit(':').next().unwrap();
    let settings = [("PROTOCOL", protocol), ("PORT", port)];
    let script = Script::start("node", "device.js", &house.doors.server, &settings);
    Sdk { house: &house, identities: &identities, script, refusal: "UnauthorizedError" }.everything().await;
}

#[tokio::test]
#[ignore = "needs node with azure-iot-device-mqtt"]
async fn the_node_sdk_over_mqtt() {
    node("mqtt").await;
}

#[tokio::test]
#[ignore = "needs node with azure-iot-device-amqp"]
async fn the_node_sdk_over_amqp() {
    node("amqp").await;
}
