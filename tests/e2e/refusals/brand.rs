//! Programs, manufacturers and orders: the brand's verbs.

use api::{
    manifest::v1::{PutManifestRequest, PutManifestResponse},
    manufacturer::v1::{
        Manufacturer, RegisterManufacturerRequest, ReinstateManufacturerRequest, RotateIdentityKeyRequest,
        ServiceIdentity, SetServiceIdentityRequest, SuspendManufacturerRequest, rotate_identity_key_request::Word,
    },
    order::v1::{AmendOrderRequest, ApproveOrderRequest, CancelOrderRequest, CreateOrderRequest, Order, OrderDraft},
    possession::v1::ProvePossessionRequest,
    program::v1::{CreateProgramRequest, Program},
    reason::v1::Reason,
    store::v1::{AcceptClockRequest, ReconcileStoreRequest},
};
use bytes::Bytes;
use issuance::{SigningKey as _, SoftwareKey};
use mfg::{ManufacturerId, OrderId, Statement};
use pki::Sha256;
use simulator::{BRAND, PROGRAM};

use super::{
    scene::Scene,
    table::{Caller, Row},
};
use crate::{
    custody::{approval, approval_key, draft, routes},
    organisations::{fresh_key, manufacturer},
    world::{At, FACTORY, TECHNICIAN, Who, fresh_id},
};

const CREATE_PROGRAM: &str = "program.v1.ProgramService/CreateProgram";
const REGISTER: &str = "manufacturer.v1.ManufacturerService/RegisterManufacturer";
const ROTATE: &str = "manufacturer.v1.ManufacturerService/RotateIdentityKey";
const SERVICES: &str = "manufacturer.v1.ManufacturerService/SetServiceIdentity";
const SUSPEND: &str = "manufacturer.v1.ManufacturerService/SuspendManufacturer";
const REINSTATE: &str = "manufacturer.v1.ManufacturerService/ReinstateManufacturer";
const CREATE_ORDER: &str = "order.v1.OrderService/CreateOrder";
const APPROVE: &str = "order.v1.OrderService/ApproveOrder";
const AMEND: &str = "order.v1.OrderService/AmendOrder";
const CANCEL: &str = "order.v1.OrderService/CancelOrder";
const PROVE: &str = "possession.v1.PossessionService/ProvePossession";
const RECONCILE: &str = "store.v1.StoreService/ReconcileStore";
const MANIFEST: &str = "manifest.v1.ManifestService/PutManifest";

pub(super) fn rows(scene: &Scene) -> Vec<Row> {
    let alice = Caller::of(scene.chain, Who::Alice, At::RootCa);
    [
        programs(scene, &alice),
        registrations(scene, &alice),
        rotations(scene, &alice),
        creations(scene, &alice),
        approvals(scene, &alice),
        changes(scene, &alice),
    ]
    .concat()
}

fn programs(scene: &Scene, alice: &Caller) -> Vec<Row> {
    let program = |id: &str| Program {
        program: id.to_owned(),
        base_name: "other.company-x.example".to_owned(),
        oid_arc: mfg::oid::DOCUMENTATION_ARC.to_owned(),
        max_device_id_length: 32,
        max_lot_id_length: 10,
    };
    let create = |id: String, program| CreateProgramRequest { request_id: id, program };
    let list = |octets: &'static [u8]| PutManifestRequest { octets: Bytes::from_static(octets) };
    let none: fn(PutManifestResponse) -> _ = |_| None;
    let prove = |request_id: String, code: &str| ProvePossessionRequest {
        request_id,
        lot: String::new(),
        code: code.to_owned(),
    };
    let code = "0".repeat(48);
    let reconcile = ReconcileStoreRequest { request_id: fresh_id(), ..ReconcileStoreRequest::default() };
    vec![
        alice.row(
            "store.v1.StoreService/AcceptClock",
            "without an id",
            AcceptClockRequest::default(),
            Reason::RequestIdInvalid,
        ),
        alice.row(RECONCILE, "of what was never restored", reconcile, Reason::StoreNotSuspended),
        alice.row(
            CREATE_PROGRAM,
            "of a name that is taken",
            create(fresh_id(), Some(program(PROGRAM))),
            Reason::ProgramExists,
        ),
        alice.row(
            CREATE_PROGRAM,
            "twice, with other content",
            create(scene.ids.brand.clone(), Some(program("p-2"))),
            Reason::RequestIdReused,
        ),
        alice.row(CREATE_PROGRAM, "of nothing", create(fresh_id(), None), Reason::RequestMalformed),
        alice.stream(MANIFEST, "in no order", list(b"d-2\nd-1\n"), none, Reason::ManifestMalformed),
        alice.stream(MANIFEST, "truncated", list(b"d-1\nd-"), none, Reason::ManifestMalformed),
        alice.row(PROVE, "of what is no code", prove(fresh_id(), "sign this"), Reason::VerificationCodeInvalid),
        alice.row(PROVE, "under an id that is used", prove(scene.ids.brand.clone(), &code), Reason::RequestIdReused),
    ]
}

