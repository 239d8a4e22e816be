//! A thousand certification requests with changes, among honest ones: what is issued is what an honest device would get.

use std::collections::BTreeMap;

use api::{issuance::v1::issue_devices_response::Result as Answer, reason_table};
use bytes::Bytes;
use issuance::{KeyKind, SoftwareKey, make_csr};
use pki::{Certificate, CertificateRequest};
use proptest::{
    prelude::Rng as _,
    test_runner::{RngAlgorithm, TestRng},
};
use tonic::Code;

use super::{
    forged::{changed_before_signing, every_kind},
    mutate::mutate,
};
use crate::{
    custody::Custody,
    devices::{Signer, device_request},
    world::TECHNICIAN,
};

const MUTATED: usize = 1000;
const HONEST: usize = 100;

/// A request that was changed: after it was signed, whatever it asked for; or before, so that its signature holds.
fn changed(number: usize, id: &str, random: &mut TestRng) -> Bytes {
    match number % 4 {
        0 => changed_before_signing(id, |info| mutate(info, random)),
        // Where lengths stay right, more is read before it is refused.
        1 | 2 => changed_before_signing(id, |info| with_another_octet(info, random)),
        _ => {
            let kinds = every_kind(id);
            Bytes::from(mutate(&kinds[number / 4 % kinds.len()], random))
        }
    }
}

fn with_another_octet(octets: &[u8], random: &mut TestRng) -> Vec<u8> {
    let mut octets = octets.to_vec();
    let at = random.next_u32() as usize % octets.len();
    octets[at] = random.next_u32() as u8;
    octets
}

#[tokio::test]
async fn of_a_thousand_mutated_requests_none_is_issued_wrongly() {
    let lot = "i-mut";
    let custody = Custody::at_technician("issue-mutated", lot, 2000).await;
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut asked = BTreeMap::new();
    for number in 0..MUTATED + HONEST {
        let id = format!("{lot}-{number}");
        let honest = number % 11 == 10;
        let csr = if honest {
            Bytes::from(make_csr(&SoftwareKey::generate(KeyKind::P256).unwrap(), &id).unwrap())
        } else {
            changed(number, &id, &mut random)
        };
        let request = device_request(lot, &id, csr);
        asked.insert(request.request_id.clone(), (request, honest));
    }
    let requests = asked.values().map(|(request, _)| request.clone()).collect();
    let (mut issued, mut issued_changed, mut refused) = (0, 0, BTreeMap::<&str, usize>::new());
    for (request_id, answer) in Signer::of(custody.chain).stream(requests).await {
        let (request, honest) = &asked[&request_id];
        match answer {
            Answer::Certificate(certificate) => {
                is_an_honest_devices(&certificate.certificate, &request.csr, &request.device_id);
                issued += 1;
                issued_changed += u64::from(!honest);
            }
            Answer::Refusal(refusal) => {
                assert!(!honest, "an honest device was refused: {refusal:?}");
                let reason = reason_table::name_of(refusal.reason());
                assert!(reason.starts_with("CSR_") && refusal.code == i32::from(Code::InvalidArgument), "{refusal:?}");
                *refused.entry(reason).or_default() += 1;
            }
        }
    }
    assert_eq!(issued - issued_changed, HONEST as u64);
    assert_eq!(custody.tally(TECHNICIAN, lot).await.provisioned, issued, "nothing was spent on what was refused");
    println!(
        "{MUTATED} mutated requests: {refused:?}; {issued_changed} of them asked for what is given anyway, and were given it"
    );
}

/// Whatever the request said: its key, this name, and a device certificate's usages.
pub(super) fn is_an_honest_devices(certificate: &[u8], csr: &[u8], id: &str) {
    let (leaf, request) = (Certificate::parse(certificate).unwrap(), CertificateRequest::parse(csr).unwrap());
    assert_eq!(leaf.public_key().sha256(), request.public_key().sha256());
    assert_eq!(leaf.subject().common_names(), [id]);
    assert_eq!(leaf.key_usage().unwrap().names(), ["digitalSignature"]);
    assert!(leaf.extended_key_usage().unwrap().client_auth());
    assert!(!leaf.is_ca());
    assert_eq!(leaf.subject_alt_names().len(), 1);
}
