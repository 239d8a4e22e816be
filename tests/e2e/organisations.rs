//! Manufacturers that a test registers for itself, each with a key of its own.

use api::manufacturer::v1::{Manufacturer, RegisterManufacturerRequest};
use bytes::Bytes;
use issuance::{KeyKind, SigningKey as _, SoftwareKey};

use crate::world::{Chain, Who, fresh_id};

/// A key that nobody has seen.
pub(crate) fn fresh_key() -> SoftwareKey {
    SoftwareKey::generate(KeyKind::P256).unwrap()
}

/// A manufacturer with a fresh identity key.
pub(crate) fn manufacturer(id: &str) -> Manufacturer {
    with_key(id, &fresh_key())
}

/// A manufacturer with this identity key.
pub(crate) fn with_key(id: &str, key: &SoftwareKey) -> Manufacturer {
    Manufacturer {
        manufacturer: id.to_owned(),
        display_name: format!("{id} Ltd"),
        identity_key: Bytes::copy_from_slice(key.public_key().spki()),
        ..Manufacturer::default()
    }
}

/// Has the brand register a manufacturer of this id; answers its key.
pub(crate) async fn registered(chain: &Chain, id: &str) -> SoftwareKey {
    let key = fresh_key();
    let request = RegisterManufacturerRequest { request_id: fresh_id(), manufacturer: Some(with_key(id, &key)) };
    chain.manufacturers(Who::Alice).register_manufacturer(request).await.unwrap();
    key
}
