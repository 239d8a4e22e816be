//! Supply chains on one machine: organisations with their own service CAs, and the real services between them.
//!
//! [`Plan`] says who takes part and what is built; [`Folder`] is where everything of a world lies on disk; [`World`] runs the
//! services as processes; [`journey`] does what the people would do, over gRPC, and tells a [`Narrator`] about it. `countersign demo`
//! is one journey; end-to-end tests and simulations start their worlds here too, and so does [`mod@bench`], which measures how fast a line
//! issues.
//!
//! [`prepare`] leaves a world on disk for people to start by hand, [`prepare_bare`] what its organisations begin with: `countersign init`.
//!
//! [`device`] is the other end: a simulated device that connects to a hub.
//!
//! What it does not do: anything the services would not let a real operator do. It has no way around their gRPC faces.

pub mod bench;
mod clients;
mod configs;
mod development;
pub mod device;
mod device_files;
mod folder;
pub mod journey;
mod manifest;
mod organisation;
mod plan;
mod process;
mod world;

pub use clients::Clients;
pub use configs::DevicePorts;
pub use development::{Prepared, prepare, prepare_bare};
pub use device_files::DEMO_PASSWORD;
pub use folder::Folder;
pub use journey::{Journey, Narrator};
pub use manifest::{DeviceEntry, HopEntry, Manifest};
pub use organisation::Organisation;
pub use plan::{BRAND, ORDER, PROGRAM, Plan, PlanError, Stop};
pub use process::{NotStarted, Program, Service, ServiceProcess};
pub use world::{Killed, World};
