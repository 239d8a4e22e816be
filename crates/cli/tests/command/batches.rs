//! `device provision` over lists and folders: a result for each, and a repetition that goes on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    process::{Command, Stdio},
};

use issuance::{KeyKind, SigningKey as _, SoftwareKey, make_csr};
use pki::pem;
use serde_json::Value;

use crate::{
    chain::{Chain, shared},
    run::countersign,
};

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
fn a_list_is_read_as_a_spreadsheet_writes_it_and_what_is_wrong_in_it_is_named_before_anything_is_asked() {
    let chain = shared();
    chain.lot_at_line("po-sheet", "tsh", 2);
    let folder = tempfile::tempdir().unwrap();
    let (list, out) = (folder.path().join("list.csv"), folder.path().join("out"));
    let command = format!("device provision --csv {} --lot tsh --out {}", list.display(), out.display());
    let cases = [
        ("", "names no device"),
        ("\n  \n# nothing\n", "names no device"),
        ("sh-1\nsh-2;x.csr\n", "line 2: fields are divided by commas"),
        ("sh-1\n\"sh-2\"\n", "line 2: quotes"),
        ("sh-1\n../x\n", "line 2: "),
        ("sh-1\nsh-1\n", "sh-1 stands in line 1 and in line 2"),
        ("sh-1,,b,c\n", "line 1: want device id, CSR file, lot"),
    ];
    for (text, said) in cases {
        fs::write(&list, text).unwrap();
        let ended = chain.run("technician-z/station", &command);
        ended.assert_failed(1, "FILE_MALFORMED");
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
    fs::write(&list, "sh-1\nsh-2,gone.csr\n").unwrap();
    let ended = chain.run("technician-z/station", &command);
    ended.assert_failed(3, "FILE_MISSING");
    assert!(ended.stderr.contains("line 2: ") && ended.stderr.contains("gone.csr"), "{}", ended.stderr);
    assert!(!out.exists());
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let of_folder = format!("device provision --folder {} --lot tsh --out {}", empty.display(), out.display());
    chain.run("technician-z/station", &of_folder).assert_failed(1, "FILE_MALFORMED");
    assert_eq!(chain.tally("technician-z/operator", "tsh", "provisioned"), 0);

    fs::write(&list, "\u{feff}device_id\r\nsh-1\r\n\r\nSH-2\r\n").unwrap();
    assert_eq!(chain.ok("technician-z/station", &command)["devices"], 2);
    // The lot is spent, and what was done is answered as before: also to who only asks what would happen.
    let dry = chain.ok("technician-z/station", &format!("{command} --dry-run"));
    assert_eq!((&dry["devices"], &dry["refused"]), (&2.into(), &0.into()), "{dry}");
    assert_eq!(chain.tally("technician-z/operator", "tsh", "provisioned"), 2);
}

/// Enough that some are still to come when the first are answered.
const SHIFT: usize = 300;

#[test]
fn a_batch_that_was_killed_goes_on_with_the_same_certificates_and_spends_nothing_twice() {
    let chain = Chain::start();
    chain.lot_at_line("po-killed", "tb3", u32::try_from(SHIFT).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (list, out) = (folder.path().join("shift.csv"), folder.path().join("out"));
    let ids: Vec<String> = (1..=SHIFT).map(|number| format!("kb-{number}")).collect();
    // Every third device makes its own key; the others' keys are made at the line, and must not be lost.
    let line = |(at, id): (usize, &String)| {
        let own = at % 3 == 0;
        if own {
            write_csr(folder.path(), id, id);
        }
        if own { format!("{id},{id}.csr\n") } else { format!("{id}\n") }
    };
    fs::write(&list, ids.iter().enumerate().map(line).collect::<String>()).unwrap();
    let command = format!("device provision --csv {} --lot tb3 --out {} --confirm", list.display(), out.display());
    let profile = chain.text("technician-z/as-station.toml");

    let mut before: BTreeMap<String, String> = BTreeMap::new();
    for answers in [1, 40] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .args(command.split(' '))
            .args(["--as", &profile])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in told.by_ref().take(answers) {
            let line = line.unwrap();
            let (id, serial) = (line.split(' ').next().unwrap(), line.rsplit(' ').next().unwrap());
            let earlier = before.insert(id.to_owned(), serial.to_owned());
            assert!(earlier.is_none_or(|earlier| earlier == serial), "{line}");
        }
        // SIGKILL: nothing of it is tidied up.
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success(), "it was cut in the middle");
    }

    let answer = chain.ok("technician-z/station", &command);
    assert_eq!((&answer["devices"], &answer["refused"]), (&SHIFT.into(), &0.into()));
    let results = answer["results"].as_array().unwrap();
    let told: BTreeSet<_> = results.iter().map(|result| result["device_id"].as_str().unwrap()).collect();
    assert_eq!((results.len(), told), (SHIFT, ids.iter().map(String::as_str).collect()), "each line once");
    for result in results {
        let id = result["device_id"].as_str().unwrap();
        assert_eq!((&result["state"], &result["note"]), (&"WRITTEN".into(), &Value::Null), "{id}");
        if let Some(serial) = before.get(id) {
            assert_eq!(result["certificate_serial"], serial.as_str(), "{id}");
        }
        let leaf = pem::certificates(&fs::read_to_string(out.join(id).join("device.pem")).unwrap()).unwrap().remove(0);
        if let Ok(key) = fs::read(out.join(id).join("key.pem")) {
            assert_eq!(SoftwareKey::from_file(&key).unwrap().public_key(), leaf.public_key(), "{id}");
        } else {
            assert!(
                folder.path().join(format!("{id}.csr")).exists(),
                "the key of {id} was made at the line, and is lost"
            );
        }
    }
    let shift = u64::try_from(SHIFT).unwrap();
    assert_eq!(chain.tally("technician-z/operator", "tb3", "provisioned"), shift);
    assert_eq!(chain.tally("technician-z/operator", "tb3", "remaining"), 0);
}

/// On a terminal somebody waits, and sees how far it is; JSON on standard output stays JSON.
#[test]
fn a_batch_shows_its_progress_on_a_terminal() {
    let chain = shared();
    chain.lot_at_line("po-progress", "tb4", 3);
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("shift.csv");
    fs::write(&list, "pr-1\npr-2\npr-3\n").unwrap();
    let command = format!(
        "{} device provision --csv {} --lot tb4 --out {} --as {} -o json",
        env!("CARGO_BIN_EXE_countersign"),
        list.display(),
        folder.path().join("out").display(),
        chain.text("technician-z/as-station.toml")
    );
    let shown = Command::new("script").args(["-qec", &command, "/dev/null"]).stdin(Stdio::null()).output().unwrap();
    assert!(shown.status.success(), "{shown:?}");
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(["\r1 of 3", "\r2 of 3", "\r3 of 3"].iter().all(|step| shown.contains(step)), "{shown:?}");
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
