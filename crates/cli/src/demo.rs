//! `countersign demo`: a whole supply chain on this machine, told so that a person understands what just happened.

mod connections;
mod narration;
mod stay;
mod verification;

use std::{path::Path, process::ExitCode};

use api::Refusal;
use mfg::terms::NameConstraintsProfile;
use serde::{Deserialize, Serialize};
use simulator::{DevicePorts, Folder, Journey, Manifest, NotStarted, Plan, Program, World};

use crate::{
    args::{DemoArgs, Output},
    failure::Failure,
    stdout::say,
};

use connections::Connections;
use narration::Narration;

/// Remembers what a folder was made with: a repetition goes on, another demo is refused.
const PARAMETERS: &str = "demo-parameters.json";

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    version: u32,
    devices: u32,
    hops: u32,
    // Folders of version 1 may lack it.
    #[serde(default = "critical")]
    name_constraints: NameConstraintsProfile,
}

fn critical() -> NameConstraintsProfile {
    NameConstraintsProfile::Critical
}

pub(crate) fn run(args: &DemoArgs) -> Result<ExitCode, Failure> {
    let name_constraints =
        if args.compatible { NameConstraintsProfile::Compatible } else { NameConstraintsProfile::Critical };
    let plan = Plan::new(args.devices, args.hops)
        .map_err(|e| Failure::refused(&Refusal::from_error(e.reason(), &e)))?
        .with_name_constraints(name_constraints);
    let folder = prepare(args, name_constraints)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::unavailable("SETUP_FAILED", format!("no runtime: {e}")))?;
    runtime.block_on(travel(args, &plan, folder))
}

/// The folder, new or made by the same demo before.
fn prepare(args: &DemoArgs, name_constraints: NameConstraintsProfile) -> Result<Folder, Failure> {
    let parameters = Parameters { version: 1, devices: args.devices, hops: args.hops, name_constraints };
    let differs = |what: String| Failure::named("DEMO_DIR_DIFFERS", format!("{} {what}", args.out.display()));
    let used = args.out.read_dir().is_ok_and(|mut entries| entries.next().is_some());
    let write_failed = |e: anyhow::Error| Failure::unavailable("FILE_MISSING", format!("{e:#}"));
    if used {
        let Ok(text) = std::fs::read(args.out.join(PARAMETERS)) else {
            return Err(differs("is not empty and was not made by a demo".to_owned()));
        };
        let before: Parameters =
            serde_json::from_slice(&text).map_err(|e| differs(format!("has unreadable parameters: {e}")))?;
        if before != parameters {
            let compatible = match before.name_constraints {
                NameConstraintsProfile::Critical => "",
                NameConstraintsProfile::Compatible => " --compatible",
            };
            let flags = format!("--devices {} --hops {}{compatible}", before.devices, before.hops);
            return Err(differs(format!("was made with {flags}")));
        }
    }
    let folder = Folder::create(&args.out).map_err(write_failed)?;
    if !used {
        let json = serde_json::to_vec_pretty(&parameters).unwrap_or_default();
        folder.write(PARAMETERS, &json).map_err(write_failed)?;
    }
    Ok(folder)
}

async fn travel(args: &DemoArgs, plan: &Plan, folder: Folder) -> Result<ExitCode, Failure> {
    let program = std::env::current_exe()
        .map(Program::countersign)
        .map_err(|e| Failure::unavailable("SETUP_FAILED", format!("cannot find this program: {e}")))?;
    let out = folder.path().to_owned();
    let ports = if args.standard_ports { DevicePorts::Standard } else { DevicePorts::Free };
    let mut world = World::open(folder, plan, program).map_err(|e| failure(&e))?.with_device_ports(ports);
    let mut narration = Narration::new(args.output, &out);
    narration.begin(plan);
    let outcome = match journey(plan, &mut world, &out, &mut narration).await {
        Ok(manifest) => finish(args, &out, &mut world, &narration, &manifest).await,
        Err(failure) => Err(failure),
    };
    let stopped = world.stop().await;
    outcome?;
    stopped.map_err(|e| failure(&e))?;
    Ok(ExitCode::SUCCESS)
}

/// From the empty brand to the last device; the hub learns whom to believe before the line has anything to register there.
async fn journey(plan: &Plan, world: &mut World, out: &Path, narration: &mut Narration) -> Result<Manifest, Failure> {
    let mut journey = Journey::new(plan, world);
    let hops = journey.hand_down(narration).await.map_err(|e| failure(&e))?;
    journey.open_hub(narration).await.map_err(|e| failure(&e))?;
    Connections::open(journey.world(), out, narration)?.prove_root().await?;
    journey.build(&hops, narration).await.map_err(|e| failure(&e))
}

async fn finish(
    args: &DemoArgs,
    out: &Path,
    world: &mut World,
    narration: &Narration,
    manifest: &Manifest,
) -> Result<(), Failure> {
    let verified = verification::verify_all(out, manifest)?;
    narration.verified(&verified);
    Connections::open(world, out, narration)?.run(manifest).await?;
    narration.look_closer(&verified);
    if args.output == Output::Json {
        let json = serde_json::to_string(manifest).map_err(|e| Failure::unavailable("INTERNAL", e.to_string()))?;
        say!("{json}");
    }
    if args.stay {
        stay::stay(out, world).await?;
    }
    Ok(())
}

/// A journey's error: the refusal in it, if there is one, with what was being done; or why a service did not start.
fn failure(error: &anyhow::Error) -> Failure {
    if let Some(refusal) = error.chain().find_map(|cause| cause.downcast_ref::<Refusal>()) {
        return Failure::named(refusal.reason(), format!("{error:#}"));
    }
    let not_started = error.chain().find_map(|cause| cause.downcast_ref::<NotStarted>());
    let reason = not_started.and_then(|service| service.reason).unwrap_or("SETUP_FAILED");
    Failure::unavailable(reason, format!("{error:#}"))
}
