//! The hub as a process.

use std::{sync::Arc, thread, time::Duration};

use ::service::{
    Workers,
    config::ConfigDirectory,
    shell::{Built, Context, Service, StartError},
};
use api::Refusal;
use mfg::Bundle;
use records::{CommitQueue, init_store, open_store};
use store::Store;

use crate::{
    access,
    config::Config,
    mailbox::Mailboxes,
    open_files,
    registry::{Books, Parts, Policy, Presence, Registry},
    rest::{self, Rest},
    rpc,
    telemetry::Telemetry,
    why::JudgementLog,
    wire::{Bound, DeviceTls, SessionTable, Wire},
};

/// A bundle.json longer than this is not read; `mfg` has the same bound.
const MAX_BUNDLE_OCTETS: u64 = 8 * 1024 * 1024;

/// How long the end of the process waits for the last sessions.
const LAST_GOODBYES: Duration = Duration::from_secs(5);

/// The hub service.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hub;

impl Service for Hub {
    type Config = Config;
    const NAME: &'static str = "hub";

    fn check(&self, config: &Config, directory: &ConfigDirectory) -> Result<(), StartError> {
        if let Some(problem) = config.problem() {
            return Err(StartError::refused("CONFIG_INVALID", problem));
        }
        read_bundle(config, directory)?;
        device_tls(config, directory).map(drop)
    }

    fn init_store(&self, config: &Config, directory: &ConfigDirectory) -> Result<(), StartError> {
        let store = directory.path(&config.store.directory);
        init_store(&store, Self::NAME, config.manufacturer.as_str())
    }

    async fn build(&self, config: Config, context: Context) -> Result<Built, StartError> {
        let directory = context.directory();
        let store_directory = directory.path(&config.store.directory);
        let store =
            open_store(&store_directory, Self::NAME, config.manufacturer.as_str(), context.stop(), context.metrics())?;
        let (commits, committing) =
            CommitQueue::start(Arc::clone(&store)).map_err(|e| StartError::refused("SETUP_FAILED", e))?;
        commits.tell(context.metrics());
        let registry = Arc::new(registry(&config, &context, store, commits)?);
        registry.tell(context.metrics());
        let tls = device_tls(&config, directory)?;
        open_files::make_room(u64::from(config.devices.max_connections) + u64::from(context.limits().max_connections));
        let bound = open_doors(&config, &context, &registry, &tls).await?;
        let doors = [("mqtt", &bound.mqtt), ("amqp", &bound.amqp), ("https", &bound.https)];
        let doors = doors.into_iter().filter_map(|(name, address)| Some((name, address.clone()?))).collect();
        tokio::spawn(reload_device_tls(tls, context.clone()));

        let mut routes = tonic::service::Routes::builder();
        rpc::add(&mut routes, &registry, bound, context.limits().message_bytes());
        ::service::reflection::add(&mut routes, api::FILE_DESCRIPTOR_SET)?;
        Ok(Built {
            routes: routes.routes(),
            authorization: access::TABLE,
            bound: doors,
            close: Box::new(|| {
                Box::pin(async move {
                    // The thread ends with the last handle of the registry. A session that says goodbye may hold one a while longer, and
                    // has nothing to commit.
                    let ended = tokio::task::spawn_blocking(move || drop(committing.join()));
                    let _ = tokio::time::timeout(LAST_GOODBYES, ended).await;
                    Ok(())
                })
            }),
        })
    }
}

