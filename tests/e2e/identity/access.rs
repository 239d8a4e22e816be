//! Past the handshake: each identity calls what its row in the table says and nothing else.

use std::collections::BTreeSet;

use api::reason::v1::Reason;
use simulator::{BRAND, Organisation};
use tonic::{Code, Request, Response, Status, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};

use crate::{
    answers::refused,
    world::{At, Chain, FACTORY, TECHNICIAN},
};

/// Calls any RPC with an empty message: enough to see whether a handler is reached.
pub(super) async fn call(channel: Channel, rpc: &str) -> Result<Response<()>, Status> {
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|e| Status::from_error(e.into()))?;
    let path = PathAndQuery::try_from(rpc).unwrap();
    client.unary(Request::new(()), path, tonic_prost::ProstCodec::<(), ()>::default()).await
}

/// The certificate of somebody with this role in an organisation, made when it is not there.
pub(super) fn identity<'a>(chain: &'a Chain, of: &str, role: &str) -> (&'a Organisation, String) {
    let organisation = chain.organisation(of);
    let file = format!("access-{role}");
    organisation.enroll(&file, role, Some("access")).unwrap();
    (organisation, file)
}

/// Who connects to a service, by the letter that the rows use.
type Callers = &'static [(char, &'static str, &'static str)];

/// Each row: an RPC, and the letters of those who may call it. All the others of `callers` may not. Every RPC of the packages that
/// the service serves has its row, so that a new one must be thought about here as well.
async fn only(at: At, packages: &[&str], callers: Callers, rows: &[(&str, &str)]) {
    let served = packages.iter().flat_map(|package| api::rpc_names(&format!("countersign.{package}.v1")));
    let listed = rows.iter().map(|(rpc, _)| format!("/countersign.{rpc}"));
    assert_eq!(listed.collect::<BTreeSet<_>>(), served.collect::<BTreeSet<_>>());
    let chain = Chain::shared().await;
    for (letter, of, role) in callers {
        let (organisation, file) = identity(chain, of, role);
        let channel = chain.channel_with(organisation, &file, at);
        for (rpc, allowed) in rows {
            let answer = call(channel.clone(), &format!("/countersign.{rpc}")).await;
            if allowed.contains(*letter) {
                // Empty messages are refused for what they are, or answered; the caller is not what stands against them.
                let code = answer.err().map(|status| status.code());
                let heard = matches!(code, None | Some(Code::InvalidArgument | Code::NotFound));
                assert!(heard, "{rpc} by {role} of {of}: {code:?}");
            } else {
                refused(answer, Reason::RpcNotAllowed, Code::PermissionDenied);
            }
        }
    }
}

#[tokio::test]
async fn at_the_root_ca_the_brands_people_work_and_receivers_receive() {
    let callers: Callers = &[('o', BRAND, "operator"), ('a', BRAND, "auditor"), ('r', FACTORY, "intermediate-ca")];
    let rows = [
        ("program.v1.ProgramService/CreateProgram", "o"),
        ("program.v1.ProgramService/GetProgram", "oa"),
        ("program.v1.ProgramService/ListPrograms", "oa"),
        ("program.v1.ProgramService/GetBundle", "oar"),
        ("manufacturer.v1.ManufacturerService/RegisterManufacturer", "o"),
        ("manufacturer.v1.ManufacturerService/RotateIdentityKey", "o"),
        ("manufacturer.v1.ManufacturerService/SetServiceIdentity", "o"),
        ("manufacturer.v1.ManufacturerService/SuspendManufacturer", "o"),
        ("manufacturer.v1.ManufacturerService/ReinstateManufacturer", "o"),
        ("manufacturer.v1.ManufacturerService/GetManufacturer", "oa"),
        ("manufacturer.v1.ManufacturerService/ListManufacturers", "oa"),
        ("order.v1.OrderService/CreateOrder", "o"),
        ("order.v1.OrderService/ApproveOrder", "o"),
        ("order.v1.OrderService/AmendOrder", "o"),
        ("order.v1.OrderService/CancelOrder", "o"),
        ("order.v1.OrderService/GetOrder", "oa"),
        ("order.v1.OrderService/ListOrders", "oa"),
        ("handoff.v1.HandoffService/OfferHandoff", "o"),
        ("handoff.v1.HandoffService/CancelHandoff", "o"),
        ("handoff.v1.HandoffService/GetHandoff", "oar"),
        ("handoff.v1.HandoffService/ListHandoffs", "oar"),
        ("handoff.v1.HandoffService/GetOffer", "or"),
        ("handoff.v1.HandoffService/AcceptHandoff", "or"),
        ("handoff.v1.HandoffService/ReportTally", "or"),
        ("handoff.v1.HandoffService/ApproveReinstatement", "o"),
        ("manifest.v1.ManifestService/PutManifest", "o"),
        ("manifest.v1.ManifestService/GetManifest", "oar"),
    ];
    only(At::RootCa, &["program", "manufacturer", "order", "handoff", "manifest"], callers, &rows).await;
}

