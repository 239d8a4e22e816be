//! The configuration files of a world's services, as an operator would write them.

use std::fmt::Write as _;

use crate::{organisation::Organisation, plan};

/// The brand's operators; all of them must approve an order.
pub(crate) const APPROVERS: [&str; 2] = ["alice", "bob"];

/// One organisation that a service talks with.
pub(crate) struct PeerOf<'a> {
    pub(crate) organisation: &'a Organisation,
    pub(crate) roles: &'a [&'a str],
}

fn common(service: &str, peers: &[PeerOf<'_>]) -> String {
    let mut text = format!(
        r#"
[identity]
certificate = "{service}.pem"
key = "{service}.key"

[listen]
grpc = "127.0.0.1:0"      # port 0 takes a free one; the READY line and the log say which
health = "127.0.0.1:0"

[store]
directory = "{service}-store"

[limits]
drain_delay_ms = 0        # nobody balances load in front of this one
"#
    );
    for peer in peers {
        let roles: Vec<String> = peer.roles.iter().map(|role| format!("{role:?}")).collect();
        let _ = write!(
            text,
            r#"
[[peers]]
manufacturer = "{}"
trust_domain = "{}"
bundle = "{}"
roles = [{}]
"#,
            peer.organisation.id(),
            peer.organisation.trust_domain(),
            peer.organisation.service_ca_path().display(),
            roles.join(", ")
        );
    }
    text
}

/// `root-ca.toml`.
pub(crate) fn root_ca(peers: &[PeerOf<'_>]) -> String {
    let mut text = format!(
        r#"manufacturer = "{}"
mode = "development"
{}
[root]
anchor = "../trust/root.pem"
key = "root.key"

[brand]
identity_key = "identity.key"

[terms]
devices = {{ not_before = "2026-01-01T00:00:00Z", not_after = "never" }}
cas = {{ not_before = "2026-01-01T00:00:00Z", not_after = "never" }}
handoff_key = "p256"
device_keys = ["p256", "p384", "ed25519", "rsa2048", "rsa3072"]

[approvals]
required = {}
"#,
        plan::BRAND,
        common("root-ca", peers),
        APPROVERS.len()
    );
    for name in APPROVERS {
        let _ = write!(text, "\n[[approvals.operators]]\nname = \"{name}\"\napproval_key = \"{name}.approval.pub\"\n");
    }
    text
}

/// `intermediate-ca.toml`.
pub(crate) fn intermediate_ca(own: &Organisation, upstream: (&str, &str, &str), peers: &[PeerOf<'_>]) -> String {
    let (manufacturer, role, address) = upstream;
    format!(
        r#"manufacturer = "{}"
mode = "development"
{}
[custody]
identity_key = "identity.key"
bundle = "../trust/bundle.json"
lot_keys = "lot-keys"

[[upstreams]]
manufacturer = "{manufacturer}"
role = "{role}"
address = "{address}"
"#,
        own.id(),
        common("intermediate-ca", peers)
    )
}

/// `provisioner.toml`.
pub(crate) fn provisioner(own: &Organisation, signer: &str, peers: &[PeerOf<'_>]) -> String {
    format!(
        r#"manufacturer = "{}"
{}
[signer]
address = "{signer}"

[escrow]
directory = "escrow"
wrapping_key = "escrow.key"
"#,
        own.id(),
        common("provisioner", peers)
    )
}
