//! Two sites without a wire between them: every message as a file.

use std::fs;

use crate::{
    chain::{Chain, shared},
    run::countersign,
};

/// Names of files for one lot.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).into_os_string().into_string().unwrap()
    }
}

/// An offer of a lot to factory-y in a file.
fn offered(chain: &Chain, files: &Files, order: &str, lot: &str) {
    chain.order(order, 50, "factory-y");
    chain.ok("company-x/alice", &format!("handoff offer {lot} --source {order} --to factory-y --units 50"));
    chain.ok("company-x/alice", &format!("handoff export {lot} --out {}", files.path("offer")));
}

#[test]
fn a_lot_is_handed_over_by_files_alone() {
    let (chain, files) = (shared(), Files::new());
    offered(chain, &files, "po-files", "bf1");
    let inspected = countersign(&["inspect", &files.path("offer"), "-o", "json"]).json();
    assert_eq!((&inspected["kind"], &inspected["facts"][0]["lot"]), (&"handoff_file".into(), &"bf1".into()));

    let accept = format!("lot import {} --out {}", files.path("offer"), files.path("acceptance"));
    assert_eq!(chain.ok("factory-y/operator", &format!("{accept} --dry-run"))["dry_run"], true);
    chain.ok("factory-y/operator", &accept);
    chain.refused("factory-y/operator", &accept, "OUTPUT_EXISTS");
    let hand_in = |out: &str| format!("handoff import {} --out {}", files.path("acceptance"), files.path(out));
    chain.ok("company-x/alice", &hand_in("answer"));
    // Handed in again, the same answer comes: nothing is spent twice.
    chain.ok("company-x/alice", &hand_in("answer-again"));
    assert_eq!(fs::read(files.path("answer")).unwrap(), fs::read(files.path("answer-again")).unwrap());

    let opened = chain.ok("factory-y/operator", &format!("lot open {}", files.path("answer")));
    assert_eq!((&opened["lot"]["state"], &opened["lot"]["tally"]["remaining"]), (&"OPEN".into(), &50.into()));
    assert_eq!(chain.ok("company-x/alice", "handoff show bf1")["handoff"]["state"], "SIGNED");
}

#[test]
fn a_file_for_somebody_else_is_refused_and_named() {
    let (chain, files) = (shared(), Files::new());
    offered(chain, &files, "po-unfit", "bf2");
    let offer = files.path("offer");
    chain.refused("factory-y/operator", &format!("lot open {offer}"), "HANDOFF_FILE_UNFIT");
    chain.refused("factory-y/operator", &format!("lot reinstate {offer}"), "HANDOFF_FILE_UNFIT");
    chain.refused(
        "company-x/alice",
        &format!("handoff import {offer} --out {}", files.path("x")),
        "HANDOFF_FILE_UNFIT",
    );
    // Offered to factory-y, and technician-z opens the envelope.
    let ended = chain.run("technician-z/operator", &format!("lot import {offer} --out {}", files.path("y")));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
    assert!(!fs::exists(files.path("x")).unwrap() && !fs::exists(files.path("y")).unwrap());
}

#[test]
fn a_file_that_was_changed_or_cut_off_opens_nothing() {
    let (chain, files) = (shared(), Files::new());
    offered(chain, &files, "po-broken", "bf3");
    let text = fs::read_to_string(files.path("offer")).unwrap();
    let block = pki::pem::single(&text, "COUNTERSIGN HANDOFF").unwrap();
    let length = block.der().len();
    let write =
        |octets: &[u8]| fs::write(files.path("broken"), pki::pem::encode("COUNTERSIGN HANDOFF", octets)).unwrap();
    let import = format!("lot import {} --out {}", files.path("broken"), files.path("out"));
    let refused = |what: &str| {
        let ended = chain.run("factory-y/operator", &import);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{what}: {}", ended.stderr);
        assert!(ended.stderr.starts_with("error["), "{what}: {}", ended.stderr);
        assert!(!fs::exists(files.path("out")).unwrap(), "{what}");
    };
    for at in [8, length / 3, length / 2, length - 10] {
        let mut changed = block.der().to_vec();
        changed[at] ^= 1;
        write(&changed);
        refused(&format!("octet {at} of {length} changed"));
        write(&block.der()[..at]);
        refused(&format!("cut off at {at} of {length}"));
    }
    fs::write(files.path("broken"), "no armour").unwrap();
    refused("no armour");
    // The offer itself is still good.
    chain.ok("factory-y/operator", &format!("lot import {} --out {}", files.path("offer"), files.path("acceptance")));
}

