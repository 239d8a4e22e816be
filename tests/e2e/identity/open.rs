//! What stands open: health to everybody, on a port of its own; reflection to operators and auditors, over mTLS.

use api::reason::v1::Reason;
use simulator::BRAND;
use tokio_stream::StreamExt as _;
use tonic::{Code, transport::Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use super::access::{call, identity};
use crate::{
    answers::{cut_off, refused},
    world::{At, Chain, FACTORY, TECHNICIAN},
};

#[tokio::test]
async fn health_is_answered_without_a_certificate() {
    let chain = Chain::shared().await;
    for at in At::ALL {
        let plain = Endpoint::from_shared(format!("http://{}", chain.health(at))).unwrap().connect().await.unwrap();
        let answer = HealthClient::new(plain).check(HealthCheckRequest::default()).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{at:?}");
    }
}

#[tokio::test]
async fn nothing_but_health_is_answered_without_a_certificate() {
    let chain = Chain::shared().await;
    for at in At::ALL {
        let plain = |address: &str| Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
        for rpc in api::rpc_names("").iter().map(String::as_str).chain([service::reflection::V1]) {
            let status = cut_off(call(plain(chain.health(at)), rpc).await);
            assert_eq!(status.code(), Code::Unimplemented, "{rpc} at the probes of {at:?}");
        }
        // The other port speaks TLS alone.
        cut_off(call(plain(chain.address(at)), "/grpc.health.v1.Health/Check").await);
    }
}

#[tokio::test]
async fn reflection_is_for_operators_and_auditors() {
    let chain = Chain::shared().await;
    for (of, at) in [(BRAND, At::RootCa), (FACTORY, At::FactoryCa), (TECHNICIAN, At::Provisioner), (BRAND, At::Hub)] {
        for role in ["operator", "auditor"] {
            let (organisation, file) = identity(chain, of, role);
            let mut reflection = ServerReflectionClient::new(chain.channel_with(organisation, &file, at));
            let list = MessageRequest::ListServices(String::new());
            let asked = ServerReflectionRequest { host: String::new(), message_request: Some(list) };
            let answers = reflection.server_reflection_info(tokio_stream::iter([asked])).await.unwrap().into_inner();
            let answers: Vec<_> = answers.map(|answer| answer.unwrap().message_response.unwrap()).collect().await;
            let [MessageResponse::ListServicesResponse(listed)] = answers.as_slice() else { panic!("{answers:?}") };
            assert!(listed.service.iter().any(|s| s.name.starts_with("countersign.")), "{at:?} to {role}");
        }
    }
    for (of, role, at) in [
        (FACTORY, "intermediate-ca", At::RootCa),
        (FACTORY, "provisioner", At::FactoryCa),
        (TECHNICIAN, "intermediate-ca", At::FactoryCa),
        (TECHNICIAN, "station", At::Provisioner),
    ] {
        let (organisation, file) = identity(chain, of, role);
        for rpc in [service::reflection::V1, service::reflection::V1ALPHA] {
            let answer = call(chain.channel_with(organisation, &file, at), rpc).await;
            refused(answer, Reason::RpcNotAllowed, Code::PermissionDenied);
        }
    }
}
