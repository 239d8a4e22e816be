//! DNS names as certificates carry them: letters, digits, hyphens; no root dot, no underscore, no wildcard.

use std::fmt;

/// One label: 1 to 63 lower-case letters, digits and inner hyphens (RFC 1034 section 3.5, RFC 1123 section 2.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsLabel(String);

/// A DNS name of one or more labels and at most 253 characters, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName(String);

/// Why a text is no DNS name in this crate's sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsNameError {
    /// A label is empty: also what a leading, a trailing or a double dot makes.
    #[error("a dns label is empty")]
    LabelEmpty,
    /// A label has more than 63 octets.
    #[error("a dns label is longer than 63 octets")]
    LabelTooLong,
    /// A label has a character other than a lower-case letter, digit or inner hyphen.
    #[error("a dns label has a character other than lower-case letters, digits and inner hyphens")]
    LabelInvalid,
    /// The name has more than 253 octets.
    #[error("a dns name is longer than 253 octets")]
    NameTooLong,
}

impl DnsNameError {
    /// The published name of this refusal.
    pub const fn reason(self) -> &'static str {
        match self {
            DnsNameError::LabelEmpty | DnsNameError::LabelInvalid => "LABEL_INVALID",
            DnsNameError::LabelTooLong => "DNS_LABEL_TOO_LONG",
            DnsNameError::NameTooLong => "DNS_NAME_TOO_LONG",
        }
    }
}

impl DnsLabel {
    /// The most octets of a label (RFC 1035 section 2.3.4).
    pub const MAX_OCTETS: usize = 63;

    /// Reads one label; upper case is refused, not folded.
    ///
    /// # Errors
    /// When it is no label.
    pub fn parse(text: &str) -> Result<DnsLabel, DnsNameError> {
        check_label(text)?;
        Ok(DnsLabel(text.to_owned()))
    }

    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl DnsName {
    /// The most octets of a name, written without the root's dot (RFC 1035 section 2.3.4).
    pub const MAX_OCTETS: usize = 253;

    /// Reads a name; upper case is refused, not folded.
    ///
    /// # Errors
    /// When it is no name.
    pub fn parse(text: &str) -> Result<DnsName, DnsNameError> {
        if text.len() > DnsName::MAX_OCTETS {
            return Err(DnsNameError::NameTooLong);
        }
        text.split('.').try_for_each(check_label)?;
        Ok(DnsName(text.to_owned()))
    }

    /// Reads a name that a stranger wrote, and folds it to lower case (RFC 4343).
    ///
    /// # Errors
    /// When it is no name.
    pub fn from_any_case(text: &str) -> Result<DnsName, DnsNameError> {
        DnsName::parse(&text.to_ascii_lowercase())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The labels, left-most first.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// `label.self`.
    ///
    /// # Errors
    /// [`DnsNameError::NameTooLong`] when there is no room for it.
    pub fn child(&self, label: &DnsLabel) -> Result<DnsName, DnsNameError> {
        if label.0.len() + 1 + self.0.len() > DnsName::MAX_OCTETS {
            return Err(DnsNameError::NameTooLong);
        }
        Ok(DnsName(format!("{}.{}", label.0, self.0)))
    }

    /// The name without its left-most label, if anything is left.
    pub fn parent(&self) -> Option<DnsName> {
        self.0.split_once('.').map(|(_, rest)| DnsName(rest.to_owned()))
    }

    /// Whether this is `subtree` or a name below it (RFC 5280 section 4.2.1.10, dNSName).
    pub fn is_within(&self, subtree: &DnsName) -> bool {
        self.0.strip_suffix(subtree.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl fmt::Display for DnsLabel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl From<DnsLabel> for DnsName {
    fn from(label: DnsLabel) -> DnsName {
        DnsName(label.0)
    }
}

fn check_label(label: &str) -> Result<(), DnsNameError> {
    if label.is_empty() {
        return Err(DnsNameError::LabelEmpty);
    }
    if label.len() > DnsLabel::MAX_OCTETS {
        return Err(DnsNameError::LabelTooLong);
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !label.bytes().all(plain) || label.starts_with('-') || label.ends_with('-') {
        return Err(DnsNameError::LabelInvalid);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn refuses_what_is_no_name() {
        for (text, reason) in [
            ("", "LABEL_INVALID"),
            (".a", "LABEL_INVALID"),
            ("a.", "LABEL_INVALID"),
            ("a..b", "LABEL_INVALID"),
            ("a_b", "LABEL_INVALID"),
            ("*.b", "LABEL_INVALID"),
            ("-a", "LABEL_INVALID"),
            ("a-.b", "LABEL_INVALID"),
            ("A", "LABEL_INVALID"),
            ("ä", "LABEL_INVALID"),
        ] {
            assert_eq!(DnsName::parse(text).unwrap_err().reason(), reason, "{text}");
        }
        assert_eq!(DnsName::parse(&"a".repeat(64)).unwrap_err().reason(), "DNS_LABEL_TOO_LONG");
        assert_eq!(DnsName::parse(&"a.".repeat(127)).unwrap_err().reason(), "DNS_NAME_TOO_LONG");
    }

    #[test]
    fn within_is_by_whole_labels() {
        let subtree = DnsName::parse("b.example").unwrap();
        for (text, within) in [("b.example", true), ("a.b.example", true), ("ab.example", false), ("example", false)] {
            assert_eq!(DnsName::parse(text).unwrap().is_within(&subtree), within, "{text}");
        }
    }

    #[test]
    fn a_child_needs_room() {
        let long = DnsName::parse(&["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(59)].join(".")).unwrap();
        assert_eq!(long.child(&DnsLabel::parse("x").unwrap()).unwrap().as_str().len(), 253);
        assert_eq!(long.child(&DnsLabel::parse("xy").unwrap()).unwrap_err(), DnsNameError::NameTooLong);
        assert_eq!(DnsName::from_any_case("A.b").unwrap().parent().unwrap().as_str(), "b");
    }
}
