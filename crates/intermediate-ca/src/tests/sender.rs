//! A sender with the root's key, honest until a test makes it lie.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use api::{
    custody::v1::{self as custody, HandoffState},
    handoff::v1::{
        self as wire_handoff, AcceptHandoffRequest, AcceptHandoffResponse, GetOfferResponse,
        handoff_service_server::{HandoffService, HandoffServiceServer},
    },
};
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use issuance::{AskedFor, HandoffRequest, Issuer, LoadOptions, OrderProfiles, SelfCheck, SigningKey, Stage, gate};
use mfg::{Consignment, Handoff, Hop, LotId, OidArc, Quantity, Terms};
use pki::Certificate;
use records::wire;
use tokio::{io::DuplexStream, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status,
    transport::{Channel, Endpoint, Server},
};

use super::{AnswerLie, KEYS, OfferLie, Unrecorded, document, lot, maker, serials, signed, time};

/// What the sender is, and what it was asked.
pub(super) struct Books {
    terms: Terms,
    terms_signature: Vec<u8>,
    /// Every acceptance that arrived.
    pub(super) accepted: Vec<AcceptHandoffRequest>,
    /// How often an offer was read.
    pub(super) offers_read: usize,
    /// Spoils what is answered to who reads an offer.
    pub(super) offer_lie: Option<OfferLie>,
    /// Spoils what is answered to who accepts.
    pub(super) answer_lie: Option<AnswerLie>,
    /// Answers nothing at all.
    pub(super) is_down: bool,
}

/// The sender as the receiver reaches it.
#[derive(Clone)]
pub(super) struct Sender {
    books: Arc<Mutex<Books>>,
    connections: mpsc::Sender<io::Result<DuplexStream>>,
}

impl Sender {
    /// Starts to serve, within this process.
    pub(super) fn start() -> Self {
        let (terms, terms_signature) = signed(document("po-1"));
        let books = Books {
            terms,
            terms_signature,
            accepted: Vec::new(),
            offers_read: 0,
            offer_lie: None,
            answer_lie: None,
            is_down: false,
        };
        let (connections, incoming) = mpsc::channel(8);
        let sender = Self { books: Arc::new(Mutex::new(books)), connections };
        let server = Server::builder().add_service(HandoffServiceServer::new(sender.clone()));
        tokio::spawn(server.serve_with_incoming(ReceiverStream::new(incoming)));
        sender
    }

    pub(super) fn channel(&self) -> Channel {
        let connections = self.connections.clone();
        Endpoint::from_static("http://sender.invalid").connect_with_connector_lazy(tower::service_fn(move |_| {
            let connections = connections.clone();
            async move {
                let (near, far) = tokio::io::duplex(64 * 1024);
                connections.send(Ok(far)).await.map_err(io::Error::other)?;
                Ok::<_, io::Error>(TokioIo::new(near))
            }
        }))
    }

    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    /// Tells the truth from now on.
    pub(super) fn repent(&self) {
        let mut books = self.books();
        (books.offer_lie, books.answer_lie) = (None, None);
    }
}

impl Books {
    fn consignment(&self, lot: &LotId) -> Consignment {
        let document = self.terms.document();
        Consignment {
            program: document.program.id.clone(),
            order: document.order.clone(),
            from: maker("company-x"),
            to: maker("factory-y"),
            lot: lot.clone(),
            quantity: Quantity::of(100).unwrap(),
            hop: Hop::FIRST,
            terms_digest: self.terms.digest(),
        }
    }

    /// The offer of a lot, as it stands.
    pub(super) fn offer(&self, id: &str) -> GetOfferResponse {
        let lot = lot(id);
        let subtree =
            mfg::subtree::subtree(&self.terms.document().program.base_name, &lot, &maker("factory-y")).unwrap();
        let facts = wire::Facts { consignment: self.consignment(&lot), manifest_digest: None, subtree };
        let handoff = custody::Handoff {
            facts: Some(wire::facts(&facts)),
            source: "po-1".to_owned(),
            state: match self.accepted.iter().any(|accepted| accepted.lot == id) {
                false => HandoffState::Offered.into(),
                true => HandoffState::Signed.into(),
            },
            ..custody::Handoff::default()
        };
        GetOfferResponse { handoff: Some(handoff), terms: Some(self.terms()), ..GetOfferResponse::default() }
    }

    fn terms(&self) -> custody::SignedTerms {
        custody::SignedTerms {
            terms: Bytes::copy_from_slice(self.terms.bytes().as_bytes()),
            signature: Bytes::copy_from_slice(&self.terms_signature),
        }
    }

