//! What the brand's operators do: programs, manufacturers, orders.

use super::{
    approve, manifest, rotation,
    table::{
        Argument,
        Form::{Choice, Digest, Flag, Number, Path, PublicKeyFile, Quantity, Route, Text, TextFile, Time},
        Verb, at_least_once, changes, default, optional, reads, repeated, required,
    },
};

const ROLES: &[&str] = &["root-ca", "intermediate-ca", "provisioner", "hub", "station", "operator", "auditor"];

pub(super) const PROGRAM: &[Verb] = &[
    changes(
        "create",
        "Creates a program: one product family under one trust anchor.",
        "countersign program create widget --base-name widget.company-x.example --oid-arc 1.3.6.1.4.1.32473",
        &["countersign.program.v1.ProgramService/CreateProgram"],
        &[
            required("PROGRAM", Text, "program.program", "Program id"),
            required("base-name", Text, "program.base_name", "DNS base name of its devices"),
            required("oid-arc", Text, "program.oid_arc", "OID arc of its private extensions, dotted"),
            default(
                "max-device-id-length",
                Number,
                "program.max_device_id_length",
                "Longest device id, in octets",
                "32",
            ),
            default("max-lot-id-length", Number, "program.max_lot_id_length", "Longest lot id, in octets", "10"),
        ],
    ),
    reads(
        "show",
        "Shows one program.",
        "countersign program show smart-widget",
        &["countersign.program.v1.ProgramService/GetProgram"],
        &[required("PROGRAM", Text, "program", "Program id")],
    ),
    reads(
        "list",
        "Lists programs.",
        "countersign program list",
        &["countersign.program.v1.ProgramService/ListPrograms"],
        &[],
    )
    .rows("programs", &[("PROGRAM", "program"), ("BASE NAME", "base_name"), ("OID ARC", "oid_arc")]),
    reads(
        "bundle",
        "Fetches the trust bundle that verifiers and manufacturers need.",
        "countersign program bundle --out bundle.json",
        &["countersign.program.v1.ProgramService/GetBundle"],
        &[optional("out", Path, "", "Where it goes; without it to standard output")],
    )
    .own(&[], super::files_out::bundle),
];

const MANUFACTURER_ID: Argument = required("MANUFACTURER", Text, "manufacturer", "Manufacturer id");
const GET_MANUFACTURER: &str = "countersign.manufacturer.v1.ManufacturerService/GetManufacturer";

pub(super) const MANUFACTURER: &[Verb] = &[
    changes(
        "register",
        "Registers an organisation with its identity key.",
        "countersign manufacturer register factory-y --name 'Factory-Y Boards Ltd' --identity-key identity.pub",
        &["countersign.manufacturer.v1.ManufacturerService/RegisterManufacturer"],
        &[
            required("MANUFACTURER", Text, "manufacturer.manufacturer", "Manufacturer id"),
            required("name", Text, "manufacturer.display_name", "The organisation's name, for certificate subjects"),
            required("identity-key", PublicKeyFile, "manufacturer.identity_key", "File with its public identity key"),
            optional(
                "trust-domain",
                Text,
                "manufacturer.service_identity.trust_domain",
                "Trust domain of its SPIFFE ids",
            ),
            optional("bundle", TextFile, "manufacturer.service_identity.bundle", "PEM file with its CA certificates"),
            repeated("role", Choice(ROLES), "manufacturer.service_identity.roles", "A role in its SPIFFE ids"),
        ],
    ),
    changes(
        "sign-rotation",
        "Signs the replacement of an identity key with the new and the current one. Needs no service.",
        "countersign manufacturer sign-rotation factory-y --new-key new.key --current-key old.key --out r.json",
        &[],
        &[
            required("MANUFACTURER", Text, "", "Manufacturer id"),
            required("new-key", Path, "", "The new private key"),
            required("current-key", Path, "", "The key in use: private; or public, when the private half is lost"),
            required("out", Path, "", "Where the signed replacement goes"),
        ],
    )
    .own(&[], rotation::sign),
    changes(
        "rotate-key",
        "Replaces an organisation's identity key by what it signed; or by your word that the former one is lost.",
        "countersign manufacturer rotate-key factory-y --rotation rotation.json",
        &["countersign.manufacturer.v1.ManufacturerService/RotateIdentityKey"],
        &[
            MANUFACTURER_ID,
            required("rotation", Path, "", "What sign-rotation wrote"),
            optional("lost", Text, "lost_because", "The key in use is lost: how, in your words"),
        ],
    )
    .irrevocable(&[(GET_MANUFACTURER, "manufacturer")], "MANUFACTURER")
    .own(&[], rotation::rotate),
    changes(
        "set-identity",
        "Registers anew who its services and people say they are; without flags nothing is registered any more.",
        "countersign manufacturer set-identity factory-y --trust-domain y.example --bundle ca.pem --role operator",
        &["countersign.manufacturer.v1.ManufacturerService/SetServiceIdentity"],
        &[
            MANUFACTURER_ID,
            optional("trust-domain", Text, "service_identity.trust_domain", "The trust domain in its SPIFFE ids"),
            optional("bundle", TextFile, "service_identity.bundle", "PEM file with its CA certificates"),
            repeated("role", Choice(ROLES), "service_identity.roles", "A role in its SPIFFE ids"),
        ],
    )
    .look(&[(GET_MANUFACTURER, "manufacturer")], "MANUFACTURER"),
    changes(
        "suspend",
        "Suspends an organisation: no new offer to it and no acceptance by it.",
        "countersign manufacturer suspend factory-y --why 'audit of 2026-06'",
        &["countersign.manufacturer.v1.ManufacturerService/SuspendManufacturer"],
        &[MANUFACTURER_ID, required("why", Text, "why", "Why, in your words")],
    )
    .look(&[(GET_MANUFACTURER, "manufacturer")], "MANUFACTURER"),
    changes(
        "reinstate",
        "Ends an organisation's suspension.",
        "countersign manufacturer reinstate factory-y",
        &["countersign.manufacturer.v1.ManufacturerService/ReinstateManufacturer"],
        &[MANUFACTURER_ID],
    )
    .look(&[(GET_MANUFACTURER, "manufacturer")], "MANUFACTURER"),
    reads(
        "show",
        "Shows one organisation.",
        "countersign manufacturer show factory-y",
        &[GET_MANUFACTURER],
        &[MANUFACTURER_ID],
    ),
    reads(
        "list",
        "Lists organisations.",
        "countersign manufacturer list",
        &["countersign.manufacturer.v1.ManufacturerService/ListManufacturers"],
        &[],
    )
    .rows("manufacturers", &[("MANUFACTURER", "manufacturer"), ("NAME", "display_name"), ("STATE", "state")]),
];

