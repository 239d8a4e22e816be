//! Whose store a directory is.

use std::path::Path;

use aws_lc_rs::digest;

use crate::error::StoreError;
use crate::files;
use crate::frame::{Chain, StoreId};

/// The file that makes a directory a store; it is written last.
pub(crate) const FILE: &str = "identity";

/// The format of the directory as a whole.
pub(crate) const FORMAT: u32 = 1;

/// Whose store this is; fixed when it is initialised.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreIdentity {
    service: String,
    manufacturer: String,
    store_id: StoreId,
}

impl StoreIdentity {
    /// An identity. `service` and `manufacturer` are 1 to 64 graphic ASCII characters; `store_id` is random.
    pub fn new(service: &str, manufacturer: &str, store_id: [u8; 16]) -> Result<Self, StoreError> {
        for (what, text) in [("service", service), ("manufacturer", manufacturer)] {
            if !((1..=64).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_graphic())) {
                let what = format!("{what} must be 1 to 64 graphic ASCII characters");
                return Err(StoreError::IdentityInvalid { what });
            }
        }
        Ok(Self { service: service.to_owned(), manufacturer: manufacturer.to_owned(), store_id })
    }

    /// The kind of service.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The manufacturer.
    #[must_use]
    pub fn manufacturer(&self) -> &str {
        &self.manufacturer
    }

    /// The store's own random id.
    #[must_use]
    pub const fn store_id(&self) -> &[u8; 16] {
        &self.store_id
    }

    /// The chain hash before the first frame: it ties the journal to this identity.
    pub(crate) fn genesis(&self) -> Chain {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"countersign/journal/v1\0");
        context.update(self.text().as_bytes());
        let mut chain = [0; 32];
        for (to, from) in chain.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        chain
    }

    pub(crate) fn write(&self, dir: &Path) -> Result<(), StoreError> {
        files::replace(dir, FILE, self.text().as_bytes())
    }

    pub(crate) fn read(dir: &Path) -> Result<Self, StoreError> {
        let content = files::read_if_there(&dir.join(FILE))?;
        let content = content.ok_or_else(|| StoreError::NotInitialised { dir: dir.to_owned() })?;
        Self::parse(&String::from_utf8(content).map_err(|_| invalid("not text"))?)
    }

    pub(crate) fn parse(text: &str) -> Result<Self, StoreError> {
        let mut lines = text.lines();
        let version = lines.next().and_then(|line| line.strip_prefix("countersign-store "));
        let version = version.ok_or_else(|| invalid("it does not start with a format version"))?;
        let version: u32 = version.parse().map_err(|_| invalid("the format version is not a number"))?;
        if version != FORMAT {
            return Err(StoreError::FormatUnknown { what: "the store".to_owned(), found: version });
        }
        let mut field = |name: &str| {
            let value = lines.next().and_then(|line| line.strip_prefix(name)).and_then(|line| line.strip_prefix(' '));
            value.map(str::to_owned).ok_or_else(|| invalid("a line is missing"))
        };
        let (service, manufacturer, store_id) = (field("service")?, field("manufacturer")?, field("store-id")?);
        let store_id = unhex(&store_id).ok_or_else(|| invalid("the store id is not 32 hexadecimal digits"))?;
        if lines.next().is_some() {
            return Err(invalid("there is text after the store id"));
        }
        Self::new(&service, &manufacturer, store_id)
    }

    pub(crate) fn text(&self) -> String {
        let id: String = self.store_id.iter().map(|octet| format!("{octet:02x}")).collect();
        format!(
            "countersign-store {FORMAT}\nservice {}\nmanufacturer {}\nstore-id {id}\n",
            self.service, self.manufacturer
        )
    }
}

fn invalid(what: &str) -> StoreError {
    StoreError::IdentityInvalid { what: what.to_owned() }
}

fn unhex(text: &str) -> Option<StoreId> {
    let mut id = [0; 16];
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    for (n, octet) in id.iter_mut().enumerate() {
        *octet = u8::from_str_radix(text.get(2 * n..2 * n + 2)?, 16).ok()?;
    }
    Some(id)
}
