//! Every RPC of the protos, by every role of every organisation, at every service: heard where its row says so, refused everywhere else.

use std::collections::BTreeSet;

use api::reason::v1::Reason;
use service::identity::Role;
use simulator::{BRAND, Organisation};
use tonic::{
    Code, Request, Response, Status, Streaming, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel,
};

use super::handshake::{Shown, met};
use crate::{
    answers::refused,
    world::{At, Chain, FACTORY, TECHNICIAN},
};

/// It answers when there is something to tell, and never ends.
const WATCHING: &str = "/countersign.hub.v1.TelemetryService/WatchTelemetry";

/// Calls any RPC with an empty message, to the end of its answer: enough to see whether a handler is reached.
pub(super) async fn call(channel: Channel, rpc: &str) -> Result<Response<()>, Status> {
    let (_, mut messages, _) = begin(channel, rpc).await?.into_parts();
    while messages.message().await?.is_some() {}
    Ok(Response::new(()))
}

async fn begin(channel: Channel, rpc: &str) -> Result<Response<Streaming<()>>, Status> {
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|e| Status::from_error(e.into()))?;
    let path = PathAndQuery::try_from(rpc).unwrap();
    client.server_streaming(Request::new(()), path, tonic_prost::ProstCodec::<(), ()>::default()).await
}

/// The certificate of somebody with this role in an organisation, made when it is not there.
pub(crate) fn identity<'a>(chain: &'a Chain, of: &str, role: &str) -> (&'a Organisation, String) {
    let organisation = chain.organisation(of);
    let file = format!("access-{role}");
    organisation.enroll(&file, role, Some("access")).unwrap();
    (organisation, file)
}

/// Who gets through the handshake of a service, and who of them may call what. A letter is the first of a role's name: a capital is
/// somebody of the service's own organisation, a small letter somebody of another one.
struct Place {
    at: At,
    /// The roles that each organisation may connect with.
    doors: &'static [(&'static str, &'static str)],
    /// An RPC without its package's prefix, and who may call it. What has no row is not served here.
    rows: &'static [(&'static str, &'static str)],
}

/// What a caller who got through the handshake must meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// The request is looked at.
    Heard,
    /// Somebody else may call it here.
    NotAllowed,
    /// It is not served here.
    NotServed,
}

impl Place {
    /// Why somebody does not get through the handshake.
    fn stopped(&self, of: &str, role: Role) -> Option<&'static str> {
        match self.doors.iter().find(|(organisation, _)| *organisation == of) {
            None => Some("PEER_TRUST_DOMAIN_UNKNOWN"),
            Some((_, roles)) if !roles.contains(letter(role)) => Some("PEER_NOT_ALLOWED"),
            Some(_) => None,
        }
    }

    fn verdict(&self, of: &str, role: Role, rpc: &str) -> Verdict {
        let own = self.at.identity().0 == of;
        let letter = if own { letter(role).to_ascii_uppercase() } else { letter(role) };
        match self.rows.iter().find(|(name, _)| rpc.strip_prefix("/countersign.") == Some(name)) {
            None => Verdict::NotServed,
            Some((_, callers)) if callers.contains(letter) => Verdict::Heard,
            Some(_) => Verdict::NotAllowed,
        }
    }

    /// Calls every RPC as somebody who gets through; returns how many were heard.
    async fn ask_everything(&self, chain: &Chain, of: &str, role: Role, rpcs: &[String]) -> usize {
        let (organisation, file) = identity(chain, of, role.as_str());
        let channel = chain.channel_with(organisation, &file, self.at);
        let mut heard = 0;
        for rpc in rpcs {
            let answer = match rpc.as_str() {
                WATCHING => begin(channel.clone(), rpc).await.map(|begun| begun.map(drop)),
                _ => call(channel.clone(), rpc).await,
            };
            match self.verdict(of, role, rpc) {
                Verdict::Heard => {
                    // Empty messages are refused for what they are, or answered; the caller is not what stands against them.
                    let code = answer.err().map(|status| status.code());
                    let looked_at = matches!(code, None | Some(Code::InvalidArgument | Code::NotFound));
                    assert!(looked_at, "{rpc} by {role} of {of} at {:?}: {code:?}", self.at);
                    heard += 1;
                }
                Verdict::NotAllowed => drop(refused(answer, Reason::RpcNotAllowed, Code::PermissionDenied)),
                Verdict::NotServed => drop(refused(answer, Reason::RpcNotAllowed, Code::Unimplemented)),
            }
        }
        heard
    }
}

