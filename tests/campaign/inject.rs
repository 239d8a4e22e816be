//! The program under test, and what its system calls come to: `strace` fails them, leaves them out, or kills the process at them, and
//! `faketime` gives it another clock. The services are the shipped ones, without a line of code for this.

use std::path::{Path, PathBuf};

use api::lot::v1::{GetLotRequest, lot_service_client::LotServiceClient};
use simulator::{Program, World};

use crate::{deed::Desk, ground::LOT};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_countersign-under-test");
/// Starts a service; under strace when there is something to inject into services of its kind. With -D the service itself stays our child.
const WRAPPER: &str = r#"
    if [ -s "$1" ] && [ "$3" = "$(sed -n 1p "$1")" ]; then
        inject=$1; shift
        exec strace -D -f -qq -o "$inject.strace" -e trace="$(sed -n 2p "$inject")" -e inject="$(sed -n 3p "$inject")" "$0" "$@"
    fi
    if [ "$3" = intermediate-ca ] && [ -s "$1.clock" ]; then
        # Not under faketime itself, which would be our child in the service's place.
        preload=$(faketime -f +0 printenv LD_PRELOAD)
        export FAKETIME_TIMESTAMP_FILE="$1.clock" FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1
        export LD_PRELOAD="$preload"
    fi
    shift; exec "$0" "$@"
"#;

fn file(folder: &Path) -> PathBuf {
    folder.with_extension("inject")
}

/// The program that starts the services of a world in this folder.
pub(crate) fn program(folder: &Path) -> Program {
    let arguments = ["-c".into(), WRAPPER.into(), BINARY.into(), file(folder).into(), "service".into()];
    Program { path: "sh".into(), arguments: arguments.to_vec() }
}

/// What the system calls of services of a kind come to from their next start on, in strace's words, e.g. `fdatasync` and
/// `error=EIO:when=5`.
pub(crate) fn next_start(folder: &Path, kind: &str, calls: &str, what: &str) {
    std::fs::write(file(folder), format!("{kind}\n{calls}\n{calls}:{what}\n")).unwrap();
}

/// Whether this machine lets us do so; where it does not, that is said.
pub(crate) fn is_possible() -> bool {
    let mut strace = std::process::Command::new("strace");
    let traced = strace.args(["-qq", "-o", "/dev/null", "-e", "trace=none", "true"]).status();
    let is_possible = traced.is_ok_and(|status| status.success());
    if !is_possible {
        println!("SKIPPED: this machine does not let us trace a process with strace");
    }
    is_possible
}

/// Whether a process can be given another clock here; where it cannot, that is said.
pub(crate) fn has_faketime() -> bool {
    let faked = std::process::Command::new("faketime").args(["-f", "+0", "true"]).status();
    let is_there = faked.is_ok_and(|status| status.success());
    if !is_there {
        println!("SKIPPED: this machine has no faketime");
    }
    is_there
}

/// How many seconds the signer's clock is ahead of ours: also while it runs, if it was started with some such clock.
pub(crate) fn clock(folder: &Path, seconds: i64) {
    let path = folder.with_extension("inject.clock");
    let fresh = path.with_extension("fresh");
    std::fs::write(&fresh, format!("{seconds:+}\n")).unwrap();
    // Never a half of it.
    std::fs::rename(fresh, path).unwrap();
}

/// Nothing more is injected.
pub(crate) fn nothing(folder: &Path) {
    let _ = std::fs::remove_file(file(folder));
}

/// The lot's provisioned units as its operator is told.
pub(crate) async fn provisioned(world: &World) -> u64 {
    let mut lots = LotServiceClient::new(Desk::FactoryOperator.channel(world));
    let lot = lots.get_lot(GetLotRequest { lot: LOT.to_owned() }).await.unwrap().into_inner().lot.unwrap();
    lot.tally.unwrap().provisioned
}
