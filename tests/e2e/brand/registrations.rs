//! Programs and manufacturers: their names, their keys, and that what is registered stays as it is.

use api::{
    manufacturer::v1::{
        GetManufacturerRequest, Manufacturer, RegisterManufacturerRequest, RegisterManufacturerResponse,
    },
    program::v1::{CreateProgramRequest, CreateProgramResponse, GetProgramRequest, Program},
    reason::v1::Reason,
};
use aws_lc_rs::{encoding::AsDer as _, signature as aws, signature::KeyPair as _};
use bytes::Bytes;
use tonic::{Code, Response, Status};

use crate::{
    answers::{blamed, refused},
    organisations::manufacturer,
    world::{Chain, FACTORY, Who, fresh_id},
};

fn program(id: &str) -> Program {
    Program {
        program: id.to_owned(),
        base_name: format!("{id}.company-x.example"),
        oid_arc: mfg::oid::DOCUMENTATION_ARC.to_owned(),
        max_device_id_length: 32,
        max_lot_id_length: 10,
    }
}

async fn register(manufacturer: &Manufacturer) -> Result<Response<RegisterManufacturerResponse>, Status> {
    let request = RegisterManufacturerRequest { request_id: fresh_id(), manufacturer: Some(manufacturer.clone()) };
    Chain::shared().await.manufacturers(Who::Alice).register_manufacturer(request).await
}

async fn create(program: &Program) -> Result<Response<CreateProgramResponse>, Status> {
    let request = CreateProgramRequest { request_id: fresh_id(), program: Some(program.clone()) };
    Chain::shared().await.programs(Who::Alice).create_program(request).await
}

/// Nobody is registered under this id, or exactly this.
async fn kept(id: &str) -> Option<Manufacturer> {
    let request = GetManufacturerRequest { manufacturer: id.to_owned() };
    match Chain::shared().await.manufacturers(Who::Alice).get_manufacturer(request).await {
        Ok(answer) => answer.into_inner().manufacturer,
        answer @ Err(_) => {
            refused(answer, Reason::ManufacturerUnknown, Code::NotFound);
            None
        }
    }
}

async fn kept_program(id: &str) -> Option<Program> {
    let request = GetProgramRequest { program: id.to_owned() };
    match Chain::shared().await.programs(Who::Alice).get_program(request).await {
        Ok(answer) => answer.into_inner().program,
        answer @ Err(_) => {
            refused(answer, Reason::ProgramUnknown, Code::NotFound);
            None
        }
    }
}

#[tokio::test]
async fn an_id_is_a_lower_case_dns_label_of_bounded_length() {
    let of_24 = "m".repeat(24);
    for wrong in ["", "Factory", "fac tory", "fac.tory", "-factory", "factory-", "fäctory", "m_1", &"m".repeat(25)] {
        refused(register(&manufacturer(wrong)).await, Reason::LabelInvalid, Code::InvalidArgument);
        assert_eq!(kept(wrong).await, None);
    }
    register(&manufacturer(&of_24)).await.unwrap();

    for wrong in ["", "Widget", "wid.get", "-widget", &"p".repeat(33)] {
        let wrong = Program { program: wrong.to_owned(), ..program("widget") };
        refused(create(&wrong).await, Reason::LabelInvalid, Code::InvalidArgument);
        assert_eq!(kept_program(&wrong.program).await, None);
    }
    create(&Program { program: "p".repeat(32), ..program("widget") }).await.unwrap();
}

#[tokio::test]
async fn an_organisation_has_a_name_of_1_to_64_characters() {
    let good = Manufacturer { display_name: "Ä".repeat(64), ..manufacturer("named") };
    for wrong in [String::new(), "x".repeat(65), "Named\nLtd".to_owned(), "Named\0".to_owned()] {
        let answer = register(&Manufacturer { display_name: wrong, ..good.clone() }).await;
        assert_eq!(blamed(answer.as_ref().unwrap_err()), "display_name");
        refused(answer, Reason::ManufacturerInvalid, Code::InvalidArgument);
        assert_eq!(kept("named").await, None);
    }
    let registered = register(&good).await.unwrap().into_inner().manufacturer.unwrap();
    assert_eq!(registered.display_name, good.display_name);
    assert_eq!(kept("named").await, Some(registered));
}

#[tokio::test]
async fn an_identity_key_is_p256_p384_or_ed25519_and_well_formed() {
    let good = manufacturer("keyed");
    let point_off_the_curve = {
        let mut key = good.identity_key.to_vec();
        *key.last_mut().unwrap() ^= 1;
        key
    };
    let p521 = aws::EcdsaKeyPair::generate(&aws::ECDSA_P521_SHA512_ASN1_SIGNING).unwrap();
    let wrong: [(&str, Vec<u8>); 8] = [
        ("nothing", Vec::new()),
        ("no der", b"key".to_vec()),
        ("octets after the key", [good.identity_key.as_ref(), &[0]].concat()),
        ("a point off the curve", point_off_the_curve),
        ("RSA-1024", rsa_spki(1024)),
        ("RSA-2048", rsa_spki(2048)),
        ("P-224", p224_spki()),
        ("P-521", p521.public_key().as_der().unwrap().as_ref().to_vec()),
    ];
    for (what, key) in wrong {
        let answer = register(&Manufacturer { identity_key: Bytes::from(key), ..good.clone() }).await;
        assert_eq!(answer.as_ref().map_err(blamed).map(|_| ()), Err("identity_key".to_owned()), "{what}");
        refused(answer, Reason::ManufacturerInvalid, Code::InvalidArgument);
        assert_eq!(kept("keyed").await, None, "{what}");
    }
    register(&good).await.unwrap();
}

