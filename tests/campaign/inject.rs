//! The program under test, and what its system calls come to: `strace` fails them, leaves them out, or kills the process at them. The
//! services are the shipped ones, without a line of code for this.

use std::path::{Path, PathBuf};

use api::lot::v1::{GetLotRequest, lot_service_client::LotServiceClient};
use service::identity::Role;
use simulator::{Clients, Program, World};

use crate::ground::{FACTORY, LOT};

const BINARY: &str = env!("CARGO_BIN_EXE_countersign-under-test");
/// Starts a service; the signer under strace when there is something to inject. With -D the service itself stays our child.
const WRAPPER: &str = r#"
    if [ "$3" = intermediate-ca ] && [ -s "$1" ]; then
        inject=$1; shift
        exec strace -D -f -qq -o "$inject.strace" -e trace="$(sed -n 1p "$inject")" -e inject="$(sed -n 2p "$inject")" "$0" "$@"
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

/// What the signer's system calls come to from its next start on, in strace's words, e.g. `fdatasync` and `error=EIO:when=5`.
pub(crate) fn next_start(folder: &Path, calls: &str, what: &str) {
    std::fs::write(file(folder), format!("{calls}\n{calls}:{what}\n")).unwrap();
}

/// Nothing more is injected.
pub(crate) fn nothing(folder: &Path) {
    let _ = std::fs::remove_file(file(folder));
}

/// The lot's provisioned units as its operator is told.
pub(crate) async fn provisioned(world: &World) -> u64 {
    let (_, own) = &world.manufacturers[0];
    let address = &world.service(FACTORY, "intermediate-ca").unwrap().grpc;
    let channel = Clients::load(own, "operator", &[own]).unwrap().channel(address, own.id(), Role::IntermediateCa);
    let mut lots = LotServiceClient::new(channel.unwrap());
    let lot = lots.get_lot(GetLotRequest { lot: LOT.to_owned() }).await.unwrap().into_inner().lot.unwrap();
    lot.tally.unwrap().provisioned
}
