//! Offering units: never more than there are, whoever asks at once, and always in their form.

use std::collections::BTreeMap;

use api::{
    custody::v1::{Quantity, Unlimited, quantity::Amount},
    handoff::v1::OfferHandoffRequest,
    reason::v1::Reason,
};
use tonic::Code;

use crate::{
    answers::refused,
    custody::{Custody, offer, quantity},
    world::{At, FACTORY, TECHNICIAN, Who},
};

#[tokio::test]
async fn a_brand_offers_no_unit_more_than_was_ordered() {
    let custody = Custody::ordered("over-order", 10).await;
    let mut handoffs = custody.chain.handoffs(Who::Alice, At::RootCa);
    let before = custody.picture().await;
    let too_many = offer(&custody.order, FACTORY, "over-1", 11);
    let refusal =
        refused(handoffs.offer_handoff(too_many.clone()).await, Reason::QuantitySpent, Code::ResourceExhausted);
    assert_eq!(refusal.metadata().get("lot"), Some(&custody.order));
    custody.unchanged(&before).await;

    // The refused request took neither its id nor the lot's.
    handoffs.offer_handoff(OfferHandoffRequest { quantity: quantity(7), ..too_many }).await.unwrap();
    handoffs.offer_handoff(offer(&custody.order, FACTORY, "over-2", 3)).await.unwrap();
    let spent = custody.picture().await;
    let last = handoffs.offer_handoff(offer(&custody.order, FACTORY, "over-3", 1)).await;
    refused(last, Reason::QuantitySpent, Code::ResourceExhausted);
    custody.unchanged(&spent).await;
    let tally = spent.order.tally.unwrap();
    assert_eq!((tally.reserved, tally.handed_over, tally.remaining), (10, 0, Some(0)));
}

#[tokio::test]
async fn a_manufacturer_offers_no_unit_more_than_it_received() {
    let custody = Custody::ordered("over-lot", 20).await;
    custody.hand_to_factory("ol-f", 10).await;
    let mut handoffs = custody.chain.handoffs(Who::FactoryOperator, At::FactoryCa);
    let before = custody.picture().await;
    let too_many = handoffs.offer_handoff(offer("ol-f", TECHNICIAN, "ol-t", 11)).await;
    refused(too_many, Reason::QuantitySpent, Code::ResourceExhausted);
    custody.unchanged(&before).await;
    custody.hand_to_technician("ol-f", "ol-t", 10).await;
    let tally = custody.tally(FACTORY, "ol-f").await;
    assert_eq!((tally.reserved, tally.handed_over, tally.remaining), (0, 10, Some(0)));
}

#[tokio::test]
async fn of_concurrent_offers_that_together_exceed_what_remains_only_those_that_fit_win() {
    let custody = Custody::ordered("race", 10).await;
    let tries = (0..8).map(|number| {
        let mut handoffs = custody.chain.handoffs(Who::Alice, At::RootCa);
        let request = offer(&custody.order, FACTORY, &format!("race-{number}"), 3);
        tokio::spawn(async move { handoffs.offer_handoff(request).await })
    });
    let tries: Vec<_> = tries.collect();
    let mut won = 0;
    for attempt in tries {
        match attempt.await.unwrap() {
            Ok(_) => won += 1,
            lost @ Err(_) => drop(refused(lost, Reason::QuantitySpent, Code::ResourceExhausted)),
        }
    }
    let picture = custody.picture().await;
    let tally = picture.order.tally.unwrap();
    assert_eq!((won, picture.handoffs.len(), tally.reserved, tally.remaining), (3, 3, 9, Some(1)));
}

#[tokio::test]
async fn two_concurrent_offers_of_the_last_units_have_one_winner() {
    let custody = Custody::ordered("last-units", 60).await;
    let mut outcomes = BTreeMap::new();
    for round in 0..5u32 {
        // One more than half of what is left, twice.
        let remaining = custody.on_record().await.tally.unwrap().remaining.unwrap();
        let half = u32::try_from(remaining / 2 + 1).unwrap();
        let attempt = |name: &str| {
            let mut handoffs = custody.chain.handoffs(Who::Alice, At::RootCa);
            let request = offer(&custody.order, FACTORY, &format!("lu-{round}{name}"), half);
            async move { handoffs.offer_handoff(request).await }
        };
        let (one, other) = tokio::join!(attempt("a"), attempt("b"));
        assert_ne!(one.is_ok(), other.is_ok(), "exactly one wins");
        outcomes.insert(round, one.is_ok());
        let lost = if one.is_ok() { other } else { one };
        refused(lost, Reason::QuantitySpent, Code::ResourceExhausted);
        let left = custody.on_record().await.tally.unwrap().remaining.unwrap();
        assert_eq!(left, remaining - u64::from(half));
    }
    assert_eq!(outcomes.len(), 5);
}

#[tokio::test]
async fn an_offer_is_well_formed_and_within_the_terms() {
    let custody = Custody::ordered("offer-form", 10).await;
    let before = custody.picture().await;
    let mut handoffs = custody.chain.handoffs(Who::Alice, At::RootCa);
    let good = offer(&custody.order, FACTORY, "form-1", 10);
    let unlimited = Some(Quantity { amount: Some(Amount::Unlimited(Unlimited {})) });
    let lot = |lot: &str| OfferHandoffRequest { lot: lot.to_owned(), ..good.clone() };
    let cases = [
        (Reason::LabelInvalid, Code::InvalidArgument, lot("")),
        (Reason::LabelInvalid, Code::InvalidArgument, lot("Form-1")),
        (Reason::LabelInvalid, Code::InvalidArgument, lot(&"l".repeat(25))),
        (Reason::LotIdTooLong, Code::InvalidArgument, lot(&"l".repeat(11))),
        (Reason::LabelInvalid, Code::InvalidArgument, OfferHandoffRequest { to: "Factory".to_owned(), ..good.clone() }),
        (Reason::QuantityInvalid, Code::InvalidArgument, OfferHandoffRequest { quantity: quantity(0), ..good.clone() }),
        (
            Reason::QuantityInvalid,
            Code::InvalidArgument,
            OfferHandoffRequest { quantity: quantity(1 << 31), ..good.clone() },
        ),
        (Reason::RequestMalformed, Code::InvalidArgument, OfferHandoffRequest { quantity: None, ..good.clone() }),
        (
            Reason::UnlimitedNotAllowed,
            Code::FailedPrecondition,
            OfferHandoffRequest { quantity: unlimited, ..good.clone() },
        ),
        (
            Reason::RequestMalformed,
            Code::InvalidArgument,
            OfferHandoffRequest { ttl_seconds: 90 * 86_400 + 1, ..good.clone() },
        ),
        (
            Reason::RequestIdInvalid,
            Code::InvalidArgument,
            OfferHandoffRequest { request_id: String::new(), ..good.clone() },
        ),
    ];
    for (reason, code, wrong) in cases {
        refused(handoffs.offer_handoff(wrong).await, reason, code);
        custody.unchanged(&before).await;
    }
    handoffs.offer_handoff(good).await.unwrap();
}
