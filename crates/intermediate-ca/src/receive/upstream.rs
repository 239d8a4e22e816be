//! The senders, as the receiver dials them.

use std::collections::BTreeMap;

use api::{
    Refusal,
    custody::v1::{Handoff, HandoffFacts, HandoffState, TallyReport},
    handoff::v1::{
        AcceptHandoffRequest, AcceptHandoffResponse, GetOfferRequest, GetOfferResponse, ListHandoffsRequest,
        ReportTallyRequest, handoff_service_client::HandoffServiceClient,
    },
    journal::v1::LotAccepting,
    manifest::v1::{GetManifestRequest, manifest_service_client::ManifestServiceClient},
};
use bytes::Bytes;
use mfg::{LotId, ManufacturerId};
use service::client::PeerChannel;

/// Handoffs in one page of a sender's list.
const PAGE: i32 = 200;

/// An offer as the sender answers it.
pub(crate) struct Offer {
    pub(crate) facts: Option<HandoffFacts>,
    pub(crate) state: HandoffState,
    pub(crate) terms: Bytes,
    pub(crate) terms_signature: Bytes,
    pub(crate) issuer_chain: Vec<Bytes>,
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
pub(crate) struct Upstreams(pub(crate) BTreeMap<ManufacturerId, PeerChannel>);

impl Upstreams {
    fn client(&self, of: &ManufacturerId) -> Result<HandoffServiceClient<PeerChannel>, Refusal> {
        Ok(HandoffServiceClient::new(self.channel(of)?.clone()))
    }

    fn channel(&self, of: &ManufacturerId) -> Result<&PeerChannel, Refusal> {
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
        let mut client = ManifestServiceClient::new(self.channel(from)?.clone());
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
