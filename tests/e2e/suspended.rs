//! A CA that finds out that its journal was put back: it issues nothing and says why, and is ready all the same.

use api::{custody::v1::JournalHead, handoff::v1::CompareJournalsRequest, reason::v1::Reason};
use bytes::Bytes;
use issuance::SigningKey as _;
use mfg::{ManufacturerId, Statement};
use pki::Sha256;
use prost_types::Timestamp;
use tonic::Code;

use crate::{
    answers::refused,
    custody::offer,
    operated::{get, metrics, value},
    world::{At, Chain, FACTORY, TECHNICIAN, Who},
};

/// factory-y's own word for a record that its journal does not hold.
fn lost_record(chain: &Chain) -> JournalHead {
    let (newest_record, hash, at) = (1 << 40, Sha256::of(b"what was lost"), 1_790_000_000);
    let (own, factory) = (chain.identity_key(FACTORY), ManufacturerId::parse(FACTORY).unwrap());
    let statement = Statement::journal_head(&factory, "intermediate-ca", newest_record, &hash, at);
    JournalHead {
        newest_record,
        chain: Bytes::copy_from_slice(hash.as_bytes()),
        at: Some(Timestamp { seconds: at.try_into().unwrap(), nanos: 0 }),
        identity_key_digest: Bytes::copy_from_slice(own.public_key().sha256().as_bytes()),
        signature: own.sign(statement.to_be_signed()).unwrap().into(),
    }
}

async fn paused(chain: &Chain, at: At) -> [Option<f64>; 3] {
    let text = metrics(chain, at).await;
    ["STORE_SUSPENDED", "JOURNAL_ROLLED_BACK", "CLOCK_BEHIND"]
        .map(|reason| value(&text, &format!("countersign_issuing_paused{{reason=\"{reason}\"}}")))
}

#[tokio::test]
async fn a_ca_that_was_put_back_is_ready_and_says_that_it_issues_nothing() {
    let (chain, _folder) = Chain::alone().await;
    assert_eq!(paused(&chain, At::FactoryCa).await, [Some(0.0); 3]);
    let request = CompareJournalsRequest { seen: Some(lost_record(&chain)), ..CompareJournalsRequest::default() };
    let answer = chain.handoffs(Who::TechnicianCa, At::FactoryCa).compare_journals(request).await;
    refused(answer, Reason::JournalRolledBack, Code::DataLoss);
    assert_eq!(paused(&chain, At::FactoryCa).await, [Some(0.0), Some(1.0), Some(0.0)]);
    get(&chain, At::FactoryCa, "/readyz").await;
    let mut factory = chain.handoffs(Who::FactoryOperator, At::FactoryCa);
    let answer = factory.offer_handoff(offer("b0032", TECHNICIAN, "t8", 1)).await;
    refused(answer, Reason::StoreSuspended, Code::Unavailable);
    assert_eq!(paused(&chain, At::RootCa).await, [Some(0.0); 3], "it is the journal of factory-y alone");
}
