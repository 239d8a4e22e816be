//! The intermediate-ca as a process: reads its files, opens its store, notes its lots, completes what a crash left, and serves.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ::service::{
    Workers,
    config::ConfigDirectory,
    secret::SecretDirectory,
    shell::{Built, Context, Service, StartError},
    tls::ExpectedPeer,
};
use api::{
    handoff::v1::handoff_service_server::HandoffServiceServer,
    issuance::v1::issuance_service_server::IssuanceServiceServer, lot::v1::lot_service_server::LotServiceServer,
    manifest::v1::manifest_service_server::ManifestServiceServer,
    possession::v1::possession_service_server::PossessionServiceServer,
};
use authority::{
    Authority, HandoffRpc, IssuanceRpc, Line, LineLimits, ManifestRpc, PossessionRpc, Seams, complete_open_intents,
    load_key, make_lots, release_expired_offers, tell_lots,
};
use issuance::{Entropy, Instance, SerialSource, SoftwareKey, SystemEntropy};
use mfg::ManufacturerId;
use records::{StoreRpc, init_store, open_store};
use tracing::info;

use crate::{
    access, bundle,
    config::Config,
    lots,
    peers::ReceiversPeers,
    receive::{Receiver, Upstream, Upstreams},
    reports,
    rpc::LotRpc,
};

/// How long the senders are waited for at start. Who is not heard in that time is compared with at every report.
const AT_START: Duration = Duration::from_millis(500);

/// The intermediate-ca service.
#[derive(Debug, Clone, Copy, Default)]
pub struct IntermediateCa;

impl Service for IntermediateCa {
    type Config = Config;
    const NAME: &'static str = "intermediate-ca";

    fn check(&self, config: &Config, directory: &ConfigDirectory) -> Result<(), StartError> {
        instance(config)?;
        bundle::check(config, directory)?;
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
        let authority = Arc::new(Authority::new(config.manufacturer.clone(), identity_key, seams, serials));
        let bundle = bundle::take(&config, directory, &authority)?;
        let receiver = Arc::new(Receiver {
            authority: Arc::clone(&authority),
            lot_keys: SecretDirectory::create(&directory.path(&config.custody.lot_keys))?,
            stage: config.mode,
            upstreams: upstreams(&config, &context)?,
            reports: Arc::default(),
        });
        let refused = |e: api::Refusal| StartError::refused(e.reason(), e);
        authority.take_standing().map_err(refused)?;
        authority.take_clock().map_err(refused)?;
        let found = lots::note_all(&receiver).map_err(refused)?;
        // Before anything is signed, also what a crash left open: a journal that was put back would sign it again.
        receiver.compare_all(AT_START).await.map_err(refused)?;
        let completed = complete_open_intents(&authority).map_err(refused)?;
        release_expired_offers(&authority).map_err(refused)?;
        context.follow("bundle", bundle);
        info!(lots = found.lots, stray_keys = found.stray_keys.len(), completed, "lots noted, open intents completed");

        reports::start(&receiver, Duration::from_secs(config.custody.report_every_seconds.max(1)));
        let (line, workers) =
            Line::start(&authority, line_limits(&config)).map_err(|e| StartError::refused("SETUP_FAILED", e))?;
        let limit = context.limits().message_bytes();
        line.tell(context.metrics());
        tell_lots(&authority, context.metrics());
        make_lots(&authority);
        let peers = Arc::new(ReceiversPeers(Arc::clone(&receiver)));
        let mut routes = tonic::service::Routes::builder();
        routes
            .add_service(LotServiceServer::new(LotRpc(receiver)).max_decoding_message_size(limit))
            .add_service(
                ManifestServiceServer::new(ManifestRpc(Arc::clone(&authority))).max_decoding_message_size(limit),
            )
            .add_service(
                PossessionServiceServer::new(PossessionRpc(Arc::clone(&authority))).max_decoding_message_size(limit),
            )
            .add_service(HandoffServiceServer::new(HandoffRpc(Arc::clone(&authority))).max_decoding_message_size(limit))
            .add_service(
                IssuanceServiceServer::new(IssuanceRpc::new(authority, line)).max_decoding_message_size(limit),
            );
        StoreRpc::new(&opened).with(peers).add_to(&mut routes);
        ::service::reflection::add(&mut routes, api::FILE_DESCRIPTOR_SET)?;
        Ok(Built {
            routes: routes.routes(),
            authorization: access::TABLE,
            bound: Vec::new(),
            // The workers end when the last handle of the line is gone, with the routes.
            close: Box::new(|| {
                Box::pin(async move {
                    tokio::task::spawn_blocking(move || workers.into_iter().for_each(|w| drop(w.join()))).await?;
                    Ok(())
                })
            }),
        })
    }
}

fn instance(config: &Config) -> Result<Instance, StartError> {
    Instance::of(config.signing.instance).map_err(|e| StartError::unusable("CONFIG_INVALID", e))
}

fn line_limits(config: &Config) -> LineLimits {
    let defaults = LineLimits::default();
    let workers = if config.signing.workers == 0 { defaults.workers } else { config.signing.workers };
    LineLimits { workers, queue: config.signing.queue, ..defaults }
}

fn identity_key(config: &Config, directory: &ConfigDirectory) -> Result<SoftwareKey, StartError> {
    let custody = &config.custody;
    load_key(&directory.key_file(&custody.identity_key, custody.identity_key_passphrase_file.as_ref()))
}

fn upstreams(config: &Config, context: &Context) -> Result<Upstreams, StartError> {
    let mut upstreams = BTreeMap::new();
    for upstream in &config.upstreams {
        let expected = ExpectedPeer { manufacturer: upstream.manufacturer.clone(), role: upstream.role };
        let id = ManufacturerId::parse(upstream.manufacturer.as_str())
            .map_err(|e| StartError::unusable("CONFIG_INVALID", e))?;
        let channel = context.connect(&upstream.address, expected)?;
        upstreams.insert(id, Upstream { channel, role: upstream.role });
    }
    Ok(Upstreams(upstreams))
}
