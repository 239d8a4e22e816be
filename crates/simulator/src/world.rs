//! A world of services: the brand's root-ca and hub, an intermediate-ca for every manufacturer, a provisioner for the last one.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Context as _;
use ceremony::Ceremony;
use mfg::terms::HandoffKeyAlgorithm;
use service::{Clock as _, SystemClock};
use tokio::net::TcpSocket;

use crate::{
    configs::{self, APPROVERS, DevicePorts, PeerOf, Ports, Workplace},
    folder::Folder,
    organisation::Organisation,
    plan::{BRAND, Plan, Stop},
    process::{Program, Service, ServiceProcess},
};

const BRAND_NAME: &str = "Company-X";
/// The input of the ceremony that makes the device root, in the brand's folder.
const ROOT_CEREMONY: &str = "root-ceremony.toml";
const OPERATOR_ROLES: &[&str] = &["operator", "auditor"];
const OWN_PEOPLE: &str = "the roles accepted from it: our own people";
/// The hub towards devices: the name of its files, and of the CA that vouches for it.
const DEVICE_TLS: (&str, &str) = ("hub-devices", "hub CA");

/// A service that was killed, with what it takes to start it again.
#[derive(Debug)]
pub struct Killed {
    index: usize,
    service: Service,
    bound: Vec<(String, String)>,
    /// Bound to the same addresses and not listening: callers are refused, and nobody else is given a port that is free for now.
    _held: Vec<TcpSocket>,
}

/// A world's organisations on disk, and the services that run.
pub struct World {
    folder: Folder,
    trust: Folder,
    program: Program,
    lot_keys: HandoffKeyAlgorithm,
    device_ports: DevicePorts,
    /// The brand owner.
    pub brand: Organisation,
    /// The manufacturers in the order of the route, each with where it stands on it.
    pub manufacturers: Vec<(Stop, Organisation)>,
    services: Vec<ServiceProcess>,
}

