//! What the line does, and its operators: devices.

use super::{
    preflight, provision,
    table::{
        Argument,
        Form::{Choice, Flag, Path, Text},
        Verb, changes, default, optional, reads, required,
    },
};

const DEVICE_ID: Argument = required("DEVICE", Text, "device_id", "Device id");
const SHOW: &[&str] =
    &["countersign.issuance.v1.IssuanceService/GetDevice", "countersign.provisioning.v1.ProvisioningService/GetUnit"];

const LOOK: &[(&str, &str)] = &[
    ("countersign.issuance.v1.IssuanceService/GetDevice", "device_id"),
    ("countersign.provisioning.v1.ProvisioningService/GetUnit", "device_id"),
];

pub(super) const DEVICE: &[Verb] = &[
    reads(
        "preflight",
        "Asks before a shift: who am I, which lot, how many are left, how far is the clock off.",
        "countersign device preflight",
        &["countersign.provisioning.v1.ProvisioningService/Preflight"],
        &[optional("lot", Text, "lot", "Lot id; without it the line's current lot")],
    )
    .own(&[], preflight::preflight),
    changes(
        "provision",
        "Provisions one device, a list of ids, or a folder of CSRs. A repetition goes on where it stopped.",
        "countersign device provision --csv shift-7.csv --out shift-7",
        &["countersign.provisioning.v1.ProvisioningService/ProvisionStream"],
        &[
            optional("DEVICE", Text, "", "Device id, for one device"),
            optional("csr", Path, "", "Its PKCS#10 request, PEM or DER; without it the provisioner makes the key"),
            optional("csv", Path, "", "A list: device id, CSR file or nothing, lot or nothing; one a line"),
            optional("folder", Path, "", "A folder of CSRs: <device id>.csr or .pem"),
            required("out", Path, "", "Where chains and keys go: one folder for each device"),
            optional("lot", Text, "", "Lot id; without it the line's current lot"),
            default(
                "key",
                Choice(&["p256", "p384", "ed25519"]),
                "",
                "Kind of the keys that the provisioner makes",
                "p256",
            ),
            default(
                "occasion",
                Choice(&["first", "replacement", "rework"]),
                "",
                "What for: the first certificate; in place of one that was never written; in place of a written one",
                "first",
            ),
            optional(
                "batch",
                Text,
                "",
                "Name of the batch, which the request ids follow from; without it the file's name",
            ),
            optional("confirm", Flag, "", "Reads every written certificate back and confirms it"),
        ],
    )
    .own(
        &[
            "countersign.provisioning.v1.ProvisioningService/Provision",
            "countersign.provisioning.v1.ProvisioningService/ConfirmWritten",
        ],
        provision::provision,
    ),
    changes(
        "confirm",
        "Confirms the certificate that was read back from a device. From then on a server-made key is gone.",
        "countersign device confirm sn0000001 --certificate read-back.pem",
        &["countersign.provisioning.v1.ProvisioningService/ConfirmWritten"],
        &[
            DEVICE_ID,
            required(
                "certificate",
                super::table::Form::DigestOfCertificateFile,
                "certificate_sha256",
                "File with the device certificate as read back, PEM or DER",
            ),
        ],
    ),
    reads(
        "show",
        "Shows one device: its certificate, where it stands, what happened to it.",
        "countersign device show sn0000001",
        SHOW,
        &[DEVICE_ID],
    ),
    reads(
        "in-doubt",
        "Lists devices that were issued and not confirmed.",
        "countersign device in-doubt --lot t7",
        &[
            "countersign.issuance.v1.IssuanceService/ListInDoubt",
            "countersign.provisioning.v1.ProvisioningService/ListInDoubt",
        ],
        &[optional("lot", Text, "lot", "Only those of this lot")],
    )
    .rows(
        "devices units",
        &[("DEVICE", "device_id"), ("LOT", "lot"), ("ISSUED", "issued_at"), ("SHA-256", "certificate_sha256")],
    ),
    reads(
        "quarantine",
        "Lists what the signer or the hub refused for good, each with its reason.",
        "countersign device quarantine",
        &["countersign.provisioning.v1.ProvisioningService/ListQuarantine"],
        &[],
    )
    .rows("deliveries", &[("TO", "destination"), ("DEVICE", "device_id"), ("REASON", "refusal.reason"), ("AT", "at")]),
    changes(
        "send-again",
        "Sends everything again that was set aside for the hub or the signer, once its cause is mended.",
        "countersign device send-again hub",
        &["countersign.provisioning.v1.ProvisioningService/SendAgain"],
        &[required("DESTINATION", Choice(&["hub", "signer"]), "destination", "To whom")],
    ),
    changes(
        "allow-rework",
        "Allows one rework of a written device: its next certificate has the next generation.",
        "countersign device allow-rework sn0000001",
        &["countersign.issuance.v1.IssuanceService/AllowRework"],
        &[DEVICE_ID],
    )
    .look(LOOK, "DEVICE"),
    changes(
        "scrap",
        "Scraps a unit that has a certificate. Only the sender's operator can let it come back.",
        "countersign device scrap sn0000001 --why 'failed the drop test' --yes sn0000001",
        &[
            "countersign.provisioning.v1.ProvisioningService/ScrapUnit",
            "countersign.issuance.v1.IssuanceService/ScrapDevice",
        ],
        &[DEVICE_ID, required("why", Text, "why", "Why, in your words")],
    )
    .irrevocable(LOOK, "DEVICE"),
];
