//! The root-ca as a process: reads its files, opens its store, completes what a crash left, and serves.

use std::{fs, path::PathBuf, sync::Arc};

use ::service::{
    Workers,
    config::{ConfigDirectory, FilePath},
    secret,
    shell::{Built, Context, Service, StartError},
};
use api::{
    handoff::v1::handoff_service_server::HandoffServiceServer,
    manufacturer::v1::manufacturer_service_server::ManufacturerServiceServer,
    order::v1::order_service_server::OrderServiceServer, program::v1::program_service_server::ProgramServiceServer,
};
use authority::{Authority, HandoffRpc, Seams, complete_open_intents};
use issuance::{Entropy, Instance, SerialSource, SigningKey, SoftwareKey, Stage, SystemEntropy};
use mfg::{OrderCa, oid};
use pki::{Certificate, PublicKey, pem};
use records::{init_store, open_store};
use tracing::info;

use crate::{
    access,
    config::Config,
    orders::{self, Approver, DeviceRoot, Orders},
    rpc::BrandRpc,
};

/// The root-ca service.
#[derive(Debug, Clone, Copy, Default)]
pub struct RootCa;

impl Service for RootCa {
    type Config = Config;
    const NAME: &'static str = "root-ca";

    fn check(&self, config: &Config, directory: &ConfigDirectory) -> Result<(), StartError> {
        device_root(config, directory)?;
        approvers(config, directory)?;
        load_key(directory, &config.brand.identity_key)?;
        Ok(())
    }

    fn init_store(&self, config: &Config, directory: &ConfigDirectory) -> Result<(), StartError> {
        let store = directory.path(&config.store.directory);
        init_store(&store, Self::NAME, config.manufacturer.as_str())
    }

    async fn build(&self, config: Config, context: Context) -> Result<Built, StartError> {
        let directory = context.directory();
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let store_directory = directory.path(&config.store.directory);
        let seams = Seams {
            store: open_store(&store_directory, Self::NAME, config.manufacturer.as_str(), context.stop())?,
            clock: Arc::clone(context.clock()),
            entropy: Arc::clone(&entropy),
            workers: Workers::Threads,
        };
        let instance = Instance::of(config.root.instance).map_err(|e| StartError::unusable("CONFIG_INVALID", e))?;
        let serials = SerialSource::new(instance, entropy);
        let authority = Arc::new(Authority::new(config.manufacturer.clone(), seams, serials));
        let orders = Arc::new(Orders {
            authority: Arc::clone(&authority),
            identity_key: load_key(directory, &config.brand.identity_key)?,
            approvers: approvers(&config, directory)?,
            approvals_required: config.approvals.required,
            profile: config.terms.clone(),
            root: Arc::new(device_root(&config, directory)?),
        });
        orders::load_all(&orders).map_err(|e| StartError::refused(e.reason(), e))?;
        let completed = complete_open_intents(&authority).map_err(|e| StartError::refused(e.reason(), e))?;
        info!(completed, "open intents completed");

        let limit = context.limits().message_bytes();
        let brand = BrandRpc { orders };
        let mut routes = tonic::service::Routes::builder();
        routes
            .add_service(ProgramServiceServer::new(brand.clone()).max_decoding_message_size(limit))
            .add_service(ManufacturerServiceServer::new(brand.clone()).max_decoding_message_size(limit))
            .add_service(OrderServiceServer::new(brand).max_decoding_message_size(limit))
            .add_service(HandoffServiceServer::new(HandoffRpc(authority)).max_decoding_message_size(limit));
        ::service::reflection::add(&mut routes, api::FILE_DESCRIPTOR_SET)?;
        Ok(Built {
            routes: routes.routes(),
            authorization: access::TABLE,
            metrics: None,
            close: Box::new(|| Box::pin(async { Ok(()) })),
        })
    }
}

fn read_pem(directory: &ConfigDirectory, file: &FilePath) -> Result<(PathBuf, String), StartError> {
    let path = directory.path(file);
    let text = fs::read_to_string(&path)
        .map_err(|e| StartError::missing("FILE_MISSING", format!("{}: {e}", path.display())))?;
    Ok((path, text))
}

fn malformed(path: &std::path::Path, what: impl std::fmt::Display) -> StartError {
    StartError::unusable("FILE_MALFORMED", format!("{}: {what}", path.display()))
}

fn certificate(directory: &ConfigDirectory, file: &FilePath) -> Result<Certificate, StartError> {
    let (path, text) = read_pem(directory, file)?;
    let mut found = pem::certificates(&text).map_err(|e| malformed(&path, e))?;
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (_, _) => Err(malformed(&path, "holds not exactly one certificate")),
    }
}

fn load_key(directory: &ConfigDirectory, file: &FilePath) -> Result<SoftwareKey, StartError> {
    let path = directory.path(file);
    let octets = secret::read_key_file(&path)?;
    SoftwareKey::from_file(octets.expose()).map_err(|e| malformed(&path, e))
}

/// The device root with everything checked that can be without an order: the key fits, the anchor suits the mode.
fn device_root(config: &Config, directory: &ConfigDirectory) -> Result<DeviceRoot, StartError> {
    let anchor = certificate(directory, &config.root.anchor)?;
    if config.mode == Stage::Production && oid::is_development_anchor(&anchor) {
        let path = directory.path(&config.root.anchor);
        return Err(StartError::refused("DEVELOPMENT_ANCHOR", format!("{} is a development anchor", path.display())));
    }
    let chain = match &config.root.order_ca {
        Some(file) => vec![certificate(directory, file)?],
        None => Vec::new(),
    };
    let order_ca = if chain.is_empty() { OrderCa::Absent } else { OrderCa::Present };
    let key: Arc<dyn SigningKey> = Arc::new(load_key(directory, &config.root.key)?);
    let signer = chain.first().unwrap_or(&anchor);
    if signer.public_key().sha256() != key.public_key().sha256() {
        let path = directory.path(&config.root.key);
        return Err(StartError::refused(
            "ISSUER_KEY_MISMATCH",
            format!("{} does not belong to the signing certificate", path.display()),
        ));
    }
    Ok(DeviceRoot { anchor, chain, stage: config.mode, order_ca, key })
}

fn approvers(config: &Config, directory: &ConfigDirectory) -> Result<Vec<Approver>, StartError> {
    let refused = |what: String| Err(StartError::unusable("CONFIG_INVALID", what));
    let mut approvers: Vec<Approver> = Vec::new();
    for operator in &config.approvals.operators {
        let (path, text) = read_pem(directory, &operator.approval_key)?;
        let spki = pem::single(&text, "PUBLIC KEY").map_err(|e| malformed(&path, e))?;
        let public_key = PublicKey::parse(spki.der()).map_err(|e| malformed(&path, e))?;
        // Two names with one key would let one person approve twice.
        if approvers.iter().any(|a| a.name == operator.name || a.public_key.sha256() == public_key.sha256()) {
            return refused(format!("approvals.operators: {} or its key stands twice", operator.name));
        }
        approvers.push(Approver { name: operator.name.clone(), public_key });
    }
    if config.approvals.required == 0 || config.approvals.required > approvers.len() {
        return refused(format!(
            "approvals.required: {} of {} operators cannot approve",
            config.approvals.required,
            approvers.len()
        ));
    }
    Ok(approvers)
}
