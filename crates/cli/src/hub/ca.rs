//! `countersign hub ca`.

use std::process::ExitCode;

use api::hub::v1::{
    CaCertificate, ChainRules, DeleteCaCertificateRequest, DisableCaKeyRequest, EnableCaKeyRequest, FirstConnect,
    GenerateVerificationCodeRequest, GetCaCertificateRequest, ListCaCertificatesRequest, ListDisabledCaKeysRequest,
    RegisterCaCertificateRequest, VerifyCaCertificateRequest,
};
use pki::Sha256;
use serde_json::{Value, json};

use super::{
    admitted,
    args::{CaAddArgs, CaCommand, CaDisableArgs, CaKeyArgs, CaProveArgs, CaVerifyArgs, HubAt},
    connect::{self, Hub},
    fresh_id, held, print,
    prove::{Asked, Signer, round},
    refused, shown,
};
use crate::{
    args::Output,
    failure::{Failure, read_file},
    files,
};

pub(super) async fn run(hub: &Hub, at: &HubAt, command: &CaCommand, output: Output) -> Result<ExitCode, Failure> {
    match command {
        CaCommand::Add(args) => show(&add(hub, args).await?, output),
        CaCommand::Code(named) => show(&code(hub, &named.name).await?, output),
        CaCommand::Verify(args) => show(&verify(hub, args).await?, output),
        CaCommand::Prove(args) => prove(hub, at, args, output).await?,
        CaCommand::List => list(hub, output).await?,
        CaCommand::Show(named) => show(&read(hub, &named.name).await?, output),
        CaCommand::Disable(args) => disable(hub, args, output).await?,
        CaCommand::Enable(args) => enable(hub, args, output).await?,
        CaCommand::Disabled => disabled(hub, output).await?,
        CaCommand::Admitted(args) => admitted::run(hub, &key(hub, args).await?, output).await?,
        CaCommand::Delete(named) => delete(hub, &named.name, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn add(hub: &Hub, args: &CaAddArgs) -> Result<CaCertificate, Failure> {
    let rules = if args.plain { ChainRules::Plain } else { ChainRules::Countersign };
    let first_connect = if args.register_on_first_connect { FirstConnect::Register } else { FirstConnect::Refuse };
    let request = RegisterCaCertificateRequest {
        request_id: fresh_id()?,
        name: args.name.clone(),
        certificate: read_file(&args.certificate)?.into(),
        rules: rules.into(),
        first_connect: first_connect.into(),
        verified: args.verified,
    };
    let answer = hub.cas().register_ca_certificate(request).await.map_err(|s| refused(&s))?;
    held(answer.into_inner().ca_certificate)
}

async fn code(hub: &Hub, name: &str) -> Result<CaCertificate, Failure> {
    let etag = read(hub, name).await?.etag;
    let request = GenerateVerificationCodeRequest { request_id: fresh_id()?, name: name.to_owned(), etag };
    let answer = hub.cas().generate_verification_code(request).await.map_err(|s| refused(&s))?;
    held(answer.into_inner().ca_certificate)
}

async fn verify(hub: &Hub, args: &CaVerifyArgs) -> Result<CaCertificate, Failure> {
    let certificate = read_file(&args.certificate)?.into();
    let etag = read(hub, &args.name).await?.etag;
    let request = VerifyCaCertificateRequest { request_id: fresh_id()?, name: args.name.clone(), etag, certificate };
    let answer = hub.cas().verify_ca_certificate(request).await.map_err(|s| refused(&s))?;
    held(answer.into_inner().ca_certificate)
}

async fn prove(hub: &Hub, at: &HubAt, args: &CaProveArgs, output: Output) -> Result<(), Failure> {
    let signer = Signer::at(connect::find_signer(at, &args.signer)?.connect()?, args.signer.lot.as_deref());
    let asked = Asked {
        name: &args.name,
        first_connect: if args.register_on_first_connect { FirstConnect::Register } else { FirstConnect::Refuse },
    };
    let proven = round(hub, &signer, &asked, &mut |step| eprintln!("{step}")).await?;
    show(&proven, output);
    Ok(())
}

async fn read(hub: &Hub, name: &str) -> Result<CaCertificate, Failure> {
    let request = GetCaCertificateRequest { name: name.to_owned() };
    let answer = hub.cas().get_ca_certificate(request).await.map_err(|s| refused(&s))?;
    held(answer.into_inner().ca_certificate)
}

async fn all(hub: &Hub) -> Result<Vec<CaCertificate>, Failure> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListCaCertificatesRequest { page_size: 1000, page_token };
        let page = hub.cas().list_ca_certificates(request).await.map_err(|s| refused(&s))?.into_inner();
        all.extend(page.ca_certificates);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(all);
        }
    }
}

