//! What a manufacturer's operators do: handoffs, lots.

use super::{
    handoff, manifest,
    table::{
        Argument,
        Form::{Number, Path, Quantity, Seconds, Text},
        Verb, changes, default, optional, reads, repeated, required,
    },
};

const GET_HANDOFF: &str = "countersign.handoff.v1.HandoffService/GetHandoff";
const GET_LOT: &str = "countersign.lot.v1.LotService/GetLot";
const LOT_ID: Argument = required("LOT", Text, "lot", "Lot id");
const OUT: Argument = required("out", Path, "", "The handoff file to write; it must not be there");
const FILE: Argument = required("FILE", Path, "", "The handoff file");

pub(super) const HANDOFF: &[Verb] = &[
    changes(
        "offer",
        "Offers units of a lot, or of an order, to a receiver; they are reserved until it accepts.",
        "countersign handoff offer b0032 --source po-7 --to factory-y --units 5000",
        &["countersign.handoff.v1.HandoffService/OfferHandoff"],
        &[
            required("LOT", Text, "lot", "Lot id, new at this sender"),
            required("source", Text, "source", "Where the units come from: a lot; at the brand, an order"),
            required("to", Text, "to", "The receiver's manufacturer id"),
            required("units", Quantity, "quantity", "Units offered; or unlimited"),
            default(
                "expires-in",
                Seconds,
                "ttl_seconds",
                "When an offer that nobody accepts gives its units back",
                "7d",
            ),
        ],
    )
    .look(&[("countersign.order.v1.OrderService/GetOrder", "order"), (GET_LOT, "lot")], "source"),
    changes(
        "cancel",
        "Takes an offer back before it is accepted.",
        "countersign handoff cancel b0032",
        &["countersign.handoff.v1.HandoffService/CancelHandoff"],
        &[LOT_ID],
    )
    .look(&[(GET_HANDOFF, "lot")], "LOT"),
    reads("show", "Shows one handoff.", "countersign handoff show b0032", &[GET_HANDOFF], &[LOT_ID]),
    reads(
        "list",
        "Lists handoffs.",
        "countersign handoff list",
        &["countersign.handoff.v1.HandoffService/ListHandoffs"],
        &[],
    )
    .rows(
        "handoffs",
        &[
            ("LOT", "facts.lot"),
            ("SOURCE", "source"),
            ("TO", "facts.to"),
            ("UNITS", "facts.quantity"),
            ("STATE", "state"),
            ("EXPIRES", "expires_at"),
        ],
    ),
    reads(
        "export",
        "Writes an offer to a file, for a receiver without a wire.",
        "countersign handoff export b0032 --out b0032.offer",
        &["countersign.handoff.v1.HandoffService/GetOffer"],
        &[LOT_ID, OUT],
    )
    .own(&[], handoff::export),
    reads(
        "manifest",
        "Writes the manifest of a lot's order to a file, for a receiver without a wire.",
        "countersign handoff manifest b0032 --out b0032.manifest",
        &["countersign.manifest.v1.ManifestService/GetManifest"],
        &[LOT_ID, required("out", Path, "", "The file to write; it must not be there")],
    )
    .own(&[], manifest::get),
    changes(
        "import",
        "Hands in what a receiver without a wire sent: its acceptance, which is answered by a file; or a tally report.",
        "countersign handoff import b0032.acceptance --out b0032.answer",
        &["countersign.handoff.v1.HandoffService/AcceptHandoff"],
        &[FILE, optional("out", Path, "", "Where the answer to an acceptance goes; it must not be there")],
    )
    .own(&["countersign.handoff.v1.HandoffService/ReportTally"], handoff::import),
    changes(
        "allow-reinstatement",
        "Lets scrapped units of a lot come back: signed, and good once.",
        "countersign handoff allow-reinstatement b0032 --units 3 --out b0032.reinstatement",
        &["countersign.handoff.v1.HandoffService/ApproveReinstatement"],
        &[LOT_ID, required("units", Number, "units", "Units that may come back"), OUT],
    )
    .look(&[(GET_HANDOFF, "lot")], "LOT")
    .own(&[], handoff::allow_reinstatement),
];

