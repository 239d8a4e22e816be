//! Writes certificates, requests and revocation lists in DER, as wrong as a test wants them.

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use pki::path::{PathOptions, Purpose, Rules};
use pki::{Certificate, RevocationList, SignatureAlgorithm, UnixTime};

/// 2026-01-01, when everything here is valid.
pub(crate) fn now() -> UnixTime {
    UnixTime::parse("2026-01-01T00:00:00Z").unwrap()
}

pub(crate) fn plain() -> PathOptions<'static> {
    PathOptions { rules: Rules::Plain, ..PathOptions::new(now(), Purpose::Client) }
}

pub(crate) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let mut out = vec![tag];
    match value.len() {
        short @ 0..=0x7f => out.push(u8::try_from(short).unwrap()),
        long => {
            let octets: Vec<u8> = long.to_be_bytes().into_iter().skip_while(|octet| *octet == 0).collect();
            out.push(0x80 | u8::try_from(octets.len()).unwrap());
            out.extend(octets);
        }
    }
    out.extend(value);
    out
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, parts)
}

/// A name of one commonName; the empty text makes the empty name.
pub(crate) fn name(common_name: &str) -> Vec<u8> {
    if common_name.is_empty() {
        return sequence(&[]);
    }
    let pair = sequence(&[&tlv(6, &[b"\x55\x04\x03"]), &tlv(0x0c, &[common_name.as_bytes()])]);
    sequence(&[&tlv(0x31, &[&pair])])
}

pub(crate) struct Key {
    pair: EcdsaKeyPair,
    pub(crate) spki: Vec<u8>,
    pub(crate) id: Vec<u8>,
}

impl Key {
    pub(crate) fn new() -> Key {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let point = pair.public_key().as_ref().to_vec();
        let identifier =
            sequence(&[&tlv(6, &[b"\x2a\x86\x48\xce\x3d\x02\x01"]), &tlv(6, &[b"\x2a\x86\x48\xce\x3d\x03\x01\x07"])]);
        let spki = sequence(&[&identifier, &tlv(3, &[&[0], &point])]);
        let id = pki::Sha256::of(&point).as_bytes()[..20].to_vec();
        Key { pair, spki, id }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }
}

/// Keys for the usual places; tests that need others make them.
pub(crate) static ROOT: LazyLock<Key> = LazyLock::new(Key::new);
pub(crate) static MIDDLE: LazyLock<Key> = LazyLock::new(Key::new);
pub(crate) static LEAF: LazyLock<Key> = LazyLock::new(Key::new);

/// extnID contents, critical, extnValue contents.
type Extension = (&'static [u8], bool, Vec<u8>);

pub(crate) const SUBJECT_KEY_ID: &[u8] = b"\x55\x1d\x0e";
pub(crate) const KEY_USAGE: &[u8] = b"\x55\x1d\x0f";
pub(crate) const SUBJECT_ALT_NAME: &[u8] = b"\x55\x1d\x11";
pub(crate) const BASIC_CONSTRAINTS: &[u8] = b"\x55\x1d\x13";
pub(crate) const CRL_NUMBER: &[u8] = b"\x55\x1d\x14";
pub(crate) const NAME_CONSTRAINTS: &[u8] = b"\x55\x1d\x1e";
pub(crate) const AUTHORITY_KEY_ID: &[u8] = b"\x55\x1d\x23";
pub(crate) const EXTENDED_KEY_USAGE: &[u8] = b"\x55\x1d\x25";

/// A certificate in the making.
#[derive(Clone)]
pub(crate) struct Forge {
    pub(crate) version: Vec<u8>,
    pub(crate) serial: Vec<u8>,
    pub(crate) inner_algorithm: Vec<u8>,
    pub(crate) outer_algorithm: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) not_before: Vec<u8>,
    pub(crate) not_after: Vec<u8>,
    pub(crate) spki: Vec<u8>,
    pub(crate) extensions: Vec<Extension>,
}

impl Forge {
    fn new(subject: &str, key: &Key, issuer: &str, issuer_key: &Key) -> Forge {
        let algorithm = SignatureAlgorithm::EcdsaSha256.identifier_der().to_vec();
        Forge {
            version: tlv(0xa0, &[&[2, 1, 2]]),
            serial: vec![0x42],
            inner_algorithm: algorithm.clone(),
            outer_algorithm: algorithm,
            issuer: name(issuer),
            subject: name(subject),
            not_before: tlv(0x17, &[b"250101000000Z"]),
            not_after: tlv(0x17, &[b"270101000000Z"]),
            spki: key.spki.clone(),
            extensions: vec![
                (SUBJECT_KEY_ID, false, tlv(4, &[&key.id])),
                (AUTHORITY_KEY_ID, false, sequence(&[&tlv(0x80, &[&issuer_key.id])])),
            ],
        }
    }

    /// A CA: critical basicConstraints, keyCertSign and cRLSign.
    pub(crate) fn ca(subject: &str, key: &Key, issuer: &str, issuer_key: &Key) -> Forge {
        let mut forge = Forge::new(subject, key, issuer, issuer_key);
        forge.put(BASIC_CONSTRAINTS, true, sequence(&[&[1, 1, 0xff]]));
        forge.put(KEY_USAGE, true, tlv(3, &[&[1, 0x06]]));
        forge
    }

