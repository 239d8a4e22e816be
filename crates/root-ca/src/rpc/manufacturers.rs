//! `ManufacturerService`.

use api::{
    Refusal, RequestId,
    manufacturer::v1::{self as wire, manufacturer_service_server::ManufacturerService},
};
use records::{Caller, page};
use tonic::{Request, Response, Status};

use super::{BrandRpc, registry::list};
use crate::registry::{Registered as _, find, register};

const COLLECTION: &str = wire::Manufacturer::COLLECTION;

#[tonic::async_trait]
impl ManufacturerService for BrandRpc {
    async fn register_manufacturer(
        &self,
        request: Request<wire::RegisterManufacturerRequest>,
    ) -> Result<Response<wire::RegisterManufacturerResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let id = RequestId::parse(&message.request_id)?;
        let asked = message.manufacturer.ok_or_else(|| Refusal::malformed("manufacturer", "is missing"))?;
        self.run(move |orders| {
            orders.not_the_brand(&asked.manufacturer, &asked.identity_key)?;
            let kept = register(orders.authority.store(), &orders.authority.act(caller, id), asked)?;
            Ok(wire::RegisterManufacturerResponse { manufacturer: Some(kept) })
        })
        .await
    }

    async fn rotate_identity_key(
        &self,
        request: Request<wire::RotateIdentityKeyRequest>,
    ) -> Result<Response<wire::RotateIdentityKeyResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let id = RequestId::parse(&message.request_id)?;
        self.run(move |orders| {
            let manufacturer = orders.rotate(&orders.authority.act(caller, id), &message)?;
            Ok(wire::RotateIdentityKeyResponse { manufacturer: Some(manufacturer) })
        })
        .await
    }

    async fn set_service_identity(
        &self,
        request: Request<wire::SetServiceIdentityRequest>,
    ) -> Result<Response<wire::SetServiceIdentityResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let id = RequestId::parse(&message.request_id)?;
        self.run(move |orders| {
            let manufacturer = orders.set_services(&orders.authority.act(caller, id), &message)?;
            Ok(wire::SetServiceIdentityResponse { manufacturer: Some(manufacturer) })
        })
        .await
    }

    async fn suspend_manufacturer(
        &self,
        request: Request<wire::SuspendManufacturerRequest>,
    ) -> Result<Response<wire::SuspendManufacturerResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let id = RequestId::parse(&message.request_id)?;
        self.run(move |orders| {
            let manufacturer = orders.suspend(&orders.authority.act(caller, id), &message)?;
            Ok(wire::SuspendManufacturerResponse { manufacturer: Some(manufacturer) })
        })
        .await
    }

    async fn reinstate_manufacturer(
        &self,
        request: Request<wire::ReinstateManufacturerRequest>,
    ) -> Result<Response<wire::ReinstateManufacturerResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let id = RequestId::parse(&message.request_id)?;
        self.run(move |orders| {
            let manufacturer = orders.reinstate(&orders.authority.act(caller, id), &message)?;
            Ok(wire::ReinstateManufacturerResponse { manufacturer: Some(manufacturer) })
        })
        .await
    }

    async fn get_manufacturer(
        &self,
        request: Request<wire::GetManufacturerRequest>,
    ) -> Result<Response<wire::GetManufacturerResponse>, Status> {
        let id = request.into_inner().manufacturer;
        self.run(move |orders| {
            let found = find(orders.authority.store(), &id)?;
            Ok(wire::GetManufacturerResponse { manufacturer: Some(found) })
        })
        .await
    }

    async fn list_manufacturers(
        &self,
        request: Request<wire::ListManufacturersRequest>,
    ) -> Result<Response<wire::ListManufacturersResponse>, Status> {
        let message = request.into_inner();
        let page = page::Page::read(COLLECTION, message.page_size, &message.page_token)?;
        self.run(move |orders| {
            let (manufacturers, next) = list(orders, page.after(), page.limit())?;
            Ok(wire::ListManufacturersResponse { manufacturers, next_page_token: page::token(COLLECTION, next) })
        })
        .await
    }
}