fn registrations(scene: &Scene, alice: &Caller) -> Vec<Row> {
    let register =
        |id: String, manufacturer| RegisterManufacturerRequest { request_id: id, manufacturer: Some(manufacturer) };
    let key_of = |id: &str| Bytes::copy_from_slice(scene.chain.organisation(id).identity_key().unwrap().spki());
    let with_key_of = |id: &str| Manufacturer { identity_key: key_of(id), ..manufacturer("borrower") };
    let services = |id: &str, domain: &str| SetServiceIdentityRequest {
        request_id: fresh_id(),
        manufacturer: id.to_owned(),
        service_identity: Some(ServiceIdentity { trust_domain: domain.to_owned(), ..ServiceIdentity::default() }),
    };
    let suspend = |request_id: String, id: &str, why: &str| SuspendManufacturerRequest {
        request_id,
        manufacturer: id.to_owned(),
        why: why.to_owned(),
    };
    let reinstate =
        |request_id: String, id: &str| ReinstateManufacturerRequest { request_id, manufacturer: id.to_owned() };
    let used = || scene.ids.brand.clone();
    vec![
        alice.row(
            REGISTER,
            "twice, with another key",
            register(fresh_id(), manufacturer(FACTORY)),
            Reason::ManufacturerExists,
        ),
        alice.row(REGISTER, "under an id that is used", register(used(), manufacturer("m-2")), Reason::RequestIdReused),
        alice.row(REGISTER, "as the brand", register(fresh_id(), manufacturer(BRAND)), Reason::ManufacturerExists),
        alice.row(
            REGISTER,
            "with the brand's key",
            register(fresh_id(), with_key_of(BRAND)),
            Reason::IdentityKeyShared,
        ),
        alice.row(
            REGISTER,
            "with another's key",
            register(fresh_id(), with_key_of(FACTORY)),
            Reason::IdentityKeyShared,
        ),
        alice.row(SERVICES, "of nobody", services("nobody", "nobody.example"), Reason::ManufacturerUnknown),
        alice.row(SERVICES, "of no trust domain", services(FACTORY, "Not A Domain"), Reason::ManufacturerInvalid),
        alice.row(SUSPEND, "of nobody", suspend(fresh_id(), "nobody", "audit"), Reason::ManufacturerUnknown),
        alice.row(
            SUSPEND,
            "twice, for another cause",
            suspend(fresh_id(), "banned", "fraud"),
            Reason::ManufacturerSuspended,
        ),
        alice.row(SUSPEND, "under an id that is used", suspend(used(), "spare", "audit"), Reason::RequestIdReused),
        alice.row(REINSTATE, "of nobody", reinstate(fresh_id(), "nobody"), Reason::ManufacturerUnknown),
        alice.row(
            REINSTATE,
            "of whom nobody suspended",
            reinstate(fresh_id(), "spare"),
            Reason::ManufacturerNotSuspended,
        ),
        alice.row(REINSTATE, "under an id that is used", reinstate(used(), "banned"), Reason::RequestIdReused),
    ]
}

