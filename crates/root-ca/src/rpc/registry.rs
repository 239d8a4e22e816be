//! `ProgramService`, and what both registries' faces share.

use api::{
    Refusal, RequestId,
    manufacturer::v1::Manufacturer,
    program::v1::{self as wire_program, program_service_server::ProgramService},
};
use bytes::Bytes;
use mfg::{Bundle, IdentityKey, OidArc, ProgramId, bundle::BundleProgram};
use pki::{DnsName, PublicKey};
use records::{Caller, named, page, refuse_store};
use tonic::{Request, Response, Status};

use super::BrandRpc;
use crate::{
    orders::Orders,
    registry::{Registered, decode, find, published, register},
};

const PROGRAMS: &str = wire_program::Program::COLLECTION;

type Listed<T> = (Vec<T>, Option<String>);

pub(super) fn list<T: Registered>(orders: &Orders, after: Option<&str>, limit: usize) -> Result<Listed<T>, Refusal> {
    let listed = orders.authority.store().list(T::COLLECTION, after, limit).map_err(|e| refuse_store(&e))?;
    let next = page::end(&listed, limit);
    let items = listed.iter().map(|(_, record)| decode(record)).collect::<Result<_, _>>()?;
    Ok((items, next))
}

fn all<T: Registered>(orders: &Orders) -> Result<Vec<T>, Refusal> {
    let mut items = Vec::new();
    let mut after = None;
    loop {
        let (page, next): Listed<T> = list(orders, after.as_deref(), store::MAX_LISTED)?;
        items.extend(page);
        match next {
            Some(_) => after = next,
            None => return Ok(items),
        }
    }
}

/// Adds what is registered to a bundle of the brand's own.
pub(super) fn complete(orders: &Orders, bundle: &mut Bundle) -> Result<(), Refusal> {
    let damaged = |e: &dyn std::error::Error| Refusal::from_error("JOURNAL_DAMAGED", e);
    for item in all::<Manufacturer>(orders)? {
        let said = published(&item)?;
        // Retired keys too: what they signed stays provable.
        for key in &item.identity_keys {
            bundle.identity_keys.push(IdentityKey {
                manufacturer: said.id.clone(),
                public_key: PublicKey::parse(&key.public_key).map_err(|e| damaged(&e))?,
            });
        }
        bundle.manufacturers.push(said);
    }
    for item in all::<wire_program::Program>(orders)? {
        bundle.programs.push(BundleProgram {
            id: ProgramId::parse(&item.program).map_err(|e| damaged(&e))?,
            base_name: DnsName::parse(&item.base_name).map_err(|e| damaged(&e))?,
            oid_arc: OidArc::parse(&item.oid_arc).map_err(|e| damaged(&e))?,
        });
    }
    Ok(())
}

#[tonic::async_trait]
impl ProgramService for BrandRpc {
    async fn create_program(
        &self,
        request: Request<wire_program::CreateProgramRequest>,
    ) -> Result<Response<wire_program::CreateProgramResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let id = RequestId::parse(&message.request_id)?;
        let program = message.program.ok_or_else(|| Refusal::malformed("program", "is missing"))?;
        self.run(move |orders| {
            orders.check_arc(&program)?;
            let program = register(orders.authority.store(), &orders.authority.act(caller, id), program)?;
            Ok(wire_program::CreateProgramResponse { program: Some(program) })
        })
        .await
    }

    async fn get_program(
        &self,
        request: Request<wire_program::GetProgramRequest>,
    ) -> Result<Response<wire_program::GetProgramResponse>, Status> {
        let id = request.into_inner().program;
        self.run(move |orders| {
            Ok(wire_program::GetProgramResponse { program: Some(find(orders.authority.store(), &id)?) })
        })
        .await
    }

    async fn list_programs(
        &self,
        request: Request<wire_program::ListProgramsRequest>,
    ) -> Result<Response<wire_program::ListProgramsResponse>, Status> {
        let message = request.into_inner();
        let page = page::Page::read(PROGRAMS, message.page_size, &message.page_token)?;
        self.run(move |orders| {
            let (programs, next) = list(orders, page.after(), page.limit())?;
            Ok(wire_program::ListProgramsResponse { programs, next_page_token: page::token(PROGRAMS, next) })
        })
        .await
    }

    async fn get_bundle(
        &self,
        _request: Request<wire_program::GetBundleRequest>,
    ) -> Result<Response<wire_program::GetBundleResponse>, Status> {
        self.run(|orders| {
            let bundle = super::bundle(orders)?.to_json().map_err(named(mfg::BundleRefusal::reason))?;
            Ok(wire_program::GetBundleResponse { bundle: Bytes::from(bundle) })
        })
        .await
    }
}
