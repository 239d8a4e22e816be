//! The brand's bundle: read when the process starts, and taken again when its file changed.
//!
//! A new bundle must still prove what is here: the terms of every lot, and the anchor of every lot that signs. So a bundle of another
//! brand, or half of one, is never taken into use, and what is taken is what the next start will take.

use std::sync::Arc;

use api::Refusal;
use authority::{Authority, LotIssuer};
use issuance::Stage;
use mfg::{Bundle, SignedTerms, bundle::MAX_LENGTH, oid};
use records::named;
use service::{
    config::ConfigDirectory,
    files::{self, FollowedFile},
    shell::StartError,
};

use crate::config::Config;

/// Reads the bundle, and takes nothing into use.
///
/// # Errors
/// `FILE_MISSING`, `FILE_UNREADABLE`, `BUNDLE_...`, `DEVELOPMENT_ANCHOR`.
pub(crate) fn check(config: &Config, directory: &ConfigDirectory) -> Result<(), StartError> {
    let file = directory.path(&config.custody.bundle);
    let refused = |refusal: Refusal| StartError::refused(refusal.reason(), format!("{}: {refusal}", file.display()));
    parse(config.mode, &files::read(&file, MAX_LENGTH)?).map(drop).map_err(refused)
}

/// Has the authority know the bundle, now and whenever the file is looked at again.
///
/// # Errors
/// As [`check`].
pub(crate) fn take(
    config: &Config,
    directory: &ConfigDirectory,
    authority: &Arc<Authority>,
) -> Result<Arc<FollowedFile>, StartError> {
    let (stage, authority) = (config.mode, Arc::clone(authority));
    let know = move |octets: &[u8]| {
        let bundle = parse(stage, octets)?;
        prove(&authority, &bundle)?;
        authority.know(bundle);
        Ok(())
    };
    Ok(Arc::new(FollowedFile::take(directory.path(&config.custody.bundle), MAX_LENGTH, Box::new(know))?))
}

fn parse(stage: Stage, octets: &[u8]) -> Result<Bundle, Refusal> {
    let bundle = Bundle::parse(octets).map_err(named(mfg::BundleRefusal::reason))?;
    match stage {
        Stage::Production if bundle.anchors.iter().any(oid::is_development_anchor) => {
            Err(Refusal::new("DEVELOPMENT_ANCHOR", "the bundle has a development anchor"))
        }
        Stage::Production | Stage::Development => Ok(bundle),
    }
}

/// Refuses a bundle that does not prove the lots that are here.
fn prove(authority: &Authority, bundle: &Bundle) -> Result<(), Refusal> {
    for lot in authority.lots.all() {
        SignedTerms::verify(lot.terms.bytes(), lot.terms.signature(), bundle)
            .map_err(named(mfg::TermsRefusal::reason))
            .map_err(|refusal| lacking(&lot.id, &refusal.to_string()))?;
        let LotIssuer::Loaded(issuer) = &lot.issuer else { continue };
        let anchored = issuer.anchor().is_some_and(|own| bundle.anchors.iter().any(|anchor| anchor.der() == own.der()));
        if !anchored {
            return Err(lacking(&lot.id, "its chain leads to none of the anchors"));
        }
    }
    Ok(())
}

fn lacking(lot: &str, why: &str) -> Refusal {
    Refusal::new("BUNDLE_LACKS_LOT", format!("the bundle does not prove lot {lot}: {why}")).with("lot", lot)
}
