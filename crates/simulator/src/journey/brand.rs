//! The brand's operators: register the manufacturers and the program, propose the order, approve it, publish the bundle.

use anyhow::Context as _;
use api::{
    Refusal,
    custody::v1::{Quantity, quantity::Amount},
    manufacturer::v1::{
        Manufacturer, RegisterManufacturerRequest, manufacturer_service_client::ManufacturerServiceClient,
    },
    order::v1::{
        ApproveOrderRequest, CreateOrderRequest, Order, OrderDraft, Route, order_service_client::OrderServiceClient,
    },
    program::v1::{CreateProgramRequest, GetBundleRequest, Program, program_service_client::ProgramServiceClient},
};
use bytes::Bytes;
use issuance::SigningKey as _;
use mfg::{OrderId, Statement, terms::NameConstraintsProfile};
use pki::Sha256;
use service::identity::Role;
use tonic::transport::Channel;

use super::Journey;
use crate::{
    clients::Clients,
    configs::APPROVERS,
    plan::{BRAND, ORDER, PROGRAM},
};

const BASE_NAME: &str = "smart-widget.company-x.example";
/// Six hops leave room for lot ids of ten octets and device ids of thirty-two.
const MAX_LOT_ID_LENGTH: u32 = 10;
const MAX_DEVICE_ID_LENGTH: u32 = 32;

impl Journey<'_> {
    /// Everything up to the approved order and the bundle on disk.
    pub(super) async fn brand(&self) -> anyhow::Result<Order> {
        let channel = self.operator_of_brand(APPROVERS[0])?;
        self.register(channel.clone()).await?;
        let mut orders = OrderServiceClient::new(channel.clone());
        let request = CreateOrderRequest { request_id: self.id("create order"), draft: Some(self.draft()) };
        let order = orders.create_order(request).await.map_err(|s| Refusal::from_status(&s))?.into_inner();
        let mut order = order.order.context("the root-ca answered no order")?;
        for name in APPROVERS {
            order = self.approve(name, &order).await?;
        }
        self.publish_bundle(channel).await?;
        Ok(order)
    }

    /// The program and the manufacturers are registered, and the bundle is on disk. No order yet.
    pub(crate) async fn register_all(&self) -> anyhow::Result<()> {
        let channel = self.operator_of_brand(APPROVERS[0])?;
        self.register(channel.clone()).await?;
        self.publish_bundle(channel).await
    }

    async fn publish_bundle(&self, channel: Channel) -> anyhow::Result<()> {
        let mut programs = ProgramServiceClient::new(channel);
        let bundle = programs.get_bundle(GetBundleRequest {}).await.map_err(|s| Refusal::from_status(&s))?.into_inner();
        self.world.trust().write("bundle.json", &bundle.bundle)?;
        Ok(())
    }

    async fn register(&self, channel: Channel) -> anyhow::Result<()> {
        let mut programs = ProgramServiceClient::new(channel.clone());
        let program = Program {
            program: PROGRAM.to_owned(),
            base_name: BASE_NAME.to_owned(),
            oid_arc: mfg::oid::DOCUMENTATION_ARC.to_owned(),
            max_device_id_length: MAX_DEVICE_ID_LENGTH,
            max_lot_id_length: MAX_LOT_ID_LENGTH,
        };
        let request = CreateProgramRequest { request_id: self.id("create program"), program: Some(program) };
        programs.create_program(request).await.map_err(|s| Refusal::from_status(&s))?;
        let mut manufacturers = ManufacturerServiceClient::new(channel);
        for (stop, organisation) in &self.world.manufacturers {
            let manufacturer = Manufacturer {
                manufacturer: stop.manufacturer.clone(),
                display_name: stop.display_name.clone(),
                identity_key: Bytes::copy_from_slice(organisation.identity_key()?.spki()),
                ..Manufacturer::default()
            };
            let request = RegisterManufacturerRequest {
                request_id: self.id(&format!("register {}", stop.manufacturer)),
                manufacturer: Some(manufacturer),
            };
            manufacturers.register_manufacturer(request).await.map_err(|s| Refusal::from_status(&s))?;
        }
        Ok(())
    }

    fn draft(&self) -> OrderDraft {
        let routes =
            self.plan.stops().into_iter().map(|stop| Route { from: stop.from, to: stop.manufacturer }).collect();
        OrderDraft {
            order: ORDER.to_owned(),
            program: PROGRAM.to_owned(),
            quantity: Some(Quantity { amount: Some(Amount::Units(self.plan.units())) }),
            yield_allowance: self.plan.yield_allowance(),
            routes,
            device_issuers: Vec::new(),
            signing_window: None,
            rework_cap: 2,
            replacement_cap: 3,
            compatible_name_constraints: self.plan.name_constraints() == NameConstraintsProfile::Compatible,
            manifest_sha256: None,
        }
    }

    async fn approve(&self, operator: &str, order: &Order) -> anyhow::Result<Order> {
        let key = self.world.brand.approval_key(operator)?;
        // The operator signs the digest of the terms that were shown, not one that somebody names.
        let digest = Sha256::of(&order.terms);
        let statement = Statement::order_approval(&OrderId::parse(&order.order)?, &digest);
        let request = ApproveOrderRequest {
            request_id: self.id(&format!("approve {operator}")),
            order: order.order.clone(),
            terms_digest: Bytes::copy_from_slice(digest.as_bytes()),
            signature: Bytes::from(key.sign(statement.to_be_signed())?),
        };
        let mut orders = OrderServiceClient::new(self.operator_of_brand(operator)?);
        let answer = orders.approve_order(request).await.map_err(|s| Refusal::from_status(&s))?.into_inner();
        answer.order.context("the root-ca answered no order")
    }

    /// A channel to the root-ca as one of the brand's operators.
    pub(super) fn operator_of_brand(&self, name: &str) -> anyhow::Result<Channel> {
        let brand = &self.world.brand;
        let address = &self.world.service(BRAND, "root-ca")?.grpc;
        Clients::load(brand, name, &[brand])?.channel(address, BRAND, Role::RootCa)
    }

    /// The request id of one step.
    pub(super) fn id(&self, step: &str) -> String {
        self.plan.request_id(step).to_string()
    }
}