#[tokio::test]
async fn a_manufacturer_is_registered_once_and_stays_as_it_is() {
    let first = manufacturer("once");
    let registered = register(&first).await.unwrap().into_inner().manufacturer;
    // Another intention with the same content is the same registration.
    assert_eq!(register(&first).await.unwrap().into_inner().manufacturer, registered);
    let other = Manufacturer { display_name: "Another".to_owned(), ..first.clone() };
    refused(register(&other).await, Reason::ManufacturerExists, Code::AlreadyExists);
    assert_eq!(kept("once").await, registered);
}

#[tokio::test]
async fn a_program_has_a_base_name_an_arc_and_lengths_that_work() {
    let good = program("lamp");
    let base = |name: &str| Program { base_name: name.to_owned(), ..good.clone() };
    let arc = |arc: &str| Program { oid_arc: arc.to_owned(), ..good.clone() };
    let cases = [
        ("base_name", base("")),
        ("base_name", base("Lamp.example")),
        ("base_name", base("lamp..example")),
        ("base_name", base("*.lamp.example")),
        ("base_name", base(&format!("{}.example", "l".repeat(64)))),
        ("base_name", base(&vec!["l".repeat(49); 6].join("."))),
        ("oid_arc", arc("")),
        ("oid_arc", arc("1")),
        ("oid_arc", arc("1.3.6.1.4.1.x")),
        ("oid_arc", arc("1.3.6.1.4.1.2147483648")),
        ("oid_arc", arc("1.2.3.4.5.6.7.8.9.10.11.12.13")),
        ("max_device_id_length", Program { max_device_id_length: 0, ..good.clone() }),
        ("max_device_id_length", Program { max_device_id_length: 64, ..good.clone() }),
        ("max_lot_id_length", Program { max_lot_id_length: 0, ..good.clone() }),
        ("max_lot_id_length", Program { max_lot_id_length: 25, ..good.clone() }),
    ];
    for (field, wrong) in cases {
        let answer = create(&wrong).await;
        assert_eq!(answer.as_ref().map_err(blamed).map(|_| ()), Err(field.to_owned()), "{wrong:?}");
        refused(answer, Reason::ProgramInvalid, Code::InvalidArgument);
        assert_eq!(kept_program("lamp").await, None);
    }
    create(&good).await.unwrap();
    assert_eq!(kept_program("lamp").await, Some(good));
}

#[tokio::test]
async fn a_program_is_created_once_and_stays_as_it_is() {
    let first = program("heater");
    create(&first).await.unwrap();
    assert_eq!(create(&first).await.unwrap().into_inner().program, Some(first.clone()));
    let other = Program { max_lot_id_length: 11, ..first.clone() };
    refused(create(&other).await, Reason::ProgramExists, Code::AlreadyExists);
    assert_eq!(kept_program("heater").await, Some(first));
}

#[tokio::test]
async fn a_request_without_its_subject_or_id_is_malformed() {
    let chain = Chain::shared().await;
    let empty = RegisterManufacturerRequest { request_id: fresh_id(), manufacturer: None };
    let answer = chain.manufacturers(Who::Alice).register_manufacturer(empty).await;
    refused(answer, Reason::RequestMalformed, Code::InvalidArgument);
    for id in ["", "1", "00000000-0000-0000-0000-000000000000"] {
        let request =
            RegisterManufacturerRequest { request_id: id.to_owned(), manufacturer: Some(manufacturer("no-request")) };
        let answer = chain.manufacturers(Who::Alice).register_manufacturer(request).await;
        refused(answer, Reason::RequestIdInvalid, Code::InvalidArgument);
    }
    assert_eq!(kept("no-request").await, None);
    assert!(kept(FACTORY).await.is_some());
}

/// DER: tag, length, content.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match content.len() {
        short @ 0..=127 => vec![u8::try_from(short).unwrap()],
        long => [&[0x82], u16::try_from(long).unwrap().to_be_bytes().as_slice()].concat(),
    };
    [&[tag], length.as_slice(), content].concat()
}

/// A SubjectPublicKeyInfo with an odd modulus of so many bits and exponent 65537.
fn rsa_spki(bits: usize) -> Vec<u8> {
    let mut modulus = vec![0xc5; bits / 8];
    modulus.insert(0, 0);
    let key = tlv(0x30, &[tlv(0x02, &modulus), tlv(0x02, &[1, 0, 1])].concat());
    let algorithm = tlv(0x30, b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00");
    tlv(0x30, &[algorithm, tlv(0x03, &[vec![0], key].concat())].concat())
}

/// A SubjectPublicKeyInfo on secp224r1: its base point.
fn p224_spki() -> Vec<u8> {
    let algorithm = tlv(0x30, b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x21");
    let point = b"\x04\xb7\x0e\x0c\xbd\x6b\xb4\xbf\x7f\x32\x13\x90\xb9\x4a\x03\xc1\xd3\x56\xc2\x11\x22\x34\x32\x80\xd6\x11\
        \x5c\x1d\x21\xbd\x37\x63\x88\xb5\xf7\x23\xfb\x4c\x22\xdf\xe6\xcd\x43\x75\xa0\x5a\x07\x47\x64\x44\xd5\x81\x99\x85\
        \x00\x7e\x34";
    tlv(0x30, &[algorithm, tlv(0x03, &[b"\0".as_slice(), point].concat())].concat())
}
