//! What is refused, and by which name: a chain of three intermediates each time, wrong in one place, or right and not let in.

use api::hub::v1::{ChainRules, DeviceStatus, LineEvent, Registration, Verification};
use bytes::Bytes;
use mfg::{Bundle, IdentityKey, ManufacturerId, OrderId, Quantity};
use pki::{Certificate, PublicKey};
use rcgen::{BasicConstraints, IsCa, KeyPair, PublicKeyData as _};

use crate::{
    forge::{BASE, Forge, copy, dns, generation, handoff_ca, new_ca, p256, uri},
    registry::{
        NewCa, StatusChange,
        tests::{World, caller, change, fresh_id},
    },
};

/// What a device presents, what it says that it is, and who comes before it.
pub(super) struct Arrival {
    pub(super) claimed: String,
    pub(super) chain: Vec<Bytes>,
    pub(super) key: KeyPair,
    pub(super) before: Option<(String, Vec<Bytes>)>,
}

/// One row of the table. Its name is the device's id.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) reason: &'static str,
    pub(super) arrival: fn(&Scene<'_>) -> Arrival,
}

const fn case(name: &'static str, reason: &'static str, arrival: fn(&Scene<'_>) -> Arrival) -> Case {
    Case { name, reason, arrival }
}

/// Every refusal that an operator of such a hub has to tell from the others.
pub(super) const REFUSED: [Case; 15] = [
    case("leaf-only", "UNKNOWN_ISSUER", leaf_only),
    case("wrong-device-id", "DEVICE_ID_MISMATCH", wrong_device_id),
    case("disabled-device", "DEVICE_DISABLED", disabled_device),
    case("disabled-ca", "CA_DISABLED", disabled_ca),
    case("unverified-ca", "CA_UNVERIFIED", unverified_ca),
    case("expired-anchor", "ANCHOR_EXPIRED", expired_anchor),
    case("wrong-subtree", "NAME_NOT_PERMITTED", wrong_subtree),
    case("uri-name-only", "DEVICE_NAME_INVALID", uri_name_only),
    case("another-vendor", "WRONG_LOT", another_vendor),
    case("invented-hop", "ACCEPTANCE_INVALID", invented_hop),
    case("unknown-receiver", "ACCEPTANCE_KEY_UNKNOWN", unknown_receiver),
    case("one-too-many", "LOT_OVERDRAWN", one_too_many),
    case("superseded", "CERTIFICATE_SUPERSEDED", superseded),
    case("path-length", "PATH_LENGTH_EXCEEDED", path_length),
    case("unknown-device", "DEVICE_NOT_REGISTERED", unknown_device),
];

/// The identity keys that the hub's bundle knows, in the order of the hops.
pub(super) struct Identities([KeyPair; 3]);

impl Identities {
    pub(super) fn new() -> Self {
        Self([p256(), p256(), p256()])
    }

    pub(super) fn bundle(&self) -> Bundle {
        let known = ["factory-y", "technician-z", "tester-q"].iter().zip(&self.0).map(|(name, key)| IdentityKey {
            manufacturer: ManufacturerId::parse(name).unwrap(),
            public_key: PublicKey::parse(&key.subject_public_key_info()).unwrap(),
        });
        Bundle { identity_keys: known.collect(), ..Bundle::default() }
    }
}

/// Where a case takes place: all cases share the books, each with a root of its own.
pub(super) struct Scene<'a> {
    pub(super) world: &'a World,
    pub(super) identities: &'a Identities,
    pub(super) name: &'a str,
}

impl Scene<'_> {
    /// Three hops and a device, with a root of their own.
    fn forge(&self) -> Forge {
        let mut forge = Forge::of_three();
        forge.root_name = format!("{} root", self.name);
        forge.root_key = p256();
        for (ca, identity) in forge.cas.iter_mut().zip(&self.identities.0) {
            (ca.key, ca.identity) = (p256(), copy(identity));
        }
        self.name_leaf(&mut forge);
        forge
    }

    fn name_leaf(&self, forge: &mut Forge) {
        forge.name_leaf(self.name);
        forge.leaf.key = p256();
    }

    fn trust(&self, forge: &Forge) {
        self.world.trust(self.name, &forge.root(), ChainRules::Countersign);
    }

    /// The hub knows the root and the device, and the chain is presented as it is.
    fn known(&self, forge: &Forge) -> Arrival {
        self.trust(forge);
        self.world.create(self.name);
        self.arrival(forge)
    }

    fn arrival(&self, forge: &Forge) -> Arrival {
        let (claimed, key) = (self.name.to_owned(), copy(&forge.leaf.key));
        Arrival { claimed, chain: forge.presented(), key, before: None }
    }

    /// The line of the last hop wrote this onto the device.
    fn written(&self, chain: Vec<Bytes>) {
        let written = Registration {
            sequence: 1,
            device_id: self.name.to_owned(),
            event: LineEvent::Written.into(),
            chain,
            ..Registration::default()
        };
        let answer = self.world.books.register(&caller("tester-q"), &fresh_id(), &[written]).unwrap();
        assert_eq!(answer.results[0].refusal, None);
    }
}

