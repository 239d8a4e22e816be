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
    issuance::v1::issuance_service_client::IssuanceServiceClient, lot::v1::lot_service_client::LotServiceClient,
    provisioning::v1::provisioning_service_server::ProvisioningServiceServer,
};
use records::{CommitQueue, init_store, open_store};

use crate::{
    access, config::Config, desk::Desk, escrow::Escrow, lots::KnownLots, rpc::ProvisioningRpc, signer::Signer,
};

/// The provisioner service.
#[derive(Debug, Clone, Copy, Default)]
pub struct Provisioner;

impl Service for Provisioner {
    type Config = Config;
    const NAME: &'static str = "provisioner";

    fn check(&self, config: &Config, directory: &ConfigDirectory) -> Result<(), StartError> {
        secret::read_key_file(&directory.path(&config.escrow.wrapping_key))?;
        Ok(())
    }

    fn init_store(&self, config: &Config, directory: &ConfigDirectory) -> Result<(), StartError> {
        let store = directory.path(&config.store.directory);
        init_store(&store, Self::NAME, config.manufacturer.as_str())
    }

    async fn build(&self, config: Config, context: Context) -> Result<Built, StartError> {
        let directory = context.directory();
        let store_directory = directory.path(&config.store.directory);
        let store = open_store(&store_directory, Self::NAME, config.manufacturer.as_str(), context.stop())?;
        let (commits, committing) =
            CommitQueue::start(Arc::clone(&store)).map_err(|e| StartError::refused("SETUP_FAILED", e))?;
        let wrapping = secret::read_key_file(&directory.path(&config.escrow.wrapping_key))?;
        let escrow =
            Escrow::new(SecretDirectory::create(&directory.path(&config.escrow.directory))?, wrapping.expose())
                .map_err(|e| StartError::unusable(e.reason(), e))?;

        let manufacturer: Manufacturer = config
            .manufacturer
            .as_str()
            .parse()
            .map_err(|e: ::service::identity::IdentityError| StartError::unusable("CONFIG_INVALID", e))?;
        let channel =
            context.connect(&config.signer.address, ExpectedPeer { manufacturer, role: Role::IntermediateCa })?;
        let patience = context.limits().request_timeout();
        let limit = context.limits().message_bytes();
        let desk = Desk {
            lots: KnownLots::new(LotServiceClient::new(channel.clone()), Arc::clone(&store), commits.clone()),
            signer: Signer::start(IssuanceServiceClient::new(channel).max_decoding_message_size(limit), patience),
            store,
            commits,
            clock: Arc::clone(context.clock()),
            workers: Workers::Threads,
            escrow: Arc::new(escrow),
        };
        let mut routes = tonic::service::Routes::builder();
        routes.add_service(
            ProvisioningServiceServer::new(ProvisioningRpc(Arc::new(desk))).max_decoding_message_size(limit),
        );
        ::service::reflection::add(&mut routes, api::FILE_DESCRIPTOR_SET)?;
        Ok(Built {
            routes: routes.routes(),
            authorization: access::TABLE,
            metrics: None,
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
