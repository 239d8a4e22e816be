//! Devices, as operators handle them.

use api::hub::v1::{Authentication, Thumbprints, authentication, created_device};

use super::*;

fn reason<T: std::fmt::Debug>(outcome: Result<T, Refusal>) -> &'static str {
    outcome.unwrap_err().reason()
}

fn status(id: &str, status: DeviceStatus, why: &str) -> StatusChange {
    StatusChange { device_id: id.to_owned(), status, why: why.to_owned(), etag: None }
}

fn thumbprint(octets: usize) -> NewDevice {
    let thumbprints = Thumbprints { primary: Bytes::from(vec![1; octets]), secondary: Bytes::new() };
    let kind = Some(authentication::Kind::Thumbprints(thumbprints));
    NewDevice { authentication: Some(Authentication { kind }), ..ca_signed("d1") }
}

#[test]
fn ids_are_those_of_a_hub_and_compared_octet_by_octet() {
    let world = World::new();
    let every = "aZ09-.+%_#*?!(),=@$':";
    for id in [every, "a", &"x".repeat(128)] {
        assert_eq!(world.create(id).device_id, id);
    }
    for id in ["", "a b", "ä", "a/b", "a\\b", "a\"b", "a\0", "<a>", &"x".repeat(129)] {
        assert_eq!(reason(world.books.create_device(&change(), &ca_signed(id))), "HUB_DEVICE_ID_INVALID", "{id:?}");
    }
    world.create("Device");
    assert_eq!(reason(world.books.device("device")), "DEVICE_UNKNOWN");
    world.create("device");
}

#[test]
fn the_same_content_again_is_the_same_device_and_other_content_is_refused() {
    let world = World::new();
    let first = world.create("d1");
    assert_eq!(world.create("d1"), first);
    assert_eq!(reason(world.books.create_device(&change(), &thumbprint(32))), "HUB_DEVICE_EXISTS");
    for octets in [0, 19, 33] {
        assert_eq!(reason(world.books.create_device(&change(), &thumbprint(octets))), "REQUEST_MALFORMED");
    }
}

#[test]
fn a_bulk_is_a_hundred_and_each_succeeds_or_is_refused_on_its_own() {
    let world = World::new();
    world.books.create_device(&change(), &thumbprint(20)).unwrap();
    let mut many: Vec<NewDevice> = (0..97).map(|n| ca_signed(&format!("bulk-{n}"))).collect();
    many.extend([ca_signed("d1"), ca_signed("not valid"), ca_signed("bulk-0")]);
    let id = fresh_id();
    let bulk = || world.books.create_devices(&change_by("company-x", &id), &many).unwrap();
    let results = bulk();
    let refused: Vec<_> = results
        .iter()
        .filter(|result| matches!(result.result, Some(created_device::Result::Refusal(_))))
        .map(|result| result.device_id.as_str())
        .collect();
    assert_eq!((results.len(), refused), (100, vec!["d1", "not valid"]));
    assert_eq!(bulk(), results, "a repetition");
    many.push(ca_signed("one-too-many"));
    assert_eq!(reason(world.books.create_devices(&change(), &many)), "REQUEST_MALFORMED");

    let mut after: Option<String> = None;
    let mut listed = Vec::new();
    loop {
        let (page, next) = world.books.devices(after.as_deref(), 10).unwrap();
        assert!(page.len() <= 10);
        listed.extend(page.into_iter().map(|device| device.device_id));
        match next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(listed.len(), 98);
    assert!(listed.is_sorted());
}

#[tokio::test]
async fn a_disabled_device_is_refused_with_the_operators_reason_and_its_session_ends() {
    let forge = Forge::new();
    let world = World::trusting(&forge);
    let created = world.create("sn0000001");
    let admitted = world.connect(forge.presented(), "sn0000001").await.unwrap();
    let seen = world.books.device("sn0000001").unwrap().etag;
    assert_ne!(created.etag, seen, "it was bound meanwhile");
    let stale = StatusChange { etag: Some(created.etag), ..status("sn0000001", DeviceStatus::Disabled, "") };
    assert_eq!(reason(world.books.set_status(&change(), &stale)), "ETAG_STALE");
    let disable = StatusChange { etag: Some(seen), ..status("sn0000001", DeviceStatus::Disabled, "lost in transit") };
    let disabled = world.books.set_status(&change(), &disable).unwrap();
    assert_eq!((disabled.status(), disabled.status_reason.as_str()), (DeviceStatus::Disabled, "lost in transit"));
    assert_eq!(world.registry.still_admitted(&admitted).await.unwrap_err().reason(), "DEVICE_DISABLED");
    assert_eq!(world.refused(forge.presented(), "sn0000001").await, "DEVICE_DISABLED");
    assert!(world.last_refusal("sn0000001").await.message.contains("lost in transit"));
    world.books.set_status(&change(), &status("sn0000001", DeviceStatus::Enabled, "")).unwrap();
    world.connect(forge.presented(), "sn0000001").await.unwrap();
    let unknown = world.books.set_status(&change(), &status("nobody", DeviceStatus::Enabled, ""));
    assert_eq!(reason(unknown), "DEVICE_UNKNOWN");
}

#[tokio::test]
async fn a_deleted_device_is_unknown_and_can_be_created_again() {
    let forge = Forge::new();
    let world = World::trusting(&forge);
    world.create("sn0000001");
    let admitted = world.connect(forge.presented(), "sn0000001").await.unwrap();
    world.books.delete_device(&change(), "sn0000001", None).unwrap();
    assert_eq!(world.registry.still_admitted(&admitted).await.unwrap_err().reason(), "DEVICE_NOT_REGISTERED");
    assert_eq!(world.refused(forge.presented(), "sn0000001").await, "DEVICE_NOT_REGISTERED");
    assert!(world.books.devices(None, 10).unwrap().0.is_empty());
    assert!(world.create("sn0000001").binding.is_none());
    world.connect(forge.presented(), "sn0000001").await.unwrap();
}

#[tokio::test]
async fn a_device_with_a_thumbprint_needs_no_ca() {
    let forge = Forge::plain("Self_1");
    let world = World::new();
    let leaf = pki::Sha256::of(forge.presented().first().unwrap());
    let of = |octets: &[u8]| {
        let thumbprints = Thumbprints { primary: Bytes::copy_from_slice(octets), secondary: Bytes::new() };
        let kind = Some(authentication::Kind::Thumbprints(thumbprints));
        NewDevice { authentication: Some(Authentication { kind }), ..ca_signed("Self_1") }
    };
    world.books.create_device(&change(), &of(leaf.as_bytes())).unwrap();
    let alone = forge.presented()[..1].to_vec();
    let admitted = world.connect(alone.clone(), "Self_1").await.unwrap();
    world.registry.still_admitted(&admitted).await.unwrap();
    assert_eq!(world.refused(Forge::plain("Self_1").presented(), "Self_1").await, "THUMBPRINT_MISMATCH");
    world.books.set_status(&change(), &status("Self_1", DeviceStatus::Disabled, "")).unwrap();
    assert_eq!(world.refused(alone, "Self_1").await, "DEVICE_DISABLED");
}
