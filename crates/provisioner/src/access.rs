//! Who may call what at a provisioner. A new RPC without a row is denied, and fails the test below.

use service::{
    authorization::{From, Row, Table},
    identity::Role,
};

const STATIONS: &[Role] = &[Role::Station];

const fn own(rpc: &'static str, roles: &'static [Role]) -> Row {
    Row { rpc, roles, from: From::OwnManufacturer }
}

pub(crate) const TABLE: Table = &[
    own("/countersign.provisioning.v1.ProvisioningService/Preflight", STATIONS),
    own("/countersign.provisioning.v1.ProvisioningService/Provision", STATIONS),
    own("/countersign.provisioning.v1.ProvisioningService/ProvisionStream", STATIONS),
    own("/countersign.provisioning.v1.ProvisioningService/ConfirmWritten", STATIONS),
    own("/countersign.provisioning.v1.ProvisioningService/GetUnit", &[Role::Station, Role::Operator, Role::Auditor]),
    own("/countersign.provisioning.v1.ProvisioningService/ScrapUnit", &[Role::Station, Role::Operator]),
    own(
        "/countersign.provisioning.v1.ProvisioningService/ListInDoubt",
        &[Role::Station, Role::Operator, Role::Auditor],
    ),
    own("/countersign.provisioning.v1.ProvisioningService/ListQuarantine", &[Role::Operator, Role::Auditor]),
    own("/countersign.provisioning.v1.ProvisioningService/SendAgain", &[Role::Operator]),
    own("/countersign.store.v1.StoreService/GetStore", &[Role::Operator, Role::Auditor]),
    own("/countersign.store.v1.StoreService/CopyStore", &[Role::Operator]),
    own("/countersign.store.v1.StoreService/GetSeenJournals", &[Role::Operator, Role::Auditor]),
    own("/countersign.store.v1.StoreService/ReconcileStore", &[Role::Operator]),
    own("/countersign.store.v1.StoreService/AcceptClock", &[Role::Operator]),
    own(service::reflection::V1, &[Role::Operator, Role::Auditor]),
    own(service::reflection::V1ALPHA, &[Role::Operator, Role::Auditor]),
];

#[cfg(test)]
mod tests {
    use super::TABLE;

    #[test]
    fn every_rpc_has_its_row() {
        let reflection = [service::reflection::V1, service::reflection::V1ALPHA].map(str::to_owned);
        let packages = ["provisioning", "store"];
        let rpcs = packages.iter().flat_map(|p| api::rpc_names(&format!("countersign.{p}.v1")));
        let difference = service::authorization::compare(TABLE, rpcs.chain(reflection));
        assert!(difference.is_empty(), "{difference:?}");
    }
}
