//! Server-made keys: delivered until the unit is confirmed, never after, and never in the journal.

use api::{Refusal, reason::v1::Reason};
use service::secret::SecretDirectory;
use store::{Position, Step, Store as _};

use super::{Line, fits, reason};
use crate::escrow::Escrow;

#[tokio::test]
async fn a_server_made_key_is_delivered_with_every_retry_until_the_unit_is_confirmed() {
    let mut line = Line::new(&[("t7", 3)]);
    let unit = line.make(1, "sn1").await.unwrap();
    let private_key = unit.private_key.clone().unwrap();
    assert!(fits(&private_key, &unit.chain[0]));
    assert_eq!(line.make(1, "sn1").await.unwrap(), unit);
    line.start_again();
    assert_eq!(line.make(1, "sn1").await.unwrap(), unit);

    line.confirm(2, "sn1", &unit.chain[0]).await.unwrap();
    assert!(line.kept_keys().is_empty());
    let after = line.make(1, "sn1").await.unwrap();
    assert_eq!((after.private_key.as_ref(), after.key_withheld()), (None, Reason::KeyAlreadyDelivered));
    assert_eq!(after.chain, unit.chain);
}

#[tokio::test]
async fn a_crash_between_the_confirmation_and_the_keys_end_does_not_deliver_it_again() {
    let mut line = Line::new(&[("t7", 3)]);
    let unit = line.make(1, "sn1").await.unwrap();
    let file = line.kept_keys().remove(0);
    let wrapped = std::fs::read(&file).unwrap();
    line.confirm(2, "sn1", &unit.chain[0]).await.unwrap();
    // As if the process had ended before the key was destroyed.
    SecretDirectory::open(file.parent().unwrap())
        .unwrap()
        .write(file.file_name().unwrap().to_str().unwrap(), &wrapped)
        .unwrap();
    line.start_again();
    let after = line.make(1, "sn1").await.unwrap();
    assert_eq!((after.private_key.as_ref(), after.key_withheld()), (None, Reason::KeyAlreadyDelivered));
    // The next confirmation finishes what the crash left.
    line.confirm(2, "sn1", &unit.chain[0]).await.unwrap();
    assert!(line.kept_keys().is_empty());
}

#[tokio::test]
async fn another_request_does_not_get_the_key() {
    let line = Line::new(&[("t7", 3)]);
    line.make(1, "sn1").await.unwrap();
    assert_eq!(reason(line.make(2, "sn1").await), "DEVICE_ID_TAKEN");
    assert_eq!(line.kept_keys().len(), 1);
}

#[tokio::test]
async fn one_request_that_comes_twice_at_once_gets_one_key() {
    let line = Line::new(&[("t7", 3)]);
    let (one, other) = tokio::join!(line.make(1, "sn1"), line.make(1, "sn1"));
    let unit = one.unwrap();
    assert_eq!(other.unwrap(), unit);
    assert!(fits(&unit.private_key.unwrap(), &unit.chain[0]));
    assert_eq!((line.kept_keys().len(), line.signer.books().lots["t7"]), (1, 2));
}

#[tokio::test]
async fn the_key_of_a_refused_unit_is_destroyed() {
    let line = Line::new(&[("t7", 3)]);
    line.signer.books().refuses = Some(Refusal::new("DEVICE_ID_TAKEN", "taken"));
    assert_eq!(reason(line.make(1, "sn1").await), "DEVICE_ID_TAKEN");
    assert!(line.kept_keys().is_empty());
}

#[tokio::test]
async fn a_key_survives_what_breaks_before_its_unit_is_issued() {
    for commit in 0..3 {
        for step in [Step::BeforeSync, Step::AfterSync] {
            let mut line = Line::new(&[("t7", 3)]);
            line.faults.fail_after(step, commit);
            assert_eq!(reason(line.make(1, "sn1").await), "STORE_STOPPED");
            line.start_again();
            let unit = line.make(1, "sn1").await.unwrap();
            assert!(fits(&unit.private_key.unwrap(), &unit.chain[0]), "{step:?} in commit {commit}");
        }
    }
}

#[tokio::test]
async fn a_wrapped_key_that_is_gone_or_spoiled_is_named() {
    let line = Line::new(&[("t7", 3)]);
    line.signer.books().breaks = 1;
    assert_eq!(reason(line.make(1, "sn1").await), "UPSTREAM_UNREACHABLE");
    let file = line.kept_keys().remove(0);
    let wrapped = std::fs::read(&file).unwrap();
    for spoiled in [&wrapped[..wrapped.len() - 1], &wrapped[..5], &[], &[0; 200]] {
        std::fs::write(&file, spoiled).unwrap();
        assert_eq!(reason(line.make(1, "sn1").await), "KEY_ESCROW_DAMAGED");
    }
    std::fs::remove_file(&file).unwrap();
    assert_eq!(reason(line.make(1, "sn1").await), "KEY_ESCROW_DAMAGED");
    std::fs::write(&file, &wrapped).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    line.make(1, "sn1").await.unwrap();
}

#[tokio::test]
async fn no_private_key_is_in_the_journal_and_none_is_on_disk_unwrapped() {
    let line = Line::new(&[("t7", 3)]);
    let unit = line.make(1, "sn1").await.unwrap();
    let pkcs8 = unit.private_key.unwrap();
    // The secret scalar of P-256 in its PKCS#8.
    let secret = &pkcs8[36..68];
    let holds = |octets: &[u8]| octets.windows(secret.len()).any(|window| window == secret);
    assert!(!holds(&std::fs::read(&line.kept_keys()[0]).unwrap()));
    line.confirm(2, "sn1", &unit.chain[0]).await.unwrap();
    let history = line.store.history(Position::from_u64(0), 1000).unwrap().records;
    assert!(history.len() >= 4 && history.iter().all(|record| !holds(&record.payload)));
}

#[test]
fn a_wrapping_key_has_32_octets() {
    let folder = tempfile::tempdir().unwrap();
    let directory = SecretDirectory::create(&folder.path().join("escrow")).unwrap();
    for octets in [0, 16, 31, 33, 64] {
        let refused = Escrow::new(directory.clone(), &vec![7; octets]).map(|_| ());
        assert_eq!(reason(refused), "KEY_FILE_MALFORMED", "{octets}");
    }
}

#[test]
fn the_same_key_is_never_wrapped_the_same_way_twice() {
    let folder = tempfile::tempdir().unwrap();
    let directory = SecretDirectory::create(&folder.path().join("escrow")).unwrap();
    let escrow = Escrow::new(directory, &[7; 32]).unwrap();
    let digest = pki::Sha256::of(b"key");
    let wrap = || {
        escrow.keep(&digest, b"secret").unwrap();
        std::fs::read(folder.path().join("escrow").join(format!("{digest}.wrapped"))).unwrap()
    };
    assert_ne!(wrap(), wrap());
}
