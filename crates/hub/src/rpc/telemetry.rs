//! `countersign.hub.v1.TelemetryService`.

use std::{pin::Pin, sync::Arc};

use api::{
    Refusal,
    hub::v1::{self as wire, telemetry_service_server::TelemetryService},
};
use records::page;
use tokio::sync::{mpsc, watch};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};

use crate::{registry::Registry, ring::Position, telemetry::Filter};

/// The list, in its tokens.
const TELEMETRY: &str = "telemetry";
/// Messages of one answer to a follower.
const FOLLOWED: usize = 100;
/// Answers of one follower that wait; who does not read them is not read for.
const WAITING: usize = 4;

/// The service over one registry.
pub(super) struct TelemetryRpc(pub(super) Arc<Registry>);

#[tonic::async_trait]
impl TelemetryService for TelemetryRpc {
    async fn list_telemetry(
        &self,
        request: Request<wire::ListTelemetryRequest>,
    ) -> Result<Response<wire::ListTelemetryResponse>, Status> {
        let message = request.into_inner();
        let asked = page::Page::read(TELEMETRY, message.page_size, &message.page_token)?;
        let from = position(&asked)?.unwrap_or(Position::START);
        let page = self.0.telemetry_page(from, Filter::read(message.filter)?, asked.limit()).await?;
        Ok(Response::new(wire::ListTelemetryResponse {
            messages: page.messages,
            next_page_token: token(page.next),
            at_end: page.at_end,
        }))
    }

    type WatchTelemetryStream = Pin<Box<dyn Stream<Item = Result<wire::WatchTelemetryResponse, Status>> + Send>>;

    async fn watch_telemetry(
        &self,
        request: Request<wire::WatchTelemetryRequest>,
    ) -> Result<Response<Self::WatchTelemetryStream>, Status> {
        let message = request.into_inner();
        let filter = Filter::read(message.filter)?;
        // From here on, not from when the task first runs.
        let end = self.0.kept_telemetry().end();
        let from = position(&page::Page::read(TELEMETRY, 0, &message.page_token)?)?.unwrap_or_else(|| *end.borrow());
        let (answers, stream) = mpsc::channel(WAITING);
        tokio::spawn(follow(Arc::clone(&self.0), filter, from, end, answers));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

/// Reads page after page, and waits for more at the end, until nobody listens.
async fn follow(
    registry: Arc<Registry>,
    filter: Filter,
    mut from: Position,
    mut end: watch::Receiver<Position>,
    answers: mpsc::Sender<Result<wire::WatchTelemetryResponse, Status>>,
) {
    loop {
        // Seen before the page is read, so that what comes meanwhile wakes us.
        end.borrow_and_update();
        let page = match registry.telemetry_page(from, filter.clone(), FOLLOWED).await {
            Ok(page) => page,
            Err(refusal) => {
                let _ = answers.send(Err(refusal.into())).await;
                return;
            }
        };
        from = page.next;
        if !page.messages.is_empty() {
            let answer = wire::WatchTelemetryResponse { messages: page.messages };
            if answers.send(Ok(answer)).await.is_err() {
                return;
            }
        }
        if page.at_end {
            tokio::select! {
                changed = end.changed() => if changed.is_err() { return },
                () = answers.closed() => return,
            }
        }
    }
}

fn token(at: Position) -> String {
    page::token(TELEMETRY, Some(format!("{}:{}", at.segment, at.offset)))
}

fn position(page: &page::Page) -> Result<Option<Position>, Refusal> {
    let Some(text) = page.after() else { return Ok(None) };
    let read = || {
        let (segment, offset) = text.split_once(':')?;
        Some(Position { segment: segment.parse().ok()?, offset: offset.parse().ok()? })
    };
    let malformed = || Refusal::new("PAGE_TOKEN_INVALID", "the page token is no place in the telemetry");
    read().map(Some).ok_or_else(malformed)
}
