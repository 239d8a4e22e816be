//! Whether a device's name still fits below a subtree.

use pki::DnsName;

use crate::id::MAX_LABEL_LENGTH;

/// Longest DNS name, in octets without a trailing dot (RFC 1035 section 2.3.4: 255 on the wire).
pub const MAX_NAME_LENGTH: usize = 253;

/// A name that would not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoomRefusal {
    /// The whole name is too long.
    #[error("a dns name of {octets} octets, at most {limit} fit")]
    NameTooLong {
        /// Length of the longest name.
        octets: usize,
        /// What fits.
        limit: usize,
    },
    /// One label is too long.
    #[error("a dns label of {octets} octets, at most {limit} fit")]
    LabelTooLong {
        /// Length of the longest label.
        octets: usize,
        /// What fits.
        limit: usize,
    },
}

impl RoomRefusal {
    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NameTooLong { .. } => "DNS_NAME_TOO_LONG",
            Self::LabelTooLong { .. } => "DNS_LABEL_TOO_LONG",
        }
    }
}

/// Checks that the longest device id of the program fits below `subtree`.
///
/// # Errors
/// `DNS_LABEL_TOO_LONG`, `DNS_NAME_TOO_LONG`.
pub fn check(subtree: &DnsName, max_device_id_length: u8) -> Result<(), RoomRefusal> {
    check_lengths(subtree.as_str().len(), max_device_id_length)
}

/// The same for a subtree of which only the length is known.
pub(crate) fn check_lengths(subtree: usize, max_device_id_length: u8) -> Result<(), RoomRefusal> {
    let label = usize::from(max_device_id_length);
    if label > MAX_LABEL_LENGTH {
        return Err(RoomRefusal::LabelTooLong { octets: label, limit: MAX_LABEL_LENGTH });
    }
    let octets = label.saturating_add(1).saturating_add(subtree);
    if octets > MAX_NAME_LENGTH {
        return Err(RoomRefusal::NameTooLong { octets, limit: MAX_NAME_LENGTH });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_octet_counts() {
        assert!(check_lengths(189, 63).is_ok());
        assert_eq!(check_lengths(190, 63).map_err(|r| r.reason()), Err("DNS_NAME_TOO_LONG"));
        assert_eq!(check_lengths(1, 64).map_err(|r| r.reason()), Err("DNS_LABEL_TOO_LONG"));
    }
}