fn rotations(scene: &Scene, alice: &Caller) -> Vec<Row> {
    let former = scene.chain.identity_key(FACTORY);
    let rotation = |id: &str, new: &SoftwareKey, signed: &SoftwareKey, endorsed: &SoftwareKey| {
        let who = ManufacturerId::parse(FACTORY).unwrap();
        let statement = Statement::key_rotation(&who, &former.public_key().sha256(), &new.public_key().sha256());
        let sign = |key: &SoftwareKey| Bytes::from(key.sign(statement.to_be_signed()).unwrap());
        RotateIdentityKeyRequest {
            request_id: fresh_id(),
            manufacturer: id.to_owned(),
            new_key: Bytes::copy_from_slice(new.public_key().spki()),
            proof: sign(signed),
            word: Some(Word::Endorsement(sign(endorsed))),
        }
    };
    let (new, stranger) = (fresh_key(), fresh_key());
    let good = rotation(FACTORY, &new, &new, &former);
    let wordless = RotateIdentityKeyRequest { word: None, ..good.clone() };
    let reused = RotateIdentityKeyRequest { request_id: scene.ids.brand.clone(), ..good };
    vec![
        alice.row(
            ROTATE,
            "not signed by the new key",
            rotation(FACTORY, &new, &stranger, &former),
            Reason::KeyRotationInvalid,
        ),
        alice.row(
            ROTATE,
            "not signed by the key in use",
            rotation(FACTORY, &new, &new, &stranger),
            Reason::KeyRotationInvalid,
        ),
        alice.row(
            ROTATE,
            "of another manufacturer's statement",
            rotation(TECHNICIAN, &new, &new, &former),
            Reason::KeyRotationInvalid,
        ),
        alice.row(
            ROTATE,
            "to the key in use",
            rotation(FACTORY, &former, &former, &former),
            Reason::IdentityKeyUsedBefore,
        ),
        alice.row(ROTATE, "of nobody", rotation("nobody", &new, &new, &former), Reason::ManufacturerUnknown),
        alice.row(ROTATE, "without a word about the key in use", wordless, Reason::RequestMalformed),
        alice.row(ROTATE, "under an id that is used", reused, Reason::RequestIdReused),
    ]
}

fn creations(scene: &Scene, alice: &Caller) -> Vec<Row> {
    let create = |draft: OrderDraft| CreateOrderRequest { request_id: fresh_id(), draft: Some(draft) };
    let along = |path: &[&str]| OrderDraft { routes: routes(path), ..draft("o-2", 5) };
    let reused = CreateOrderRequest { request_id: scene.ids.brand.clone(), draft: Some(draft("o-2", 5)) };
    let unseen = OrderDraft { manifest_sha256: Some(Bytes::from_static(&[7; 32])), ..draft("o-2", 5) };
    let nowhere = OrderDraft { program: "nothing".to_owned(), ..draft("o-2", 5) };
    vec![
        alice.row(CREATE_ORDER, "twice, with another quantity", create(draft("open", 5)), Reason::OrderExists),
        alice.row(CREATE_ORDER, "of an order that was cancelled", create(draft("cancelled", 5)), Reason::OrderExists),
        alice.row(CREATE_ORDER, "under an id that is used", reused, Reason::RequestIdReused),
        alice.row(CREATE_ORDER, "for an unknown program", create(nowhere), Reason::ProgramUnknown),
        alice.row(
            CREATE_ORDER,
            "through an unknown manufacturer",
            create(along(&[BRAND, "nobody"])),
            Reason::ManufacturerUnknown,
        ),
        alice.row(CREATE_ORDER, "with a manifest that is not here", create(unseen), Reason::ManifestMissing),
    ]
}

/// The approval of these octets as the terms of an order, by any key.
fn signed(key: &SoftwareKey, order: &str, terms: &[u8]) -> Bytes {
    let statement = Statement::order_approval(&OrderId::parse(order).unwrap(), &Sha256::of(terms));
    Bytes::from(key.sign(statement.to_be_signed()).unwrap())
}

