//! Somebody holds the key of an intermediate. Whatever is made with it, no other lot's device can be named, and nothing that is not a
//! device of the key's own lot comes in.

use std::collections::BTreeMap;

use rcgen::{
    BasicConstraints, CustomExtension, ExtendedKeyUsagePurpose as Purpose, IsCa, KeyUsagePurpose as Usage, SanType,
};

use super::*;
use crate::forge::{Ca, copy, dns, extension, generation, handoff_ca, key, uri};
use crate::judge::{Presented, judge};

const VICTIM: &str = "sn0000001";
const HANDOFF: &str = "1.3.6.1.4.1.32473.1.1";

type Bend = Box<dyn Fn(&mut Forge)>;

fn bend(with: impl Fn(&mut Forge) + 'static) -> Bend {
    Box::new(with)
}

/// Names that a thief may write into a leaf: none of them is `<victim>.<subtree of the stolen key>`.
fn names() -> Vec<Vec<SanType>> {
    let t7 = "t7.technician-z.b0032.factory-y.smart-widget.company-x.example";
    let b0032 = "b0032.factory-y.smart-widget.company-x.example";
    let ip = SanType::IpAddress("192.0.2.1".parse().unwrap());
    let email = SanType::Rfc822Name("sn0000001@example.com".try_into().unwrap());
    let mut names: Vec<Vec<SanType>> = [
        format!("{VICTIM}.{b0032}"),
        format!("{VICTIM}.smart-widget.company-x.example"),
        format!("{VICTIM}.company-x.example"),
        format!("{VICTIM}.t8.technician-z.{b0032}"),
        format!("{VICTIM}.t7.someone-else.{b0032}"),
        format!("{VICTIM}.{t7}.evil.example"),
        format!("x.{VICTIM}.{t7}"),
        format!("*.{t7}"),
        format!("sn0000002.{t7}"),
        t7.to_owned(),
        VICTIM.to_owned(),
        format!("{}.{t7}", VICTIM.to_uppercase()),
        format!("x{VICTIM}.{t7}"),
        format!("{VICTIM}.{}", t7.replace("t7.", "t7-.")),
    ]
    .iter()
    .map(|name| vec![dns(name)])
    .collect();
    let right = || dns(&format!("{VICTIM}.{t7}"));
    names.extend([
        vec![],
        vec![uri(&format!("spiffe://company-x.example/{VICTIM}"))],
        vec![uri(&format!("https://{VICTIM}.{t7}/"))],
        vec![ip.clone()],
        vec![email.clone()],
        vec![right(), right()],
        vec![right(), dns(&format!("{VICTIM}.{b0032}"))],
        vec![right(), uri("urn:device:1")],
        vec![right(), ip],
        vec![right(), email],
        vec![uri("urn:device:1"), right()],
    ]);
    names
}

/// Everything else that a leaf of the right name can get wrong.
fn leaves() -> Vec<Bend> {
    let mut bends: Vec<Bend> =
        names().into_iter().map(|names| bend(move |f| f.leaf.names.clone_from(&names))).collect();
    for usages in [
        vec![],
        vec![Usage::KeyEncipherment],
        vec![Usage::DigitalSignature, Usage::KeyEncipherment],
        vec![Usage::DigitalSignature, Usage::KeyCertSign],
        vec![Usage::DigitalSignature, Usage::CrlSign],
        vec![Usage::KeyCertSign, Usage::CrlSign],
        vec![Usage::DigitalSignature, Usage::ContentCommitment],
        vec![Usage::KeyAgreement],
    ] {
        bends.push(bend(move |f| f.leaf.usages.clone_from(&usages)));
    }
    for purposes in [
        vec![],
        vec![Purpose::ServerAuth],
        vec![Purpose::ClientAuth, Purpose::ServerAuth],
        vec![Purpose::Any],
        vec![Purpose::CodeSigning],
        vec![Purpose::ClientAuth, Purpose::OcspSigning],
    ] {
        bends.push(bend(move |f| f.leaf.purposes.clone_from(&purposes)));
    }
    for is_ca in [IsCa::Ca(BasicConstraints::Constrained(0)), IsCa::Ca(BasicConstraints::Unconstrained)] {
        bends.push(bend(move |f| f.leaf.is_ca = is_ca));
    }
    for years in [(2000, 2010), (2030, 2040), (2023, 2045), (2025, 2055), (2026, 2027), (2027, 2026)] {
        bends.push(bend(move |f| f.leaf.years = years));
    }
    for common_names in
        [vec![], vec![VICTIM, "sn0000002"], vec!["sn0000002"], vec!["SN0000001"], vec!["sn0000001 "], vec![""]]
    {
        bends.push(bend(move |f| f.leaf.common_names = common_names.iter().map(ToString::to_string).collect()));
    }
    for extensions in wrong_extensions() {
        bends.push(bend(move |f| f.leaf.extensions.clone_from(&extensions)));
    }
    bends
}