    /// What an acceptance is answered.
    pub(super) fn answer(&self, request: &AcceptHandoffRequest) -> AcceptHandoffResponse {
        let chain = vec![Bytes::copy_from_slice(self.sign(request).der())];
        AcceptHandoffResponse { chain, terms: Some(self.terms()), journal_position: 7 }
    }

    /// Signs with the root's key what was accepted.
    fn sign(&self, request: &AcceptHandoffRequest) -> Certificate {
        let lot = lot(&request.lot);
        let consignment = self.consignment(&lot);
        let profiles = OrderProfiles::new(Arc::new(self.terms.clone()), Stage::Development).unwrap();
        let key = gate(&request.csr, profiles.lot_keys(), AskedFor::Lot(&lot)).unwrap();
        let acceptance = wire::read_acceptance("acceptance", request.acceptance.as_ref()).unwrap();
        let handoff = Handoff { consignment, manifest_digest: None, acceptance };
        let options = LoadOptions {
            stage: Stage::Development,
            oid_arc: OidArc::documentation(),
            now: time("2026-06-01T00:00:00Z"),
        };
        let root_key = Arc::clone(&KEYS.root) as Arc<dyn SigningKey>;
        let issuer = Issuer::<Unrecorded>::load(vec![KEYS.anchor.clone()], root_key, &options).unwrap();
        // One serial for one acceptance, so that a repetition is answered with the same octets.
        let serial = serials(u64::from(handoff.acceptance.signature[40])).next_serial().unwrap();
        let request = HandoffRequest { key: &key, handoff: &handoff, serial, now: options.now };
        let draft = issuer.draft_handoff(&profiles, request).unwrap();
        let receipt = Unrecorded(draft.tbs_digest());
        issuer.sign(draft.recorded(receipt).unwrap(), SelfCheck::Skip).unwrap().into_certificate().unwrap()
    }
}

fn not_asked<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("receivers do not ask for this"))
}

#[tonic::async_trait]
impl HandoffService for Sender {
    async fn get_offer(
        &self,
        request: Request<wire_handoff::GetOfferRequest>,
    ) -> Result<Response<GetOfferResponse>, Status> {
        let mut books = self.books();
        if books.is_down {
            return Err(Status::unavailable("down"));
        }
        books.offers_read += 1;
        let mut offer = books.offer(&request.into_inner().lot);
        if let Some(lie) = books.offer_lie {
            lie(&mut offer);
        }
        Ok(Response::new(offer))
    }

    async fn accept_handoff(
        &self,
        request: Request<AcceptHandoffRequest>,
    ) -> Result<Response<AcceptHandoffResponse>, Status> {
        let mut books = self.books();
        if books.is_down {
            return Err(Status::unavailable("down"));
        }
        let request = request.into_inner();
        books.accepted.push(request.clone());
        let mut answer = books.answer(&request);
        if let Some(lie) = books.answer_lie {
            lie(&mut answer);
        }
        Ok(Response::new(answer))
    }

    async fn offer_handoff(
        &self,
        _: Request<wire_handoff::OfferHandoffRequest>,
    ) -> Result<Response<wire_handoff::OfferHandoffResponse>, Status> {
        not_asked()
    }

    async fn cancel_handoff(
        &self,
        _: Request<wire_handoff::CancelHandoffRequest>,
    ) -> Result<Response<wire_handoff::CancelHandoffResponse>, Status> {
        not_asked()
    }

    async fn get_handoff(
        &self,
        _: Request<wire_handoff::GetHandoffRequest>,
    ) -> Result<Response<wire_handoff::GetHandoffResponse>, Status> {
        not_asked()
    }

    async fn list_handoffs(
        &self,
        _: Request<wire_handoff::ListHandoffsRequest>,
    ) -> Result<Response<wire_handoff::ListHandoffsResponse>, Status> {
        not_asked()
    }

    async fn report_tally(
        &self,
        _: Request<wire_handoff::ReportTallyRequest>,
    ) -> Result<Response<wire_handoff::ReportTallyResponse>, Status> {
        not_asked()
    }

    async fn compare_journals(
        &self,
        _: Request<wire_handoff::CompareJournalsRequest>,
    ) -> Result<Response<wire_handoff::CompareJournalsResponse>, Status> {
        not_asked()
    }

    async fn approve_reinstatement(
        &self,
        _: Request<wire_handoff::ApproveReinstatementRequest>,
    ) -> Result<Response<wire_handoff::ApproveReinstatementResponse>, Status> {
        not_asked()
    }
}