#[tokio::test]
async fn at_an_intermediate_ca_operators_hand_on_the_line_issues_and_receivers_receive() {
    let callers: Callers = &[
        ('o', FACTORY, "operator"),
        ('a', FACTORY, "auditor"),
        ('p', FACTORY, "provisioner"),
        ('r', TECHNICIAN, "intermediate-ca"),
        ('s', BRAND, "root-ca"),
    ];
    let rows = [
        ("lot.v1.LotService/ReceiveLot", "o"),
        ("lot.v1.LotService/AcceptOffer", "o"),
        ("lot.v1.LotService/OpenLot", "o"),
        ("lot.v1.LotService/ScrapBlanks", "o"),
        ("lot.v1.LotService/ReinstateUnits", "o"),
        ("lot.v1.LotService/CloseLot", "o"),
        ("lot.v1.LotService/GetTallyReport", "oa"),
        ("lot.v1.LotService/GetLot", "oap"),
        ("lot.v1.LotService/ListLots", "oap"),
        ("issuance.v1.IssuanceService/IssueDevice", "p"),
        ("issuance.v1.IssuanceService/IssueDevices", "p"),
        ("issuance.v1.IssuanceService/ValidateDevice", "p"),
        ("issuance.v1.IssuanceService/ConfirmDevices", "p"),
        ("issuance.v1.IssuanceService/AllowRework", "o"),
        ("issuance.v1.IssuanceService/ScrapDevice", "op"),
        ("issuance.v1.IssuanceService/ListInDoubt", "oap"),
        ("issuance.v1.IssuanceService/GetDevice", "oap"),
        ("handoff.v1.HandoffService/OfferHandoff", "o"),
        ("handoff.v1.HandoffService/CancelHandoff", "o"),
        ("handoff.v1.HandoffService/GetHandoff", "oar"),
        ("handoff.v1.HandoffService/ListHandoffs", "oar"),
        ("handoff.v1.HandoffService/GetOffer", "or"),
        ("handoff.v1.HandoffService/AcceptHandoff", "or"),
        ("handoff.v1.HandoffService/ReportTally", "or"),
        ("handoff.v1.HandoffService/ApproveReinstatement", "o"),
        ("manifest.v1.ManifestService/PutManifest", "o"),
        ("manifest.v1.ManifestService/GetManifest", "oar"),
    ];
    only(At::FactoryCa, &["lot", "issuance", "handoff", "manifest"], callers, &rows).await;
}

#[tokio::test]
async fn at_the_provisioner_stations_work() {
    let callers: Callers = &[
        ('s', TECHNICIAN, "station"),
        ('o', TECHNICIAN, "operator"),
        ('a', TECHNICIAN, "auditor"),
        ('c', TECHNICIAN, "intermediate-ca"),
    ];
    let rows = [
        ("provisioning.v1.ProvisioningService/Preflight", "s"),
        ("provisioning.v1.ProvisioningService/Provision", "s"),
        ("provisioning.v1.ProvisioningService/ProvisionStream", "s"),
        ("provisioning.v1.ProvisioningService/ConfirmWritten", "s"),
        ("provisioning.v1.ProvisioningService/GetUnit", "soa"),
        ("provisioning.v1.ProvisioningService/ScrapUnit", "so"),
        ("provisioning.v1.ProvisioningService/ListInDoubt", "soa"),
        ("provisioning.v1.ProvisioningService/ListQuarantine", "oa"),
    ];
    only(At::Provisioner, &["provisioning"], callers, &rows).await;
}

#[tokio::test]
async fn an_rpc_without_a_row_is_nobodys() {
    let chain = Chain::shared().await;
    let (brand, file) = identity(chain, BRAND, "operator");
    let root_ca = chain.channel_with(brand, &file, At::RootCa);
    // Another service's, none at all, a method that does not exist, and a path that is no RPC.
    for rpc in [
        "/countersign.lot.v1.LotService/ReceiveLot",
        "/countersign.nothing.v1.Nothing/Get",
        "/countersign.order.v1.OrderService/Destroy",
        "/grpc.health.v1.Health/Check",
        "/",
    ] {
        refused(call(root_ca.clone(), rpc).await, Reason::RpcNotAllowed, Code::Unimplemented);
    }
}