fn wrong_extensions() -> Vec<Vec<CustomExtension>> {
    let mut critical = generation(1);
    critical.set_criticality(true);
    let mut unknown = extension("1.3.6.1.4.1.32473.9.9", vec![5, 0]);
    unknown.set_criticality(true);
    vec![
        vec![],
        vec![generation(0)],
        vec![generation(0x80)],
        vec![extension("1.3.6.1.4.1.32473.1.2", vec![4, 1, 1])],
        vec![extension("1.3.6.1.4.1.32473.1.2", vec![])],
        vec![extension("1.3.6.1.4.1.32473.1.2", vec![2, 1, 1, 0])],
        vec![critical],
        vec![generation(1), unknown],
        vec![generation(1), extension(HANDOFF, vec![5, 0])],
        vec![generation(1), extension(HANDOFF, vec![0x30, 0])],
        vec![extension("1.3.6.1.4.1.99999.1.2", vec![2, 1, 1])],
    ]
}

/// CAs that the stolen key of the second hop may sign below itself.
fn cas_below() -> Vec<Bend> {
    let t7 = "t7.technician-z.b0032.factory-y.smart-widget.company-x.example";
    let below = move || handoff_ca(3, "technician-z", "evil", "e1", mfg::Quantity::of(10).unwrap(), t7);
    let add = move |with: fn(&mut Ca)| {
        bend(move |f: &mut Forge| {
            let mut ca = below();
            with(&mut ca);
            f.cas.push(ca);
            if let Some(subtree) = f.cas.last().and_then(|ca| ca.permitted.clone()) {
                f.leaf.names = vec![dns(&format!("{VICTIM}.{subtree}"))];
            }
        })
    };
    vec![
        add(|ca| ca.consignment = None),
        add(|ca| {
            ca.consignment = None;
            ca.permitted = None;
        }),
        add(|ca| {
            ca.consignment = None;
            ca.window = None;
        }),
        add(|ca| ca.permitted = Some("smart-widget.company-x.example".into())),
        add(|ca| ca.permitted = Some("t9.other.b0032.factory-y.smart-widget.company-x.example".into())),
        add(|ca| ca.permitted = None),
        add(|ca| ca.permitted = Some("e1.evil.example".into())),
        add(|ca| ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
        add(|ca| ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(2))),
        add(|ca| ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(5))),
        add(|ca| ca.is_ca = IsCa::NoCa),
        add(|ca| ca.is_ca = IsCa::ExplicitNoCa),
        add(|ca| ca.usages = vec![Usage::CrlSign]),
        add(|ca| ca.usages = vec![Usage::DigitalSignature]),
        add(|ca| ca.names = vec![dns("evil.example")]),
        add(|ca| {
            ca.names =
                vec![dns(&format!("x.e1.evil.{}", "t7.technician-z.b0032.factory-y.smart-widget.company-x.example"))]
        }),
        add(|ca| ca.years = (2000, 2020)),
        add(|ca| ca.years = (2020, 2060)),
        add(|ca| ca.window = None),
        add(|ca| ca.window = Some((2020, 2060))),
        add(|ca| ca.window = Some((2030, 2029))),
        add(|ca| ca.handoff_critical = true),
        add(|ca| ca.organization = String::new()),
        add(|ca| ca.common_name = "b0032.factory-y 000000000000".into()),
        add(|ca| ca.common_name = String::new()),
        add(|ca| ca.consignment.as_mut().unwrap().hop = mfg::Hop::of(2).unwrap()),
        add(|ca| ca.consignment.as_mut().unwrap().hop = mfg::Hop::of(4).unwrap()),
        add(|ca| ca.consignment.as_mut().unwrap().hop = mfg::Hop::FIRST),
        add(|ca| ca.consignment.as_mut().unwrap().from = mfg::ManufacturerId::parse("factory-y").unwrap()),
        add(|ca| ca.consignment.as_mut().unwrap().from = mfg::ManufacturerId::parse("company-x").unwrap()),
        add(|ca| ca.consignment.as_mut().unwrap().to = mfg::ManufacturerId::parse("other").unwrap()),
        add(|ca| ca.consignment.as_mut().unwrap().lot = mfg::LotId::parse("other").unwrap()),
        add(|ca| ca.consignment.as_mut().unwrap().program = mfg::ProgramId::parse("other").unwrap()),
        add(|ca| ca.consignment.as_mut().unwrap().order = mfg::OrderId::parse("other").unwrap()),
        add(|ca| ca.consignment.as_mut().unwrap().terms_digest = pki::Sha256::of(b"other")),
        add(|ca| ca.consignment.as_mut().unwrap().quantity = mfg::Quantity::of(4981).unwrap()),
        add(|ca| ca.consignment.as_mut().unwrap().quantity = mfg::Quantity::Unlimited),
        // In order but for the acceptance: the receiver is one that the bundle knows, and it never accepted.
        add(|ca| {
            *ca = handoff_ca(
                3,
                "technician-z",
                "factory-y",
                "e2",
                mfg::Quantity::of(10).unwrap(),
                "t7.technician-z.b0032.factory-y.smart-widget.company-x.example",
            );
            ca.accepted_by = Some(key());
        }),
    ]
}

