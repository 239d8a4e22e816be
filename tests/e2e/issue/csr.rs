//! The gate: every certification request that is no honest device's is refused by name, and spends nothing.

use api::reason::v1::Reason;
use bytes::Bytes;
use issuance::{KeyKind, SoftwareKey, make_csr};
use tonic::Code;

use super::{forged, mutated::is_an_honest_devices};
use crate::{
    answers::refused,
    custody::Custody,
    devices::{Device, Signer, device_request},
    world::TECHNICIAN,
};

/// Each of these requests is refused for this reason and changes nothing: the same request id, device id and unit then serve an
/// honest request.
async fn refuses(lot: &str, forged: impl FnOnce(&str) -> Vec<Bytes>, reason: Reason) {
    let custody = Custody::at_technician(&format!("issue-{lot}"), lot, 1).await;
    let signer = Signer::of(custody.chain);
    let before = custody.picture().await;
    let device = Device::new(&format!("{lot}-sn1"));
    let honest = device.at_signer(lot);
    for (number, csr) in forged(&device.id).into_iter().enumerate() {
        eprintln!("request {number} of those that must be refused as {reason:?}");
        let mut request = honest.clone();
        request.csr = csr;
        refused(signer.ask(&request).await, reason, Code::InvalidArgument);
    }
    custody.unchanged(&before).await;
    assert_eq!(signer.issue(&honest).await.device_id, device.id);
    assert_eq!(custody.tally(TECHNICIAN, lot).await.provisioned, 1);
}

#[tokio::test]
async fn what_is_no_certification_request_is_refused() {
    refuses("i-malf", forged::malformed, Reason::CsrMalformed).await;
}

#[tokio::test]
async fn a_key_whose_possession_is_not_proved_is_refused() {
    refuses("i-poss", |_| forged::without_possession(), Reason::CsrPossessionInvalid).await;
}

#[tokio::test]
async fn a_signature_algorithm_that_does_not_fit_the_key_is_refused() {
    refuses("i-algo", |_| forged::unfit_algorithm(), Reason::CsrSignatureAlgorithm).await;
}

#[tokio::test]
async fn a_weak_key_is_refused() {
    refuses("i-weak", |_| forged::weak(), Reason::CsrKeyWeak).await;
}

#[tokio::test]
async fn a_kind_of_key_that_the_terms_do_not_name_is_refused() {
    refuses("i-kind", |_| forged::on_another_curve(), Reason::CsrKeyNotAllowed).await;
}

#[tokio::test]
async fn a_device_that_asks_to_be_a_ca_is_refused() {
    refuses("i-ca", forged::wants_to_be_ca, Reason::CsrAsksForCa).await;
}

#[tokio::test]
async fn a_device_that_asks_for_names_is_refused() {
    refuses("i-name", forged::wants_names, Reason::CsrAsksForNames).await;
}

#[tokio::test]
async fn a_device_that_asks_for_usages_is_refused() {
    refuses("i-use", forged::wants_usages, Reason::CsrAsksForExtensions).await;
}

#[tokio::test]
async fn a_request_for_what_is_given_anyway_is_issued_and_nothing_is_copied_from_it() {
    let lot = "i-mod";
    let custody = Custody::at_technician("issue-modest", lot, 10).await;
    let signer = Signer::of(custody.chain);
    let kinds = [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519];
    for number in 0..8 {
        let id = format!("{lot}-sn{number}");
        let mut csrs = forged::modest(&id);
        let plain = kinds.map(|kind| Bytes::from(make_csr(&SoftwareKey::generate(kind).unwrap(), &id).unwrap()));
        csrs.extend(plain);
        let issued = signer.issue(&device_request(lot, &id, csrs[number].clone())).await;
        is_an_honest_devices(&issued.certificate, &csrs[number], &id);
    }
}
