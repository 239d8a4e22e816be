//! Orders whose terms permit only the device ids of a list.

use api::{
    manifest::v1::{GetManifestRequest, PutManifestRequest, manifest_service_client::ManifestServiceClient},
    order::v1::CreateOrderRequest,
    reason::v1::Reason,
};
use bytes::Bytes;
use pki::Sha256;
use tonic::{Code, Response, Status};

use crate::{
    answers::refused,
    custody::{Custody, draft},
    devices::{Device, Line},
    world::{At, Chain, Who, fresh_id},
};

const LIST: &[u8] = b"d-man1\nd-man2\n";

async fn put(chain: &Chain, who: Who, list: &[u8]) -> Result<Response<api::manifest::v1::PutManifestResponse>, Status> {
    let parts = list.chunks(5).map(Bytes::copy_from_slice).map(|octets| PutManifestRequest { octets });
    let parts: Vec<_> = parts.collect();
    ManifestServiceClient::new(chain.channel(who, At::RootCa)).put_manifest(tokio_stream::iter(parts)).await
}

#[tokio::test]
async fn only_the_devices_of_the_manifest_are_provisioned_two_hops_down() {
    let chain = Chain::shared().await;
    let digest = Bytes::copy_from_slice(Sha256::of(LIST).as_bytes());
    let wanted = api::order::v1::OrderDraft { manifest_sha256: Some(digest.clone()), ..draft("day-manifest", 5) };
    let create = CreateOrderRequest { request_id: fresh_id(), draft: Some(wanted) };
    let early = chain.orders(Who::Alice).create_order(create.clone()).await;
    refused(early, Reason::ManifestMissing, Code::FailedPrecondition);
    for _ in 0..2 {
        let kept = put(chain, Who::Alice, LIST).await.unwrap().into_inner();
        assert_eq!((kept.sha256, kept.devices), (digest.clone(), 2));
    }
    chain.orders(Who::Alice).create_order(create).await.unwrap();
    let custody = Custody { chain, order: "day-manifest".to_owned() };
    for who in [Who::Alice, Who::Bob] {
        custody.approve(who).await;
    }
    custody.hand_to_factory("d-man-f", 5).await;
    custody.hand_to_technician("d-man-f", "d-man", 5).await;
    let line = Line::of(chain);
    line.provision(&Device::new("D-MAN2").at_line(Some("d-man"))).await;
    let before = custody.picture().await;
    let stranger = line.ask(&Device::new("d-man3").at_line(Some("d-man"))).await;
    refused(stranger, Reason::DeviceNotOnManifest, Code::FailedPrecondition);
    custody.unchanged(&before).await;
    let request = GetManifestRequest { lot: "d-man-f".to_owned() };
    let mut receiver = ManifestServiceClient::new(chain.channel(Who::FactoryCa, At::RootCa));
    let mut parts = receiver.get_manifest(request.clone()).await.unwrap().into_inner();
    assert_eq!(parts.message().await.unwrap().unwrap().octets, LIST);
    let mut other = ManifestServiceClient::new(chain.channel(Who::TechnicianCa, At::FactoryCa));
    refused(other.get_manifest(request).await, Reason::LotUnknown, Code::NotFound);
}

#[tokio::test]
async fn a_list_in_another_form_is_no_manifest() {
    let chain = Chain::shared().await;
    for list in [&b"d-man2\nd-man1\n"[..], b"d-man1", b"", b"D-MAN1\n", b"d-man1\r\n", b"not_a_label\n", b"\xff\n"] {
        refused(put(chain, Who::Alice, list).await, Reason::ManifestMalformed, Code::InvalidArgument);
    }
    refused(put(chain, Who::FactoryCa, LIST).await, Reason::RpcNotAllowed, Code::PermissionDenied);
}
