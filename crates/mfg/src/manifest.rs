//! The manifest: the list of device ids that an order permits, where its terms ask for one.
//!
//! One canonical form, so that its SHA-256 in the terms names one list: a device id a line in lower case, sorted, each once, every
//! line ended by LF.

use pki::Sha256;

use crate::id::{DeviceId, IdRefusal};

/// Longest manifest read, in octets: a million device ids of 31 characters.
pub const MAX_LENGTH: usize = 32 << 20;

/// A checked manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    text: Box<str>,
    /// Where each line starts.
    lines: Vec<u32>,
    digest: Sha256,
}

/// A text that is no manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestRefusal {
    /// Longer than [`MAX_LENGTH`].
    #[error("a manifest has at most {MAX_LENGTH} octets, this one has {0}")]
    TooLong(usize),
    /// No line, no UTF-8, or no LF at the end.
    #[error("a manifest is at least one line of UTF-8, each ended by LF")]
    NotLines,
    /// A line that is no device id in lower case.
    #[error("line {line} of the manifest is no device id in lower case")]
    NotADeviceId {
        /// From 1.
        line: usize,
        /// Why; none when it is a device id in upper case.
        #[source]
        cause: Option<IdRefusal>,
    },
    /// A line that is not after the one before it.
    #[error("line {0} of the manifest is not sorted after the line before, or repeats it")]
    NotSorted(usize),
}

impl ManifestRefusal {
    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLong(_) => "MANIFEST_TOO_LONG",
            Self::NotLines | Self::NotADeviceId { .. } | Self::NotSorted(_) => "MANIFEST_MALFORMED",
        }
    }
}

impl Manifest {
    /// Reads the canonical form.
    ///
    /// # Errors
    /// `MANIFEST_TOO_LONG`, `MANIFEST_MALFORMED`.
    pub fn parse(octets: &[u8]) -> Result<Self, ManifestRefusal> {
        if octets.len() > MAX_LENGTH {
            return Err(ManifestRefusal::TooLong(octets.len()));
        }
        let text = std::str::from_utf8(octets).map_err(|_| ManifestRefusal::NotLines)?;
        let body = text.strip_suffix('\n').ok_or(ManifestRefusal::NotLines)?;
        let mut lines = Vec::new();
        let mut before = "";
        let mut start = 0_u32;
        for (index, line) in body.split('\n').enumerate() {
            let number = index + 1;
            let refused = |cause| ManifestRefusal::NotADeviceId { line: number, cause };
            let id = DeviceId::parse(line).map_err(|cause| refused(Some(cause)))?;
            if id.as_str() != line {
                return Err(refused(None));
            }
            if line <= before {
                return Err(ManifestRefusal::NotSorted(number));
            }
            before = line;
            lines.push(start);
            // Below MAX_LENGTH, so it fits.
            start = start.saturating_add(u32::try_from(line.len() + 1).unwrap_or(u32::MAX));
        }
        Ok(Self { digest: Sha256::of(octets), text: text.into(), lines })
    }

    /// The manifest of these device ids, in any order, repetitions once.
    ///
    /// # Errors
    /// `MANIFEST_TOO_LONG`; `MANIFEST_MALFORMED` without any id.
    pub fn of(ids: impl IntoIterator<Item = DeviceId>) -> Result<Self, ManifestRefusal> {
        let mut ids: Vec<DeviceId> = ids.into_iter().collect();
        ids.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        ids.dedup();
        let text: String = ids.iter().flat_map(|id| [id.as_str(), "\n"]).collect();
        Self::parse(text.as_bytes())
    }

    /// The canonical octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Their SHA-256: what the terms and every handoff commit to.
    #[must_use]
    pub fn digest(&self) -> Sha256 {
        self.digest
    }

    /// How many device ids it permits.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether it permits none; never so for a parsed one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether it permits this device.
    #[must_use]
    pub fn permits(&self, device: &DeviceId) -> bool {
        self.lines.binary_search_by(|start| self.line(*start).cmp(device.as_str())).is_ok()
    }

    fn line(&self, start: u32) -> &str {
        let rest = usize::try_from(start).ok().and_then(|start| self.text.get(start..)).unwrap_or_default();
        rest.split('\n').next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_text_for_one_list() {
        let manifest = Manifest::parse(b"a1\nb-2\nsn0000001\n").unwrap();
        assert_eq!((manifest.len(), manifest.is_empty()), (3, false));
        for (id, permitted) in [("a1", true), ("B-2", true), ("sn0000001", true), ("a", false), ("sn", false)] {
            assert_eq!(manifest.permits(&DeviceId::parse(id).unwrap()), permitted, "{id}");
        }
        for bad in [&b""[..], b"\n", b"a1", b"a1\n\n", b"b\na\n", b"a\na\n", b"A\n", b"a\r\n", b"a_b\n", b"a\xff\n"] {
            assert_eq!(Manifest::parse(bad).unwrap_err().reason(), "MANIFEST_MALFORMED", "{bad:?}");
        }
        let long = vec![b'a'; MAX_LENGTH + 1];
        assert_eq!(Manifest::parse(&long).unwrap_err().reason(), "MANIFEST_TOO_LONG");
    }

    proptest! {
        #[test]
        fn what_was_put_in_is_permitted_and_nothing_else(ids in prop::collection::btree_set("[a-z][a-z0-9]{0,8}", 1..40), other in "[a-z][a-z0-9]{0,8}") {
            let parsed = ids.iter().rev().map(|id| DeviceId::parse(id).unwrap());
            let manifest = Manifest::of(parsed).unwrap();
            prop_assert!(ids.iter().all(|id| manifest.permits(&DeviceId::parse(id).unwrap())));
            prop_assert_eq!(manifest.permits(&DeviceId::parse(&other).unwrap()), ids.contains(&other));
            prop_assert_eq!(&Manifest::parse(manifest.as_bytes()).unwrap(), &manifest);
        }
    }
}
