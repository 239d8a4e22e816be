//! Who may call what at the root-ca. A new RPC without a row is denied, and fails the test below.

use service::{
    authorization::{From, Row, Table},
    identity::Role,
};

const OPERATORS: &[Role] = &[Role::Operator];
const READERS: &[Role] = &[Role::Operator, Role::Auditor];
const EVERYONE: &[Role] = &[Role::Operator, Role::Auditor, Role::IntermediateCa, Role::Provisioner, Role::Hub];

const fn own(rpc: &'static str, roles: &'static [Role]) -> Row {
    Row { rpc, roles, from: From::OwnManufacturer }
}

const fn any(rpc: &'static str, roles: &'static [Role]) -> Row {
    Row { rpc, roles, from: From::AnyConfiguredPeer }
}

pub(crate) const TABLE: Table = &[
    own("/countersign.program.v1.ProgramService/CreateProgram", OPERATORS),
    own("/countersign.program.v1.ProgramService/GetProgram", READERS),
    own("/countersign.program.v1.ProgramService/ListPrograms", READERS),
    any("/countersign.program.v1.ProgramService/GetBundle", EVERYONE),
    own("/countersign.manufacturer.v1.ManufacturerService/RegisterManufacturer", OPERATORS),
    own("/countersign.manufacturer.v1.ManufacturerService/RotateIdentityKey", OPERATORS),
    own("/countersign.manufacturer.v1.ManufacturerService/SetServiceIdentity", OPERATORS),
    own("/countersign.manufacturer.v1.ManufacturerService/SuspendManufacturer", OPERATORS),
    own("/countersign.manufacturer.v1.ManufacturerService/ReinstateManufacturer", OPERATORS),
    own("/countersign.manufacturer.v1.ManufacturerService/GetManufacturer", READERS),
    own("/countersign.manufacturer.v1.ManufacturerService/ListManufacturers", READERS),
    own("/countersign.order.v1.OrderService/CreateOrder", OPERATORS),
    own("/countersign.order.v1.OrderService/ApproveOrder", OPERATORS),
    own("/countersign.order.v1.OrderService/AmendOrder", OPERATORS),
    own("/countersign.order.v1.OrderService/CancelOrder", OPERATORS),
    own("/countersign.order.v1.OrderService/GetOrder", READERS),
    own("/countersign.order.v1.OrderService/ListOrders", READERS),
    own("/countersign.handoff.v1.HandoffService/OfferHandoff", OPERATORS),
    own("/countersign.handoff.v1.HandoffService/CancelHandoff", OPERATORS),
    // A receiver sees only what is offered to it: the handler narrows to the caller's manufacturer.
    any("/countersign.handoff.v1.HandoffService/GetHandoff", &[Role::Operator, Role::Auditor, Role::IntermediateCa]),
    any("/countersign.handoff.v1.HandoffService/ListHandoffs", &[Role::Operator, Role::Auditor, Role::IntermediateCa]),
    // The sender's own operator carries them as files where there is no wire.
    any("/countersign.handoff.v1.HandoffService/GetOffer", &[Role::Operator, Role::IntermediateCa]),
    any("/countersign.handoff.v1.HandoffService/AcceptHandoff", &[Role::Operator, Role::IntermediateCa]),
    any("/countersign.handoff.v1.HandoffService/ReportTally", &[Role::Operator, Role::IntermediateCa]),
    any("/countersign.handoff.v1.HandoffService/CompareJournals", &[Role::IntermediateCa]),
    own("/countersign.handoff.v1.HandoffService/ApproveReinstatement", OPERATORS),
    own("/countersign.manifest.v1.ManifestService/PutManifest", OPERATORS),
    any("/countersign.manifest.v1.ManifestService/GetManifest", &[Role::Operator, Role::Auditor, Role::IntermediateCa]),
    own("/countersign.possession.v1.PossessionService/GetSigningCa", READERS),
    own("/countersign.possession.v1.PossessionService/ProvePossession", OPERATORS),
    own("/countersign.store.v1.StoreService/GetStore", READERS),
    own("/countersign.store.v1.StoreService/CopyStore", &[Role::Operator]),
    own("/countersign.store.v1.StoreService/GetSeenJournals", READERS),
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
        let packages = ["program", "manufacturer", "order", "handoff", "manifest", "possession", "store"];
        let rpcs = packages.iter().flat_map(|p| api::rpc_names(&format!("countersign.{p}.v1")));
        let reflection = [service::reflection::V1, service::reflection::V1ALPHA].map(str::to_owned);
        let difference = service::authorization::compare(TABLE, rpcs.chain(reflection));
        assert!(difference.is_empty(), "{difference:?}");
    }
}
