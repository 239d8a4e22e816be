//! A sender that mints a CA in the receiver's name. It has everything that is its own, and the receiver's genuine certificate as a model.

use std::{
    fs,
    path::{Path, PathBuf},
};

use issuance::{KeyKind, SigningKey as _, SoftwareKey};
use mfg::{
    Acceptance, Consignment, Handoff, OidArc, Statement,
    subtree::{handoff_common_name, subtree},
};
use pki::{Certificate, DnsName, PublicKey, Subtree, pem};

/// AlgorithmIdentifier of ecdsa-with-SHA256 (RFC 5758 section 3.2).
const ECDSA_WITH_SHA256: [u8; 12] = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// Signatures made until one has the length that is wanted: they have 70 to 72 octets, seldom fewer.
const MOST_TRIES: usize = 100_000;

/// The hop from factory-y to technician-z, and the keys on both its sides.
pub(crate) struct Forger {
    device: Certificate,
    receiver: Certificate,
    sender: Certificate,
    /// The sender's lot key: what it signs handoffs with.
    sender_key: SoftwareKey,
    /// The receiver's lot key, for the cases in which the receiver takes part.
    pub(crate) receiver_key: SoftwareKey,
    /// The sender's identity key.
    pub(crate) sender_identity: SoftwareKey,
    /// The receiver's identity key as registered, and so public.
    pub(crate) receiver_identity: PublicKey,
    genuine: Handoff,
}

/// What the forged certificate says.
pub(crate) struct Forgery<'a> {
    /// The key that becomes the lot's.
    pub(crate) lot_key: &'a SoftwareKey,
    pub(crate) handoff: Handoff,
}

impl Forger {
    /// In the folder of a demo with two hops.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        let chain = fs::read_to_string(folder.join("devices/sn0000001/chain.pem")).unwrap();
        let [device, receiver, sender] = pem::certificates(&chain).unwrap().try_into().unwrap();
        let extension = receiver.extension(&OidArc::documentation().handoff()).unwrap();
        let genuine = Handoff::from_der(extension.value).unwrap();
        let public = fs::read_to_string(folder.join("technician-z/identity.pub")).unwrap();
        Self {
            sender_key: lot_key(&folder.join("factory-y/lot-keys")),
            receiver_key: lot_key(&folder.join("technician-z/lot-keys")),
            sender_identity: SoftwareKey::from_file(&fs::read(folder.join("factory-y/identity.key")).unwrap()).unwrap(),
            receiver_identity: PublicKey::parse(pem::single(&public, "PUBLIC KEY").unwrap().der()).unwrap(),
            device,
            receiver,
            sender,
            genuine,
        }
    }

    /// What the genuine certificate says.
    pub(crate) fn genuine(&self) -> Handoff {
        self.genuine.clone()
    }

    /// A fresh key of the forger's.
    pub(crate) fn fresh_key() -> SoftwareKey {
        SoftwareKey::generate(KeyKind::P256).unwrap()
    }

    /// An acceptance that names one identity key and is signed by another, as long as the genuine one.
    pub(crate) fn acceptance(
        &self,
        named: &PublicKey,
        signer: &SoftwareKey,
        lot_key: &SoftwareKey,
        consignment: &Consignment,
    ) -> Acceptance {
        let statement = Statement::acceptance(lot_key.public_key().spki(), consignment);
        let length = self.genuine.acceptance.signature.len();
        let signature = (0..MOST_TRIES)
            .map(|_| signer.sign(statement.to_be_signed()).unwrap())
            .find(|signature| signature.len() == length)
            .unwrap();
        Acceptance { identity_key_digest: named.sha256(), signature }
    }

    /// The device's chain below a forged CA: the genuine certificates with only those octets exchanged that the forgery is about, and
    /// signed anew.
    pub(crate) fn chain(&self, forgery: &Forgery<'_>) -> String {
        let (mut ca, mut device) = (self.receiver.tbs().to_vec(), self.device.tbs().to_vec());
        exchange(&mut ca, &self.genuine.to_der(), &forgery.handoff.to_der());
        exchange(&mut ca, self.receiver.public_key().spki(), forgery.lot_key.public_key().spki());
        let (before, after) = (&self.genuine.consignment, &forgery.handoff.consignment);
        if before.lot != after.lot {
            let parent = self.parent();
            let subtree_of = |of: &Consignment| subtree(&parent, &of.lot, &of.to).unwrap();
            let name_of = |of: &Consignment| handoff_common_name(&of.lot, &of.to, &subtree_of(of));
            for tbs in [&mut ca, &mut device] {
                exchange(tbs, name_of(before).as_bytes(), name_of(after).as_bytes());
                exchange(tbs, subtree_of(before).as_str().as_bytes(), subtree_of(after).as_str().as_bytes());
            }
        }
        let ca = signed(&ca, &self.sender_key);
        let device = signed(&device, forgery.lot_key);
        [device.as_slice(), &ca, self.sender.der()].map(|der| pem::encode("CERTIFICATE", der)).concat()
    }

    /// The subtree that the sender was permitted.
    fn parent(&self) -> DnsName {
        let permitted = &self.sender.name_constraints().unwrap().permitted;
        let [Subtree::Dns(name)] = permitted.as_slice() else { panic!("{permitted:?}") };
        DnsName::parse(name).unwrap()
    }
}

/// The only lot key of a manufacturer.
fn lot_key(folder: &Path) -> SoftwareKey {
    let files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [only] = files.as_slice() else { panic!("{} lot keys in {}", files.len(), folder.display()) };
    SoftwareKey::from_pkcs8(&fs::read(only).unwrap()).unwrap()
}

/// Puts `to` where `from` stands, of the same length, so that no DER length changes.
fn exchange(tbs: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> =
        tbs.windows(from.len()).enumerate().filter(|(_, window)| *window == from).map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "nothing to exchange");
    for at in places {
        tbs[at..at + to.len()].copy_from_slice(to);
    }
}

/// Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue } (RFC 5280 section 4.1).
fn signed(tbs: &[u8], key: &SoftwareKey) -> Vec<u8> {
    let bits = [&[0], key.sign(tbs).unwrap().as_slice()].concat();
    element(0x30, &[tbs, &ECDSA_WITH_SHA256, &element(0x03, &bits)].concat())
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let head = match content.len() {
        0..=0x7f => vec![tag, length[1]],
        0x80..=0xff => vec![tag, 0x81, length[1]],
        _ => vec![tag, 0x82, length[0], length[1]],
    };
    [head.as_slice(), content].concat()
}
