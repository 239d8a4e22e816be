//! Calling a service as the one who the profile says.

use std::sync::OnceLock;

use api::Octets;
use bytes::Bytes;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, ReflectMessage as _, Value};
use service::identity::{Manufacturer, Role};
use tokio::runtime::Runtime;
use tonic::{Status, client::Grpc, transport::Channel};

use super::table::{Given, Verb};
use crate::{
    failure::Failure,
    profile::Profile,
    reach::{Place, failure},
};

/// Most entries that are collected of a list.
const MOST_ENTRIES: usize = 1_000_000;

/// How much of a list is wanted.
pub(super) enum Pages {
    One { size: u32, token: String },
    All { size: u32 },
}

/// One person at one service.
pub(crate) struct Session {
    open: Option<Open>,
    runtime: Runtime,
}

struct Open {
    profile: Profile,
    role: Role,
    manufacturer: Manufacturer,
    channel: Channel,
    method: &'static str,
}

impl Session {
    /// Reads the profile and makes the channel; the first call connects. A verb without an RPC needs neither.
    ///
    /// # Errors
    /// What the profile or the files that it names are refused for.
    pub(super) fn open(given: &Given<'_>) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|e| Failure::unavailable("SETUP_FAILED", format!("no runtime: {e}")))?;
        if given.verb.rpcs.is_empty() {
            return Ok(Self { open: None, runtime });
        }
        let profile = Profile::open(given.profile())?;
        let roles: Vec<Role> = given.verb.rpcs.iter().flat_map(|rpc| served_by(rpc)).copied().collect();
        let service = profile.service(&roles, given.text("at"))?;
        let (role, manufacturer) = (service.role, service.manufacturer.clone());
        // Reloading credentials is a task of the runtime.
        let _inside = runtime.enter();
        let channel = Place::of_profile(&profile, service).connect()?;
        let method = given.verb.rpcs.iter().find(|rpc| served_by(rpc).contains(&role)).copied().unwrap_or_default();
        Ok(Self { open: Some(Open { profile, role, manufacturer, channel, method }), runtime })
    }

    fn opened(&self) -> Result<&Open, Failure> {
        self.open.as_ref().ok_or_else(|| Failure::usage("this verb has no service"))
    }

    /// The profile.
    pub(super) fn profile(&self) -> Result<&Profile, Failure> {
        Ok(&self.opened()?.profile)
    }

    /// The channel, for a verb that streams.
    pub(super) fn channel(&self) -> Result<Channel, Failure> {
        Ok(self.opened()?.channel.clone())
    }

    /// Where a verb that streams runs.
    pub(super) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The verb's RPC at the session's service.
    pub(super) fn method(&self) -> Result<MethodDescriptor, Failure> {
        method(self.opened()?.method)
    }

    /// Which of these RPCs the session's service serves, with what stands beside it.
    pub(super) fn served(&self, rpcs: &[(&'static str, &'static str)]) -> Option<(&'static str, &'static str)> {
        let role = self.open.as_ref()?.role;
        rpcs.iter().find(|(rpc, _)| served_by(rpc).contains(&role)).copied()
    }

    /// Reads; of a list, as many pages as wanted.
    pub(super) fn read(
        &self,
        method: &MethodDescriptor,
        mut request: DynamicMessage,
        pages: Option<Pages>,
    ) -> Result<DynamicMessage, Failure> {
        let (size, token, all) = match pages {
            None => return self.send(method, &request),
            Some(Pages::One { size, token }) => (size, token, false),
            Some(Pages::All { size }) => (size, String::new(), true),
        };
        request.set_field_by_name("page_size", Value::I32(i32::try_from(size).unwrap_or(i32::MAX)));
        request.set_field_by_name("page_token", Value::String(token));
        let mut answer = self.send(method, &request)?;
        let mut entries = count(&answer);
        while all && entries < MOST_ENTRIES {
            let Some(token) = next_page(&answer) else { break };
            request.set_field_by_name("page_token", Value::String(token));
            let next = self.send(method, &request)?;
            append(&mut answer, next);
            entries = count(&answer);
        }
        Ok(answer)
    }

    /// Changes something. When the answer did not come, says how to ask again without doing it twice.
    pub(super) fn change(
        &self,
        method: &MethodDescriptor,
        request: &DynamicMessage,
    ) -> Result<DynamicMessage, Failure> {
        let sent = self.send(method, request);
        if let (Err(failure), Some(id)) = (&sent, request.get_field_by_name("request_id"))
            && failure.may_have_been_done()
        {
            eprintln!(
                "whether it was done is not known; repeat it with --request-id {}",
                id.as_str().unwrap_or_default()
            );
        }
        sent
    }

