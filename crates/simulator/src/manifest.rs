//! manifest.json: what a journey made.

use serde::{Deserialize, Serialize, Serializer};

/// Every device with its chain and its journey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// In the order of provisioning.
    pub devices: Vec<DeviceEntry>,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceEntry {
    /// Device id.
    pub device_id: String,
    /// Lower hex.
    pub certificate_serial: String,
    /// Path of chain.pem, relative to the folder.
    pub chain: String,
    /// The last hop's lot.
    pub lot: String,
    /// Root first.
    pub hops: Vec<HopEntry>,
}

/// One handoff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HopEntry {
    /// Sender.
    pub from: String,
    /// Receiver.
    pub to: String,
    /// Lot id.
    pub lot: String,
    /// An integer, or `"unlimited"`.
    #[serde(serialize_with = "integer_or_unlimited", deserialize_with = "read_quantity")]
    pub quantity: Option<u32>,
    /// The DNS subtree of the lot.
    pub subtree: String,
}

fn integer_or_unlimited<S: Serializer>(quantity: &Option<u32>, to: S) -> Result<S::Ok, S::Error> {
    match quantity {
        Some(units) => to.serialize_u32(*units),
        None => to.serialize_str("unlimited"),
    }
}

fn read_quantity<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Units(u32),
        Word(String),
    }
    match Either::deserialize(from)? {
        Either::Units(units) => Ok(Some(units)),
        Either::Word(word) if word == "unlimited" => Ok(None),
        Either::Word(word) => Err(serde::de::Error::custom(format!("{word:?} is no quantity"))),
    }
}
