//! What the line saw of its signer's journal: the highest place of all signatures that it has.

use std::{collections::BTreeMap, sync::Arc};

use api::{Refusal, journal::v1::record::Fact};
use mfg::ManufacturerId;
use records::{Peers, read, refuse_store};
use store::{Position, Store};

/// The line, which issues nothing itself and is never suspended.
pub(crate) struct LinesPeers {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) manufacturer: ManufacturerId,
}

impl Peers for LinesPeers {
    /// Asked after a restore alone, so it reads the whole journal.
    fn seen(&self) -> Result<BTreeMap<String, u64>, Refusal> {
        let (mut highest, mut from) = (0, Position::from_u64(0));
        loop {
            let page = self.store.history(from, store::MAX_LISTED).map_err(|e| refuse_store(&e))?;
            for record in &page.records {
                if let Fact::UnitIssued(issued) = read(record)?.1 {
                    highest = issued.signer_position.max(highest);
                }
            }
            if page.next >= page.head.position {
                return Ok(BTreeMap::from([(self.manufacturer.to_string(), highest)]));
            }
            from = page.next;
        }
    }
}
