//! A service that cannot start says why in one line with a named reason, ends with the promised exit code, and changes nothing.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use crate::{
    command::{countersign, text},
    room::{Kind, Room, assert_same},
};

/// The service is refused for this reason, started and checked alike, in one line; nothing is created and nothing changed.
fn assert_refused(room: &Room, kind: Kind, code: i32, reason: &str, said: &str) {
    let before = room.listing();
    for flags in [&[][..], &["--check-config"]] {
        let ended = room.run(kind, flags);
        ended.assert_refused(kind, code, reason);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
    assert_same(&before, &room.listing());
}

#[test]
fn an_unknown_field_a_missing_one_and_no_toml_at_all_are_refused_with_file_and_line() {
    for kind in Kind::ALL {
        let room = Room::new();
        let whole = fs::read_to_string(room.config(kind)).unwrap();
        let cases = [
            (format!("{whole}\nnonsense = 1\n"), "nonsense"),
            (format!("nonsense = 1\n{whole}"), ".toml:1: "),
            (whole.replace("[listen]", "[listens]"), "listens"),
            (whole.replacen("\nmanufacturer", "\n# manufacturer", 1), "manufacturer"),
            (whole.replace("grpc = \"127.0.0.1:0\"", "grpc = 0"), "listen.grpc"),
            (format!("{whole}\n[[["), ".toml:"),
            (String::new(), "manufacturer"),
        ];
        for (text, said) in cases {
            fs::write(room.config(kind), text).unwrap();
            assert_refused(&room, kind, 2, "CONFIG_INVALID", said);
        }
    }
}

#[test]
fn a_configuration_that_is_not_there_or_is_a_folder_ends_with_three() {
    for kind in Kind::ALL {
        let room = Room::new();
        fs::remove_file(room.config(kind)).unwrap();
        assert_refused(&room, kind, 3, "FILE_MISSING", ".toml");
        fs::create_dir(room.config(kind)).unwrap();
        assert_refused(&room, kind, 3, "FILE_UNREADABLE", ".toml");
    }
}

/// A file of mode 000 is no test: whoever may do everything, as in a container, can read it. A folder in the key's place nobody can.
#[test]
fn a_key_file_that_is_missing_unreadable_malformed_or_open_to_others_is_refused() {
    for kind in Kind::ALL {
        let (keys, _) = kind.files();
        for key in keys {
            let room = Room::new();
            let file = room.beside(kind, key);
            for mode in [0o644, 0o640, 0o604, 0o602] {
                fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
                assert_refused(&room, kind, 1, "KEY_FILE_EXPOSED", key);
            }
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            for nonsense in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
                fs::write(&file, nonsense).unwrap();
                assert_refused(&room, kind, 1, "KEY_FILE_MALFORMED", key);
            }
            fs::remove_file(&file).unwrap();
            assert_refused(&room, kind, 3, "FILE_MISSING", key);
            fs::create_dir(&file).unwrap();
            assert_refused(&room, kind, 1, "KEY_FILE_MALFORMED", key);
        }
    }
}

#[test]
fn every_other_file_that_is_named_must_be_there_and_readable() {
    for kind in Kind::ALL {
        let (_, files) = kind.files();
        for name in files {
            let room = Room::new();
            let file = room.beside(kind, name);
            let base = Path::new(name).file_name().unwrap().to_str().unwrap();
            fs::write(&file, "nonsense").unwrap();
            let ended = room.run(kind, &[]);
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{name}: {}", ended.stderr);
            assert!(ended.stderr.contains("_MALFORMED: ") && ended.stderr.contains(base), "{}", ended.stderr);
            fs::remove_file(&file).unwrap();
            assert_refused(&room, kind, 3, "FILE_MISSING", base);
        }
    }
}

