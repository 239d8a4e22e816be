//! The published reasons in words: what `countersign explain` prints, made from the comments in `reason.proto`.

use crate::reason::v1::Reason;

/// What one reason means and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// The published name, e.g. `QUANTITY_SPENT`.
    pub reason: &'static str,
    /// Its number on the wire.
    pub number: i32,
    /// What it means.
    pub meaning: &'static str,
    /// What to do.
    pub remedy: &'static str,
    /// The code a call answers with.
    pub code: tonic::Code,
}

/// Every published reason in the order of the proto, the unspecified one first.
pub const ALL: &[Explanation] = include!(concat!(env!("OUT_DIR"), "/reasons.rs"));

/// What stands for a name that is not published.
pub(crate) const UNSPECIFIED: &Explanation = match ALL {
    [first, ..] => first,
    [] => panic!("no reasons are published"),
};

/// Looks a reason up by its published name, in any case, with or without the prefix `REASON_`.
#[must_use]
pub fn explain(name: &str) -> Option<&'static Explanation> {
    let name = name.trim().to_ascii_uppercase();
    let name = name.strip_prefix("REASON_").unwrap_or(&name);
    ALL.iter().find(|e| e.reason == name)
}

/// The wire value of a published name; [`Reason::Unspecified`] for a name that is not published.
#[must_use]
pub fn reason_of(name: &str) -> Reason {
    explain(name).and_then(|e| Reason::try_from(e.number).ok()).unwrap_or(Reason::Unspecified)
}

/// The published name of a wire value.
#[must_use]
pub fn name_of(reason: Reason) -> &'static str {
    let number = reason as i32;
    ALL.iter().find(|e| e.number == number).map_or("UNSPECIFIED", |e| e.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_explained_and_found_by_its_name() {
        assert!(ALL.len() > 80);
        for e in ALL {
            assert!(e.meaning.len() > 10 && e.remedy.len() > 10, "{} says too little", e.reason);
            assert_eq!(explain(&e.reason.to_lowercase()).map(|f| f.number), Some(e.number));
            assert_eq!(name_of(reason_of(e.reason)), e.reason);
        }
    }

    #[test]
    fn an_unknown_name_is_not_explained() {
        assert_eq!(explain("NOT_A_REASON"), None);
        assert_eq!(reason_of("NOT_A_REASON"), Reason::Unspecified);
    }
}
