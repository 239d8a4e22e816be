//! `OrderService`.

use api::{
    Refusal, RequestId,
    order::v1::{self as wire, order_service_server::OrderService},
};
use records::{Caller, page};
use service::identity::PeerIdentity;
use tonic::{Request, Response, Status};

use super::BrandRpc;

#[tonic::async_trait]
impl OrderService for BrandRpc {
    async fn create_order(
        &self,
        request: Request<wire::CreateOrderRequest>,
    ) -> Result<Response<wire::CreateOrderResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let id = RequestId::parse(&message.request_id)?;
        let draft = message.draft.ok_or_else(|| Refusal::malformed("draft", "is missing"))?;
        self.run(move |orders| {
            let order = orders.create(&orders.authority.act(caller, id), &draft)?;
            Ok(wire::CreateOrderResponse { order: Some(order) })
        })
        .await
    }

    async fn approve_order(
        &self,
        request: Request<wire::ApproveOrderRequest>,
    ) -> Result<Response<wire::ApproveOrderResponse>, Status> {
        let caller = Caller::of(&request)?;
        let operator = PeerIdentity::of(&request).and_then(|peer| peer.id().name.clone()).unwrap_or_default();
        let message = request.into_inner();
        let id = RequestId::parse(&message.request_id)?;
        self.run(move |orders| {
            let order = orders.approve(&orders.authority.act(caller, id), &operator, &message)?;
            Ok(wire::ApproveOrderResponse { order: Some(order) })
        })
        .await
    }

    async fn amend_order(
        &self,
        request: Request<wire::AmendOrderRequest>,
    ) -> Result<Response<wire::AmendOrderResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let id = RequestId::parse(&message.request_id)?;
        self.run(move |orders| {
            let order = orders.amend(&orders.authority.act(caller, id), &message)?;
            Ok(wire::AmendOrderResponse { order: Some(order) })
        })
        .await
    }

    async fn cancel_order(
        &self,
        request: Request<wire::CancelOrderRequest>,
    ) -> Result<Response<wire::CancelOrderResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let id = RequestId::parse(&message.request_id)?;
        self.run(move |orders| {
            let order = orders.cancel(&orders.authority.act(caller, id), &message.order)?;
            Ok(wire::CancelOrderResponse { order: Some(order) })
        })
        .await
    }

    async fn get_order(
        &self,
        request: Request<wire::GetOrderRequest>,
    ) -> Result<Response<wire::GetOrderResponse>, Status> {
        let wire::GetOrderRequest { order: id, version } = request.into_inner();
        self.run(move |orders| {
            let order = match version {
                None => orders.get(&id)?,
                Some(version) => orders.get_version(&id, version)?,
            };
            Ok(wire::GetOrderResponse { order: Some(order) })
        })
        .await
    }

    async fn list_orders(
        &self,
        request: Request<wire::ListOrdersRequest>,
    ) -> Result<Response<wire::ListOrdersResponse>, Status> {
        let message = request.into_inner();
        let page = page::Page::read("orders", message.page_size, &message.page_token)?;
        self.run(move |orders| {
            let (list, next) = orders.list(page.after(), page.limit())?;
            Ok(wire::ListOrdersResponse { orders: list, next_page_token: page::token("orders", next) })
        })
        .await
    }
}
