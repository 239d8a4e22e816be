//! A CA's whole proof of possession: registered, its code generated, signed by the CA where its key is, uploaded, verified.

use api::{
    hub::v1::{
        CaCertificate, ChainRules, FirstConnect, GenerateVerificationCodeRequest, GetCaCertificateRequest,
        RegisterCaCertificateRequest, Verification, VerifyCaCertificateRequest,
    },
    possession::v1::{GetSigningCaRequest, ProvePossessionRequest, possession_service_client::PossessionServiceClient},
};
use bytes::Bytes;
use pki::{Certificate, Sha256};
use tonic::{Code, transport::Channel};

use super::{connect::Hub, fresh_id, held};
use crate::{failure::Failure, reach::failure as refused};

/// A CA that can be asked to prove itself: at a root-ca its own, at an intermediate-ca that of a lot.
pub(crate) struct Signer {
    channel: Channel,
    lot: String,
}

impl Signer {
    /// The CA of a lot, or that of the root-ca, at the other end of a channel.
    pub(crate) fn at(channel: Channel, lot: Option<&str>) -> Self {
        Self { channel, lot: lot.unwrap_or_default().to_owned() }
    }

    async fn certificate(&self) -> Result<Bytes, Failure> {
        let request = GetSigningCaRequest { lot: self.lot.clone() };
        let answer = PossessionServiceClient::new(self.channel.clone()).get_signing_ca(request).await;
        Ok(answer.map_err(|status| refused(&status))?.into_inner().certificate)
    }

    async fn sign(&self, code: String) -> Result<Bytes, Failure> {
        let request = ProvePossessionRequest { request_id: fresh_id()?, lot: self.lot.clone(), code };
        let answer = PossessionServiceClient::new(self.channel.clone()).prove_possession(request).await;
        Ok(answer.map_err(|status| refused(&status))?.into_inner().certificate)
    }
}

/// How the CA is to be registered.
pub(crate) struct Asked<'a> {
    /// Its friendly name at the hub.
    pub(crate) name: &'a str,
    /// What happens to devices below it that the hub does not know.
    pub(crate) first_connect: FirstConnect,
}

/// Does what is left of the round. One that was cut short goes on where it stood; one that is verified already is left as it is.
///
/// # Errors
/// `CA_EXISTS` when something else has the name, or the CA another name; what the services refuse.
pub(crate) async fn round(
    hub: &Hub,
    signer: &Signer,
    asked: &Asked<'_>,
    tell: &mut (dyn FnMut(String) + Send),
) -> Result<CaCertificate, Failure> {
    let certificate = signer.certificate().await?;
    let subject = subject(&certificate)?;
    let ca = match registered(hub, asked.name).await? {
        Some(ca) if ca.thumbprint_sha256 != Sha256::of(&certificate).as_bytes().as_slice() => {
            let message = format!("{} is the name of another ca certificate: {}", asked.name, ca.subject);
            return Err(Failure::named("CA_EXISTS", message));
        }
        Some(ca) if ca.verification() == Verification::Verified => {
            tell(format!("{} is verified already", asked.name));
            return Ok(ca);
        }
        Some(ca) => ca,
        None => {
            let ca = register(hub, asked, certificate).await?;
            tell(format!("registered {subject} as {}, unverified", asked.name));
            ca
        }
    };
    let ca = with_code(hub, ca).await?;
    let code = held(ca.verification_code.clone())?;
    let proof = signer.sign(code.clone()).await?;
    tell(format!("{subject} signed the code {code}"));
    let request = VerifyCaCertificateRequest {
        request_id: fresh_id()?,
        name: asked.name.to_owned(),
        etag: ca.etag,
        certificate: proof,
    };
    let answer = hub.cas().verify_ca_certificate(request).await.map_err(|status| refused(&status))?;
    held(answer.into_inner().ca_certificate)
}

async fn registered(hub: &Hub, name: &str) -> Result<Option<CaCertificate>, Failure> {
    match hub.cas().get_ca_certificate(GetCaCertificateRequest { name: name.to_owned() }).await {
        Ok(answer) => held(answer.into_inner().ca_certificate).map(Some),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(refused(&status)),
    }
}

async fn register(hub: &Hub, asked: &Asked<'_>, certificate: Bytes) -> Result<CaCertificate, Failure> {
    let request = RegisterCaCertificateRequest {
        request_id: fresh_id()?,
        name: asked.name.to_owned(),
        certificate,
        rules: ChainRules::Countersign.into(),
        first_connect: asked.first_connect.into(),
        verified: false,
    };
    let answer = hub.cas().register_ca_certificate(request).await.map_err(|status| refused(&status))?;
    held(answer.into_inner().ca_certificate)
}

/// The CA with a code that is open: the one it has, or a fresh one.
async fn with_code(hub: &Hub, ca: CaCertificate) -> Result<CaCertificate, Failure> {
    if ca.verification_code.is_some() {
        return Ok(ca);
    }
    let request = GenerateVerificationCodeRequest { request_id: fresh_id()?, name: ca.name, etag: ca.etag };
    let answer = hub.cas().generate_verification_code(request).await.map_err(|status| refused(&status))?;
    held(answer.into_inner().ca_certificate)
}

fn subject(certificate: &[u8]) -> Result<String, Failure> {
    let parsed = Certificate::parse(certificate)
        .map_err(|error| Failure::named(error.reason(), format!("the ca's answer: {error}")))?;
    Ok(parsed.subject().to_string())
}