/// Opens everything that the registry stands on.
fn registry(
    config: &Config,
    context: &Context,
    store: Arc<dyn Store>,
    commits: CommitQueue,
) -> Result<Registry, StartError> {
    let directory = context.directory();
    let unusable =
        |what: &'static str| move |error: std::io::Error| StartError::refused("LOG_FAILED", format!("{what}: {error}"));
    let presence = Arc::new(Presence::default());
    let log = JudgementLog::open(
        &directory.path(&config.judgements.directory),
        config.judgement_bounds(),
        context.stop().clone(),
        |judgement| presence.recall(judgement),
    )
    .map_err(unusable("opening the log of judgements"))?;
    let telemetry = Telemetry::open(
        &directory.path(&config.telemetry.directory),
        config.telemetry_bounds(),
        context.stop().clone(),
    )
    .map_err(unusable("opening the log of telemetry"))?;
    let mailboxes = Mailboxes::open(directory.path(&config.mailboxes.directory))
        .map_err(unusable("opening the folder of mailboxes"))?;
    let policy = Policy { stage: config.mode, verified_on_upload: config.policy.verified_on_upload };
    let clock = Arc::clone(context.clock());
    let books = Books::open(store, Arc::clone(&clock), policy, read_bundle(config, directory)?)
        .map_err(|refusal| StartError::refused(refusal.reason(), refusal))?;
    let parts = Parts {
        books: Arc::new(books),
        commits,
        log: Arc::new(log),
        telemetry: Arc::new(telemetry),
        mailboxes: Arc::new(mailboxes),
        presence,
        clock,
        workers: Workers::Threads,
        manufacturer: config.manufacturer.to_string(),
        message_hours: config.mailboxes.message_hours,
    };
    let processors = thread::available_parallelism().map_or(2, usize::from);
    Ok(Registry::new(parts, processors * 2))
}

/// Opens the doors for devices.
async fn open_doors(
    config: &Config,
    context: &Context,
    registry: &Arc<Registry>,
    tls: &Arc<DeviceTls>,
) -> Result<Bound, StartError> {
    let sessions = SessionTable::new();
    registry.set_sessions(Arc::<SessionTable>::clone(&sessions));
    let rest = Rest {
        registry: Arc::clone(registry),
        credentials: Arc::clone(context.credentials()),
        own: context.own_id().manufacturer,
    };
    let wire = Wire {
        network: Arc::clone(context.network()),
        admission: Arc::<Registry>::clone(registry),
        sessions,
        clock: Arc::clone(context.clock()),
        tls: Arc::clone(tls),
        limits: config.devices.clone(),
        rest: rest::router(rest),
        stop: context.background().clone(),
    };
    let bound = wire.open(&config.listen.devices).await.map_err(|error| {
        let in_use = error.source.kind() == std::io::ErrorKind::AddrInUse;
        let reason = if in_use { "PORT_IN_USE" } else { "LISTEN_FAILED" };
        StartError::missing(reason, error)
    })?;
    tracing::info!(mqtt = bound.mqtt, amqp = bound.amqp, https = bound.https, "open for devices");
    Ok(bound)
}

fn device_tls(config: &Config, directory: &ConfigDirectory) -> Result<Arc<DeviceTls>, StartError> {
    let section = &config.device_tls;
    DeviceTls::load(&directory.path(&section.certificate), &directory.path(&section.key))
        .map_err(|error| StartError::unusable(error.reason(), error))
}

/// Looks at the files from time to time, so that a renewed certificate is taken without a restart.
async fn reload_device_tls(tls: Arc<DeviceTls>, context: Context) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(context.limits().credentials_poll()) => {}
            () = context.background().cancelled() => return,
        }
        let tls = Arc::clone(&tls);
        match tokio::task::spawn_blocking(move || tls.reload()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(reason = error.reason(), %error, "the certificate for devices is kept"),
            Err(error) => tracing::error!(%error, "looking at the certificate for devices failed"),
        }
    }
}

fn read_bundle(config: &Config, directory: &ConfigDirectory) -> Result<Option<Bundle>, StartError> {
    use std::io::Read as _;
    let Some(path) = &config.trust.bundle else { return Ok(None) };
    let path = directory.path(path);
    let shown = path.display().to_string();
    let mut octets = Vec::new();
    let read = std::fs::File::open(&path).and_then(|file| file.take(MAX_BUNDLE_OCTETS + 1).read_to_end(&mut octets));
    if let Err(error) = read {
        return Err(StartError::missing("FILE_MISSING", format!("{shown}: {error}")));
    }
    let bundle = Bundle::parse(&octets).map_err(|error| {
        let refusal = Refusal::from_error(error.reason(), &error);
        StartError::refused(refusal.reason(), format!("{shown}: {refusal}"))
    })?;
    Ok(Some(bundle))
}
