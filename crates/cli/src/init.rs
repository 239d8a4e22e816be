//! `countersign init`: a development chain on disk, for somebody to start and work with.

use std::{fmt::Write as _, path::Path, process::ExitCode};

use api::Refusal;
use serde_json::{Value, json};
use simulator::{BRAND, Folder, PROGRAM, Plan, Prepared, Program};

use crate::{
    args::{InitArgs, Output},
    failure::Failure,
    stdout::say,
};

const README: &str = "README.txt";

pub(crate) fn run(args: &InitArgs) -> Result<ExitCode, Failure> {
    let plan = Plan::new(1, args.hops).map_err(|e| Failure::refused(&Refusal::from_error(e.reason(), &e)))?;
    if args.directory.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Failure::named("OUTPUT_EXISTS", format!("{} is not empty", args.directory.display())));
    }
    let folder = Folder::create(&args.directory).map_err(failed)?;
    let program = std::env::current_exe()
        .map(Program::countersign)
        .map_err(|e| Failure::unavailable("SETUP_FAILED", format!("cannot find this program: {e}")))?;
    let prepared = if args.bare {
        simulator::prepare_bare(folder, &plan, program).map_err(failed)?
    } else {
        let prepared = ready(&folder, &plan, program)?;
        folder.write(README, next_steps(&args.directory, &plan, &prepared).as_bytes()).map_err(failed)?;
        prepared
    };
    tell(args, &prepared);
    Ok(ExitCode::SUCCESS)
}

fn failed(e: anyhow::Error) -> Failure {
    Failure::unavailable("SETUP_FAILED", format!("{e:#}"))
}

/// With the root, the stores, and everybody registered.
fn ready(folder: &Folder, plan: &Plan, program: Program) -> Result<Prepared, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::unavailable("SETUP_FAILED", format!("no runtime: {e}")))?;
    runtime.block_on(simulator::prepare(folder.clone(), plan, program)).map_err(|e| {
        let refusal = e.chain().find_map(|cause| cause.downcast_ref::<Refusal>());
        refusal.map_or_else(|| failed(anyhow::anyhow!("{e:#}")), Failure::refused)
    })
}

fn tell(args: &InitArgs, prepared: &Prepared) {
    let services: Vec<Value> = prepared
        .services
        .iter()
        .map(|s| json!({ "name": s.name, "role": s.kind, "manufacturer": s.manufacturer, "config": s.config }))
        .collect();
    match args.output {
        Output::Json => say!("{}", json!({ "directory": args.directory, "services": services })),
        Output::Text => {
            let (here, route) = (args.directory.display(), prepared.manufacturers.join(" -> "));
            if args.bare {
                say!(
                    "{here}: {BRAND} -> {route} -> device, as its organisations begin: no root, no store, nothing registered."
                );
                say!("The configurations explain every option. docs/operating.md goes on from here.");
            } else {
                let readme = args.directory.join(README);
                say!("{here}: {BRAND} -> {route} -> device, ready to be started.");
                say!("The configurations explain every option. {} says what to do next.", readme.display());
            }
        }
    }
}

/// The walk from the first service to the first device, every line of which is a command.
fn next_steps(directory: &Path, plan: &Plan, prepared: &Prepared) -> String {
    let here = directory.display();
    let mut text = "A development chain made by `countersign init`. Nothing in it is for real devices.\n\n\
                    1. Start the services, each in a terminal of its own (or with & behind):\n\n"
        .to_owned();
    for service in &prepared.services {
        let _ = writeln!(text, "   {} --config {here}/{}/{}.toml", service.kind, service.manufacturer, service.kind);
    }
    let _ = write!(
        text,
        "\n   Without those binaries, the same: countersign service root-ca --config {here}/{BRAND}/root-ca.toml\n\n\
         2. The hub learns whom to believe, and the brand's operators propose and approve an order:\n\n\
         \x20  countersign hub ca prove root --as {here}/{BRAND}/as-alice.toml\n"
    );
    let stops = plan.stops();
    let route: Vec<&str> = std::iter::once(BRAND).chain(stops.iter().map(|stop| stop.manufacturer.as_str())).collect();
    let _ = write!(
        text,
        "   countersign order create po-1 --program {PROGRAM} --units 1000 --route {} --replacement-cap 2 --rework-cap 2 --as {here}/{BRAND}/as-alice.toml\n\
         \x20  countersign order approve po-1 --yes po-1 --as {here}/{BRAND}/as-alice.toml\n\
         \x20  countersign order approve po-1 --yes po-1 --as {here}/{BRAND}/as-bob.toml\n\n\
         3. The lot goes from hand to hand:\n\n",
        route.join(",")
    );
    let (mut source, mut sender, mut units) = ("po-1", format!("{BRAND}/as-alice.toml"), 1000);
    for stop in &stops {
        let (lot, to, from) = (&stop.lot, &stop.manufacturer, &stop.from);
        let _ = write!(
            text,
            "   countersign handoff offer {lot} --source {source} --to {to} --units {units} --as {here}/{sender}\n\
             \x20  countersign lot receive {lot} --from {from} --as {here}/{to}/as-operator.toml\n"
        );
        (source, sender, units) = (lot, format!("{to}/as-operator.toml"), units - 20);
    }
    let last = prepared.manufacturers.last().map(String::as_str).unwrap_or_default();
    let lot = stops.last().map(|stop| stop.lot.as_str()).unwrap_or_default();
    let _ = write!(
        text,
        "\n4. The line provisions a device, and confirms what it wrote:\n\n\
         \x20  countersign device preflight --lot {lot} --as {here}/{last}/as-station.toml\n\
         \x20  countersign device provision sn0000001 --lot {lot} --confirm --out {here}/devices --as {here}/{last}/as-station.toml\n\n\
         5. Anybody verifies it:\n\n\
         \x20  countersign verify --trust {here}/trust/bundle.json {here}/devices/sn0000001/chain.pem\n\n\
         6. The device connects to the hub and sends; the hub says what came of it:\n\n\
         \x20  countersign device run --chain {here}/devices/sn0000001/chain.pem --key {here}/devices/sn0000001/key.pem --hub localhost --ca {here}/{BRAND}/hub-devices-ca.pem --exit-after-send\n\
         \x20  countersign hub why sn0000001 --as {here}/{BRAND}/as-alice.toml\n\
         \x20  countersign hub telemetry --as {here}/{BRAND}/as-alice.toml\n\n\
         7. The lot is closed: its tally is signed, its key destroyed.\n\n\
         \x20  countersign lot show {lot} --as {here}/{last}/as-operator.toml\n\
         \x20  countersign lot close {lot} --yes {lot} --as {here}/{last}/as-operator.toml\n"
    );
    text
}
