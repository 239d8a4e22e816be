//! A journal of one segment with whatever octets in it, as a start reads it: every frame, with what it does to keys, tallies and
//! intents. There is no index, which would take longer than all the rest.

use std::fs;
use std::path::Path;

use crate::body::Malformed;
use crate::error::StoreError;
use crate::frame::{self, Header, Place};
use crate::identity::StoreIdentity;
use crate::layer::Layer;
use crate::record::Record;
use crate::recovery::{End, Survey};
use crate::segment::{self, Segment};
use crate::unit::Position;

/// Puts the octets in place of the journal in a folder, and reads it: its records, or why a store would refuse it. A torn end is cut off.
///
/// # Errors
/// As opening a store.
pub fn journal(dir: &Path, identity: &StoreIdentity, octets: &[u8]) -> Result<Vec<Record>, StoreError> {
    let path = segment::path(dir, 0);
    fs::write(&path, octets).map_err(StoreError::io("writing", &path))?;
    let survey = Survey::new(dir, identity)?;
    let (mut layer, mut records) = (Layer::default(), Vec::new());
    survey.replay(End::genesis(identity), 0, &mut |passed| {
        let wrong = |wrong: Malformed| StoreError::damaged(passed.segment, passed.offset, wrong.0);
        layer.add(passed.position, passed.body).map_err(wrong)?;
        let record = passed.body.clone().into_record(Position::from_u64(passed.position), [0; 32]);
        records.push(record.map_err(wrong)?);
        Ok(())
    })?;
    Ok(records)
}

/// The same frames with a header, checksums and a chain that fit, as a program would write them: so that what stands in them is read.
#[must_use]
pub fn mended(identity: &StoreIdentity, octets: &[u8]) -> Vec<u8> {
    let (store, mut chain) = (identity.store_id(), identity.genesis());
    let mut mended = Segment { number: 0, first: 0, chain }.octets(store);
    let mut rest = octets.get(segment::HEADER..).unwrap_or_default();
    let mut position = 0;
    while let Some((header, after)) = rest.split_first_chunk::<{ frame::HEADER }>()
        && let Some(header) = Header::parse(header)
    {
        let (body, next) = after.split_at(header.body_length().min(after.len()));
        let place = Place { store, position, group_start: position, chain: &chain };
        (chain, position) = frame::append(&mut mended, &place, body);
        rest = next;
    }
    mended
}