/// A device that is let in, with its root registered.
pub(super) fn under_a_root(scene: &Scene<'_>) -> Arrival {
    scene.known(&scene.forge())
}

/// A device that is let in, with nothing registered but the first intermediate that it presents.
pub(super) fn under_an_intermediate(scene: &Scene<'_>) -> Arrival {
    scene.world.create(scene.name);
    let arrival = scene.arrival(&scene.forge());
    let first = Certificate::parse(arrival.chain.last().unwrap()).unwrap();
    scene.world.trust(scene.name, &first, ChainRules::Countersign);
    arrival
}

fn leaf_only(scene: &Scene<'_>) -> Arrival {
    let mut arrival = scene.known(&scene.forge());
    arrival.chain.truncate(1);
    arrival
}

fn wrong_device_id(scene: &Scene<'_>) -> Arrival {
    Arrival { claimed: "somebody-else".to_owned(), ..scene.known(&scene.forge()) }
}

fn disabled_device(scene: &Scene<'_>) -> Arrival {
    let arrival = scene.known(&scene.forge());
    let (device_id, why) = (scene.name.to_owned(), "reported stolen".to_owned());
    let disabled = StatusChange { device_id, status: DeviceStatus::Disabled, why, etag: None };
    scene.world.books.set_status(&change(), &disabled).unwrap();
    arrival
}

fn disabled_ca(scene: &Scene<'_>) -> Arrival {
    let forge = scene.forge();
    // Not the registered one: a lot in the middle of the chain.
    scene.world.books.disable_ca_key(&change(), &forge.cas[1].key_sha256(), "the lot was stolen").unwrap();
    scene.known(&forge)
}

fn unverified_ca(scene: &Scene<'_>) -> Arrival {
    let forge = scene.forge();
    let unproven =
        NewCa { verification: Verification::Unverified, ..new_ca(scene.name, &forge.root(), ChainRules::Countersign) };
    scene.world.books.register_ca(&change(), &unproven).unwrap();
    scene.world.create(scene.name);
    scene.arrival(&forge)
}

fn expired_anchor(scene: &Scene<'_>) -> Arrival {
    let mut forge = scene.forge();
    // The hub's time is in 2027. All below would still be good.
    forge.root_years = (2020, 2026);
    scene.known(&forge)
}

fn wrong_subtree(scene: &Scene<'_>) -> Arrival {
    let mut forge = scene.forge();
    forge.leaf.names = vec![dns(&format!("{}.t8.technician-z.b0032.factory-y.{BASE}", scene.name))];
    scene.known(&forge)
}

/// Name constraints on DNS names say nothing about other kinds of names: other verifiers let this one in.
fn uri_name_only(scene: &Scene<'_>) -> Arrival {
    let mut forge = scene.forge();
    forge.leaf.names = vec![uri(&format!("urn:device:{}", scene.name))];
    scene.known(&forge)
}

fn another_vendor(scene: &Scene<'_>) -> Arrival {
    let mut forge = scene.forge();
    scene.trust(&forge);
    scene.written(forge.presented());
    let parent = forge.cas[1].permitted.clone().unwrap();
    let identity = copy(&forge.cas[2].identity);
    forge.cas[2] = handoff_ca(3, "technician-z", "tester-q", "q2", Quantity::of(100).unwrap(), &parent);
    (forge.cas[2].key, forge.cas[2].identity) = (p256(), identity);
    scene.name_leaf(&mut forge);
    scene.arrival(&forge)
}

/// The key of the second hop is stolen, and hands on what its receiver accepted of somebody else.
fn invented_hop(scene: &Scene<'_>) -> Arrival {
    let mut forge = scene.forge();
    let mut accepted = forge.cas[2].consignment.clone().unwrap();
    accepted.order = OrderId::parse("po-8").unwrap();
    forge.cas[2].accepted = Some(accepted);
    scene.known(&forge)
}

fn unknown_receiver(scene: &Scene<'_>) -> Arrival {
    let mut forge = scene.forge();
    forge.cas[2].accepted_by = Some(p256());
    scene.known(&forge)
}

fn one_too_many(scene: &Scene<'_>) -> Arrival {
    let mut forge = scene.forge();
    forge.cas[2].consignment.as_mut().unwrap().quantity = Quantity::of(1).unwrap();
    forge.name_leaf("the-first");
    scene.world.create("the-first");
    let first = ("the-first".to_owned(), forge.presented());
    scene.name_leaf(&mut forge);
    Arrival { before: Some(first), ..scene.known(&forge) }
}

fn superseded(scene: &Scene<'_>) -> Arrival {
    let mut forge = scene.forge();
    scene.trust(&forge);
    let older = scene.arrival(&forge);
    scene.name_leaf(&mut forge);
    forge.leaf.extensions = vec![generation(2)];
    scene.written(forge.presented());
    older
}

fn path_length(scene: &Scene<'_>) -> Arrival {
    let mut forge = scene.forge();
    forge.cas[0].is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    scene.known(&forge)
}

fn unknown_device(scene: &Scene<'_>) -> Arrival {
    let forge = scene.forge();
    scene.trust(&forge);
    scene.arrival(&forge)
}
