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

    async fn get_order(
        &self,
        request: Request<wire::GetOrderRequest>,
    ) -> Result<Response<wire::GetOrderResponse>, Status> {
        let id = request.into_inner().order;
        self.run(move |orders| Ok(wire::GetOrderResponse { order: Some(orders.get(&id)?) })).await
    }

    async fn list_orders(
        &self,
        request: Request<wire::ListOrdersRequest>,
    ) -> Result<Response<wire::ListOrdersResponse>, Status> {
        let message = request.into_inner();
        let page = page::Page::read(message.page_size, &message.page_token)?;
        self.run(move |orders| {
            let (list, next) = orders.list(page.after(), page.limit())?;
            Ok(wire::ListOrdersResponse { orders: list, next_page_token: page::token(next) })
        })
        .await
    }
}
