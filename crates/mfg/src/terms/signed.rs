//! Terms with the brand's signature, as they travel with every handoff.

use pki::Sha256;

use crate::bundle::Bundle;
use crate::handoff::MAX_SIGNATURE_LENGTH;
use crate::statement::{StatementKind, StatementRefusal};
use crate::terms::{Terms, TermsRefusal};

/// Terms that the brand is known to have signed. Built only by [`SignedTerms::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTerms {
    terms: Terms,
    signature: Vec<u8>,
}

impl SignedTerms {
    /// Reads terms and checks that one of the brand's identity keys in the bundle signed them.
    ///
    /// # Errors
    /// Every refusal of [`Terms::parse`], `BRAND_KEY_UNKNOWN`, `TERMS_APPROVAL_INVALID`.
    pub fn verify(bytes: &[u8], signature: &[u8], bundle: &Bundle) -> Result<Self, TermsRefusal> {
        let terms = Terms::parse(bytes)?;
        if signature.len() > MAX_SIGNATURE_LENGTH {
            return Err(StatementRefusal { kind: StatementKind::TermsApproval }.into());
        }
        let brand = terms.document().brand.clone();
        let approval = terms.approval();
        // The signature does not say which key made it: the brand has few.
        let mut refusal = TermsRefusal::BrandKeyUnknown(brand.clone());
        for key in bundle.identity_keys_of(&brand) {
            match approval.verify(key, signature) {
                Ok(()) => return Ok(Self { terms, signature: signature.to_vec() }),
                Err(cause) => refusal = cause.into(),
            }
        }
        Err(refusal)
    }

    /// The terms.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The terms' octets.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.terms.bytes().as_bytes()
    }

    /// The brand's signature over [`Terms::approval`].
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The terms digest.
    #[must_use]
    pub fn digest(&self) -> Sha256 {
        self.terms.digest()
    }
}
