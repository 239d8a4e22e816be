//! Who may call which RPC: a table per service, deny by default.

use std::collections::BTreeSet;

use api::Refusal;

use crate::identity::{Manufacturer, PeerIdentity, Role};

/// One RPC and who may call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The path on the wire, `/countersign.x.v1.Service/Method`.
    pub rpc: &'static str,
    /// The roles that may call it. Empty: nobody.
    pub roles: &'static [Role],
    /// The organisations that may call it.
    pub from: From,
}

/// Organisations in relation to the process that is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// Only identities of the manufacturer that this process itself belongs to.
    OwnManufacturer,
    /// Every configured peer. The handler must still narrow down to what belongs to the caller's manufacturer.
    AnyConfiguredPeer,
}

/// The rows of one service. Also lists what has a row, for tests.
pub type Table = &'static [Row];

/// Why a call is denied. Both stand for `RPC_NOT_ALLOWED`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// The table has no row for it. Answered UNIMPLEMENTED, so that clients that try a newer RPC fall back.
    NoRow(Refusal),
    /// The row does not name this caller. Answered PERMISSION_DENIED.
    NotYou(Refusal),
}

/// Decides one call.
///
/// # Errors
/// [`Denial`], unless the table has a row for the RPC that names the peer's role and organisation.
pub fn decide(table: Table, own: &Manufacturer, peer: &PeerIdentity, rpc: &str) -> Result<(), Denial> {
    let refuse = |message: String| {
        Refusal::new("RPC_NOT_ALLOWED", message)
            .with("rpc", rpc)
            .with("role", peer.role())
            .with("manufacturer", peer.manufacturer())
    };
    let Some(row) = table.iter().find(|row| row.rpc == rpc) else {
        return Err(Denial::NoRow(refuse("this service has no such rpc".to_owned())));
    };
    let from = match row.from {
        From::OwnManufacturer => peer.manufacturer() == own,
        From::AnyConfiguredPeer => true,
    };
    if from && row.roles.contains(&peer.role()) {
        return Ok(());
    }
    Err(Denial::NotYou(refuse(format!("{} may not call {rpc}", peer.id()))))
}

/// How a table and a service's description differ. Empty on both sides when all is well.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// RPCs without a row: nobody could call them.
    pub without_row: BTreeSet<String>,
    /// Rows whose RPC does not exist, or that stand twice.
    pub superfluous: BTreeSet<String>,
}

impl Difference {
    /// Whether table and description agree.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.without_row.is_empty() && self.superfluous.is_empty()
    }
}

/// Compares a table with the RPCs that exist, so that a new RPC without a row fails a test.
pub fn compare<S: AsRef<str>>(table: Table, rpcs: impl IntoIterator<Item = S>) -> Difference {
    let mut without_row: BTreeSet<String> = rpcs.into_iter().map(|rpc| rpc.as_ref().to_owned()).collect();
    let mut superfluous = BTreeSet::new();
    for row in table {
        if !without_row.remove(row.rpc) {
            superfluous.insert(row.rpc.to_owned());
        }
    }
    Difference { without_row, superfluous }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TABLE: Table = &[
        Row { rpc: "/t.v1.Lots/Get", roles: &[Role::Operator, Role::Auditor], from: From::OwnManufacturer },
        Row { rpc: "/t.v1.Lots/Offer", roles: &[Role::IntermediateCa], from: From::AnyConfiguredPeer },
        Row { rpc: "/t.v1.Lots/Nobody", roles: &[], from: From::AnyConfiguredPeer },
    ];

    fn asked(id: &str, rpc: &str) -> Result<(), &'static str> {
        let now = pki::UnixTime::new(0);
        let peer = PeerIdentity::new(id.parse().unwrap(), pki::Sha256::of(b""), now);
        let own = "factory-y".parse().unwrap();
        decide(TABLE, &own, &peer, rpc).map_err(|denial| match denial {
            Denial::NoRow(_) => "no row",
            Denial::NotYou(_) => "not you",
        })
    }

    #[test]
    fn rows_decide_by_role_and_organisation() {
        let denied = Err("not you");
        assert_eq!(asked("spiffe://t/factory-y/operator", "/t.v1.Lots/Get"), Ok(()));
        assert_eq!(asked("spiffe://t/factory-y/station", "/t.v1.Lots/Get"), denied);
        assert_eq!(asked("spiffe://u/stranger/operator", "/t.v1.Lots/Get"), denied);
        assert_eq!(asked("spiffe://u/stranger/intermediate-ca", "/t.v1.Lots/Offer"), Ok(()));
        assert_eq!(asked("spiffe://u/stranger/operator", "/t.v1.Lots/Offer"), denied);
        assert_eq!(asked("spiffe://t/factory-y/operator", "/t.v1.Lots/Nobody"), denied);
    }

    #[test]
    fn an_rpc_without_a_row_is_denied() {
        let unknown = Err("no row");
        assert_eq!(asked("spiffe://t/factory-y/operator", "/t.v1.Lots/New"), unknown);
        assert_eq!(asked("spiffe://t/factory-y/operator", "/t.v1.Lots/get"), unknown);
        assert_eq!(asked("spiffe://t/factory-y/operator", "/t.v1.Lots/Get/"), unknown);
    }

    #[test]
    fn a_table_is_compared_with_the_description() {
        let difference = compare(TABLE, ["/t.v1.Lots/Get", "/t.v1.Lots/Offer", "/t.v1.Lots/New"]);
        assert_eq!(difference.without_row, BTreeSet::from(["/t.v1.Lots/New".to_owned()]));
        assert_eq!(difference.superfluous, BTreeSet::from(["/t.v1.Lots/Nobody".to_owned()]));
        assert!(!difference.is_empty());
    }
}
