//! `device provision` over lists and folders: a result for each, and a repetition that goes on.

use std::{
    fs,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use issuance::{KeyKind, SoftwareKey, make_csr};
use pki::pem;
use serde_json::Value;

use crate::{chain::shared, run::countersign};

/// Writes a file that its owner alone may read.
pub(crate) fn write_secret(path: &str, content: &str) {
    use std::io::Write as _;
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(content.as_bytes()).unwrap();
}

fn write_csr(folder: &Path, id: &str, named: &str) {
    let csr = make_csr(&SoftwareKey::generate(KeyKind::P256).unwrap(), named).unwrap();
    fs::write(folder.join(format!("{id}.csr")), pem::encode("CERTIFICATE REQUEST", &csr)).unwrap();
}

/// What became of one device.
fn result<'a>(answer: &'a Value, id: &str) -> &'a Value {
    answer["results"].as_array().unwrap().iter().find(|result| result["device_id"] == id).unwrap()
}

#[test]
fn a_list_is_provisioned_with_a_result_for_each_line_and_goes_on_when_it_is_repeated() {
    let chain = shared();
    chain.lot_at_line("po-batch", "tb1", 10);
    let folder = tempfile::tempdir().unwrap();
    let (list, out) = (folder.path().join("shift.csv"), folder.path().join("out"));
    write_csr(folder.path(), "own-key", "own-key");
    write_csr(folder.path(), "liar", "somebody-else");
    let text = "device_id,csr,lot\n# made by the device\nown-key,own-key.csr\nMADE-HERE,,tb1\nliar,liar.csr,tb1\n";
    fs::write(&list, text).unwrap();
    let command = format!("device provision --csv {} --lot tb1 --out {}", list.display(), out.display());

    let dry = chain.run("technician-z/station", &format!("{command} --dry-run -o json"));
    assert_eq!((dry.code, &dry.json()["refused"]), (Some(1), &1.into()), "{}", dry.stderr);
    assert!(!out.exists());
    assert_eq!(chain.tally("technician-z/operator", "tb1", "provisioned"), 0);

    let first = chain.run("technician-z/station", &format!("{command} -o json"));
    assert_eq!(first.code, Some(1), "one line was refused: {}", first.stderr);
    let first = first.json();
    assert_eq!(result(&first, "liar")["reason"], "CSR_ASKS_FOR_NAMES");
    assert_eq!(
        (&result(&first, "made-here")["result"], &result(&first, "made-here")["line"]),
        (&"provisioned".into(), &4.into())
    );
    let mode = fs::metadata(out.join("made-here/key.pem")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert!(!out.join("own-key/key.pem").exists() && !out.join("liar").exists());
    let bundle = chain.text("trust/bundle.json");
    for id in ["own-key", "made-here"] {
        let path = out.join(id).join("chain.pem").into_os_string().into_string().unwrap();
        assert_eq!(countersign(&["verify", "--trust", &bundle, &path]).code, Some(0));
    }

    // The same list with another line, and the refused one mended: what was done is answered again.
    write_csr(folder.path(), "liar", "liar");
    fs::write(&list, format!("{text}late-one\n")).unwrap();
    let again = chain.ok("technician-z/station", &format!("{command} --confirm"));
    for id in ["own-key", "made-here"] {
        assert_eq!(result(&again, id)["certificate_serial"], result(&first, id)["certificate_serial"]);
    }
    assert!(again["results"].as_array().unwrap().iter().all(|result| result["state"] == "WRITTEN"), "{again}");
    assert_eq!(chain.tally("technician-z/operator", "tb1", "written"), 4);
    assert_eq!(chain.ok("technician-z/station", &command)["refused"], 0);
    assert_eq!(chain.tally("technician-z/operator", "tb1", "provisioned"), 4);
}

#[test]
fn a_folder_of_requests_is_provisioned_and_each_device_is_shown_confirmed_reworked_and_scrapped() {
    let chain = shared();
    chain.lot_at_line("po-folder", "tb2", 10);
    let folder = tempfile::tempdir().unwrap();
    for id in ["fd-1", "fd-2"] {
        write_csr(folder.path(), id, id);
    }
    let out = folder.path().join("out");
    let command = format!("device provision --folder {} --lot tb2 --out {}", folder.path().display(), out.display());
    let done = chain.run("technician-z/station", &command);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(done.stdout.lines().count(), 3, "{}", done.stdout);
    let doubt = chain.ok("technician-z/operator", "device in-doubt --lot tb2");
    assert_eq!(doubt["devices"].as_array().unwrap().len(), 2);
    let of_every_lot = chain.run("technician-z/operator", "device in-doubt");
    let lots: Vec<_> = of_every_lot.stdout.lines().filter_map(|line| line.strip_prefix("fd-")).collect();
    assert!(lots.len() == 2 && lots.iter().all(|line| line.contains(" tb2 ")), "{}", of_every_lot.stdout);

    let leaf = out.join("fd-1/device.pem");
    chain.ok("technician-z/station", &format!("device confirm fd-1 --certificate {}", leaf.display()));
    chain.refused(
        "technician-z/station",
        &format!("device confirm fd-2 --certificate {}", leaf.display()),
        "WRITTEN_CERTIFICATE_DIFFERS",
    );
    assert_eq!(chain.ok("technician-z/operator", "device show fd-1 --at provisioner")["unit"]["state"], "WRITTEN");

    // A rework is allowed by an operator, and the next certificate has the next generation.
    write_csr(folder.path(), "fd-1", "fd-1");
    let rework = format!(
        "device provision fd-1 --csr {} --occasion rework --lot tb2 --out {}",
        folder.path().join("fd-1.csr").display(),
        out.display()
    );
    let refused = chain.run("technician-z/station", &rework);
    assert!(refused.stdout.contains("REWORK_NOT_ALLOWED"), "{} {}", refused.stdout, refused.stderr);
    assert_eq!(chain.ok("technician-z/operator", "device allow-rework fd-1")["next_generation"], 2);
    chain.ok("technician-z/station", &format!("{rework} --batch second"));
    assert_eq!(chain.ok("technician-z/operator", "device show fd-1")["certificate"]["generation"], 2);

    chain.refused("technician-z/operator", "device scrap fd-2 --why dropped", "CONFIRMATION_MISSING");
    chain.ok("technician-z/operator", "device scrap fd-2 --why dropped --yes fd-2");
    assert_eq!(chain.tally("technician-z/operator", "tb2", "scrapped"), 1);
}

#[test]
fn a_list_that_is_not_one_is_refused_before_anything_is_asked() {
    let chain = shared();
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list.csv");
    let command = format!("device provision --csv {} --out {}", list.display(), folder.path().join("out").display());
    for (text, said) in [
        ("sn1\nsn2,no-such.csr\n", "no-such.csr"),
        ("sn1\nsn 2\n", "line 2"),
        ("sn1\nsn2\nsn1\n", "sn1 stands in line 1 and in line 3"),
        ("sn1,,lot,more\n", "line 1"),
        ("../up\n", "line 1"),
        ("\"sn1\"\n", "quotes"),
    ] {
        fs::write(&list, text).unwrap();
        let ended = chain.run("technician-z/station", &command);
        assert!(ended.stdout.is_empty() && ended.code != Some(0), "{text:?}: {}", ended.stdout);
        assert!(ended.stderr.contains(said), "{text:?}: {}", ended.stderr);
    }
    assert!(!folder.path().join("out").exists());
    chain.run("technician-z/station", "device provision --out x").assert_failed(2, "USAGE");
}
