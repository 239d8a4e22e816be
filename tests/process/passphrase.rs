//! Keys under a passphrase: the passphrase comes from a file, and a service that cannot open its key never listens.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use issuance::{Passphrase, SoftwareKey, SystemEntropy};
use pki::pem;

use crate::room::{Kind, Room, assert_same};

/// Each key file and the option that names it, as they stand in the configuration.
const KEYS: [(Kind, &str, &str); 8] = [
    (Kind::RootCa, "key", "root-ca"),
    (Kind::RootCa, "key", "root"),
    (Kind::RootCa, "identity_key", "identity"),
    (Kind::IntermediateCa, "key", "intermediate-ca"),
    (Kind::IntermediateCa, "identity_key", "identity"),
    (Kind::Provisioner, "key", "provisioner"),
    (Kind::Hub, "key", "hub"),
    (Kind::Hub, "key", "hub-devices"),
];

fn write(file: &Path, text: &str, mode: u32) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
}

/// Puts a key under a passphrase; its file may then be read by others.
fn encrypt(file: &Path, passphrase: &str) {
    let key = SoftwareKey::from_file(&fs::read(file).unwrap()).unwrap();
    let sealed = key.to_encrypted_pkcs8(&Passphrase::new(passphrase), &SystemEntropy).unwrap();
    write(file, &pem::encode(pem::ENCRYPTED_PRIVATE_KEY, &sealed), 0o644);
}

/// Switches the option on that the sample has off.
fn name_passphrase(room: &Room, kind: Kind, option: &str, key: &str) {
    let line = format!("{option}_passphrase_file = \"{key}.passphrase\"");
    room.change(kind, &format!("\n#{line}"), &format!("\n{line}"));
}

#[test]
fn a_key_under_a_passphrase_is_opened_with_the_one_in_its_file_and_with_no_other() {
    for (kind, option, key) in KEYS {
        let room = Room::new();
        encrypt(&room.beside(kind, &format!("{key}.key")), "correct horse");
        let passphrase = room.beside(kind, &format!("{key}.passphrase"));
        let refused = |code: i32, reason: &str| {
            let before = room.listing();
            for flags in [&[][..], &["--check-config"]] {
                let ended = room.run(kind, flags);
                ended.assert_refused(kind, code, reason);
                assert!(ended.stderr.contains(&format!("{key}.")), "{}", ended.stderr);
                assert!(!ended.stderr.contains("horse"), "{}", ended.stderr);
            }
            assert_same(&before, &room.listing());
        };
        refused(1, "PASSPHRASE_MISSING");
        name_passphrase(&room, kind, option, key);
        refused(3, "FILE_MISSING");
        write(&passphrase, "wrong horse\n", 0o600);
        refused(1, "PASSPHRASE_WRONG");
        write(&passphrase, "\n", 0o600);
        refused(1, "PASSPHRASE_EMPTY");
        write(&passphrase, "correct horse\n", 0o640);
        refused(1, "KEY_FILE_EXPOSED");
        write(&passphrase, "correct horse\n", 0o600);
        assert_eq!(room.start(kind).end(), Some(0), "{key}");
    }
}
