//! The brand's verbs over running services.

use crate::{chain::shared, run::countersign};

#[test]
fn an_order_is_proposed_approved_amended_and_cancelled() {
    let chain = shared();
    let create = "order create po-day --program smart-widget --units 100 --route company-x,factory-y";
    let proposed = chain.ok("company-x/alice", create);
    let digest = proposed["order"]["terms_digest"].as_str().unwrap().to_owned();
    assert_eq!(proposed["order"]["state"], "PROPOSED");

    // The digest that was read is approved, and no other.
    let other = "00".repeat(32);
    chain.refused("company-x/alice", &format!("order approve po-day --digest {other}"), "TERMS_DIGEST_MISMATCH");
    chain.ok("company-x/alice", &format!("order approve po-day --digest {digest}"));
    let approved = chain.ok("company-x/bob", "order approve po-day --yes po-day");
    assert_eq!(
        (&approved["order"]["state"], &approved["order"]["tally"]["remaining"]),
        (&"APPROVED".into(), &100.into())
    );

    let amend = "order amend po-day --program smart-widget --units 150 --route company-x,factory-y --replaces";
    chain.refused("company-x/alice", &format!("{amend} {other}"), "TERMS_DIGEST_MISMATCH");
    let amended = chain.ok("company-x/alice", &format!("{amend} {digest}"));
    assert_eq!((&amended["order"]["order_version"], &amended["order"]["state"]), (&2.into(), &"PROPOSED".into()));
    assert_eq!(chain.ok("company-x/alice", "order show po-day --version 1")["order"]["terms_digest"], digest);

    let cancelled = chain.ok("company-x/alice", "order cancel po-day --yes po-day");
    assert_eq!(cancelled["order"]["state"], "CANCELLED");
}

#[test]
fn what_cannot_be_undone_is_confirmed_by_its_name_and_a_dry_run_changes_nothing() {
    let chain = shared();
    chain.ok("company-x/alice", "order create po-kept --program smart-widget --units 1 --route company-x,factory-y");
    chain.refused("company-x/alice", "order cancel po-kept", "CONFIRMATION_MISSING");
    chain.refused("company-x/alice", "order cancel po-kept --yes po-other", "CONFIRMATION_MISSING");
    chain.refused("company-x/alice", "order approve po-kept", "CONFIRMATION_MISSING");
    let dry = chain.ok("company-x/alice", "order cancel po-kept --dry-run");
    assert_eq!((&dry["dry_run"], &dry["now"]["order"]["state"]), (&true.into(), &"PROPOSED".into()));
    let would = chain.ok("company-x/alice", "order approve po-kept --dry-run");
    assert!(would["would"]["terms"].as_str().unwrap().contains("po-kept"));
    // An offer would reserve units: what the order has left is shown, and stays.
    let offer = chain.ok("company-x/alice", "handoff offer never --source po-kept --to factory-y --units 1 --dry-run");
    assert_eq!((&offer["request"]["quantity"], &offer["now"]["order"]["order"]), (&1.into(), &"po-kept".into()));
    let now = chain.ok("company-x/alice", "order show po-kept");
    assert_eq!((&now["order"]["state"], &now["order"]["approvals"]), (&"PROPOSED".into(), &serde_json::json!([])));
}

#[test]
fn a_change_is_repeated_by_its_request_id_and_other_content_under_it_is_refused() {
    let chain = shared();
    let id = "2f1c6a52-9c4f-4c0e-8a39-51d6c1f0f5b2";
    let create = |units: u32| {
        format!(
            "order create po-again --program smart-widget --units {units} --route company-x,factory-y --request-id {id}"
        )
    };
    let first = chain.ok("company-x/alice", &create(5));
    assert_eq!(chain.ok("company-x/alice", &create(5)), first);
    chain.refused("company-x/alice", &create(6), "REQUEST_ID_REUSED");
    let ended = chain.run("company-x/alice", &create(5).replace(id, "not-a-uuid"));
    ended.assert_failed(2, "USAGE");
}

