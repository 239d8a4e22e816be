//! The same for what the brand changes after the fact: orders amended and cancelled, manufacturers' keys, services and standing.

use api::{
    manufacturer::v1::{
        ReinstateManufacturerRequest, RotateIdentityKeyRequest, ServiceIdentity, SetServiceIdentityRequest,
        SuspendManufacturerRequest, rotate_identity_key_request::Word,
    },
    order::v1::{AmendOrderRequest, CancelOrderRequest, Order, OrderDraft},
};
use bytes::Bytes;
use issuance::{SigningKey as _, SoftwareKey};
use mfg::{ManufacturerId, Statement};

use super::repeated;
use crate::{
    custody::{Custody, draft, quantity},
    organisations::{fresh_key, registered},
    world::{Chain, Who, fresh_id},
};

fn amendment(read: &Order, draft: OrderDraft) -> AmendOrderRequest {
    AmendOrderRequest {
        request_id: fresh_id(),
        order: read.order.clone(),
        draft: Some(draft),
        expected_terms_digest: read.terms_digest.clone(),
    }
}

pub(super) async fn amend_order() {
    let custody = Custody::ordered("repeat-amend", 10).await;
    let other = Custody::ordered("repeat-amend-2", 10).await;
    let chain = custody.chain;
    let good = amendment(&custody.on_record().await, draft(&custody.order, 20));
    let mut more = draft(&custody.order, 20);
    more.quantity = quantity(21);
    let others = vec![
        AmendOrderRequest { draft: Some(more), ..good.clone() },
        AmendOrderRequest { expected_terms_digest: Bytes::from_static(&[0; 32]), ..good.clone() },
        AmendOrderRequest {
            request_id: good.request_id.clone(),
            ..amendment(&other.on_record().await, draft(&other.order, 20))
        },
    ];
    let before = other.picture().await;
    let call = |request| async move { chain.orders(Who::Alice).amend_order(request).await };
    repeated(good, others, call).await;
    other.unchanged(&before).await;
}

pub(super) async fn cancel_order() {
    let custody = Custody::ordered("repeat-end", 10).await;
    let other = Custody::ordered("repeat-end-2", 10).await;
    let chain = custody.chain;
    let good = CancelOrderRequest { request_id: fresh_id(), order: custody.order.clone() };
    let others = vec![CancelOrderRequest { order: other.order.clone(), ..good.clone() }];
    let before = other.picture().await;
    let call = |request| async move { chain.orders(Who::Alice).cancel_order(request).await };
    repeated(good, others, call).await;
    other.unchanged(&before).await;
}

/// A rotation to a fresh key, with both signatures.
fn rotation(id: &str, former: &SoftwareKey) -> RotateIdentityKeyRequest {
    let new = fresh_key();
    let who = ManufacturerId::parse(id).unwrap();
    let statement = Statement::key_rotation(&who, &former.public_key().sha256(), &new.public_key().sha256());
    let sign = |key: &SoftwareKey| Bytes::from(key.sign(statement.to_be_signed()).unwrap());
    RotateIdentityKeyRequest {
        request_id: fresh_id(),
        manufacturer: id.to_owned(),
        new_key: Bytes::copy_from_slice(new.public_key().spki()),
        proof: sign(&new),
        word: Some(Word::Endorsement(sign(former))),
    }
}

pub(super) async fn rotate_identity_key() {
    let chain = Chain::shared().await;
    let key = registered(chain, "repeat-rotate").await;
    let good = rotation("repeat-rotate", &key);
    let others = vec![
        RotateIdentityKeyRequest { request_id: good.request_id.clone(), ..rotation("repeat-rotate", &key) },
        RotateIdentityKeyRequest { word: Some(Word::LostBecause("gone".to_owned())), ..good.clone() },
    ];
    let call = |request| async move { chain.manufacturers(Who::Alice).rotate_identity_key(request).await };
    repeated(good, others, call).await;
}

pub(super) async fn set_service_identity() {
    let chain = Chain::shared().await;
    registered(chain, "repeat-services").await;
    let services =
        |domain: &str| Some(ServiceIdentity { trust_domain: domain.to_owned(), ..ServiceIdentity::default() });
    let good = SetServiceIdentityRequest {
        request_id: fresh_id(),
        manufacturer: "repeat-services".to_owned(),
        service_identity: services("services.example"),
    };
    let others = vec![
        SetServiceIdentityRequest { service_identity: services("other.example"), ..good.clone() },
        SetServiceIdentityRequest { service_identity: None, ..good.clone() },
    ];
    let call = |request| async move { chain.manufacturers(Who::Alice).set_service_identity(request).await };
    repeated(good, others, call).await;
}

pub(super) async fn suspend_manufacturer() {
    let chain = Chain::shared().await;
    registered(chain, "repeat-suspend").await;
    registered(chain, "repeat-suspend-2").await;
    let good = SuspendManufacturerRequest {
        request_id: fresh_id(),
        manufacturer: "repeat-suspend".to_owned(),
        why: "an audit".to_owned(),
    };
    let others = vec![
        SuspendManufacturerRequest { why: "another audit".to_owned(), ..good.clone() },
        SuspendManufacturerRequest { manufacturer: "repeat-suspend-2".to_owned(), ..good.clone() },
    ];
    let call = |request| async move { chain.manufacturers(Who::Alice).suspend_manufacturer(request).await };
    repeated(good, others, call).await;
}

pub(super) async fn reinstate_manufacturer() {
    let chain = Chain::shared().await;
    registered(chain, "repeat-back").await;
    registered(chain, "repeat-back-2").await;
    let suspend = SuspendManufacturerRequest {
        request_id: fresh_id(),
        manufacturer: "repeat-back".to_owned(),
        why: "an audit".to_owned(),
    };
    chain.manufacturers(Who::Alice).suspend_manufacturer(suspend.clone()).await.unwrap();
    let good = ReinstateManufacturerRequest { request_id: fresh_id(), manufacturer: "repeat-back".to_owned() };
    let others = vec![
        ReinstateManufacturerRequest { manufacturer: "repeat-back-2".to_owned(), ..good.clone() },
        // The suspension's own request id.
        ReinstateManufacturerRequest { request_id: suspend.request_id, ..good.clone() },
    ];
    let call = |request| async move { chain.manufacturers(Who::Alice).reinstate_manufacturer(request).await };
    repeated(good, others, call).await;
}
