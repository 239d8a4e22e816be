//! What is in the chain at the end is what was ordered, and every unit is accounted for.

mod load;

use api::lot::v1::Lot;
use mfg::{Accepted, Bundle, Quantity, Terms, journey};
use pki::{
    Certificate, Sha256,
    path::{PathOptions, Purpose, verify_path},
};
use service::{Clock as _, SystemClock};

use crate::{
    custody::Custody,
    devices::{Device, Line},
    world::{FACTORY, TECHNICIAN},
};

#[tokio::test]
async fn the_journey_in_the_chain_is_the_one_that_was_ordered_and_handed_over() {
    let custody = Custody::ordered("finish-journey", 40).await;
    let upper = custody.hand_to_factory("n-upper", 30).await;
    let lower = custody.hand_to_technician("n-upper", "n-lower", 20).await;
    let unit = Line::of(custody.chain).provision(&Device::new("n-sn1").at_line(Some("n-lower"))).await;

    let certificates: Vec<_> = unit.chain.iter().map(|der| Certificate::parse(der).unwrap()).collect();
    let bundle = Bundle::parse(&custody.chain.world.trust().read("bundle.json").unwrap()).unwrap();
    let options = PathOptions::new(SystemClock.now(), Purpose::Client);
    let path = verify_path(&certificates[0], &certificates[1..], &bundle.anchors, &options).unwrap();
    let journey = journey::read(&path, Some(&bundle)).unwrap();

    let order = custody.on_record().await;
    let terms = Terms::parse(&order.terms).unwrap();
    assert_eq!((journey.device_id.as_str(), journey.generation.get()), ("n-sn1", 1));
    assert_eq!((&journey.order, &journey.program), (terms.order(), &terms.program().id));
    assert_eq!(journey.terms_digest, Sha256::of(&order.terms));
    assert!(terms.authorised().covers(journey.hops[0].quantity));
    assert_eq!(journey.hops.len(), terms.graph().longest_route().len() - 1);
    for (hop, pair) in journey.hops.iter().zip(terms.graph().longest_route().windows(2)) {
        assert_eq!((&hop.from, &hop.to), (pair[0], pair[1]), "the route of the terms");
        assert_eq!(hop.accepted, Accepted::Proven);
    }
    for (hop, lot) in journey.hops.iter().zip([&upper, &lower]) {
        same_handoff(hop, lot);
    }
    assert_eq!(journey.hops.iter().map(|hop| hop.quantity.units()).collect::<Vec<_>>(), [Some(30), Some(20)]);
}

/// What the certificate says of a handoff is what its receiver was answered.
fn same_handoff(hop: &journey::Hop, lot: &Lot) {
    let facts = lot.facts.as_ref().unwrap();
    assert_eq!(
        (hop.from.as_str(), hop.to.as_str(), hop.lot.as_str(), hop.subtree.as_str()),
        (facts.from.as_str(), facts.to.as_str(), facts.lot.as_str(), facts.subtree.as_str())
    );
    assert_eq!(hop.certificate_sha256, Sha256::of(&lot.chain[0]));
    let Quantity::Units(units) = hop.quantity else { panic!("the order has a quantity") };
    assert_eq!(lot.tally.unwrap().received, crate::custody::quantity(units.get()));
}

#[tokio::test]
async fn units_are_where_the_tallies_say_at_every_hop() {
    let custody = Custody::ordered("finish-tallies", 40).await;
    custody.hand_to_factory("m-upper", 30).await;
    custody.hand_to_technician("m-upper", "m-lower", 20).await;
    Line::of(custody.chain).provision(&Device::new("m-sn1").at_line(Some("m-lower"))).await;
    let picture = custody.picture().await;
    let order = picture.order.tally.unwrap();
    assert_eq!((order.handed_over, order.reserved, order.remaining), (30, 0, Some(10)));
    let upper = picture.lots[&(FACTORY, "m-upper".to_owned())].tally.unwrap();
    assert_eq!((upper.handed_over, upper.provisioned, upper.remaining), (20, 0, Some(10)));
    let lower = picture.lots[&(TECHNICIAN, "m-lower".to_owned())].tally.unwrap();
    assert_eq!((lower.handed_over, lower.provisioned, lower.remaining), (0, 1, Some(19)));
}
