//! The hub as a process.

use std::{sync::Arc, thread, time::Duration};

use ::service::{
    Workers,
    config::ConfigDirectory,
    files::{self, FollowedFile},
    shell::{Built, Context, Service, StartError},
};
use api::Refusal;
use mfg::{Bundle, bundle::MAX_LENGTH};
use records::{CommitQueue, StoreRpc, init_store, named, open_store};
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
    wire::{Bound, DeviceTls, DeviceTlsError, SessionTable, Wire},
};

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
            return Err(StartError::unusable("CONFIG_INVALID", problem));
        }
        check_bundle(config, directory)?;
        device_tls(config, directory).map(drop)
    }

    fn init_store(&self, config: &Config, directory: &ConfigDirectory) -> Result<(), StartError> {
        let store = directory.path(&config.store.directory);
        init_store(&store, Self::NAME, config.manufacturer.as_str())
    }

    async fn build(&self, config: Config, context: Context) -> Result<Built, StartError> {
        let directory = context.directory();
        let store_directory = directory.path(&config.store.directory);
        let opened =
            open_store(&store_directory, Self::NAME, config.manufacturer.as_str(), context.stop(), context.metrics())?;
        let store = Arc::clone(&opened.store);
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
        context.follow("device-tls", tls);

        let mut routes = tonic::service::Routes::builder();
        rpc::add(&mut routes, &registry, bound, context.limits().message_bytes());
        StoreRpc::new(&opened).add_to(&mut routes);
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
    let books = Books::open(store, Arc::clone(&clock), policy)
        .map_err(|refusal| StartError::refused(refusal.reason(), refusal))?;
    let books = Arc::new(books);
    follow_bundle(config, context, &books)?;
    let parts = Parts {
        books,
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
    DeviceTls::load(
        directory.path(&section.certificate),
        directory.key_file(&section.key, section.key_passphrase_file.as_ref()),
    )
    .map_err(|error| match error {
        DeviceTlsError::File(error) => error.into(),
        DeviceTlsError::Key(error) => error.into(),
        error @ (DeviceTlsError::Malformed { .. }
        | DeviceTlsError::KeyMalformed { .. }
        | DeviceTlsError::KeyMismatch { .. }) => StartError::refused(error.reason(), error),
    })
}

/// Has the books know the bundle, now and whenever its file is looked at again.
fn follow_bundle(config: &Config, context: &Context, books: &Arc<Books>) -> Result<(), StartError> {
    let Some(file) = &config.trust.bundle else { return Ok(()) };
    let file = context.directory().path(file);
    let books = Arc::clone(books);
    let know = move |octets: &[u8]| books.know(parse_bundle(octets)?);
    context.follow("bundle", Arc::new(FollowedFile::take(file, MAX_LENGTH, Box::new(know))?));
    Ok(())
}

fn check_bundle(config: &Config, directory: &ConfigDirectory) -> Result<(), StartError> {
    let Some(file) = &config.trust.bundle else { return Ok(()) };
    let file = directory.path(file);
    let refused = |refusal: Refusal| StartError::refused(refusal.reason(), format!("{}: {refusal}", file.display()));
    parse_bundle(&files::read(&file, MAX_LENGTH)?).map(drop).map_err(refused)
}

fn parse_bundle(octets: &[u8]) -> Result<Bundle, Refusal> {
    Bundle::parse(octets).map_err(named(mfg::BundleRefusal::reason))
}