    /// Channels to the other services of the profile that have a role and are of the same manufacturer as the session's.
    pub(super) fn elsewhere(&self, role: Role) -> Result<Vec<Channel>, Failure> {
        let open = self.opened()?;
        let others = open.profile.content.services.iter();
        let others = others.filter(|other| other.role == role && other.manufacturer == open.manufacturer);
        let _inside = self.runtime.enter();
        others.map(|other| Place::of_profile(&open.profile, other).connect()).collect()
    }

    /// One call with messages whose types are known here.
    pub(super) fn ask<Q: Message, A: Message + Default>(&self, rpc: &str, request: &Q) -> Result<A, Failure> {
        self.ask_at(&self.channel()?, rpc, request)
    }

    /// The same, at another service.
    pub(super) fn ask_at<Q: Message, A: Message + Default>(
        &self,
        channel: &Channel,
        rpc: &str,
        request: &Q,
    ) -> Result<A, Failure> {
        let octets = self.exchange(channel, rpc, Bytes::from(request.encode_to_vec()))?;
        A::decode(octets).map_err(|e| Failure::named("INTERNAL", format!("{rpc} answered no such message: {e}")))
    }

    /// One call by name.
    pub(super) fn send(&self, method: &MethodDescriptor, request: &DynamicMessage) -> Result<DynamicMessage, Failure> {
        let rpc = format!("{}/{}", method.parent_service().full_name(), method.name());
        let octets = self.exchange(&self.channel()?, &rpc, Bytes::from(request.encode_to_vec()))?;
        DynamicMessage::decode(method.output(), octets)
            .map_err(|e| Failure::named("INTERNAL", format!("{rpc} answered no such message: {e}")))
    }

    fn exchange(&self, channel: &Channel, rpc: &str, request: Bytes) -> Result<Bytes, Failure> {
        let channel = channel.clone();
        let path = format!("/{rpc}").parse().map_err(|_| Failure::usage(format!("{rpc} is no rpc")))?;
        let answer = self.runtime.block_on(async {
            let mut client = Grpc::new(channel).max_decoding_message_size(usize::MAX);
            client.ready().await.map_err(|e| Status::from_error(Box::new(e)))?;
            client.unary(tonic::Request::new(request), path, Octets).await
        });
        answer.map(tonic::Response::into_inner).map_err(|status| failure(&status))
    }
}

/// Whose services serve an RPC.
pub(super) fn served_by(rpc: &str) -> &'static [Role] {
    let package = rpc.split('.').nth(1).unwrap_or_default();
    match package {
        "program" | "manufacturer" | "order" => &[Role::RootCa],
        "handoff" | "manifest" | "possession" => &[Role::RootCa, Role::IntermediateCa],
        "lot" | "issuance" => &[Role::IntermediateCa],
        "provisioning" => &[Role::Provisioner],
        "hub" => &[Role::Hub],
        "store" => &[Role::RootCa, Role::IntermediateCa, Role::Provisioner, Role::Hub],
        _ => &[],
    }
}

/// Every message and RPC, by name.
pub(super) fn descriptors() -> &'static DescriptorPool {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(api::FILE_DESCRIPTOR_SET).unwrap_or_default())
}

/// An RPC by its name in the table.
pub(super) fn method(rpc: &str) -> Result<MethodDescriptor, Failure> {
    let found = rpc.split_once('/').and_then(|(service, name)| {
        descriptors().get_service_by_name(service)?.methods().find(|method| method.name() == name)
    });
    found.ok_or_else(|| Failure::usage(format!("{rpc} is no rpc")))
}

/// Whether a verb lists page by page.
pub(super) fn pages(verb: &Verb) -> bool {
    let has_token = |rpc: &&str| method(rpc).is_ok_and(|m| m.input().get_field_by_name("page_token").is_some());
    verb.only_reads() && verb.rpcs.iter().any(has_token)
}

/// Where the next page of an answer begins, if there is one.
pub(super) fn next_page(answer: &DynamicMessage) -> Option<String> {
    let token = answer.get_field_by_name("next_page_token")?;
    token.as_str().filter(|token| !token.is_empty()).map(str::to_owned)
}

fn count(answer: &DynamicMessage) -> usize {
    answer.fields().filter_map(|(_, value)| value.as_list().map(<[Value]>::len)).sum()
}

/// Adds the entries of another page, and takes over where the next one begins.
fn append(answer: &mut DynamicMessage, next: DynamicMessage) {
    let token = next_page(&next).unwrap_or_default();
    for field in answer.descriptor().fields().filter(prost_reflect::FieldDescriptor::is_list) {
        let more = next.get_field(&field).as_list().map(<[Value]>::to_vec).unwrap_or_default();
        if let Some(entries) = answer.get_field_mut(&field).as_list_mut() {
            entries.extend(more);
        }
    }
    answer.set_field_by_name("next_page_token", Value::String(token));
}
