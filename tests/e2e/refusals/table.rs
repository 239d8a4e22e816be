//! A row of the table, and how any RPC is asked anything.

use std::{fmt, pin::Pin, sync::Arc};

use api::{reason::v1 as wire, reason::v1::Reason, reason_table};
use prost::Message;
use tonic::{Request, Response, Status, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};
use tonic_prost::ProstCodec;

use crate::{
    answers,
    world::{At, Chain, Who},
};

type Answer = Pin<Box<dyn Future<Output = Result<Response<()>, Status>> + Send>>;
type Ask = Arc<dyn Fn(Channel, PathAndQuery) -> Answer + Send + Sync>;

/// One thing that must be refused.
#[derive(Clone)]
pub(super) struct Row {
    /// Without its package's prefix.
    pub(super) rpc: &'static str,
    pub(super) at: At,
    /// The service that records the request before it hears that it is refused.
    pub(super) recorded_at: Option<At>,
    situation: &'static str,
    reason: Reason,
    /// What the refusal says for machines, as far as the row cares: a name and its value.
    fact: Option<(&'static str, &'static str)>,
    channel: Channel,
    ask: Ask,
}

impl Row {
    pub(super) async fn ask(&self) -> Result<Response<()>, Status> {
        let path = PathAndQuery::try_from(format!("/countersign.{}", self.rpc)).unwrap();
        (self.ask)(self.channel.clone(), path).await
    }

    /// The published name and code, and the fact that was asked for.
    pub(super) fn expected(&self) -> String {
        let name = reason_table::name_of(self.reason);
        let code = reason_table::explain(name).unwrap().code;
        format!("{name} as {code:?}{}", self.fact.map(|(key, value)| format!(", {key} {value}")).unwrap_or_default())
    }

    /// The same of an answer.
    pub(super) fn told(&self, answer: &Result<Response<()>, Status>) -> String {
        let told = answers::reason_of(answer);
        let (Some((key, _)), Err(status)) = (self.fact, answer) else { return told };
        let refusal = api::Refusal::from_status(status);
        format!("{told}, {key} {}", refusal.metadata().get(key).map_or("not told", String::as_str))
    }

    /// The refusal also says this to machines.
    pub(super) fn saying(self, key: &'static str, value: &'static str) -> Self {
        Self { fact: Some((key, value)), ..self }
    }

    /// The same by somebody else, who may not.
    pub(super) fn by(self, channel: Channel, situation: &'static str) -> Self {
        Self { channel, situation, reason: Reason::RpcNotAllowed, fact: None, recorded_at: None, ..self }
    }

    /// The line remembers what it was asked for before it asks its signer.
    pub(super) fn recorded_at(self, at: At) -> Self {
        Self { recorded_at: Some(at), ..self }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:?}, {}: want {}", self.rpc, self.at, self.situation, self.expected())
    }
}

/// Rows of one service, asked by one caller.
pub(super) struct Caller {
    at: At,
    channel: Channel,
}

impl Caller {
    pub(super) fn of(chain: &Chain, who: Who, at: At) -> Self {
        Self { at, channel: chain.channel(who, at) }
    }

    pub(super) fn with(at: At, channel: Channel) -> Self {
        Self { at, channel }
    }

    /// A message that is answered, or refused, as a whole.
    pub(super) fn row<Q: Message + Clone + 'static>(
        &self,
        rpc: &'static str,
        situation: &'static str,
        message: Q,
        reason: Reason,
    ) -> Row {
        self.asking(
            rpc,
            situation,
            reason,
            Arc::new(move |channel, path| Box::pin(unary(channel, path, message.clone()))),
        )
    }

    /// A message whose one item is refused on its own.
    pub(super) fn item<Q: Message + Clone + 'static, A: Message + Default + 'static>(
        &self,
        rpc: &'static str,
        situation: &'static str,
        message: Q,
        refusal: fn(A) -> Option<wire::Refusal>,
        reason: Reason,
    ) -> Row {
        let ask = move |channel, path| -> Answer {
            let message = message.clone();
            Box::pin(async move {
                let mut client = ready(channel).await?;
                let codec = ProstCodec::<Q, A>::default();
                told(refusal(client.unary(Request::new(message), path, codec).await?.into_inner()))
            })
        };
        self.asking(rpc, situation, reason, Arc::new(ask))
    }

    /// A stream of one message, whose one answer is a refusal.
    pub(super) fn stream<Q: Message + Clone + 'static, A: Message + Default + 'static>(
        &self,
        rpc: &'static str,
        situation: &'static str,
        message: Q,
        refusal: fn(A) -> Option<wire::Refusal>,
        reason: Reason,
    ) -> Row {
        let ask = move |channel, path| -> Answer {
            let messages = tokio_stream::iter([message.clone()]);
            Box::pin(async move {
                let mut client = ready(channel).await?;
                let codec = ProstCodec::<Q, A>::default();
                let mut answers = client.streaming(Request::new(messages), path, codec).await?.into_inner();
                told(answers.message().await?.and_then(refusal))
            })
        };
        self.asking(rpc, situation, reason, Arc::new(ask))
    }

    fn asking(&self, rpc: &'static str, situation: &'static str, reason: Reason, ask: Ask) -> Row {
        let channel = self.channel.clone();
        Row { rpc, at: self.at, recorded_at: None, situation, reason, fact: None, channel, ask }
    }
}

async fn ready(channel: Channel) -> Result<Grpc<Channel>, Status> {
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|e| Status::from_error(e.into()))?;
    Ok(client)
}

async fn unary<Q: Message + 'static>(channel: Channel, path: PathAndQuery, message: Q) -> Result<Response<()>, Status> {
    ready(channel).await?.unary(Request::new(message), path, ProstCodec::<Q, ()>::default()).await
}

fn told(refusal: Option<wire::Refusal>) -> Result<Response<()>, Status> {
    match refusal {
        Some(refusal) => Err(api::Refusal::from_wire(refusal).into()),
        None => Ok(Response::new(())),
    }
}
