//! `countersign.hub.v1.CaCertificateService`.

use std::sync::Arc;

use api::hub::v1::{self as wire, ca_certificate_service_server::CaCertificateService};
use pki::hex;
use records::{Caller, page, wire as convert};
use tonic::{Request, Response, Status};

use super::to_the_end;
use crate::registry::{Change, NewCa, Registry};

const CAS: &str = "hub.ca-certificates";
const CA_KEYS: &str = "hub.disabled-ca-keys";

/// The service over one registry.
pub(super) struct CasRpc(pub(super) Arc<Registry>);

#[tonic::async_trait]
impl CaCertificateService for CasRpc {
    async fn register_ca_certificate(
        &self,
        request: Request<wire::RegisterCaCertificateRequest>,
    ) -> Result<Response<wire::RegisterCaCertificateResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let change = Change::of(caller, &message.request_id, &message)?;
        let new = NewCa {
            rules: message.rules(),
            first_connect: message.first_connect(),
            verification: match message.verified {
                true => wire::Verification::Verified,
                false => wire::Verification::Unverified,
            },
            name: message.name,
            certificate: message.certificate,
        };
        let registry = Arc::clone(&self.0);
        let work = async move { registry.ask(move |books| books.register_ca(&change, &new)).await };
        let ca = to_the_end(work).await?;
        Ok(Response::new(wire::RegisterCaCertificateResponse { ca_certificate: Some(ca) }))
    }

    async fn generate_verification_code(
        &self,
        request: Request<wire::GenerateVerificationCodeRequest>,
    ) -> Result<Response<wire::GenerateVerificationCodeResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let change = Change::of(caller, &message.request_id, &message)?;
        let ca = self.0.ask(move |books| books.verification_code(&change, &message.name, &message.etag)).await?;
        Ok(Response::new(wire::GenerateVerificationCodeResponse { ca_certificate: Some(ca) }))
    }

    async fn verify_ca_certificate(
        &self,
        request: Request<wire::VerifyCaCertificateRequest>,
    ) -> Result<Response<wire::VerifyCaCertificateResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let change = Change::of(caller, &message.request_id, &message)?;
        let verify = move |books: &crate::registry::Books| {
            books.verify_ca(&change, &message.name, &message.etag, &message.certificate)
        };
        let ca = self.0.ask(verify).await?;
        Ok(Response::new(wire::VerifyCaCertificateResponse { ca_certificate: Some(ca) }))
    }

    async fn update_ca_certificate(
        &self,
        request: Request<wire::UpdateCaCertificateRequest>,
    ) -> Result<Response<wire::UpdateCaCertificateResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let change = Change::of(caller, &message.request_id, &message)?;
        let (rules, first_connect) = (message.rules(), message.first_connect());
        let update = move |books: &crate::registry::Books| {
            books.update_ca(&change, &message.name, &message.etag, rules, first_connect)
        };
        let ca = self.0.ask(update).await?;
        Ok(Response::new(wire::UpdateCaCertificateResponse { ca_certificate: Some(ca) }))
    }

    async fn delete_ca_certificate(
        &self,
        request: Request<wire::DeleteCaCertificateRequest>,
    ) -> Result<Response<wire::DeleteCaCertificateResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let change = Change::of(caller, &message.request_id, &message)?;
        self.0.ask(move |books| books.delete_ca(&change, &message.name, &message.etag)).await?;
        Ok(Response::new(wire::DeleteCaCertificateResponse {}))
    }

    async fn get_ca_certificate(
        &self,
        request: Request<wire::GetCaCertificateRequest>,
    ) -> Result<Response<wire::GetCaCertificateResponse>, Status> {
        let name = request.into_inner().name;
        let ca = self.0.ask(move |books| books.ca(&name)).await?;
        Ok(Response::new(wire::GetCaCertificateResponse { ca_certificate: Some(ca) }))
    }

    async fn list_ca_certificates(
        &self,
        request: Request<wire::ListCaCertificatesRequest>,
    ) -> Result<Response<wire::ListCaCertificatesResponse>, Status> {
        let message = request.into_inner();
        let page = page::Page::read(CAS, message.page_size, &message.page_token)?;
        let all = self.0.ask(|books| books.all_cas()).await?;
        let (ca_certificates, next) = cut(all, &page, |ca| ca.name.clone());
        let next_page_token = page::token(CAS, next);
        Ok(Response::new(wire::ListCaCertificatesResponse { ca_certificates, next_page_token }))
    }

    async fn disable_ca_key(
        &self,
        request: Request<wire::DisableCaKeyRequest>,
    ) -> Result<Response<wire::DisableCaKeyResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let change = Change::of(caller, &message.request_id, &message)?;
        let key = convert::read_digest("key_sha256", &message.key_sha256)?;
        let key = self.0.ask(move |books| books.disable_ca_key(&change, &key, &message.why)).await?;
        Ok(Response::new(wire::DisableCaKeyResponse { key: Some(key) }))
    }

    async fn enable_ca_key(
        &self,
        request: Request<wire::EnableCaKeyRequest>,
    ) -> Result<Response<wire::EnableCaKeyResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let change = Change::of(caller, &message.request_id, &message)?;
        let key = convert::read_digest("key_sha256", &message.key_sha256)?;
        self.0.ask(move |books| books.enable_ca_key(&change, &key)).await?;
        Ok(Response::new(wire::EnableCaKeyResponse {}))
    }

    async fn list_disabled_ca_keys(
        &self,
        request: Request<wire::ListDisabledCaKeysRequest>,
    ) -> Result<Response<wire::ListDisabledCaKeysResponse>, Status> {
        let message = request.into_inner();
        let page = page::Page::read(CA_KEYS, message.page_size, &message.page_token)?;
        let all = self.0.ask(|books| books.disabled_keys()).await?;
        let (keys, next) = cut(all, &page, |key| hex::encode(&key.key_sha256));
        let next_page_token = page::token(CA_KEYS, next);
        Ok(Response::new(wire::ListDisabledCaKeysResponse { keys, next_page_token }))
    }
}

/// One page of a list that is short enough to be read whole.
fn cut<T>(all: Vec<T>, page: &page::Page, name: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
    let after = all.into_iter().filter(|item| page.after().is_none_or(|after| name(item).as_str() > after));
    let mut items: Vec<T> = after.take(page.limit() + 1).collect();
    let more = items.len() > page.limit();
    items.truncate(page.limit());
    let next = items.last().map(name).filter(|_| more);
    (items, next)
}