impl World {
    /// The world of a plan in a folder: made there, or taken as it is. Nothing runs yet.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(folder: Folder, plan: &Plan, program: Program) -> anyhow::Result<Self> {
        let world = Self::without_root(folder, plan, program)?;
        device_root(&world.brand, &world.trust)?;
        Ok(world)
    }

    /// The organisations of a plan alone, each with its service CA, its people and its identity key; the device root's ceremony is to
    /// be held, and its input lies ready.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn without_root(folder: Folder, plan: &Plan, program: Program) -> anyhow::Result<Self> {
        let now = SystemClock.now();
        let trust = folder.sub("trust")?;
        let brand = Organisation::open(&folder, BRAND, BRAND_NAME, now)?;
        brand.enroll("root-ca", "root-ca", None)?;
        brand.enroll("hub", "hub", None)?;
        brand.enroll_server(DEVICE_TLS.0, DEVICE_TLS.1)?;
        for name in APPROVERS {
            brand.enroll(name, "operator", Some(name))?;
            brand.approval_key(name)?;
        }
        if !brand.folder().has(ROOT_CEREMONY) && !trust.has("root.pem") {
            let input = configs::root_ceremony(BRAND_NAME, "../trust/root.pem")?;
            brand.folder().write(ROOT_CEREMONY, input.as_bytes())?;
        }
        let mut manufacturers = Vec::new();
        for stop in plan.stops() {
            let organisation = Organisation::open(&folder, &stop.manufacturer, &stop.display_name, now)?;
            organisation.enroll("intermediate-ca", "intermediate-ca", None)?;
            organisation.enroll("operator", "operator", Some("operator"))?;
            manufacturers.push((stop, organisation));
        }
        let (_, last) = manufacturers.last().context("a world needs a manufacturer")?;
        last.enroll("provisioner", "provisioner", Some("line-1"))?;
        last.enroll("station", "station", Some("station-1"))?;
        last.escrow_key()?;
        let (lot_keys, device_ports) = (plan.lot_keys(), DevicePorts::Free);
        Ok(Self { folder, trust, program, lot_keys, device_ports, brand, manufacturers, services: Vec::new() })
    }

    /// The same world, whose hub is open for devices at these ports.
    #[must_use]
    pub fn with_device_ports(self, device_ports: DevicePorts) -> Self {
        Self { device_ports, ..self }
    }

    /// The certificate that devices believe the hub by, PEM.
    #[must_use]
    pub fn hub_ca_path(&self) -> PathBuf {
        self.brand.folder().join(format!("{}-ca.pem", DEVICE_TLS.0))
    }

    /// The world's folder.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The folder of the trust anchor and the bundle.
    #[must_use]
    pub fn trust(&self) -> &Folder {
        &self.trust
    }

    /// What runs, in the order of starting.
    #[must_use]
    pub fn services(&self) -> &[ServiceProcess] {
        &self.services
    }

    /// The last manufacturer: the one with the line.
    ///
    /// # Errors
    /// Never in an opened world.
    pub fn last(&self) -> anyhow::Result<&(Stop, Organisation)> {
        self.manufacturers.last().context("a world needs a manufacturer")
    }

    /// Starts the brand's root-ca.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_root_ca(&mut self) -> anyhow::Result<&ServiceProcess> {
        let service = self.write_root_ca(Ports::ANY)?;
        self.start(service).await
    }

    /// Starts the intermediate-ca of the manufacturer at `index` on the route. Its sender must run already, and the bundle be there.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_intermediate_ca(&mut self, index: usize) -> anyhow::Result<&ServiceProcess> {
        let (stop, _) = self.manufacturers.get(index).context("no such manufacturer")?;
        let (sender, role) = configs::sender_of(stop);
        let address = self.service(sender, role)?.grpc.clone();
        let service = self.write_intermediate_ca(index, &address, Ports::ANY)?;
        self.start(service).await
    }

    /// Starts the brand's hub. The bundle must be there.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_hub(&mut self) -> anyhow::Result<&ServiceProcess> {
        let service = self.write_hub(Ports::ANY, self.device_ports)?;
        self.start(service).await
    }

    /// As [`World::start_hub`], for measurements: a root is taken as verified on upload, and one device may send without limit.
    ///
    /// # Errors
    /// When it does not become ready.
    pub(crate) async fn start_hub_for_measuring(&mut self) -> anyhow::Result<&ServiceProcess> {
        let service = self.write_hub(Ports::ANY, self.device_ports)?;
        let config = std::fs::read_to_string(&service.config)?;
        std::fs::write(&service.config, configs::hub_for_measuring(&config)?)?;
        self.start(service).await
    }

    /// Starts the last manufacturer's provisioner. Its intermediate-ca must run already. It registers what it issues at the hub, if that
    /// runs.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_provisioner(&mut self) -> anyhow::Result<&ServiceProcess> {
        let (_, own) = self.last()?;
        let signer = self.service(own.id(), "intermediate-ca")?.grpc.clone();
        let hub = self.service(BRAND, "hub").ok().map(|hub| hub.grpc.clone());
        let service = self.write_provisioner(&signer, hub.as_deref(), Ports::ANY)?;
        self.start(service).await
    }

    /// Writes every service's configuration with fixed ports, in the order of starting.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn write_services(&self) -> anyhow::Result<Vec<Service>> {
        let mut services = vec![self.write_root_ca(configs::ROOT_CA_PORTS)?];
        let mut above = configs::ROOT_CA_PORTS;
        for index in 0..self.manufacturers.len() {
            let ports = configs::intermediate_ca_ports(index);
            services.push(self.write_intermediate_ca(index, &above.address(), ports)?);
            above = ports;
        }
        services.push(self.write_hub(configs::HUB_PORTS, DevicePorts::Standard)?);
        let hub = configs::HUB_PORTS.address();
        services.push(self.write_provisioner(&above.address(), Some(&hub), configs::PROVISIONER_PORTS)?);
        Ok(services)
    }

    /// Writes what the people's commands read, `<organisation>/as-<person>.toml`, for the services that run.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write_profiles(&self) -> anyhow::Result<()> {
        self.write_profiles_at(|own, role| Some(self.service(own.id(), role).ok()?.grpc.clone()))
    }

    /// The same for the services that [`World::write_services`] configures.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn write_profiles_ahead(&self) -> anyhow::Result<()> {
        self.write_profiles_at(|own, role| {
            let ports = match role {
                "root-ca" => configs::ROOT_CA_PORTS,
                "hub" => configs::HUB_PORTS,
                "provisioner" => configs::PROVISIONER_PORTS,
                _ => {
                    let index = self.manufacturers.iter().position(|(_, other)| other.id() == own.id())?;
                    configs::intermediate_ca_ports(index)
                }
            };
            Some(ports.address())
        })
    }

    fn write_profiles_at(&self, address: impl Fn(&Organisation, &'static str) -> Option<String>) -> anyhow::Result<()> {
        let write = |own, person: &str, roles: &[&'static str]| {
            let place = |role: &&'static str| Some(Workplace { role, of: own, address: address(own, role)? });
            write_profile(own, person, &roles.iter().filter_map(place).collect::<Vec<_>>())
        };
        for name in APPROVERS {
            write(&self.brand, name, &["root-ca", "hub"])?;
        }
        let last = self.manufacturers.len().saturating_sub(1);
        for (index, (_, own)) in self.manufacturers.iter().enumerate() {
            if index == last {
                write(own, "operator", &["intermediate-ca", "provisioner"])?;
                write(own, "station", &["provisioner"])?;
            } else {
                write(own, "operator", &["intermediate-ca"])?;
            }
        }
        Ok(())
    }

    fn write_root_ca(&self, ports: Ports) -> anyhow::Result<Service> {
        let mut peers = vec![PeerOf { organisation: &self.brand, roles: OPERATOR_ROLES, who: OWN_PEOPLE }];
        let who = "a manufacturer that receives lots from us";
        peers.extend(self.manufacturers.iter().map(|(_, organisation)| PeerOf {
            organisation,
            roles: &["intermediate-ca"],
            who,
        }));
        self.write_service(&self.brand, "root-ca", &configs::root_ca(ports, &peers, self.lot_keys)?)
    }

    fn write_intermediate_ca(&self, index: usize, sender_address: &str, ports: Ports) -> anyhow::Result<Service> {
        let (stop, own) = self.manufacturers.get(index).context("no such manufacturer")?;
        let sender = match index.checked_sub(1).and_then(|above| self.manufacturers.get(above)) {
            Some((_, organisation)) => organisation,
            None => &self.brand,
        };
        let (from, role) = configs::sender_of(stop);
        let mut peers = vec![
            PeerOf {
                organisation: own,
                roles: &["operator", "auditor", "provisioner"],
                who: "the roles accepted from it: our own people and lines",
            },
            PeerOf { organisation: sender, roles: std::slice::from_ref(&role), who: "the sender" },
        ];
        if let Some((_, receiver)) = self.manufacturers.get(index + 1) {
            let who = "a manufacturer that receives lots from us";
            peers.push(PeerOf { organisation: receiver, roles: &["intermediate-ca"], who });
        }
        let config = configs::intermediate_ca(own, ports, (from, role, sender_address), &peers)?;
        self.write_service(own, "intermediate-ca", &config)
    }

    fn write_provisioner(&self, signer: &str, hub: Option<&str>, ports: Ports) -> anyhow::Result<Service> {
        let (_, own) = self.last()?;
        let mut peers = vec![PeerOf {
            organisation: own,
            roles: &["operator", "auditor", "station", "intermediate-ca"],
            who: "the roles accepted from it: our own people, stations and signer",
        }];
        peers.extend(hub.map(|_| PeerOf { organisation: &self.brand, roles: &["hub"], who: "the hub" }));
        self.write_service(own, "provisioner", &configs::provisioner(own, ports, (signer, hub), &peers)?)
    }

    fn write_hub(&self, ports: Ports, devices: DevicePorts) -> anyhow::Result<Service> {
        let (_, last) = self.last()?;
        let peers = [
            PeerOf { organisation: &self.brand, roles: OPERATOR_ROLES, who: OWN_PEOPLE },
            PeerOf { organisation: last, roles: &["provisioner"], who: "its lines, which register what they wrote" },
        ];
        self.write_service(&self.brand, "hub", &configs::hub(ports, devices, &peers)?)
    }

    /// A running service.
    ///
    /// # Errors
    /// When it does not run.
    pub fn service(&self, manufacturer: &str, kind: &str) -> anyhow::Result<&ServiceProcess> {
        self.services
            .iter()
            .find(|s| s.service.manufacturer == manufacturer && s.service.kind == kind)
            .with_context(|| format!("the {kind} of {manufacturer} does not run"))
    }

    /// Ends every service in the reverse order of starting.
    ///
    /// # Errors
    /// The first that did not end well; the others are ended all the same.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        while let Some(service) = self.services.pop() {
            let ended = service.stop().await;
            outcome = outcome.and(ended);
        }
        outcome
    }

    /// Kills every service as a power cut would.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        while let Some(service) = self.services.pop() {
            service.kill().await?;
        }
        Ok(())
    }

    /// Kills one service as a power cut would. [`World::start_again`] brings it back.
    ///
    /// # Errors
    /// When it does not run, or the operating system refuses.
    pub async fn kill_service(&mut self, manufacturer: &str, kind: &str) -> anyhow::Result<Killed> {
        let index = self.services.iter().position(|s| s.service.manufacturer == manufacturer && s.service.kind == kind);
        let index = index.with_context(|| format!("the {kind} of {manufacturer} does not run"))?;
        let running = self.services.remove(index);
        let bound: Vec<_> = running.bound().map(|(option, address)| (option.to_owned(), address.to_owned())).collect();
        let service = running.service.clone();
        running.kill().await?;
        let held = bound.iter().map(|(_, address)| hold(address)).collect::<Result<_, _>>()?;
        Ok(Killed { index, service, bound, _held: held })
    }

    /// Starts a killed service again, on its store and at the addresses that it had, so that its callers find it.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_again(&mut self, killed: Killed) -> anyhow::Result<&ServiceProcess> {
        let Killed { index, service, bound, _held } = killed;
        let config = std::fs::read_to_string(&service.config)?;
        let bound = bound.iter().map(|(option, address)| (option.as_str(), address.as_str()));
        std::fs::write(&service.config, configs::keep_addresses(&config, bound))?;
        let running = ServiceProcess::start(&self.program, service).await?;
        let index = index.min(self.services.len());
        self.services.insert(index, running);
        self.services.get(index).context("just started")
    }

    fn write_service(&self, own: &Organisation, kind: &'static str, config: &str) -> anyhow::Result<Service> {
        let path = own.folder().write(&format!("{kind}.toml"), config.as_bytes())?;
        Ok(Service { name: format!("{}/{kind}", own.id()), kind, manufacturer: own.id().to_owned(), config: path })
    }

    /// Makes a service's store, if it is not there.
    ///
    /// # Errors
    /// What the service says.
    pub(crate) async fn init_store(&self, service: &Service) -> anyhow::Result<()> {
        if !service.config.with_file_name(format!("{}-store", service.kind)).exists() {
            ServiceProcess::run_once(&self.program, service, "--init-store").await?;
        }
        Ok(())
    }

    async fn start(&mut self, service: Service) -> anyhow::Result<&ServiceProcess> {
        self.init_store(&service).await?;
        let running = ServiceProcess::start(&self.program, service).await?;
        self.services.push(running);
        self.services.last().context("just started")
    }
}