fn approvals(scene: &Scene, alice: &Caller) -> Vec<Row> {
    let chain = scene.chain;
    let bob = Caller::of(chain, Who::Bob, At::RootCa);
    let order = &scene.proposed;
    let (alices, bobs) = (approval_key(chain, Who::Alice), approval_key(chain, Who::Bob));
    let good = approval(chain, Who::Bob, order);
    let by = |signature: Bytes| ApproveOrderRequest { request_id: fresh_id(), signature, ..good.clone() };
    let over = |terms_digest: Bytes| ApproveOrderRequest { request_id: fresh_id(), terms_digest, ..good.clone() };
    let invalid = Reason::OrderApprovalInvalid;
    let differs = Reason::TermsDigestMismatch;
    let of = |order: &Order, who| approval(chain, who, order);
    let mut rows = vec![
        bob.row(APPROVE, "without a signature", by(Bytes::new()), invalid),
        bob.row(APPROVE, "with a stranger's signature", by(signed(&fresh_key(), "proposed", &order.terms)), invalid),
        bob.row(APPROVE, "with another approver's signature", by(signed(&alices, "proposed", &order.terms)), invalid),
        bob.row(APPROVE, "with a signature for another order", by(signed(&bobs, "changed", &order.terms)), invalid),
        bob.row(
            APPROVE,
            "with a signature over other terms",
            by(signed(&bobs, "proposed", &scene.changed.terms)),
            invalid,
        ),
        // The brand's own signature over the terms is no operator's approval of them.
        bob.row(
            APPROVE,
            "with the brand's own signature",
            by(Bytes::from(chain.identity_key(BRAND).sign(&order.terms).unwrap())),
            invalid,
        ),
        // What alice signed is nothing that bob can hand in.
        bob.row(APPROVE, "with what alice signed", of(order, Who::Alice), invalid),
        bob.row(APPROVE, "without the digest of terms", over(Bytes::new()), differs),
        bob.row(APPROVE, "of a truncated digest of terms", over(order.terms_digest.slice(..31)), differs),
        bob.row(APPROVE, "of the terms of another order", over(scene.changed.terms_digest.clone()), differs),
        bob.row(
            APPROVE,
            "of an unknown order",
            ApproveOrderRequest { order: "nothing".to_owned(), ..good.clone() },
            Reason::OrderUnknown,
        ),
        bob.row(
            APPROVE,
            "under an id that is used",
            ApproveOrderRequest { request_id: scene.ids.brand.clone(), ..good.clone() },
            Reason::RequestIdReused,
        ),
        alice.row(APPROVE, "of an order that was changed since", scene.stale.clone(), differs),
        bob.row(APPROVE, "of a cancelled order", of(&scene.cancelled, Who::Bob), Reason::OrderCancelled),
    ];
    // Not even with a good signature of somebody who is an approver.
    let brand = &chain.world.brand;
    for (file, name) in [("mallory", Some("mallory")), ("nameless", None)] {
        brand.enroll(file, "operator", name).unwrap();
        let stranger = Caller::with(At::RootCa, chain.channel_with(brand, file, At::RootCa));
        rows.push(stranger.row(APPROVE, "by an operator who is no approver", good.clone(), Reason::ApproverUnknown));
    }
    rows
}

fn changes(scene: &Scene, alice: &Caller) -> Vec<Row> {
    let amend = |order: &Order, draft: OrderDraft| AmendOrderRequest {
        request_id: fresh_id(),
        order: order.order.clone(),
        draft: Some(draft),
        expected_terms_digest: order.terms_digest.clone(),
    };
    let elsewhere = OrderDraft { program: "another".to_owned(), ..draft("changed", 30) };
    let good = amend(&scene.changed, draft("changed", 30));
    let unknown = AmendOrderRequest { order: "nothing".to_owned(), ..good.clone() };
    let empty = AmendOrderRequest { draft: None, ..good.clone() };
    let stale = AmendOrderRequest { expected_terms_digest: scene.stale.terms_digest.clone(), ..good.clone() };
    let reused = AmendOrderRequest { request_id: scene.ids.brand.clone(), ..good };
    let cancel = |request_id: String, order: &str| CancelOrderRequest { request_id, order: order.to_owned() };
    vec![
        alice.row(AMEND, "of an unknown order", unknown, Reason::OrderUnknown),
        alice.row(AMEND, "to nothing", empty, Reason::RequestMalformed),
        alice.row(AMEND, "of terms that were changed since", stale, Reason::TermsDigestMismatch),
        alice.row(AMEND, "to another program", amend(&scene.changed, elsewhere), Reason::OrderProgramFixed),
        alice.row(AMEND, "to another order", amend(&scene.changed, draft("o-2", 30)), Reason::OrderProgramFixed),
        alice.row(AMEND, "below what is on offer", amend(&scene.held, draft("held", 30)), Reason::OrderHasOpenOffers),
        alice.row(
            AMEND,
            "of a cancelled order",
            amend(&scene.cancelled, draft("cancelled", 30)),
            Reason::OrderCancelled,
        ),
        alice.row(AMEND, "under an id that is used", reused, Reason::RequestIdReused),
        alice.row(CANCEL, "of an unknown order", cancel(fresh_id(), "nothing"), Reason::OrderUnknown),
        alice.row(CANCEL, "with an offer open", cancel(fresh_id(), "held"), Reason::OrderHasOpenOffers),
        alice.row(CANCEL, "twice", cancel(fresh_id(), "cancelled"), Reason::OrderCancelled),
        alice.row(
            CANCEL,
            "under an id that is used",
            cancel(scene.ids.brand.clone(), "changed"),
            Reason::RequestIdReused,
        ),
    ]
}
