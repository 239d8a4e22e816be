//! The demo in words: who signed for whom, who accepted, for how many units, which names the chain allows, what is left.

use std::{
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use api::{
    custody::v1::{Tally, quantity::Amount},
    order::v1::Order,
};
use mfg::terms::NameConstraintsProfile;
use simulator::{BRAND, HopEntry, Manifest, Narrator, PROGRAM, Plan, Stop};

use super::verification::Verified;
use crate::{args::Output, stdout::say};

/// Tells the story on stdout, unless JSON is asked for; progress goes to stderr.
pub(super) struct Narration {
    output: Output,
    out: PathBuf,
    hops: u32,
    counting: bool,
}

impl Narration {
    pub(super) fn new(output: Output, out: &Path) -> Self {
        Self { output, out: out.to_owned(), hops: 0, counting: false }
    }

    pub(super) fn tell(&self, line: &str) {
        match self.output {
            Output::Text => say!("{line}"),
            Output::Json => {}
        }
    }

    pub(super) fn begin(&self, plan: &Plan) {
        let route: Vec<String> = plan.stops().into_iter().map(|stop| stop.manufacturer).collect();
        self.tell(&format!("{BRAND} has {PROGRAM}s built: {BRAND} -> {} -> device", route.join(" -> ")));
        self.tell("Every company runs its own services, with its own service CA; they talk gRPC over mutual TLS 1.3.");
        match plan.name_constraints() {
            NameConstraintsProfile::Critical => {}
            NameConstraintsProfile::Compatible => self.tell(
                "The order's name constraints are not critical, for devices whose TLS stack cannot read a critical one.",
            ),
        }
        self.tell("");
    }

    pub(super) fn verified(&self, verified: &Verified) {
        let openssl = match verified.by_openssl {
            Some(count) => format!("OpenSSL (-x509_strict) accepts {count} of {}", verified.chains),
            None => "OpenSSL is not installed here, so it was not asked".to_owned(),
        };
        self.tell(&format!(
            "\nVerified: our verifier accepts {0} of {0} chains and proves every acceptance; {openssl}.",
            verified.chains
        ));
    }

    pub(super) fn look_closer(&self, verified: &Verified) {
        let out = self.out.display();
        self.tell(&format!(
            "\nLook closer:\n  countersign verify --trust {out}/trust/bundle.json {out}/{}",
            verified.example
        ));
        self.tell(&format!("  countersign inspect {out}/{}", verified.example));
    }
}

impl Narrator for Narration {
    fn service_ready(&mut self, name: &str, grpc: &str) {
        self.tell(&format!("  [up] {name} at {grpc}"));
    }

    fn order_approved(&mut self, order: &Order, operators: &[&str]) {
        let units = order.tally.as_ref().map(remaining).unwrap_or_default();
        self.tell(&format!(
            "Order {}: {} approved it ({} of {} needed), {BRAND} signed its terms; {units} units may be built, yield allowance included.",
            order.order,
            operators.join(" and "),
            order.approvals.len(),
            order.approvals_required
        ));
    }

    fn lot_received(&mut self, _stop: &Stop, hop: &HopEntry) {
        self.hops += 1;
        let units = hop.quantity.map_or_else(|| "unlimited".to_owned(), |n| n.to_string());
        self.tell(&format!("Handoff {}: lot {} with {units} units", self.hops, hop.lot));
        self.tell(&format!("  {} made a fresh key for this lot and countersigned;", hop.to));
        self.tell(&format!("  {} signed its CA certificate: it may name devices under", hop.from));
        self.tell(&format!("  {}, and nowhere else.", hop.subtree));
    }

    fn devices_provisioned(&mut self, done: u32, all: u32) {
        if !std::io::stderr().is_terminal() || all < 100 {
            return;
        }
        if done.is_multiple_of(50) || done == all {
            let mut err = std::io::stderr().lock();
            let _ = write!(err, "\r  {done} of {all} devices");
            let _ = if done == all { writeln!(err) } else { err.flush() };
            self.counting = done != all;
        }
    }

    fn finished(&mut self, manifest: &Manifest, tally: &Tally, took: Duration) {
        let Some(first) = manifest.devices.first() else { return };
        let count = manifest.devices.len();
        let subtree = first.hops.last().map(|hop| hop.subtree.clone()).unwrap_or_default();
        self.tell(&format!(
            "Line: {count} devices provisioned, written and confirmed in {:.1} s; one in five has a key that the provisioner made.",
            took.as_secs_f64()
        ));
        self.tell(&format!(
            "  The first is {}, and its name spells its journey: {}.{subtree}",
            first.device_id, first.device_id
        ));
        self.tell(&format!("  Its certificate serial is {}.", first.certificate_serial));
        self.tell(&format!(
            "Lot {}: {} received = {} provisioned + {} handed over + {} reserved + {} scrapped + {} remaining.",
            first.lot,
            received(tally),
            tally.provisioned,
            tally.handed_over,
            tally.reserved,
            tally.scrapped,
            remaining(tally)
        ));
    }
}

fn received(tally: &Tally) -> String {
    match tally.received.as_ref().and_then(|q| q.amount.as_ref()) {
        Some(Amount::Units(units)) => units.to_string(),
        Some(Amount::Unlimited(_)) | None => "unlimited".to_owned(),
    }
}

fn remaining(tally: &Tally) -> String {
    tally.remaining.map_or_else(|| "unlimited".to_owned(), |units| units.to_string())
}