#[test]
fn reports_and_permissions_travel_as_files_too() {
    let (chain, files) = (shared(), Files::new());
    chain.order("po-report", 20, "factory-y");
    chain.lot_at_factory("po-report", "bf4", 20);
    chain.ok("factory-y/operator", "lot scrap-blanks bf4 --units 3 --why warped --yes bf4");
    chain.ok("factory-y/operator", &format!("lot report bf4 --out {}", files.path("report")));
    chain.ok("company-x/alice", &format!("handoff import {}", files.path("report")));
    let reported = chain.ok("company-x/alice", "handoff show bf4")["handoff"]["report"].clone();
    assert_eq!(reported["tally"]["scrapped"], 3);

    let allow = format!("handoff allow-reinstatement bf4 --units 2 --out {}", files.path("permission"));
    chain.ok("company-x/alice", &allow);
    let reinstate = format!("lot reinstate {} --blanks 2", files.path("permission"));
    assert_eq!(chain.ok("factory-y/operator", &reinstate)["lot"]["tally"]["scrapped"], 1);
    // A permission is good once.
    let again = chain.run("factory-y/operator", &reinstate);
    assert_eq!(again.code, Some(1), "{}", again.stderr);
    assert_eq!(chain.tally("factory-y/operator", "bf4", "scrapped"), 1);
}

#[test]
fn an_orders_manifest_is_put_at_both_sites_and_permits_its_devices_alone() {
    let (chain, files) = (shared(), Files::new());
    let list = files.path("ids.txt");
    fs::write(&list, "mf-2\nmf-2\n").unwrap();
    chain.refused("company-x/alice", &format!("order put-manifest {list}"), "FILE_MALFORMED");
    fs::write(&list, "# shift 7\nMF-2\nmf-1\n").unwrap();
    let dry = chain.ok("company-x/alice", &format!("order put-manifest {list} --dry-run"));
    let put = chain.ok("company-x/alice", &format!("order put-manifest {list}"));
    assert_eq!((&put["devices"], &put["sha256"]), (&2.into(), &dry["would"]["sha256"]));
    let digest = put["sha256"].as_str().unwrap();

    let create = "order create po-manifest --program smart-widget --units 5 --route company-x,factory-y,technician-z";
    chain.ok("company-x/alice", &format!("{create} --manifest-sha256 {digest}"));
    for approver in ["company-x/alice", "company-x/bob"] {
        chain.ok(approver, "order approve po-manifest --yes po-manifest");
    }
    chain.lot_at_factory("po-manifest", "mf1", 5);
    chain.ok("factory-y/operator", "handoff offer mf2 --source mf1 --to technician-z --units 5");
    let (offer, manifest, out) = (files.path("offer"), files.path("manifest"), files.path("devices"));
    chain.ok("factory-y/operator", &format!("handoff manifest mf2 --out {manifest}"));
    chain.ok("factory-y/operator", &format!("handoff export mf2 --out {offer}"));
    let (acceptance, answer) = (files.path("acceptance"), files.path("answer"));
    chain.ok("technician-z/operator", &format!("lot put-manifest {manifest}"));
    chain.ok("technician-z/operator", &format!("lot import {offer} --out {acceptance}"));
    chain.ok("factory-y/operator", &format!("handoff import {acceptance} --out {answer}"));
    chain.ok("technician-z/operator", &format!("lot open {answer}"));

    chain.ok("technician-z/station", &format!("device provision mf-1 --lot mf2 --out {out}"));
    let refused = chain.run("technician-z/station", &format!("device provision mf-3 --lot mf2 --out {out}"));
    assert!(refused.stdout.contains("DEVICE_NOT_ON_MANIFEST"), "{} {}", refused.stdout, refused.stderr);
}