/// Two vendors under one factory; the thief has the key of one (or of the factory), the victim was made by the other.
fn worlds() -> (Forge, Forge) {
    let honest = Forge::new();
    let mut thief = Forge::new();
    thief.root_key = copy(&honest.root_key);
    thief.cas[0].key = copy(&honest.cas[0].key);
    thief.cas[0].identity = copy(&honest.cas[0].identity);
    (honest, thief)
}

#[tokio::test]
async fn two_hundred_forgeries_with_a_stolen_intermediate_key_are_refused() {
    let (honest, mut thief) = worlds();
    let mut bundle = honest.bundle();
    bundle.identity_keys.extend(thief.bundle().identity_keys.into_iter().skip(1));
    let world = World::with(Stage::Development, Some(bundle));
    world.trust("root", &honest.root(), ChainRules::Countersign);
    world.create(VICTIM);
    world.connect(honest.presented(), VICTIM).await.unwrap();

    // 1: the very lot key of the victim, a second key pair of the same lot name, and the factory's key.
    let same_key = copy(&honest.cas[1].key);
    let same_identity = copy(&honest.cas[1].identity);
    let view = world.books.view();
    let believed = |chain: Vec<Bytes>| judge(&Presented::read(&chain).unwrap(), VICTIM, &view, NOW).is_ok();
    let mut refused: BTreeMap<&str, u32> = BTreeMap::new();
    let mut let_in = Vec::new();
    for stolen in 0..3 {
        for (number, bend) in leaves().into_iter().chain(cas_below()).enumerate() {
            thief.cas.truncate(1);
            if stolen < 2 {
                let second = honest_or_fresh(stolen, &same_key, &same_identity, &thief);
                thief.cas.push(second);
            }
            thief.name_leaf(VICTIM);
            assert!(believed(thief.presented()), "before it is bent, nothing is wrong with the chain itself");
            bend(&mut thief);
            // The key of the victim's own lot: the chain itself must tell, not only the device's record.
            if stolen == 0 && believed(thief.presented()) {
                let_in.push((stolen, number));
            }
            match world.connect(thief.presented(), VICTIM).await {
                Ok(_) => let_in.push((stolen, number)),
                Err(refusal) => *refused.entry(refusal.reason()).or_default() += 1,
            }
        }
    }
    let count: u32 = refused.values().sum();
    println!("{count} forgeries refused, {} let in: {refused:?}", let_in.len());
    assert_eq!(let_in, []);
    assert!(count >= 200, "{count}");
    assert!(refused.len() >= 30, "of more than a few kinds: {refused:?}");
    let honest_again = world.connect(honest.presented(), VICTIM).await;
    assert!(honest_again.is_ok(), "the device itself still comes in");
}

fn honest_or_fresh(stolen: usize, key: &rcgen::KeyPair, identity: &rcgen::KeyPair, thief: &Forge) -> Ca {
    let parent = thief.cas[0].permitted.clone().unwrap();
    let quantity = mfg::Quantity::of(4980).unwrap();
    let mut ca = handoff_ca(2, "factory-y", "technician-z", "t7", quantity, &parent);
    if stolen == 0 {
        ca.key = copy(key);
    }
    ca.identity = copy(identity);
    ca
}

#[tokio::test]
async fn another_vendors_valid_key_cannot_name_this_device() {
    let forge = Forge::new();
    let world = World::trusting(&forge);
    world.create(VICTIM);
    world.connect(forge.presented(), VICTIM).await.unwrap();
    let mut other = Forge { cas: vec![], ..forge };
    let factory = handoff_ca(1, "company-x", "factory-q", "q1", mfg::Quantity::of(100).unwrap(), crate::forge::BASE);
    other.cas = vec![factory];
    other.name_leaf(VICTIM);
    assert_eq!(world.refused(other.presented(), VICTIM).await, "WRONG_LOT");
    let kept = world.last_refusal(VICTIM).await;
    assert_eq!((kept.reason.as_str(), kept.chain.len()), ("WRONG_LOT", 2));
}

#[tokio::test]
async fn no_octet_that_is_changed_in_a_chain_lets_it_in_or_stops_the_hub() {
    let forge = Forge::new();
    let world = World::trusting(&forge);
    world.create(VICTIM);
    world.connect(forge.presented(), VICTIM).await.unwrap();
    let honest = forge.presented();
    for place in 0..honest.len() {
        // Every seventh octet, so that each field of each certificate is hit somewhere.
        for at in (0..honest[place].len()).step_by(7) {
            let mut chain = honest.clone();
            let mut octets = chain[place].to_vec();
            octets[at] ^= 1 << (at % 8);
            chain[place] = Bytes::from(octets);
            assert!(world.connect(chain, VICTIM).await.is_err(), "certificate {place}, octet {at}");
        }
    }
}
