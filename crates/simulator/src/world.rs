//! A world of services: the brand's root-ca, an intermediate-ca for every manufacturer, a provisioner for the last one.

use std::sync::Arc;

use anyhow::Context as _;
use issuance::{
    Instance, KeyKind, KeyPolicy, Receipt, RootMaker, SerialSource, SoftwareKey, Stage, SystemEntropy,
    profile::RootProfileDocument,
};
use mfg::terms::{HandoffKeyAlgorithm, Period, TermsTime};
use pki::{Sha256, UnixTime, pem};
use service::{Clock as _, SystemClock};

use crate::{
    configs::{self, APPROVERS, PeerOf},
    folder::Folder,
    organisation::{Organisation, write_key},
    plan::{BRAND, Plan, Stop},
    process::{Program, Service, ServiceProcess},
};

const BRAND_NAME: &str = "Company-X";
const OPERATOR_ROLES: &[&str] = &["operator", "auditor"];

/// A world's organisations on disk, and the services that run.
pub struct World {
    folder: Folder,
    trust: Folder,
    program: Program,
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
        let now = SystemClock.now();
        let trust = folder.sub("trust")?;
        let brand = Organisation::open(&folder, BRAND, BRAND_NAME, now)?;
        brand.enroll("root-ca", "root-ca", None)?;
        for name in APPROVERS {
            brand.enroll(name, "operator", Some(name))?;
            brand.approval_key(name)?;
        }
        device_root(&brand, &trust)?;
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
        Ok(Self { folder, trust, program, brand, manufacturers, services: Vec::new() })
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
        let mut peers = vec![PeerOf { organisation: &self.brand, roles: OPERATOR_ROLES }];
        peers.extend(self.manufacturers.iter().map(|(_, o)| PeerOf { organisation: o, roles: &["intermediate-ca"] }));
        let config = configs::root_ca(&peers);
        let service = self.write_service(&self.brand, "root-ca", &config)?;
        self.start(service).await
    }

    /// Starts the intermediate-ca of the manufacturer at `index` on the route. Its sender must run already, and the bundle be there.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_intermediate_ca(&mut self, index: usize) -> anyhow::Result<&ServiceProcess> {
        let (stop, own) = self.manufacturers.get(index).context("no such manufacturer")?;
        let (sender, role) = match index.checked_sub(1).and_then(|above| self.manufacturers.get(above)) {
            Some((_, organisation)) => (organisation, "intermediate-ca"),
            None => (&self.brand, "root-ca"),
        };
        let address = self.service(&stop.from, role)?.grpc.clone();
        let mut peers = vec![
            PeerOf { organisation: own, roles: &["operator", "auditor", "provisioner"] },
            PeerOf { organisation: sender, roles: std::slice::from_ref(&role) },
        ];
        if let Some((_, receiver)) = self.manufacturers.get(index + 1) {
            peers.push(PeerOf { organisation: receiver, roles: &["intermediate-ca"] });
        }
        let config = configs::intermediate_ca(own, (&stop.from, role, &address), &peers);
        let service = self.write_service(own, "intermediate-ca", &config)?;
        self.start(service).await
    }

    /// Starts the last manufacturer's provisioner. Its intermediate-ca must run already.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_provisioner(&mut self) -> anyhow::Result<&ServiceProcess> {
        let (_, own) = self.last()?;
        let signer = self.service(own.id(), "intermediate-ca")?.grpc.clone();
        let peers = [PeerOf { organisation: own, roles: &["operator", "auditor", "station", "intermediate-ca"] }];
        let config = configs::provisioner(own, &signer, &peers);
        let service = self.write_service(own, "provisioner", &config)?;
        self.start(service).await
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

    fn write_service(&self, own: &Organisation, kind: &'static str, config: &str) -> anyhow::Result<Service> {
        let path = own.folder().write(&format!("{kind}.toml"), config.as_bytes())?;
        Ok(Service { name: format!("{}/{kind}", own.id()), kind, manufacturer: own.id().to_owned(), config: path })
    }

    async fn start(&mut self, service: Service) -> anyhow::Result<&ServiceProcess> {
        if !service.config.with_file_name(format!("{}-store", service.kind)).exists() {
            ServiceProcess::run_once(&self.program, &service, "--init-store").await?;
        }
        let running = ServiceProcess::start(&self.program, service).await?;
        self.services.push(running);
        self.services.last().context("just started")
    }
}

/// Proof that a development root's certificate is on disk before its key signs it.
struct OnDisk(Sha256);

impl Receipt for OnDisk {
    fn covers(&self, tbs_digest: &Sha256) -> bool {
        self.0 == *tbs_digest
    }
}

/// Makes the development trust anchor, if it is not there.
fn device_root(brand: &Organisation, trust: &Folder) -> anyhow::Result<()> {
    if trust.has("root.pem") {
        return Ok(());
    }
    let key = SoftwareKey::generate(KeyKind::P256)?;
    write_key(brand.folder(), "root.key", &key)?;
    let profile = RootProfileDocument {
        organization: BRAND_NAME.to_owned(),
        common_name: format!("{BRAND_NAME} Development Device Root"),
        validity: Period {
            not_before: TermsTime(UnixTime::parse("2026-01-01T00:00:00Z")?),
            not_after: TermsTime::never(),
        },
        stage: Stage::Development,
    }
    .check()?;
    let maker = RootMaker::<OnDisk>::new(Arc::new(key), &KeyPolicy::ca(HandoffKeyAlgorithm::P256), profile)?;
    let serials = SerialSource::new(Instance::of(1)?, Arc::new(SystemEntropy));
    let draft = maker.draft(serials.next_serial()?)?;
    brand.folder().write("root.tbs", draft.tbs())?;
    let on_disk = OnDisk(Sha256::of(&brand.folder().read("root.tbs")?));
    let root = maker.sign(draft.recorded(on_disk)?)?.into_der();
    trust.write("root.pem", pem::encode("CERTIFICATE", &root).as_bytes())?;
    Ok(())
}