fn letter(role: Role) -> char {
    role.as_str().chars().next().unwrap()
}

#[tokio::test]
async fn every_rpc_is_heard_from_those_who_may_call_it_and_from_nobody_else() {
    let chain = Chain::shared().await;
    let rpcs = api::rpc_names("");
    let rows = PLACES.iter().flat_map(|place| place.rows).map(|(name, _)| format!("/countersign.{name}"));
    assert_eq!(rows.collect::<BTreeSet<_>>(), rpcs.iter().cloned().collect(), "every RPC has its row");
    let (mut heard, mut refused_here, mut stopped_before) = (0, 0, 0);
    for place in PLACES {
        for (of, role) in [BRAND, FACTORY, TECHNICIAN].into_iter().flat_map(|of| Role::ALL.map(|role| (of, role))) {
            if let Some(reason) = place.stopped(of, role) {
                let (organisation, file) = identity(chain, of, role.as_str());
                let outcome = met(chain, place.at, &Shown::of(organisation, &file)).await;
                assert_eq!(outcome, Err(reason.to_owned()), "{role} of {of} at {:?}", place.at);
                stopped_before += rpcs.len();
            } else {
                let answered = place.ask_everything(chain, of, role, &rpcs).await;
                heard += answered;
                refused_here += rpcs.len() - answered;
            }
        }
    }
    println!(
        "{} RPCs by {} roles of 3 organisations at {} services: {heard} heard as the rows say, {refused_here} refused, \
         {stopped_before} stopped by the handshake",
        rpcs.len(),
        Role::ALL.len(),
        PLACES.len()
    );
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

const PLACES: &[Place] = &[
    Place { at: At::RootCa, doors: &[(BRAND, "oa"), (FACTORY, "i"), (TECHNICIAN, "i")], rows: AT_ROOT_CA },
    Place { at: At::FactoryCa, doors: &[(FACTORY, "oap"), (BRAND, "r"), (TECHNICIAN, "i")], rows: AT_INTERMEDIATE_CA },
    Place { at: At::TechnicianCa, doors: &[(TECHNICIAN, "oap"), (FACTORY, "i")], rows: AT_INTERMEDIATE_CA },
    Place { at: At::Provisioner, doors: &[(TECHNICIAN, "oasi"), (BRAND, "h")], rows: AT_PROVISIONER },
    Place { at: At::Hub, doors: &[(BRAND, "oa"), (TECHNICIAN, "p")], rows: AT_HUB },
];

/// The brand's people work, and receivers receive.
const AT_ROOT_CA: &[(&str, &str)] = &[
    ("program.v1.ProgramService/CreateProgram", "O"),
    ("program.v1.ProgramService/GetProgram", "OA"),
    ("program.v1.ProgramService/ListPrograms", "OA"),
    ("program.v1.ProgramService/GetBundle", "OAIPHiph"),
    ("manufacturer.v1.ManufacturerService/RegisterManufacturer", "O"),
    ("manufacturer.v1.ManufacturerService/RotateIdentityKey", "O"),
    ("manufacturer.v1.ManufacturerService/SetServiceIdentity", "O"),
    ("manufacturer.v1.ManufacturerService/SuspendManufacturer", "O"),
    ("manufacturer.v1.ManufacturerService/ReinstateManufacturer", "O"),
    ("manufacturer.v1.ManufacturerService/GetManufacturer", "OA"),
    ("manufacturer.v1.ManufacturerService/ListManufacturers", "OA"),
    ("order.v1.OrderService/CreateOrder", "O"),
    ("order.v1.OrderService/ApproveOrder", "O"),
    ("order.v1.OrderService/AmendOrder", "O"),
    ("order.v1.OrderService/CancelOrder", "O"),
    ("order.v1.OrderService/GetOrder", "OA"),
    ("order.v1.OrderService/ListOrders", "OA"),
    ("handoff.v1.HandoffService/OfferHandoff", "O"),
    ("handoff.v1.HandoffService/CancelHandoff", "O"),
    ("handoff.v1.HandoffService/GetHandoff", "OAIi"),
    ("handoff.v1.HandoffService/ListHandoffs", "OAIi"),
    ("handoff.v1.HandoffService/GetOffer", "OIi"),
    ("handoff.v1.HandoffService/AcceptHandoff", "OIi"),
    ("handoff.v1.HandoffService/ReportTally", "OIi"),
    ("handoff.v1.HandoffService/CompareJournals", "Ii"),
    ("handoff.v1.HandoffService/ApproveReinstatement", "O"),
    ("manifest.v1.ManifestService/PutManifest", "O"),
    ("manifest.v1.ManifestService/GetManifest", "OAIi"),
    ("possession.v1.PossessionService/GetSigningCa", "OA"),
    ("possession.v1.PossessionService/ProvePossession", "O"),
    ("store.v1.StoreService/GetStore", "OA"),
    ("store.v1.StoreService/CopyStore", "O"),
    ("store.v1.StoreService/GetSeenJournals", "OA"),
    ("store.v1.StoreService/ReconcileStore", "O"),
    ("store.v1.StoreService/AcceptClock", "O"),
];

/// Operators hand on, the line issues, receivers receive.
const AT_INTERMEDIATE_CA: &[(&str, &str)] = &[
    ("lot.v1.LotService/ReceiveLot", "O"),
    ("lot.v1.LotService/AcceptOffer", "O"),
    ("lot.v1.LotService/OpenLot", "O"),
    ("lot.v1.LotService/ScrapBlanks", "O"),
    ("lot.v1.LotService/ReinstateUnits", "O"),
    ("lot.v1.LotService/CloseLot", "O"),
    ("lot.v1.LotService/GetTallyReport", "OA"),
    ("lot.v1.LotService/GetLot", "OAP"),
    ("lot.v1.LotService/ListLots", "OAP"),
    ("issuance.v1.IssuanceService/IssueDevice", "P"),
    ("issuance.v1.IssuanceService/IssueDevices", "P"),
    ("issuance.v1.IssuanceService/ValidateDevice", "P"),
    ("issuance.v1.IssuanceService/ConfirmDevices", "P"),
    ("issuance.v1.IssuanceService/AllowRework", "O"),
    ("issuance.v1.IssuanceService/ScrapDevice", "OP"),
    ("issuance.v1.IssuanceService/ListInDoubt", "OAP"),
    ("issuance.v1.IssuanceService/GetDevice", "OAP"),
    ("handoff.v1.HandoffService/OfferHandoff", "O"),
    ("handoff.v1.HandoffService/CancelHandoff", "O"),
    ("handoff.v1.HandoffService/GetHandoff", "OAIi"),
    ("handoff.v1.HandoffService/ListHandoffs", "OAIi"),
    ("handoff.v1.HandoffService/GetOffer", "OIi"),
    ("handoff.v1.HandoffService/AcceptHandoff", "OIi"),
    ("handoff.v1.HandoffService/ReportTally", "OIi"),
    ("handoff.v1.HandoffService/CompareJournals", "Ii"),
    ("handoff.v1.HandoffService/ApproveReinstatement", "O"),
    ("manifest.v1.ManifestService/PutManifest", "O"),
    ("manifest.v1.ManifestService/GetManifest", "OAIi"),
    ("possession.v1.PossessionService/GetSigningCa", "OA"),
    ("possession.v1.PossessionService/ProvePossession", "O"),
    ("store.v1.StoreService/GetStore", "OA"),
    ("store.v1.StoreService/CopyStore", "O"),
    ("store.v1.StoreService/GetSeenJournals", "OA"),
    ("store.v1.StoreService/ReconcileStore", "O"),
    ("store.v1.StoreService/AcceptClock", "O"),
];

/// Stations work.
const AT_PROVISIONER: &[(&str, &str)] = &[
    ("provisioning.v1.ProvisioningService/Preflight", "S"),
    ("provisioning.v1.ProvisioningService/Provision", "S"),
    ("provisioning.v1.ProvisioningService/ProvisionStream", "S"),
    ("provisioning.v1.ProvisioningService/ConfirmWritten", "S"),
    ("provisioning.v1.ProvisioningService/GetUnit", "SOA"),
    ("provisioning.v1.ProvisioningService/ScrapUnit", "SO"),
    ("provisioning.v1.ProvisioningService/ListInDoubt", "SOA"),
    ("provisioning.v1.ProvisioningService/ListQuarantine", "OA"),
    ("provisioning.v1.ProvisioningService/SendAgain", "O"),
    ("store.v1.StoreService/GetStore", "OA"),
    ("store.v1.StoreService/CopyStore", "O"),
    ("store.v1.StoreService/GetSeenJournals", "OA"),
    ("store.v1.StoreService/ReconcileStore", "O"),
    ("store.v1.StoreService/AcceptClock", "O"),
];

/// Operators manage, and lines register what they issued.
const AT_HUB: &[(&str, &str)] = &[
    ("hub.v1.CaCertificateService/RegisterCaCertificate", "O"),
    ("hub.v1.CaCertificateService/GenerateVerificationCode", "O"),
    ("hub.v1.CaCertificateService/VerifyCaCertificate", "O"),
    ("hub.v1.CaCertificateService/UpdateCaCertificate", "O"),
    ("hub.v1.CaCertificateService/DeleteCaCertificate", "O"),
    ("hub.v1.CaCertificateService/GetCaCertificate", "OA"),
    ("hub.v1.CaCertificateService/ListCaCertificates", "OA"),
    ("hub.v1.CaCertificateService/DisableCaKey", "O"),
    ("hub.v1.CaCertificateService/EnableCaKey", "O"),
    ("hub.v1.CaCertificateService/ListDisabledCaKeys", "OA"),
    ("hub.v1.DeviceService/CreateDevice", "O"),
    ("hub.v1.DeviceService/CreateDevices", "O"),
    ("hub.v1.DeviceService/SetDeviceStatus", "O"),
    ("hub.v1.DeviceService/DeleteDevice", "O"),
    ("hub.v1.DeviceService/GetDevice", "OA"),
    ("hub.v1.DeviceService/ListDevices", "OA"),
    ("hub.v1.DeviceService/GetLotAdmissions", "OA"),
    ("hub.v1.DeviceService/GetTwin", "OA"),
    ("hub.v1.DeviceService/UpdateDesiredProperties", "O"),
    ("hub.v1.DeviceService/SendCloudToDeviceMessage", "O"),
    ("hub.v1.DeviceService/InvokeMethod", "O"),
    ("hub.v1.HubService/GetHub", "OA"),
    ("hub.v1.JudgementService/ListJudgements", "OA"),
    ("hub.v1.TelemetryService/ListTelemetry", "OA"),
    ("hub.v1.TelemetryService/WatchTelemetry", "OA"),
    ("hub.v1.RegistrationService/RegisterDevices", "Pp"),
    ("store.v1.StoreService/GetStore", "OA"),
    ("store.v1.StoreService/CopyStore", "O"),
    ("store.v1.StoreService/GetSeenJournals", "OA"),
    ("store.v1.StoreService/ReconcileStore", "O"),
    ("store.v1.StoreService/AcceptClock", "O"),
];
