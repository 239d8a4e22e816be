//! The way to the signer: one long-lived stream, requests matched with their answers by request id.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use api::{
    Refusal,
    issuance::v1::{
        DeviceCertificate, DeviceRequest, IssueDevicesRequest, issuance_service_client::IssuanceServiceClient,
        issue_devices_response,
    },
};
use service::{client::PeerChannel, trace};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tracing::warn;

/// Requests that may be on their way at once; a caller beyond that waits.
const WINDOW: usize = 1024;
/// The pause before a broken stream is opened again.
const RECONNECT: Duration = Duration::from_millis(200);

/// What the spans of requests on the stream are called.
const ISSUE_DEVICES: &str = "/countersign.issuance.v1.IssuanceService/IssueDevices";

type Answer = Result<DeviceCertificate, Refusal>;
/// A request on its way, with the span that it is sent under.
struct Asked {
    request: DeviceRequest,
    traceparent: String,
    answer: oneshot::Sender<Answer>,
}

type Waiting = Arc<Mutex<HashMap<String, Vec<oneshot::Sender<Answer>>>>>;

/// The signer as the desk sees it.
#[derive(Clone)]
pub(crate) struct Signer {
    requests: mpsc::Sender<Asked>,
    patience: Duration,
}

impl Signer {
    /// Starts the task that keeps the stream open. It ends when every clone is dropped.
    pub(crate) fn start(client: IssuanceServiceClient<PeerChannel>, patience: Duration) -> Self {
        let (requests, queue) = mpsc::channel(WINDOW);
        tokio::spawn(keep_open(client, queue));
        Self { requests, patience }
    }

    /// Has one certificate issued.
    ///
    /// # Errors
    /// Every refusal of the signer; `UPSTREAM_UNREACHABLE` when no answer came in time: the request may have been carried out, and
    /// a retry finds its certificate.
    pub(crate) async fn issue(&self, request: DeviceRequest) -> Answer {
        let unreachable = |why: &str| {
            Refusal::new("UPSTREAM_UNREACHABLE", format!("the signer {why}")).retry_after(Duration::from_secs(1))
        };
        let (answer, outcome) = oneshot::channel();
        let span = trace::calling(ISSUE_DEVICES);
        let asked = Asked { request, traceparent: span.traceparent(), answer };
        let asked = async {
            self.requests.send(asked).await.map_err(|_| unreachable("is gone"))?;
            outcome.await.map_err(|_| unreachable("did not answer before the stream broke"))
        };
        let answer = match tokio::time::timeout(self.patience, asked).await {
            Ok(outcome) => outcome.flatten(),
            Err(_) => Err(unreachable("did not answer in time")),
        };
        span.end(answer.as_ref().err().map(Refusal::reason));
        answer
    }
}

async fn keep_open(mut client: IssuanceServiceClient<PeerChannel>, mut queue: mpsc::Receiver<Asked>) {
    loop {
        // Nothing is opened before somebody needs it.
        let Some(first) = queue.recv().await else { return };
        let waiting = Waiting::default();
        let (sender, receiver) = mpsc::channel(WINDOW);
        let first = enter(&waiting, first);
        if sender.try_send(first).is_err() {
            continue;
        }
        match client.issue_devices(ReceiverStream::new(receiver)).await {
            Ok(response) => {
                if pump(&mut queue, &waiting, &sender, response.into_inner()).await {
                    return;
                }
            }
            Err(status) => {
                let refusal = Refusal::from_status(&status);
                warn!(%refusal, "the signer refused the stream");
                fail_all(&waiting, &refusal);
                tokio::time::sleep(RECONNECT).await;
            }
        }
    }
}

/// Moves requests and answers until the stream breaks (false) or nobody asks any more (true).
async fn pump(
    queue: &mut mpsc::Receiver<Asked>,
    waiting: &Waiting,
    sender: &mpsc::Sender<IssueDevicesRequest>,
    mut answers: tonic::Streaming<api::issuance::v1::IssueDevicesResponse>,
) -> bool {
    loop {
        // A signer whose answers are not read takes no more requests, so answers are read while there is no room for one.
        let next = async {
            let room = sender.reserve().await;
            (room, queue.recv().await)
        };
        tokio::select! {
            (room, next) = next => {
                let Some(asked) = next else { return true };
                let request = enter(waiting, asked);
                match room {
                    Ok(room) => room.send(request),
                    Err(_) => {
                        fail_all(waiting, &Refusal::new("UPSTREAM_UNREACHABLE", "the stream to the signer broke"));
                        return false;
                    }
                }
            }
            answer = answers.message() => match answer {
                Ok(Some(item)) => {
                    let outcome = match item.result {
                        Some(issue_devices_response::Result::Certificate(certificate)) => Ok(certificate),
                        Some(issue_devices_response::Result::Refusal(refusal)) => Err(Refusal::from_wire(refusal)),
                        None => Err(Refusal::new("INTERNAL", "the signer answered nothing")),
                    };
                    leave(waiting, &item.request_id, &outcome);
                }
                Ok(None) => {
                    fail_all(waiting, &Refusal::new("UPSTREAM_UNREACHABLE", "the signer closed the stream"));
                    return false;
                }
                Err(status) => {
                    let refusal = Refusal::from_status(&status);
                    warn!(%refusal, "the stream to the signer broke");
                    fail_all(waiting, &Refusal::new("UPSTREAM_UNREACHABLE", refusal.message()));
                    return false;
                }
            },
        }
    }
}

/// Notes who waits for the answer; what is to be sent.
fn enter(waiting: &Waiting, asked: Asked) -> IssueDevicesRequest {
    let Asked { request, traceparent, answer } = asked;
    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    waiting.entry(request.request_id.clone()).or_default().push(answer);
    IssueDevicesRequest { request: Some(request), traceparent }
}

fn leave(waiting: &Waiting, request_id: &str, outcome: &Answer) {
    let answers = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(request_id);
    for answer in answers.into_iter().flatten() {
        let _ = answer.send(outcome.clone());
    }
}

fn fail_all(waiting: &Waiting, refusal: &Refusal) {
    let all = std::mem::take(&mut *waiting.lock().unwrap_or_else(PoisonError::into_inner));
    for answer in all.into_values().flatten() {
        let _ = answer.send(Err(refusal.clone()));
    }
}