const GET_ORDER: &str = "countersign.order.v1.OrderService/GetOrder";
const ORDER_ID: Argument = required("ORDER", Text, "order", "Production order id");

/// What an order is, as `create` and `amend` take it.
const DRAFT: &[Argument] = &[
    required("program", Text, "draft.program", "The program it builds"),
    required("units", Quantity, "draft.quantity", "Units authorised, without the yield allowance; or unlimited"),
    optional("yield-allowance", Number, "draft.yield_allowance", "Units on top for yield losses"),
    at_least_once(
        "route",
        Route,
        "draft.routes",
        "Who hands to whom, from the brand on: brand,factory,line; several make a graph",
    ),
    repeated(
        "device-issuer",
        Text,
        "draft.device_issuers",
        "Who may issue device certificates; without it all who hand nothing on",
    ),
    optional("sign-from", Time, "draft.signing_window.not_before", "When CAs of the order may begin to sign"),
    optional("sign-until", Time, "draft.signing_window.not_after", "Until when they may"),
    optional("rework-cap", Number, "draft.rework_cap", "Most reworks of one device"),
    optional(
        "replacement-cap",
        Number,
        "draft.replacement_cap",
        "Most replacements of one unit that was never written",
    ),
    optional(
        "compatible-name-constraints",
        Flag,
        "draft.compatible_name_constraints",
        "Makes name constraints non-critical, for devices that cannot parse them (mbedTLS)",
    ),
    optional("manifest-sha256", Digest, "draft.manifest_sha256", "Digest of the manifest of permitted device ids"),
];

pub(super) const ORDER: &[Verb] = &[
    changes(
        "create",
        "Proposes an order: makes its terms and checks that its longest route fits.",
        "countersign order create po-7 --program widget --units 5000 --route company-x,factory-y,technician-z",
        &["countersign.order.v1.OrderService/CreateOrder"],
        &[required("ORDER", Text, "draft.order", "Production order id")],
    )
    .and(DRAFT),
    changes(
        "amend",
        "Makes a new version of an order; voids its approvals.",
        "countersign order amend po-7 --program widget --units 4000 --route company-x,factory-y --replaces \
         5d5b09f6dcb2d53a5fffc60c4ac0d55fabdf556069d6631545f42aa6e3500f2e",
        &["countersign.order.v1.OrderService/AmendOrder"],
        &[
            required("ORDER", Text, "order draft.order", "Production order id"),
            required(
                "replaces",
                Digest,
                "expected_terms_digest",
                "Terms digest of the version that you read and replace",
            ),
        ],
    )
    .and(DRAFT)
    .look(&[(GET_ORDER, "order")], "ORDER"),
    changes(
        "approve",
        "Signs the exact terms of an order with your approval key.",
        "countersign order approve po-7 --digest 5d5b09f6dcb2d53a5fffc60c4ac0d55fabdf556069d6631545f42aa6e3500f2e",
        &["countersign.order.v1.OrderService/ApproveOrder"],
        &[
            ORDER_ID,
            optional("digest", Digest, "", "Digest of the terms that you read; without it they are shown now"),
            optional("key", Path, "", "Your approval key; without it the profile's"),
            optional("yes", Text, "", "The order's id once more, when nobody can type it"),
            optional(
                "passphrase-file",
                Path,
                "",
                "File with the key's passphrase, mode 0600; without it it is asked for",
            ),
        ],
    )
    .look(&[(GET_ORDER, "order")], "ORDER")
    .own(&[GET_ORDER], approve::approve),
    changes(
        "put-manifest",
        "Keeps a list of device ids, for orders that permit no others.",
        "countersign order put-manifest ids.txt",
        &["countersign.manifest.v1.ManifestService/PutManifest"],
        &[required("FILE", Path, "", "A device id a line, in any order")],
    )
    .own(&[], manifest::put),
    changes(
        "cancel",
        "Cancels what is not handed off of an order.",
        "countersign order cancel po-7 --yes po-7",
        &["countersign.order.v1.OrderService/CancelOrder"],
        &[ORDER_ID],
    )
    .irrevocable(&[(GET_ORDER, "order")], "ORDER"),
    reads(
        "show",
        "Shows one order with its exact terms.",
        "countersign order show po-7",
        &[GET_ORDER],
        &[ORDER_ID, optional("version", Number, "version", "One version of it; without it the newest")],
    ),
    reads("list", "Lists orders.", "countersign order list", &["countersign.order.v1.OrderService/ListOrders"], &[])
        .rows(
            "orders",
            &[
                ("ORDER", "order"),
                ("VERSION", "order_version"),
                ("STATE", "state"),
                ("REMAINING", "tally.remaining"),
                ("TERMS DIGEST", "terms_digest"),
            ],
        ),
];