async fn list(hub: &Hub, output: Output) -> Result<(), Failure> {
    let all = all(hub).await?;
    let words: String = all.iter().map(|ca| format!("{}\n", shown::ca_line(ca))).collect();
    let words = if all.is_empty() { "no ca certificate is registered".to_owned() } else { words };
    let json: Vec<Value> = all.iter().map(shown::ca_json).collect();
    print(output, &words, &Value::from(json));
    Ok(())
}

async fn disable(hub: &Hub, args: &CaDisableArgs, output: Output) -> Result<(), Failure> {
    let key = key(hub, &args.key).await?;
    let request = DisableCaKeyRequest {
        request_id: fresh_id()?,
        key_sha256: key.as_bytes().to_vec().into(),
        why: args.why.clone(),
    };
    hub.cas().disable_ca_key(request).await.map_err(|s| refused(&s))?;
    let words = format!("disabled: every device whose chain holds the key {key} is refused, and its session closed");
    print(output, &words, &json!({ "key_sha256": key.to_string(), "disabled": true, "why": args.why }));
    Ok(())
}

async fn enable(hub: &Hub, args: &CaKeyArgs, output: Output) -> Result<(), Failure> {
    let key = key(hub, args).await?;
    let request = EnableCaKeyRequest { request_id: fresh_id()?, key_sha256: key.as_bytes().to_vec().into() };
    hub.cas().enable_ca_key(request).await.map_err(|s| refused(&s))?;
    print(output, &format!("enabled: {key}"), &json!({ "key_sha256": key.to_string(), "disabled": false }));
    Ok(())
}

async fn disabled(hub: &Hub, output: Output) -> Result<(), Failure> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListDisabledCaKeysRequest { page_size: 1000, page_token };
        let page = hub.cas().list_disabled_ca_keys(request).await.map_err(|s| refused(&s))?.into_inner();
        all.extend(page.keys);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let line = |key: &api::hub::v1::DisabledCaKey| {
        let at = shown::moment(key.disabled_at.as_ref());
        format!("{}  {at}  {}  {}\n", pki::hex::encode(&key.key_sha256), key.by, key.why)
    };
    let words: String = all.iter().map(line).collect();
    let words = if all.is_empty() { "no ca key is disabled".to_owned() } else { words };
    let json: Vec<Value> = all
        .iter()
        .map(|key| {
            json!({
                "key_sha256": pki::hex::encode(&key.key_sha256),
                "why": key.why,
                "by": key.by,
                "disabled_at": shown::moment(key.disabled_at.as_ref()),
            })
        })
        .collect();
    print(output, &words, &Value::from(json));
    Ok(())
}

async fn delete(hub: &Hub, name: &str, output: Output) -> Result<(), Failure> {
    let etag = read(hub, name).await?.etag;
    let request = DeleteCaCertificateRequest { request_id: fresh_id()?, name: name.to_owned(), etag };
    hub.cas().delete_ca_certificate(request).await.map_err(|s| refused(&s))?;
    print(output, &format!("deleted: {name}"), &json!({ "name": name, "deleted": true }));
    Ok(())
}

/// The key that is meant: in hex digits, that of a file, or a registered CA's.
async fn key(hub: &Hub, args: &CaKeyArgs) -> Result<Sha256, Failure> {
    if let Some(path) = &args.of {
        let certificates = files::certificates(path)?;
        // A device's chain begins with its own certificate, whose key is no CA's: with it disabled nothing would be cut off.
        let first = certificates.iter().find(|certificate| certificate.is_ca());
        let first = first.ok_or_else(|| Failure::malformed(path, "holds no CA certificate"))?;
        return Ok(first.public_key().sha256());
    }
    let which = args.which.as_deref().unwrap_or_default();
    if let Ok(digest) = Sha256::parse(which) {
        return Ok(digest);
    }
    let ca = read(hub, which).await?;
    held(Sha256::from_slice(&ca.key_sha256))
}

fn show(ca: &CaCertificate, output: Output) {
    print(output, &shown::ca_words(ca), &shown::ca_json(ca));
}