#[test]
fn another_ones_key_is_refused() {
    for (kind, key, reason) in [
        (Kind::RootCa, "root.key", "ISSUER_KEY_MISMATCH"),
        (Kind::RootCa, "root-ca.key", "KEY_MISMATCH"),
        (Kind::IntermediateCa, "intermediate-ca.key", "KEY_MISMATCH"),
        (Kind::Provisioner, "provisioner.key", "KEY_MISMATCH"),
        (Kind::Hub, "hub.key", "KEY_MISMATCH"),
        (Kind::Hub, "hub-devices.key", "KEY_MISMATCH"),
    ] {
        let room = Room::new();
        fs::copy(room.beside(kind, "identity.key"), room.beside(kind, key)).unwrap();
        let ended = room.run(kind, &["--check-config"]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{key}: {}", ended.stderr);
        assert!(ended.stderr.contains(reason), "{key}: {}", ended.stderr);
    }
}

#[test]
fn a_port_in_use_ends_with_three_and_the_store_can_be_opened_again() {
    for kind in Kind::ALL {
        for listener in ["grpc", "health"] {
            let room = Room::new();
            let taken = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = taken.local_addr().unwrap().to_string();
            room.change(kind, &format!("{listener} = \"127.0.0.1:0\""), &format!("{listener} = {address:?}"));
            let before = room.truth();
            let ended = room.run(kind, &[]);
            ended.assert_refused(kind, 3, "PORT_IN_USE");
            assert!(ended.stderr.contains(&address), "{}", ended.stderr);
            assert_same(&before, &room.truth());
            drop(taken);
            assert_eq!(room.start(kind).end(), Some(0));
        }
    }
}

#[test]
fn a_store_that_was_not_made_is_missing_and_is_not_made_by_the_way() {
    for kind in Kind::ALL {
        let room = Room::new();
        fs::remove_dir_all(room.store(kind)).unwrap();
        for there in [false, true] {
            if there {
                fs::create_dir(room.store(kind)).unwrap();
            }
            let before = room.listing();
            room.run(kind, &[]).assert_refused(kind, 3, "STORE_NOT_INITIALISED");
            assert_same(&before, &room.listing());
        }
    }
}

#[test]
fn another_services_store_is_refused_and_left_as_it_is() {
    let room = Room::new();
    let stores = Kind::ALL.map(|kind| room.store(kind));
    for (kind, other) in [
        (Kind::RootCa, &stores[1]),
        (Kind::IntermediateCa, &stores[2]),
        (Kind::Provisioner, &stores[1]),
        (Kind::Hub, &stores[0]),
    ] {
        room.change(kind, &format!("directory = \"{}-store\"", kind.name()), &format!("directory = {other:?}"));
        let before = room.truth();
        room.run(kind, &[]).assert_refused(kind, 1, "STORE_OF_ANOTHER_SERVICE");
        assert_same(&before, &room.truth());
    }
}

#[test]
fn another_manufacturers_store_is_refused() {
    let room = Room::new();
    // The brand's route has one manufacturer; its configuration now speaks for another.
    room.change(Kind::IntermediateCa, "\nmanufacturer = \"factory-y\"\n\n", "\nmanufacturer = \"factory-z\"\n\n");
    let before = room.truth();
    let ended = room.run(Kind::IntermediateCa, &[]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
    assert_same(&before, &room.truth());
}

#[test]
fn a_second_process_on_the_same_store_is_refused_and_the_first_serves_on() {
    for kind in Kind::ALL {
        let room = Room::new();
        let first = room.start(kind);
        room.run(kind, &[]).assert_refused(kind, 3, "STORE_IN_USE");
        TcpStream::connect(first.ready["grpc"].as_str().unwrap()).unwrap();
        assert_eq!(first.end(), Some(0));
        assert_eq!(room.start(kind).end(), Some(0), "the store is free again");
    }
}

#[test]
fn a_store_is_made_once() {
    for kind in Kind::ALL {
        let room = Room::new();
        let before = room.listing();
        room.run(kind, &["--init-store"]).assert_refused(kind, 1, "STORE_DIR_NOT_EMPTY");
        assert_same(&before, &room.listing());

        fs::remove_dir_all(room.store(kind)).unwrap();
        let made = room.run(kind, &["--init-store"]);
        assert_eq!((made.code, made.stdout.as_str()), (Some(0), ""), "{}", made.stderr);
        let made = room.listing();
        let store_name = format!("{}-store", kind.name());
        let new = made.keys().filter(|path| !before.contains_key(*path));
        assert!(new.into_iter().all(|path| path.iter().any(|step| step == store_name.as_str())), "{made:?}");
        room.run(kind, &["--init-store"]).assert_refused(kind, 1, "STORE_DIR_NOT_EMPTY");
        assert_same(&made, &room.listing());
        assert_eq!(room.start(kind).end(), Some(0));
    }
}

#[test]
fn checking_a_good_configuration_binds_nothing_and_makes_nothing() {
    for kind in Kind::ALL {
        let room = Room::new();
        // Neither the ports nor the store are looked at: they belong to whoever serves.
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        room.change(kind, "127.0.0.1:0", &address);
        fs::remove_dir_all(room.store(kind)).unwrap();
        let before = room.listing();
        let ended = room.run(kind, &["--check-config"]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{}", ended.stderr);
        assert!(ended.stderr.contains("is fine"), "{}", ended.stderr);
        assert_same(&before, &room.listing());
    }
}

#[test]
fn wrong_flags_of_a_service_end_with_two() {
    let room = Room::new();
    let config = room.config(Kind::RootCa);
    let config = config.to_str().unwrap();
    let cases: [&[&str]; 5] = [
        &["service", "nobody", "--config", config],
        &["service", "root-ca"],
        &["service", "root-ca", "--config"],
        &["service", "root-ca", "--config", config, "--check-config", "--init-store"],
        &["service", "root-ca", "--config", config, "--nonsense"],
    ];
    let before = room.listing();
    for arguments in cases {
        let ended = countersign(arguments);
        let said = text(&ended.stderr);
        assert_eq!((ended.status.code(), text(&ended.stdout).as_str()), (Some(2), ""), "{arguments:?}: {said}");
    }
    assert_same(&before, &room.listing());
}