/// Takes an address without listening there. Whoever asks the operating system for any port gets another one; whoever asks for this
/// one, as a service that comes back does, gets it.
fn hold(address: &str) -> anyhow::Result<TcpSocket> {
    let address: SocketAddr = address.parse()?;
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address).with_context(|| format!("somebody took {address} meanwhile"))?;
    Ok(socket)
}

fn write_profile(own: &Organisation, file: &str, places: &[Workplace<'_>]) -> anyhow::Result<()> {
    own.folder().write(&format!("as-{file}.toml"), configs::profile(own, file, places)?.as_bytes())?;
    Ok(())
}

/// Holds the ceremony of the development trust anchor, if it was not held to its end.
fn device_root(brand: &Organisation, trust: &Folder) -> anyhow::Result<()> {
    let begun = brand.folder().has(ROOT_CEREMONY);
    if trust.has("root.pem") && (!begun || brand.folder().has("root-ceremony/evidence.json")) {
        return Ok(());
    }
    let nobody = "no passphrase is asked for in a development root's ceremony";
    let held = Ceremony::read(&brand.folder().join(ROOT_CEREMONY))?
        .hold(SystemClock.now(), &mut |_| Err(std::io::Error::other(nobody)));
    held.context("the ceremony of the development root")?;
    Ok(())
}
