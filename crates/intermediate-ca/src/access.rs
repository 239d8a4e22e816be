//! Who may call what at an intermediate-ca. A new RPC without a row is denied, and fails the test below.

use service::{
    authorization::{From, Row, Table},
    identity::Role,
};

const OPERATORS: &[Role] = &[Role::Operator];
const LINE: &[Role] = &[Role::Provisioner];

const fn own(rpc: &'static str, roles: &'static [Role]) -> Row {
    Row { rpc, roles, from: From::OwnManufacturer }
}

const fn any(rpc: &'static str, roles: &'static [Role]) -> Row {
    Row { rpc, roles, from: From::AnyConfiguredPeer }
}

pub(crate) const TABLE: Table = &[
    own("/countersign.lot.v1.LotService/ReceiveLot", OPERATORS),
    own("/countersign.lot.v1.LotService/GetLot", &[Role::Operator, Role::Auditor, Role::Provisioner]),
    own("/countersign.lot.v1.LotService/ListLots", &[Role::Operator, Role::Auditor, Role::Provisioner]),
    own("/countersign.lot.v1.LotService/AcceptOffer", OPERATORS),
    own("/countersign.lot.v1.LotService/OpenLot", OPERATORS),
    own("/countersign.lot.v1.LotService/ScrapBlanks", OPERATORS),
    own("/countersign.lot.v1.LotService/ReinstateUnits", OPERATORS),
    own("/countersign.lot.v1.LotService/CloseLot", OPERATORS),
    own("/countersign.lot.v1.LotService/GetTallyReport", &[Role::Operator, Role::Auditor]),
    own("/countersign.issuance.v1.IssuanceService/ValidateDevice", LINE),
    own("/countersign.issuance.v1.IssuanceService/ConfirmDevices", LINE),
    own("/countersign.issuance.v1.IssuanceService/AllowRework", OPERATORS),
    own("/countersign.issuance.v1.IssuanceService/ScrapDevice", &[Role::Operator, Role::Provisioner]),
    own("/countersign.issuance.v1.IssuanceService/ListInDoubt", &[Role::Operator, Role::Auditor, Role::Provisioner]),
    own("/countersign.issuance.v1.IssuanceService/IssueDevice", LINE),
    own("/countersign.issuance.v1.IssuanceService/IssueDevices", LINE),
    own("/countersign.issuance.v1.IssuanceService/GetDevice", &[Role::Operator, Role::Auditor, Role::Provisioner]),
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
    own("/countersign.possession.v1.PossessionService/GetSigningCa", &[Role::Operator, Role::Auditor]),
    own("/countersign.possession.v1.PossessionService/ProvePossession", OPERATORS),
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
        let packages = ["lot", "issuance", "handoff", "manifest", "possession", "store"];
        let rpcs = packages.iter().flat_map(|p| api::rpc_names(&format!("countersign.{p}.v1")));
        let reflection = [service::reflection::V1, service::reflection::V1ALPHA].map(str::to_owned);
        let difference = service::authorization::compare(TABLE, rpcs.chain(reflection));
        assert!(difference.is_empty(), "{difference:?}");
    }
}