    /// A TLS client: digitalSignature, clientAuth, one dNSName.
    pub(crate) fn leaf(subject: &str, issuer: &str, issuer_key: &Key) -> Forge {
        let mut forge = Forge::new(subject, &LEAF, issuer, issuer_key);
        forge.put(KEY_USAGE, true, tlv(3, &[&[7, 0x80]]));
        forge.put(EXTENDED_KEY_USAGE, false, sequence(&[&tlv(6, &[b"\x2b\x06\x01\x05\x05\x07\x03\x02"])]));
        forge.put(SUBJECT_ALT_NAME, false, sequence(&[&tlv(0x82, &[b"leaf.example"])]));
        forge
    }

    /// Adds or replaces.
    pub(crate) fn put(&mut self, oid: &'static [u8], critical: bool, value: Vec<u8>) {
        self.remove(oid);
        self.extensions.push((oid, critical, value));
    }

    pub(crate) fn remove(&mut self, oid: &[u8]) {
        self.extensions.retain(|(present, _, _)| *present != oid);
    }

    pub(crate) fn path_len(&mut self, most: u8) {
        self.put(BASIC_CONSTRAINTS, true, sequence(&[&[1, 1, 0xff], &[2, 1, most]]));
    }

    /// Permitted dNSName subtrees.
    pub(crate) fn permit(&mut self, critical: bool, subtrees: &[&str]) {
        let list: Vec<u8> = subtrees.iter().flat_map(|text| sequence(&[&tlv(0x82, &[text.as_bytes()])])).collect();
        self.put(NAME_CONSTRAINTS, critical, sequence(&[&tlv(0xa0, &[&list])]));
    }

    pub(crate) fn der(&self, signer: &Key) -> Vec<u8> {
        let extensions: Vec<u8> = self.extensions.iter().flat_map(extension).collect();
        let tbs = sequence(&[
            &self.version,
            &tlv(2, &[&self.serial]),
            &self.inner_algorithm,
            &self.issuer,
            &sequence(&[&self.not_before, &self.not_after]),
            &self.subject,
            &self.spki,
            &tlv(0xa3, &[&sequence(&[&extensions])]),
        ]);
        signed(&tbs, &self.outer_algorithm, signer)
    }

    pub(crate) fn sign(&self, signer: &Key) -> Certificate {
        Certificate::parse(&self.der(signer)).unwrap()
    }
}

fn extension((oid, critical, value): &Extension) -> Vec<u8> {
    let flag: &[u8] = if *critical { &[1, 1, 0xff] } else { &[] };
    sequence(&[&tlv(6, &[oid]), flag, &tlv(4, &[value])])
}

pub(crate) fn signed(tbs: &[u8], algorithm: &[u8], signer: &Key) -> Vec<u8> {
    sequence(&[tbs, algorithm, &tlv(3, &[&[0], &signer.sign(tbs)])])
}

/// A root, one intermediate and a leaf, each still to be edited.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) root: Forge,
    pub(crate) middle: Forge,
    pub(crate) leaf: Forge,
}

impl World {
    pub(crate) fn new() -> World {
        World {
            root: Forge::ca("root", &ROOT, "root", &ROOT),
            middle: Forge::ca("middle", &MIDDLE, "root", &ROOT),
            leaf: Forge::leaf("leaf", "middle", &MIDDLE),
        }
    }

    pub(crate) fn edited(edit: impl FnOnce(&mut World)) -> World {
        let mut world = World::new();
        edit(&mut world);
        world
    }

    /// Leaf, intermediate, root.
    pub(crate) fn sign(&self) -> [Certificate; 3] {
        [self.leaf.sign(&MIDDLE), self.middle.sign(&ROOT), self.root.sign(&ROOT)]
    }
}

/// A revocation list in the making.
pub(crate) struct ForgeList {
    pub(crate) issuer: Vec<u8>,
    pub(crate) this_update: Vec<u8>,
    pub(crate) next_update: Vec<u8>,
    pub(crate) revoked: Vec<Vec<u8>>,
    pub(crate) extensions: Vec<Extension>,
}

impl ForgeList {
    pub(crate) fn new(issuer: &str, key: &Key) -> ForgeList {
        ForgeList {
            issuer: name(issuer),
            this_update: tlv(0x17, &[b"251201000000Z"]),
            next_update: tlv(0x17, &[b"260201000000Z"]),
            revoked: Vec::new(),
            extensions: vec![
                (AUTHORITY_KEY_ID, false, sequence(&[&tlv(0x80, &[&key.id])])),
                (CRL_NUMBER, false, tlv(2, &[&[7]])),
            ],
        }
    }

    pub(crate) fn revoke(mut self, serial: &[u8], entry_extensions: &[Extension]) -> ForgeList {
        let extensions: Vec<u8> = entry_extensions.iter().flat_map(extension).collect();
        let wrapped = if extensions.is_empty() { Vec::new() } else { sequence(&[&extensions]) };
        self.revoked.push(sequence(&[&tlv(2, &[serial]), &tlv(0x17, &[b"251101000000Z"]), &wrapped]));
        self
    }

    pub(crate) fn der(&self, signer: &Key) -> Vec<u8> {
        let algorithm = SignatureAlgorithm::EcdsaSha256.identifier_der();
        let revoked = if self.revoked.is_empty() { Vec::new() } else { sequence(&[&self.revoked.concat()]) };
        let extensions: Vec<u8> = self.extensions.iter().flat_map(extension).collect();
        let tbs = sequence(&[
            &[2, 1, 1],
            algorithm,
            &self.issuer,
            &self.this_update,
            &self.next_update,
            &revoked,
            &tlv(0xa0, &[&sequence(&[&extensions])]),
        ]);
        signed(&tbs, algorithm, signer)
    }

    pub(crate) fn sign(&self, signer: &Key) -> RevocationList {
        RevocationList::parse(&self.der(signer)).unwrap()
    }
}