const WHY: Argument = required("why", Text, "why", "Why, in your words");

pub(super) const LOT: &[Verb] = &[
    changes(
        "receive",
        "Accepts a sender's offer over the wire: makes the lot key, countersigns, opens the lot.",
        "countersign lot receive b0032 --from company-x",
        &["countersign.lot.v1.LotService/ReceiveLot"],
        &[LOT_ID, required("from", Text, "from", "The sender's manufacturer id")],
    ),
    reads("show", "Shows one lot with its tally and chain.", "countersign lot show b0032", &[GET_LOT], &[LOT_ID]),
    reads("list", "Lists lots.", "countersign lot list", &["countersign.lot.v1.LotService/ListLots"], &[]).rows(
        "lots",
        &[
            ("LOT", "facts.lot"),
            ("FROM", "facts.from"),
            ("STATE", "state"),
            ("RECEIVED", "tally.received"),
            ("PROVISIONED", "tally.provisioned"),
            ("WRITTEN", "tally.written"),
            ("HANDED OVER", "tally.handed_over"),
            ("RESERVED", "tally.reserved"),
            ("SCRAPPED", "tally.scrapped"),
            ("REMAINING", "tally.remaining"),
        ],
    ),
    changes(
        "import",
        "Accepts an offer that came as a file: makes the lot key and writes the acceptance.",
        "countersign lot import b0032.offer --out b0032.acceptance",
        &["countersign.lot.v1.LotService/AcceptOffer"],
        &[FILE, OUT],
    )
    .own(&[], handoff::accept_offer),
    changes(
        "put-manifest",
        "Keeps the manifest of a lot's order, which came as a file.",
        "countersign lot put-manifest b0032.manifest",
        &["countersign.manifest.v1.ManifestService/PutManifest"],
        &[FILE],
    )
    .own(&[], manifest::put),
    changes(
        "open",
        "Opens a lot with the sender's answer that came as a file.",
        "countersign lot open b0032.answer",
        &["countersign.lot.v1.LotService/OpenLot"],
        &[FILE],
    )
    .own(&[], handoff::open_lot),
    changes(
        "scrap-blanks",
        "Scraps units that have no certificate. Only the sender's operator can let them come back.",
        "countersign lot scrap-blanks b0032 --units 3 --why 'warped boards' --yes b0032",
        &["countersign.lot.v1.LotService/ScrapBlanks"],
        &[LOT_ID, required("units", Number, "units", "Units without a certificate"), WHY],
    )
    .irrevocable(&[(GET_LOT, "lot")], "LOT"),
    changes(
        "reinstate",
        "Lets scrapped units come back by the sender's permission, which came as a file.",
        "countersign lot reinstate b0032.reinstatement --blanks 2 --device sn0000007",
        &["countersign.lot.v1.LotService/ReinstateUnits"],
        &[
            FILE,
            optional("blanks", Number, "blanks", "Units without a certificate that come back"),
            repeated("device", Text, "device_ids", "A scrapped device that comes back, in doubt"),
        ],
    )
    .own(&[], handoff::reinstate),
    changes(
        "close",
        "Closes a lot: signs its tally, destroys its key. What remains is void.",
        "countersign lot close b0032 --yes b0032",
        &["countersign.lot.v1.LotService/CloseLot"],
        &[LOT_ID],
    )
    .irrevocable(&[(GET_LOT, "lot")], "LOT"),
    reads(
        "report",
        "Writes a signed report of where a lot's units are, for a sender without a wire.",
        "countersign lot report b0032 --out b0032.report",
        &["countersign.lot.v1.LotService/GetTallyReport"],
        &[LOT_ID, OUT],
    )
    .own(&[], handoff::report),
];
