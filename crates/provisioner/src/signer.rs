//! The way to the signer: one long-lived stream, requests matched with their answers by request id.

use std::{
    collections::HashMap,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use api::{
    Refusal,
    issuance::v1::{
        DeviceCertificate, DeviceRequest, IssueDevicesRequest, IssueDevicesResponse,
        issuance_service_client::IssuanceServiceClient, issue_devices_response,
    },
};
use service::{answers::Gathered, client::PeerChannel, trace};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::Stream;
use tonic::Streaming;
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

/// Who waits for an answer on one stream, by request id; none any more once it has ended.
type Waiting = Arc<Mutex<Option<HashMap<String, Vec<oneshot::Sender<Answer>>>>>>;

type Queue = Arc<Mutex<mpsc::Receiver<Asked>>>;

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

async fn keep_open(mut client: IssuanceServiceClient<PeerChannel>, queue: mpsc::Receiver<Asked>) {
    let queue = Arc::new(Mutex::new(queue));
    loop {
        // Nothing is opened before somebody needs it.
        let Some(first) = poll_fn(|context| lock(&queue).poll_recv(context)).await else { return };
        let waiting = Waiting::new(Mutex::new(Some(HashMap::new())));
        let first = lock(&waiting).as_mut().map(|waiting| enter(waiting, first));
        let requests = Requests { waiting: Arc::clone(&waiting), queue: Arc::clone(&queue), first };
        match client.issue_devices(Gathered::new(requests)).await {
            Ok(response) => {
                let why = read(&waiting, response.into_inner()).await;
                fail_all(&waiting, &Refusal::new("UPSTREAM_UNREACHABLE", why));
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

/// Hands answers to those who wait for them, until the stream ends; why it did.
async fn read(waiting: &Waiting, mut answers: Streaming<IssueDevicesResponse>) -> String {
    loop {
        match answers.message().await {
            Ok(Some(item)) => {
                let outcome = match item.result {
                    Some(issue_devices_response::Result::Certificate(certificate)) => Ok(certificate),
                    Some(issue_devices_response::Result::Refusal(refusal)) => Err(Refusal::from_wire(refusal)),
                    None => Err(Refusal::new("INTERNAL", "the signer answered nothing")),
                };
                leave(waiting, &item.request_id, outcome);
            }
            Ok(None) => return "the signer closed the stream".to_owned(),
            Err(status) => {
                let refusal = Refusal::from_status(&status);
                warn!(%refusal, "the stream to the signer broke");
                return refusal.message().to_owned();
            }
        }
    }
}

/// What goes out on one stream, as fast as the signer takes it: straight from the queue.
struct Requests {
    waiting: Waiting,
    queue: Queue,
    first: Option<IssueDevicesRequest>,
}

impl Stream for Requests {
    type Item = IssueDevicesRequest;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<IssueDevicesRequest>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        // Under one lock: what is taken from the queue is either entered, or left to the next stream.
        let mut waiting = lock(&self.waiting);
        let Some(waiting) = waiting.as_mut() else { return Poll::Ready(None) };
        let asked = ready!(lock(&self.queue).poll_recv(context));
        Poll::Ready(asked.map(|asked| enter(waiting, asked)))
    }
}

/// Notes who waits for the answer; what is to be sent.
fn enter(waiting: &mut HashMap<String, Vec<oneshot::Sender<Answer>>>, asked: Asked) -> IssueDevicesRequest {
    let Asked { request, traceparent, answer } = asked;
    waiting.entry(request.request_id.clone()).or_default().push(answer);
    IssueDevicesRequest { request: Some(request), traceparent }
}

fn leave(waiting: &Waiting, request_id: &str, outcome: Answer) {
    let answers = lock(waiting).as_mut().and_then(|waiting| waiting.remove(request_id)).unwrap_or_default();
    let mut answers = answers.into_iter();
    let Some(first) = answers.next() else { return };
    for answer in answers {
        let _ = answer.send(outcome.clone());
    }
    let _ = first.send(outcome);
}

/// The stream has ended: nobody waits any more, and nothing more goes out on it.
fn fail_all(waiting: &Waiting, refusal: &Refusal) {
    let all = lock(waiting).take();
    for answer in all.into_iter().flat_map(HashMap::into_values).flatten() {
        let _ = answer.send(Err(refusal.clone()));
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
