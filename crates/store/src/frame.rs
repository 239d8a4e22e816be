//! One unit on the disk: a header of 48 octets, then the body.
//!
//! | octets | what |
//! |---|---|
//! | 4 | mark, so that a torn end can be searched for what may stand behind it |
//! | 4 | length of the body |
//! | 4 | CRC-32C over store id, position and everything else in the frame: a frame is valid at its own place only |
//! | 4 | how far back its group starts: all before that was durable when this frame was written |
//! | 32 | chain hash: SHA-256 over the chain hash before and the body |
//!
//! Numbers are little-endian.

use aws_lc_rs::digest;

use crate::seam::MAX_UNIT_BYTES;

pub(crate) const HEADER: usize = 48;
pub(crate) const MARK: [u8; 4] = *b"\xC5jF\x01";

/// A chain hash.
pub(crate) type Chain = [u8; 32];

/// The store that frames belong to.
pub(crate) type StoreId = [u8; 16];

/// The chain hash after `body`.
pub(crate) fn chain_after(before: &Chain, body: &[u8]) -> Chain {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(before);
    context.update(body);
    let mut chain = [0; 32];
    for (to, from) in chain.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    chain
}

/// The header of a frame; `parse` says only that it may be one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    length: u32,
    checksum: u32,
    group: u32,
    pub(crate) chain: Chain,
}

impl Header {
    pub(crate) fn parse(octets: &[u8; HEADER]) -> Option<Self> {
        let (mark, rest) = octets.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (checksum, rest) = rest.split_first_chunk::<4>()?;
        let (group, rest) = rest.split_first_chunk::<4>()?;
        let chain = *rest.first_chunk::<32>()?;
        let header = Self {
            length: u32::from_le_bytes(*length),
            checksum: u32::from_le_bytes(*checksum),
            group: u32::from_le_bytes(*group),
            chain,
        };
        (*mark == MARK && header.body_length() <= MAX_UNIT_BYTES).then_some(header)
    }

    pub(crate) fn body_length(&self) -> usize {
        self.length as usize
    }

    /// Where the frame ends that starts at `position`.
    pub(crate) fn end(&self, position: u64) -> u64 {
        position + HEADER as u64 + u64::from(self.length)
    }

    /// Everything before this was durable when the frame at `position` was written.
    pub(crate) fn durable_before(&self, position: u64) -> u64 {
        position.saturating_sub(u64::from(self.group))
    }

    /// Whether this header and this body were written together, at this place of this store.
    pub(crate) fn fits(&self, store: &StoreId, position: u64, body: &[u8]) -> bool {
        body.len() == self.body_length() && self.checksum == self.sum(store, position, body)
    }

    fn sum(&self, store: &StoreId, position: u64, body: &[u8]) -> u32 {
        let sum = crc32c::crc32c(store);
        let sum = crc32c::crc32c_append(sum, &position.to_le_bytes());
        let sum = crc32c::crc32c_append(sum, &self.length.to_le_bytes());
        let sum = crc32c::crc32c_append(sum, &self.group.to_le_bytes());
        let sum = crc32c::crc32c_append(sum, &self.chain);
        crc32c::crc32c_append(sum, body)
    }

    fn octets(&self) -> [u8; HEADER] {
        let mut octets = [0; HEADER];
        let parts = MARK
            .iter()
            .copied()
            .chain(self.length.to_le_bytes())
            .chain(self.checksum.to_le_bytes())
            .chain(self.group.to_le_bytes())
            .chain(self.chain);
        for (to, from) in octets.iter_mut().zip(parts) {
            *to = from;
        }
        octets
    }
}

/// Where a frame is appended.
pub(crate) struct Place<'a> {
    pub(crate) store: &'a StoreId,
    pub(crate) position: u64,
    pub(crate) group_start: u64,
    pub(crate) chain: &'a Chain,
}

/// Appends a frame to `buffer`; answers the chain hash after it and where it ends. The caller has bounded the body.
pub(crate) fn append(buffer: &mut Vec<u8>, place: &Place<'_>, body: &[u8]) -> (Chain, u64) {
    let mut header = Header {
        length: u32::try_from(body.len()).unwrap_or(u32::MAX),
        checksum: 0,
        group: u32::try_from(place.position.saturating_sub(place.group_start)).unwrap_or(u32::MAX),
        chain: chain_after(place.chain, body),
    };
    header.checksum = header.sum(place.store, place.position, body);
    buffer.reserve(HEADER + body.len());
    buffer.extend_from_slice(&header.octets());
    buffer.extend_from_slice(body);
    (header.chain, header.end(place.position))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const STORE: StoreId = [7; 16];

    fn one(position: u64) -> (Header, Vec<u8>) {
        let mut buffer = Vec::new();
        let place = Place { store: &STORE, position, group_start: position - 100, chain: &[1; 32] };
        let (chain, end) = append(&mut buffer, &place, b"body");
        let header = Header::parse(buffer.first_chunk().unwrap()).unwrap();
        assert_eq!((header.chain, header.end(position)), (chain, end));
        (header, buffer.split_off(HEADER))
    }

    #[test]
    fn fits_its_own_place_only() {
        let (header, body) = one(500);
        assert!(header.fits(&STORE, 500, &body));
        assert!(!header.fits(&STORE, 501, &body));
        assert!(!header.fits(&[8; 16], 500, &body));
        assert!(!header.fits(&STORE, 500, b"bodY"));
        assert_eq!(header.durable_before(500), 400);
    }

    #[test]
    fn zeroes_and_noise_are_no_header() {
        assert_eq!(Header::parse(&[0; HEADER]), None);
        assert_eq!(Header::parse(&[0xff; HEADER]), None);
    }
}
