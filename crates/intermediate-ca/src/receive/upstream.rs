//! The senders, as the receiver dials them.

use std::collections::BTreeMap;

use api::{
    Refusal,
    custody::v1::{Handoff, HandoffFacts, HandoffState, TallyReport},
    handoff::v1::{
        AcceptHandoffRequest, AcceptHandoffResponse, CompareJournalsRequest, CompareJournalsResponse, GetOfferRequest,
        GetOfferResponse, ListHandoffsRequest, ReportTallyRequest, handoff_service_client::HandoffServiceClient,
    },
    journal::v1::LotAccepting,
    manifest::v1::{GetManifestRequest, manifest_service_client::ManifestServiceClient},
};
use bytes::Bytes;
use mfg::{LotId, ManufacturerId};
use pki::UnixTime;
use service::{client::PeerChannel, identity::Role};

/// Handoffs in one page of a sender's list.
const PAGE: i32 = 200;

/// An offer as the sender answers it.
pub(crate) struct Offer {
    pub(crate) facts: Option<HandoffFacts>,
    pub(crate) state: HandoffState,
    pub(crate) terms: Bytes,
    pub(crate) terms_signature: Bytes,
    pub(crate) issuer_chain: Vec<Bytes>,
    /// When it runs out, if it came as a file.
    pub(crate) carried_until: Option<UnixTime>,
}

/// A signed handoff as the sender answers it.
pub(crate) struct Signed {
    pub(crate) chain: Vec<Bytes>,
    pub(crate) terms: Bytes,
    pub(crate) terms_signature: Bytes,
    /// How far its journal had come.
    pub(crate) position: u64,
}

impl From<GetOfferResponse> for Offer {
    fn from(answer: GetOfferResponse) -> Self {
        let terms = answer.terms.unwrap_or_default();
        let handoff = answer.handoff.unwrap_or_default();
        Self {
            state: handoff.state(),
            facts: handoff.facts,
            terms: terms.terms,
            terms_signature: terms.signature,
            issuer_chain: answer.issuer_chain,
            carried_until: None,
        }
    }
}

impl From<AcceptHandoffResponse> for Signed {
    fn from(answer: AcceptHandoffResponse) -> Self {
        let terms = answer.terms.unwrap_or_default();
        Self {
            chain: answer.chain,
            terms: terms.terms,
            terms_signature: terms.signature,
            position: answer.journal_position,
        }
    }
}

/// The configured senders.
pub(crate) struct Upstreams(pub(crate) BTreeMap<ManufacturerId, Upstream>);

/// One of them.
pub(crate) struct Upstream {
    pub(crate) channel: PeerChannel,
    /// Its service.
    pub(crate) role: Role,
}

impl Upstreams {
    fn client(&self, of: &ManufacturerId) -> Result<HandoffServiceClient<PeerChannel>, Refusal> {
        Ok(HandoffServiceClient::new(self.of(of)?.channel.clone()))
    }

    fn of(&self, of: &ManufacturerId) -> Result<&Upstream, Refusal> {
        self.0.get(of).ok_or_else(|| {
            Refusal::new("UPSTREAM_UNKNOWN", format!("no upstream of {of} is configured")).with("manufacturer", of)
        })
    }

    /// Reads an offer.
    ///
    /// # Errors
    /// `UPSTREAM_UNKNOWN`, `UPSTREAM_UNREACHABLE`, what the sender refuses with.
    pub(crate) async fn offer(&self, from: &ManufacturerId, lot: &LotId) -> Result<Offer, Refusal> {
        let request = GetOfferRequest { lot: lot.to_string() };
        let answer = self.client(from)?.get_offer(request).await.map_err(|s| Refusal::from_status(&s))?.into_inner();
        Ok(answer.into())
    }

    /// Accepts an offer with what is on record.
    ///
    /// # Errors
    /// As [`Upstreams::offer`].
    pub(crate) async fn accept(
        &self,
        from: &ManufacturerId,
        lot: &LotId,
        accepting: &LotAccepting,
    ) -> Result<Signed, Refusal> {
        let request = AcceptHandoffRequest {
            request_id: accepting.upstream_request_id.clone(),
            lot: lot.to_string(),
            csr: accepting.csr.clone(),
            acceptance: accepting.acceptance.clone(),
        };
        let answer =
            self.client(from)?.accept_handoff(request).await.map_err(|s| Refusal::from_status(&s))?.into_inner();
        Ok(answer.into())
    }

    /// Every sender with a wire.
    pub(crate) fn all(&self) -> impl Iterator<Item = &ManufacturerId> {
        self.0.keys()
    }

    /// What a sender has handed, or is about to hand, to us.
    ///
    /// # Errors
    /// As [`Upstreams::offer`].
    pub(crate) async fn handoffs(&self, from: &ManufacturerId) -> Result<Vec<Handoff>, Refusal> {
        let mut client = self.client(from)?;
        let mut handoffs = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListHandoffsRequest { page_size: PAGE, page_token };
            let page = client.list_handoffs(request).await.map_err(|s| Refusal::from_status(&s))?.into_inner();
            handoffs.extend(page.handoffs);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(handoffs);
            }
        }
    }

    /// Whether there is a wire to this sender.
    pub(crate) fn reaches(&self, from: &ManufacturerId) -> bool {
        self.0.contains_key(from)
    }

    /// Reads the manifest of an offered lot.
    ///
    /// # Errors
    /// As [`Upstreams::offer`], `MANIFEST_MISSING`, `MANIFEST_TOO_LONG`.
    pub(crate) async fn manifest(&self, from: &ManufacturerId, lot: &LotId) -> Result<Vec<u8>, Refusal> {
        let mut client = ManifestServiceClient::new(self.of(from)?.channel.clone());
        let request = GetManifestRequest { lot: lot.to_string() };
        let mut parts = client.get_manifest(request).await.map_err(|s| Refusal::from_status(&s))?.into_inner();
        let mut octets = Vec::new();
        while let Some(part) = parts.message().await.map_err(|s| Refusal::from_status(&s))? {
            octets.extend_from_slice(&part.octets);
            if octets.len() > mfg::manifest::MAX_LENGTH {
                let refusal = mfg::ManifestRefusal::TooLong(octets.len());
                return Err(Refusal::from_error(refusal.reason(), &refusal));
            }
        }
        Ok(octets)
    }

    /// The service that a sender is reached at, by its name.
    ///
    /// # Errors
    /// `UPSTREAM_UNKNOWN`.
    pub(crate) fn service_of(&self, from: &ManufacturerId) -> Result<&'static str, Refusal> {
        Ok(self.of(from)?.role.as_str())
    }

    /// Shows a sender our journal, and what we saw of its own.
    ///
    /// # Errors
    /// As [`Upstreams::offer`]; `JOURNAL_ROLLED_BACK` when its journal does not hold what we saw.
    pub(crate) async fn compare(
        &self,
        from: &ManufacturerId,
        request: CompareJournalsRequest,
    ) -> Result<CompareJournalsResponse, Refusal> {
        Ok(self.client(from)?.compare_journals(request).await.map_err(|s| Refusal::from_status(&s))?.into_inner())
    }

    /// Tells a sender where the units of its lot are.
    ///
    /// # Errors
    /// As [`Upstreams::offer`].
    pub(crate) async fn report(&self, from: &ManufacturerId, report: TallyReport) -> Result<(), Refusal> {
        let request = ReportTallyRequest { report: Some(report) };
        self.client(from)?.report_tally(request).await.map_err(|s| Refusal::from_status(&s))?;
        Ok(())
    }
}
