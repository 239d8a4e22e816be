//! The root-ca as a process: reads its files, opens its store, completes what a crash left, and serves.

use std::{fs, path::PathBuf, sync::Arc};

use ::service::{
    Workers,
    config::{ConfigDirectory, FilePath},
    shell::{Built, Context, Service, StartError},
};
use api::{
    handoff::v1::handoff_service_server::HandoffServiceServer,
    manifest::v1::manifest_service_server::ManifestServiceServer,
    manufacturer::v1::manufacturer_service_server::ManufacturerServiceServer,
    order::v1::order_service_server::OrderServiceServer,
    possession::v1::possession_service_server::PossessionServiceServer,
    program::v1::program_service_server::ProgramServiceServer,
};
use authority::{
    Authority, HandoffRpc, ManifestRpc, PossessionRpc, Seams, complete_open_intents, load_key, make_lots,
    release_expired_offers, tell_lots,
};
use issuance::{Entropy, Instance, SerialSource, SigningKey, SoftwareKey, Stage, SystemEntropy};
use mfg::{OrderCa, oid};
use pki::{
    Certificate, PublicKey,
    path::{PathOptions, Purpose, verify_path},
    pem,
};
use records::{StoreRpc, init_store, open_store};
use tracing::info;

use crate::{
    access,
    config::Config,
    orders::{self, Approver, DeviceRoot, Orders},
    peers::BrandsPeers,
    rpc::BrandRpc,
};

/// The root-ca service.
#[derive(Debug, Clone, Copy, Default)]
pub struct RootCa;

impl Service for RootCa {
    type Config = Config;
    const NAME: &'static str = "root-ca";

    fn check(&self, config: &Config, directory: &ConfigDirectory) -> Result<(), StartError> {
        instance(config)?;
        device_root(config, directory)?;
        approvers(config, directory)?;
        identity_key(config, directory).map(drop)
    }

    fn init_store(&self, config: &Config, directory: &ConfigDirectory) -> Result<(), StartError> {
        let store = directory.path(&config.store.directory);
        init_store(&store, Self::NAME, config.manufacturer.as_str())
    }

    async fn build(&self, config: Config, context: Context) -> Result<Built, StartError> {
        let directory = context.directory();
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let store_directory = directory.path(&config.store.directory);
        let opened =
            open_store(&store_directory, Self::NAME, config.manufacturer.as_str(), context.stop(), context.metrics())?;
        let seams = Seams {
            store: Arc::clone(&opened.store),
            clock: Arc::clone(context.clock()),
            entropy: Arc::clone(&entropy),
            workers: Workers::Threads,
        };
        let serials = SerialSource::new(instance(&config)?, entropy);
        let identity_key = Arc::new(identity_key(&config, directory)?);
        let root = device_root(&config, directory)?;
        let own_ca = root.own_ca(seams.clock.now());
        let authority = Authority::new(config.manufacturer.clone(), identity_key, seams, serials).with_own_ca(own_ca);
        let authority = Arc::new(authority);
        let orders = Arc::new(Orders {
            authority: Arc::clone(&authority),
            approvers: approvers(&config, directory)?,
            approvals_required: config.approvals.required,
            profile: config.terms.clone(),
            root: Arc::new(root),
        });
        authority.take_standing().map_err(|e| StartError::refused(e.reason(), e))?;
        authority.take_clock().map_err(|e| StartError::refused(e.reason(), e))?;
        let noted = orders::note_all(&orders).map_err(|e| StartError::refused(e.reason(), e))?;
        let completed = complete_open_intents(&authority).map_err(|e| StartError::refused(e.reason(), e))?;
        release_expired_offers(&authority).map_err(|e| StartError::refused(e.reason(), e))?;
        info!(orders = noted, completed, "approved orders noted, open intents completed");
        make_lots(&authority);

        tell_lots(&authority, context.metrics());
        let limit = context.limits().message_bytes();
        let peers = Arc::new(BrandsPeers(Arc::clone(&orders)));
        let brand = BrandRpc { orders };
        let mut routes = tonic::service::Routes::builder();
        routes
            .add_service(ProgramServiceServer::new(brand.clone()).max_decoding_message_size(limit))
            .add_service(ManufacturerServiceServer::new(brand.clone()).max_decoding_message_size(limit))
            .add_service(OrderServiceServer::new(brand).max_decoding_message_size(limit))
            .add_service(
                ManifestServiceServer::new(ManifestRpc(Arc::clone(&authority))).max_decoding_message_size(limit),
            )
            .add_service(
                PossessionServiceServer::new(PossessionRpc(Arc::clone(&authority))).max_decoding_message_size(limit),
            )
            .add_service(HandoffServiceServer::new(HandoffRpc(authority)).max_decoding_message_size(limit));
        StoreRpc::new(&opened).with(peers).add_to(&mut routes);
        ::service::reflection::add(&mut routes, api::FILE_DESCRIPTOR_SET)?;
        Ok(Built {
            routes: routes.routes(),
            authorization: access::TABLE,
            bound: Vec::new(),
            close: Box::new(|| Box::pin(async { Ok(()) })),
        })
    }
}

