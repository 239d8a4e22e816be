//! By which keys and in which collections a hub's records are found.

use pki::{Sha256, hex};
use store::Key;

/// The collection of CA certificates, by name.
pub(super) const CAS: &str = "hub-cas";
/// The collection of disabled CA keys, by digest.
pub(super) const CA_KEYS: &str = "hub-ca-keys";
/// The collection of devices, by id.
pub(super) const DEVICES: &str = "hub-devices";

/// A CA certificate.
pub(super) fn ca(name: &str) -> Key {
    Key::new("hub-ca", &[name.as_bytes()])
}

/// A CA key that was disabled at some time.
pub(super) fn ca_key(key: &Sha256) -> Key {
    Key::new("hub-ca-key", &[key.as_bytes()])
}

/// A device.
pub(super) fn device(id: &str) -> Key {
    Key::new("hub-device", &[id.as_bytes()])
}

/// A device's certificate that is refused from now on. With the device's id, so that no line can end another's.
pub(super) fn ended(device: &str, certificate: &Sha256) -> Key {
    Key::new("hub-ended", &[device.as_bytes(), certificate.as_bytes()])
}

/// The tally of a lot key.
pub(super) fn lot(key: &Sha256) -> Key {
    Key::new("hub-lot", &[key.as_bytes()])
}

/// A device that is counted under a lot key.
pub(super) fn lot_device(key: &Sha256, device: &str) -> Key {
    Key::new("hub-lot-device", &[key.as_bytes(), device.as_bytes()])
}

/// A lot key that is counted under the one that handed its lot on.
pub(super) fn lot_handed_on(above: &Sha256, below: &Sha256) -> Key {
    Key::new("hub-lot-handed-on", &[above.as_bytes(), below.as_bytes()])
}

/// The collection of the devices that are counted under a lot key. A collection's name has room for half a digest and no more.
pub(super) fn lot_devices(key: &Sha256) -> String {
    let half = key.as_bytes().split_at(16).0;
    format!("hub-lot-{}", hex::encode(half))
}

/// A line's feed.
pub(super) fn feed(sender: &str, feed: &str) -> Key {
    Key::new("hub-feed", &[sender.as_bytes(), feed.as_bytes()])
}
