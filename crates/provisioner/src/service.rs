//! The provisioner as a process.

use std::sync::Arc;

use ::service::{
    Workers,
    config::ConfigDirectory,
    identity::{Manufacturer, Role},
    secret::{self, SecretDirectory},
    shell::{Built, Context, Service, StartError},
    tls::ExpectedPeer,
};
use api::{
    hub::v1::registration_service_client::RegistrationServiceClient,
    issuance::v1::issuance_service_client::IssuanceServiceClient, lot::v1::lot_service_client::LotServiceClient,
    provisioning::v1::provisioning_service_server::ProvisioningServiceServer,
};
use records::{CommitQueue, StoreRpc, init_store, open_store};
use tokio::sync::watch;

use crate::{
    access,
    config::Config,
    desk::Desk,
    escrow::Escrow,
    lots::KnownLots,
    metrics::{UnitCounts, tell_outboxes},
    outbox::{Outbox, ToHub, ToSigner, Tools},
    peers::LinesPeers,
    rpc::ProvisioningRpc,
    signer::Signer,
};

/// The provisioner service.
#[derive(Debug, Clone, Copy, Default)]
pub struct Provisioner;

impl Service for Provisioner {
    type Config = Config;
    const NAME: &'static str = "provisioner";

    fn check(&self, config: &Config, directory: &ConfigDirectory) -> Result<(), StartError> {
        let path = directory.path(&config.escrow.wrapping_key);
        Escrow::check(secret::read_key_file(&path)?.expose())
            .map_err(|e| StartError::refused(e.reason(), format!("{}: {e}", path.display())))
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
        let wrapping = secret::read_key_file(&directory.path(&config.escrow.wrapping_key))?;
        let escrow =
            Escrow::new(SecretDirectory::create(&directory.path(&config.escrow.directory))?, wrapping.expose())
                .map_err(|e| StartError::refused(e.reason(), e))?;

        let manufacturer: Manufacturer = config
            .manufacturer
            .as_str()
            .parse()
            .map_err(|e: ::service::identity::IdentityError| StartError::unusable("CONFIG_INVALID", e))?;
        let channel =
            context.connect(&config.signer.address, ExpectedPeer { manufacturer, role: Role::IntermediateCa })?;
        let patience = context.limits().request_timeout();
        let limit = context.limits().message_bytes();
        commits.tell(context.metrics());
        let calls = IssuanceServiceClient::new(channel.clone()).max_decoding_message_size(limit);
        let outbox = watch::Sender::default();
        let tools = Tools {
            store: Arc::clone(&store),
            commits: commits.clone(),
            clock: Arc::clone(context.clock()),
            workers: Workers::Threads,
            manufacturer: config.manufacturer.to_string(),
            news: outbox.subscribe(),
        };
        let hub_tools = tools.clone();
        let to_signer = Outbox::open(tools, ToSigner(calls.clone())).map_err(|e| StartError::refused(e.reason(), e))?;
        let desk = Arc::new(Desk {
            lots: KnownLots::new(
                LotServiceClient::new(channel.clone()),
                Arc::clone(&store),
                commits.clone(),
                config.line.lots.clone(),
            ),
            signer: Signer::start(IssuanceServiceClient::new(channel).max_decoding_message_size(limit), patience),
            store,
            commits,
            clock: Arc::clone(context.clock()),
            workers: Workers::Threads,
            escrow: Arc::new(escrow),
            calls,
            outbox,
        });
        let mut places = vec![to_signer.place()];
        tokio::spawn(to_signer.run(Arc::downgrade(&desk)));
        if let Some(hub) = &config.hub {
            let expected = ExpectedPeer { manufacturer: hub.manufacturer.clone(), role: Role::Hub };
            let to_hub = ToHub {
                client: RegistrationServiceClient::new(context.connect(&hub.address, expected)?),
                clock: Arc::clone(context.clock()),
                manufacturer: config.manufacturer.to_string(),
            };
            let to_hub = Outbox::open(hub_tools, to_hub).map_err(|e| StartError::refused(e.reason(), e))?;
            places.push(to_hub.place());
            tokio::spawn(to_hub.run(Arc::downgrade(&desk)));
        }
        tell_outboxes(context.metrics(), &desk.store, places);
        let rpc = ProvisioningRpc { desk, counts: UnitCounts::register(context.metrics()) };
        let mut routes = tonic::service::Routes::builder();
        routes.add_service(ProvisioningServiceServer::new(rpc).max_decoding_message_size(limit));
        let peers = LinesPeers { store: Arc::clone(&opened.store), manufacturer: config.manufacturer.clone() };
        StoreRpc::new(&opened).with(Arc::new(peers)).add_to(&mut routes);
        ::service::reflection::add(&mut routes, api::FILE_DESCRIPTOR_SET)?;
        Ok(Built {
            routes: routes.routes(),
            authorization: access::TABLE,
            bound: Vec::new(),
            // The committing thread ends when the last handle of the desk is gone, with the routes.
            close: Box::new(|| {
                Box::pin(async move {
                    tokio::task::spawn_blocking(move || drop(committing.join())).await?;
                    Ok(())
                })
            }),
        })
    }
}