fn instance(config: &Config) -> Result<Instance, StartError> {
    Instance::of(config.root.instance).map_err(|e| StartError::unusable("CONFIG_INVALID", e))
}

fn read_pem(directory: &ConfigDirectory, file: &FilePath) -> Result<(PathBuf, String), StartError> {
    let path = directory.path(file);
    let text = fs::read_to_string(&path)
        .map_err(|e| StartError::missing("FILE_MISSING", format!("{}: {e}", path.display())))?;
    Ok((path, text))
}

fn malformed(path: &std::path::Path, what: impl std::fmt::Display) -> StartError {
    StartError::refused("FILE_MALFORMED", format!("{}: {what}", path.display()))
}

fn certificate(directory: &ConfigDirectory, file: &FilePath) -> Result<Certificate, StartError> {
    let (path, text) = read_pem(directory, file)?;
    let mut found = pem::certificates(&text).map_err(|e| malformed(&path, e))?;
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (_, _) => Err(malformed(&path, "holds not exactly one certificate")),
    }
}

fn identity_key(config: &Config, directory: &ConfigDirectory) -> Result<SoftwareKey, StartError> {
    let brand = &config.brand;
    load_key(&directory.key_file(&brand.identity_key, brand.identity_key_passphrase_file.as_ref()))
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
    let key_file = directory.key_file(&config.root.key, config.root.key_passphrase_file.as_ref());
    let key: Arc<dyn SigningKey> = Arc::new(load_key(&key_file)?);
    let signer = chain.first().unwrap_or(&anchor);
    if signer.public_key().sha256() != key.public_key().sha256() {
        return Err(StartError::refused(
            "ISSUER_KEY_MISMATCH",
            format!("{} does not belong to the signing certificate", key_file.file.display()),
        ));
    }
    chain.iter().try_for_each(|order_ca| check_order_ca(order_ca, &anchor))?;
    Ok(DeviceRoot { anchor, chain, stage: config.mode, order_ca, key })
}

/// An order CA is a CA certificate that the anchor issued. Whether it has expired is not the configuration's matter: then it signs
/// nothing more, and the service answers for what it signed.
fn check_order_ca(order_ca: &Certificate, anchor: &Certificate) -> Result<(), StartError> {
    let refused = |reason: &'static str, what: &dyn std::fmt::Display| {
        Err(StartError::refused(reason, format!("root.order_ca: {}: {what}", order_ca.subject())))
    };
    if !order_ca.is_ca() {
        return refused("NOT_A_CA", &"no CA certificate");
    }
    let options = PathOptions::new(order_ca.not_before().max(anchor.not_before()), Purpose::Any);
    match verify_path(order_ca, &[], std::slice::from_ref(anchor), &options) {
        Ok(_) => Ok(()),
        Err(refusal) => refused(refusal.reason(), &refusal),
    }
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
