//! Who may call what at a hub. A new RPC without a row is denied, and fails the test below.

use service::{
    authorization::{From, Row, Table},
    identity::Role,
};

const OPERATORS: &[Role] = &[Role::Operator];
const READERS: &[Role] = &[Role::Operator, Role::Auditor];

const fn own(rpc: &'static str, roles: &'static [Role]) -> Row {
    Row { rpc, roles, from: From::OwnManufacturer }
}

pub(crate) const TABLE: Table = &[
    own("/countersign.hub.v1.CaCertificateService/RegisterCaCertificate", OPERATORS),
    own("/countersign.hub.v1.CaCertificateService/GenerateVerificationCode", OPERATORS),
    own("/countersign.hub.v1.CaCertificateService/VerifyCaCertificate", OPERATORS),
    own("/countersign.hub.v1.CaCertificateService/UpdateCaCertificate", OPERATORS),
    own("/countersign.hub.v1.CaCertificateService/DeleteCaCertificate", OPERATORS),
    own("/countersign.hub.v1.CaCertificateService/GetCaCertificate", READERS),
    own("/countersign.hub.v1.CaCertificateService/ListCaCertificates", READERS),
    own("/countersign.hub.v1.CaCertificateService/DisableCaKey", OPERATORS),
    own("/countersign.hub.v1.CaCertificateService/EnableCaKey", OPERATORS),
    own("/countersign.hub.v1.CaCertificateService/ListDisabledCaKeys", READERS),
    own("/countersign.hub.v1.DeviceService/CreateDevice", OPERATORS),
    own("/countersign.hub.v1.DeviceService/CreateDevices", OPERATORS),
    own("/countersign.hub.v1.DeviceService/SetDeviceStatus", OPERATORS),
    own("/countersign.hub.v1.DeviceService/DeleteDevice", OPERATORS),
    own("/countersign.hub.v1.DeviceService/GetDevice", READERS),
    own("/countersign.hub.v1.DeviceService/ListDevices", READERS),
    own("/countersign.hub.v1.DeviceService/GetLotAdmissions", READERS),
    own("/countersign.hub.v1.DeviceService/GetTwin", READERS),
    own("/countersign.hub.v1.DeviceService/UpdateDesiredProperties", OPERATORS),
    own("/countersign.hub.v1.DeviceService/SendCloudToDeviceMessage", OPERATORS),
    own("/countersign.hub.v1.DeviceService/InvokeMethod", OPERATORS),
    own("/countersign.hub.v1.HubService/GetHub", READERS),
    own("/countersign.hub.v1.JudgementService/ListJudgements", READERS),
    // Lines belong to other organisations; each registers what itself has made.
    Row {
        rpc: "/countersign.hub.v1.RegistrationService/RegisterDevices",
        roles: &[Role::Provisioner],
        from: From::AnyConfiguredPeer,
    },
    own("/countersign.hub.v1.TelemetryService/ListTelemetry", READERS),
    own("/countersign.hub.v1.TelemetryService/WatchTelemetry", READERS),
    own("/countersign.store.v1.StoreService/GetStore", READERS),
    own("/countersign.store.v1.StoreService/CopyStore", &[Role::Operator]),
    own("/countersign.store.v1.StoreService/GetSeenJournals", READERS),
    own("/countersign.store.v1.StoreService/ReconcileStore", &[Role::Operator]),
    own("/countersign.store.v1.StoreService/AcceptClock", &[Role::Operator]),
    own(service::reflection::V1, READERS),
    own(service::reflection::V1ALPHA, READERS),
];

#[cfg(test)]
mod tests {
    use super::TABLE;

    #[test]
    fn every_rpc_has_its_row() {
        let reflection = [service::reflection::V1, service::reflection::V1ALPHA].map(str::to_owned);
        let packages = ["hub", "store"];
        let rpcs = packages.iter().flat_map(|p| api::rpc_names(&format!("countersign.{p}.v1")));
        let difference = service::authorization::compare(TABLE, rpcs.chain(reflection));
        assert!(difference.is_empty(), "{difference:?}");
    }
}
