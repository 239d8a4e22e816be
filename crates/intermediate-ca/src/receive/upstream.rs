//! The senders, as the receiver dials them.

use std::collections::BTreeMap;

use api::{
    Refusal,
    custody::v1::HandoffFacts,
    handoff::v1::{AcceptHandoffRequest, GetOfferRequest, handoff_service_client::HandoffServiceClient},
    journal::v1::LotAccepting,
};
use bytes::Bytes;
use mfg::{LotId, ManufacturerId};
use tonic::transport::Channel;

/// An offer as the sender answers it.
pub(crate) struct Offer {
    pub(crate) facts: Option<HandoffFacts>,
    pub(crate) terms: Bytes,
    pub(crate) terms_signature: Bytes,
    pub(crate) issuer_chain: Vec<Bytes>,
}

/// A signed handoff as the sender answers it.
pub(crate) struct Signed {
    pub(crate) chain: Vec<Bytes>,
    pub(crate) terms: Bytes,
    pub(crate) terms_signature: Bytes,
}

/// The configured senders.
pub(crate) struct Upstreams(pub(crate) BTreeMap<ManufacturerId, Channel>);

impl Upstreams {
    fn client(&self, of: &ManufacturerId) -> Result<HandoffServiceClient<Channel>, Refusal> {
        let channel = self.0.get(of).ok_or_else(|| {
            Refusal::new("UPSTREAM_UNKNOWN", format!("no upstream of {of} is configured")).with("manufacturer", of)
        })?;
        Ok(HandoffServiceClient::new(channel.clone()))
    }

    /// Reads an offer.
    ///
    /// # Errors
    /// `UPSTREAM_UNKNOWN`, `UPSTREAM_UNREACHABLE`, what the sender refuses with.
    pub(crate) async fn offer(&self, from: &ManufacturerId, lot: &LotId) -> Result<Offer, Refusal> {
        let request = GetOfferRequest { lot: lot.to_string() };
        let answer = self.client(from)?.get_offer(request).await.map_err(|s| Refusal::from_status(&s))?.into_inner();
        let terms = answer.terms.unwrap_or_default();
        Ok(Offer {
            facts: answer.handoff.and_then(|h| h.facts),
            terms: terms.terms,
            terms_signature: terms.signature,
            issuer_chain: answer.issuer_chain,
        })
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
        let terms = answer.terms.unwrap_or_default();
        Ok(Signed { chain: answer.chain, terms: terms.terms, terms_signature: terms.signature })
    }
}