#[test]
fn lists_come_page_by_page_or_whole() {
    let chain = shared();
    for n in 1..=3 {
        chain.ok(
            "company-x/alice",
            &format!("order create pg-{n} --program smart-widget --units 1 --route company-x,factory-y"),
        );
    }
    let orders = |answer: &serde_json::Value| -> Vec<String> {
        answer["orders"].as_array().unwrap().iter().map(|order| order["order"].as_str().unwrap().to_owned()).collect()
    };
    let all = orders(&chain.ok("company-x/alice", "order list --all"));
    assert!((1..=3).all(|n| all.contains(&format!("pg-{n}"))), "{all:?}");
    let first = chain.ok("company-x/alice", "order list --limit 1");
    let token = first["next_page_token"].as_str().unwrap();
    let second = chain.ok("company-x/alice", &format!("order list --limit 1 --page {token}"));
    assert_eq!([orders(&first), orders(&second)].concat(), all[..2]);
    let words = chain.run("company-x/alice", "order list --limit 1");
    assert!(words.stdout.starts_with("ORDER ") && words.stdout.contains("--page "), "{}", words.stdout);
}

#[test]
fn an_organisation_is_registered_suspended_reinstated_and_gets_another_key() {
    let chain = shared();
    let keys = tempfile::tempdir().unwrap();
    let path = |name: &str| keys.path().join(name).into_os_string().into_string().unwrap();
    for name in ["one", "two", "three"] {
        let key = issuance::SoftwareKey::generate(issuance::KeyKind::P256).unwrap();
        let public = pki::pem::encode("PUBLIC KEY", issuance::SigningKey::public_key(&key).spki());
        std::fs::write(path(&format!("{name}.pub")), public).unwrap();
        crate::batches::write_secret(
            &path(&format!("{name}.key")),
            &pki::pem::encode("PRIVATE KEY", &key.to_pkcs8().unwrap()),
        );
    }
    let register = format!("manufacturer register maker-k --name Maker-K --identity-key {}", path("one.pub"));
    let registered = chain.ok("company-x/alice", &register);
    assert!(registered["manufacturer"]["identity_key"].as_str().unwrap().starts_with("-----BEGIN PUBLIC KEY-----"));

    chain.ok("company-x/alice", "manufacturer suspend maker-k --why audit");
    assert_eq!(chain.ok("company-x/alice", "manufacturer show maker-k")["manufacturer"]["state"], "SUSPENDED");
    chain.ok("company-x/alice", "manufacturer reinstate maker-k");

    let sign = |new: &str, current: &str, out: &str| {
        let (new, current, out) = (path(new), path(current), path(out));
        let words =
            ["manufacturer", "sign-rotation", "maker-k", "--new-key", &new, "--current-key", &current, "--out", &out];
        let ended = countersign(&words);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        countersign(&words).assert_failed(1, "OUTPUT_EXISTS");
    };
    sign("two.key", "one.key", "held.json");
    let rotate = |file: &str| format!("manufacturer rotate-key maker-k --rotation {} --yes maker-k", path(file));
    assert_eq!(
        chain.ok("company-x/alice", &rotate("held.json"))["manufacturer"]["identity_keys"].as_array().unwrap().len(),
        2
    );

    // The key in use is lost: its holder cannot sign, the brand's operator says so.
    sign("three.key", "two.pub", "lost.json");
    chain.run("company-x/alice", &rotate("lost.json")).assert_failed(2, "USAGE");
    let lost = chain.ok("company-x/alice", &format!("{} --lost fire", rotate("lost.json")));
    let keys = lost["manufacturer"]["identity_keys"].as_array().unwrap();
    assert!(keys.iter().any(|key| key["lost"] == true), "{keys:?}");
}

#[test]
fn the_bundle_is_fetched_for_verifiers() {
    let chain = shared();
    let out = chain.text("fetched.json");
    chain.ok("company-x/bob", &format!("program bundle --out {out}"));
    assert_eq!(countersign(&["inspect", &out]).code, Some(0));
}
