//! Handoffs, read back from records of every kind.

use api::{
    custody::v1::HandoffState,
    journal::v1::{HandoffOffered, HandoffWithdrawn, record::Fact},
};
use mfg::LotId;
use records::{commit_one, keys, wire};
use store::{Claim, Entry, Position, Rule, Unit};

use super::world::{House, ORDER, consignment, maker, reason, terms_digest};

/// Puts an offer on record, until a day from now.
fn offer(brand: &House, request: u8, lot: &str) -> Position {
    let base = brand.authority.lots.get(ORDER).unwrap().subtree.clone();
    let subtree = mfg::subtree::subtree(&base, &LotId::parse(lot).unwrap(), &maker("factory-y")).unwrap();
    let facts = wire::Facts { consignment: consignment(lot, 10, terms_digest()), manifest_digest: None, subtree };
    let offered = HandoffOffered {
        facts: Some(wire::facts(&facts)),
        source: ORDER.to_owned(),
        expires_at: brand.authority.now().as_secs() + 86_400,
    };
    let unit = Unit {
        claims: vec![Claim { key: keys::handoff(lot), rule: Rule::Absent }],
        entry: Some(Entry::new("handoffs", lot).unwrap()),
        ..brand.act(request).unit(Fact::HandoffOffered(offered))
    };
    commit_one(brand.store.as_ref(), unit).unwrap().unwrap().position
}

fn withdraw(brand: &House, lot: &str, offered_at: Position, expired: bool) {
    let withdrawn = HandoffWithdrawn { lot: lot.to_owned(), offered_at: offered_at.as_u64(), expired };
    let claims = vec![Claim { key: keys::handoff(lot), rule: Rule::At(offered_at) }];
    let unit = Unit { claims, ..brand.authority.own_act().unit(Fact::HandoffWithdrawn(withdrawn)) };
    commit_one(brand.store.as_ref(), unit).unwrap().unwrap();
}

fn state(brand: &House, lot: &str) -> HandoffState {
    brand.authority.handoff("company-x", lot).unwrap().state()
}

#[test]
fn an_offer_stands_until_its_time_is_over() {
    let brand = House::brand();
    offer(&brand, 1, "a1");
    assert_eq!(state(&brand, "a1"), HandoffState::Offered);
    brand.clock.advance(86_400);
    assert_eq!(state(&brand, "a1"), HandoffState::Offered);
    brand.clock.advance(1);
    assert_eq!(state(&brand, "a1"), HandoffState::Expired);
}

#[test]
fn a_withdrawn_offer_says_how_it_ended() {
    let brand = House::brand();
    for (request, lot, expired, expected) in
        [(1, "a1", false, HandoffState::Cancelled), (2, "a2", true, HandoffState::Expired)]
    {
        let at = offer(&brand, request, lot);
        withdraw(&brand, lot, at, expired);
        assert_eq!(state(&brand, lot), expected);
        assert_eq!(brand.authority.handoff("company-x", lot).unwrap().certificate, None);
    }
}

#[test]
fn a_handoff_is_read_by_its_sender_and_its_receiver_and_unknown_to_others() {
    let brand = House::brand();
    offer(&brand, 1, "a1");
    for reader in ["company-x", "factory-y"] {
        assert_eq!(brand.authority.handoff(reader, "a1").unwrap().source, ORDER);
        assert!(brand.authority.offer_papers(reader, "a1").is_ok());
        assert_eq!(brand.authority.handoffs(reader, None, 10).unwrap().0.len(), 1);
    }
    for stranger in ["technician-z", "", "Factory-Y"] {
        assert_eq!(reason(brand.authority.handoff(stranger, "a1")), "LOT_UNKNOWN");
        assert_eq!(reason(brand.authority.offer_papers(stranger, "a1")), "LOT_UNKNOWN");
        assert!(brand.authority.handoffs(stranger, None, 10).unwrap().0.is_empty());
    }
    assert_eq!(reason(brand.authority.handoff("company-x", "a2")), "LOT_UNKNOWN");
}

#[test]
fn handoffs_are_listed_page_by_page_as_they_stand() {
    let brand = House::brand();
    let first = offer(&brand, 1, "a1");
    offer(&brand, 2, "a3");
    offer(&brand, 3, "a2");
    withdraw(&brand, "a1", first, false);
    let (page, next) = brand.authority.handoffs("factory-y", None, 2).unwrap();
    let lots = |page: &[api::custody::v1::Handoff]| {
        page.iter().map(|handoff| handoff.facts.clone().unwrap().lot).collect::<Vec<_>>()
    };
    assert_eq!((lots(&page), page[0].state()), (vec!["a1".to_owned(), "a2".to_owned()], HandoffState::Cancelled));
    let (page, next) = brand.authority.handoffs("factory-y", next.as_deref(), 2).unwrap();
    assert_eq!((lots(&page), next), (vec!["a3".to_owned()], None));
}

#[test]
fn a_key_that_points_to_something_else_is_damage() {
    let brand = House::brand();
    let claims = vec![Claim { key: keys::handoff("a1"), rule: Rule::Absent }];
    let fact = Fact::ProgramCreated(api::program::v1::Program::default());
    commit_one(brand.store.as_ref(), Unit { claims, ..brand.act(1).unit(fact) }).unwrap().unwrap();
    assert_eq!(reason(brand.authority.handoff("company-x", "a1")), "JOURNAL_DAMAGED");
}
