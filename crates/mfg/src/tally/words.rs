//! What a movement is called where people read why it was refused.

use std::fmt;

use super::Movement;

impl fmt::Display for Movement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |before: &str, units: u32, after: &str| {
            let s = if units == 1 { "" } else { "s" };
            format!("{before} {units} unit{s}{after}")
        };
        out.write_str(&match self {
            Self::Open(_) => "opening the lot".to_owned(),
            Self::Reserve(units) => counted("reserving", *units, ""),
            Self::Release(units) => counted("giving", *units, " back"),
            Self::HandOver(units) => counted("handing", *units, " over"),
            Self::Provision => "provisioning a unit".to_owned(),
            Self::UnProvision => "giving back a unit that got no certificate".to_owned(),
            Self::Write => "confirming a unit".to_owned(),
            Self::Rework => "reworking a unit".to_owned(),
            Self::ScrapBlank(units) => counted("scrapping", *units, " without a certificate"),
            Self::ScrapProvisioned | Self::ScrapWritten => "scrapping a unit that has a certificate".to_owned(),
            Self::ReinstateBlank(units) => counted("bringing", *units, " back that had no certificate"),
            Self::ReinstateProvisioned => "bringing a unit back that had a certificate".to_owned(),
            Self::Restate(_) => "changing what the order covers".to_owned(),
            Self::Close => "closing the lot".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::{Movement, Quantity, Tally};

    #[test]
    fn a_refused_movement_is_told_in_words() {
        let tally = Tally::open(Quantity::of(2).unwrap());
        let said = |movement| tally.apply(movement).unwrap_err().to_string();
        assert!(said(Movement::Reserve(3)).starts_with("reserving 3 units is refused: fewer units remain"));
        assert!(said(Movement::HandOver(1)).starts_with("handing 1 unit over is refused: "));
    }
}
