//! Pages of lists (AIP-158): how many, and after which name.

use api::Refusal;
use pki::Sha256;
use store::Position;

const DEFAULT: usize = 100;
const MOST: usize = 1000;
/// Octets of a token's check, in hexadecimal digits.
const CHECK_LENGTH: usize = 16;

/// What a list request asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    limit: usize,
    after: Option<String>,
}

impl Page {
    /// Reads `page_size` and `page_token` of a list; `list` names it together with whatever narrows it, e.g. its reader.
    ///
    /// # Errors
    /// `REQUEST_MALFORMED` for a negative size, `PAGE_TOKEN_INVALID`.
    pub fn read(list: &str, page_size: i32, page_token: &str) -> Result<Self, Refusal> {
        let size = usize::try_from(page_size).map_err(|_| Refusal::malformed("page_size", "is negative"))?;
        let after = match page_token {
            "" => None,
            token => Some(
                token
                    .split_once(':')
                    .filter(|(given, name)| *given == check(list, name))
                    .map(|(_, name)| name.to_owned())
                    .ok_or_else(|| Refusal::new("PAGE_TOKEN_INVALID", "the page token was not made by this list"))?,
            ),
        };
        Ok(Self { limit: if size == 0 { DEFAULT } else { size.min(MOST) }, after })
    }

    /// Most entries of the page.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The name that the page before ended with.
    #[must_use]
    pub fn after(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// Where in the journal the page begins, of what [`scan`](crate::scan) finds.
    ///
    /// # Errors
    /// `REQUEST_MALFORMED` when the token is of a list by names.
    pub fn position(&self) -> Result<Position, Refusal> {
        let at = self.after().map_or(Ok(0), str::parse);
        at.map(Position::from_u64).map_err(|_| Refusal::malformed("page_token", "is no position"))
    }
}

/// The name that a full page ended with; none when it was not full.
#[must_use]
pub fn end<T>(listed: &[(String, T)], limit: usize) -> Option<String> {
    listed.last().filter(|_| listed.len() == limit).map(|(name, _)| name.clone())
}

/// The token of the next page of what [`scan`](crate::scan) finds; empty at the end.
#[must_use]
pub fn token_at(list: &str, next: Option<Position>) -> String {
    token(list, next.map(|at| at.as_u64().to_string()))
}

/// The token of the next page of a list; empty at the end.
#[must_use]
pub fn token(list: &str, next: Option<String>) -> String {
    next.map(|name| format!("{}:{name}", check(list, &name))).unwrap_or_default()
}

/// Ties a token to its list, so that one of another list is refused and not misread. It keeps nothing secret: a token says no more
/// than the page that it came with.
fn check(list: &str, name: &str) -> String {
    let digest = Sha256::of(format!("countersign/page/v1\0{list}\0{name}").as_bytes()).to_string();
    digest.get(..CHECK_LENGTH).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_bounded_and_tokens_checked() {
        assert_eq!(Page::read("lots", 0, "").map(|p| p.limit()), Ok(100));
        assert_eq!(Page::read("lots", 5000, "").map(|p| p.limit()), Ok(1000));
        let good = token("lots", Some("b0032".into()));
        assert_eq!(Page::read("lots", 3, &good).map(|p| p.after().map(str::to_owned)), Ok(Some("b0032".into())));
        assert_eq!(Page::read("lots", -1, "").map_err(|r| r.reason()), Err("REQUEST_MALFORMED"));
        for wrong in ["b0032", ":b0032", &good.replace("b0032", "b0033"), &token("orders", Some("b0032".into()))] {
            assert_eq!(Page::read("lots", 1, wrong).map_err(|r| r.reason()), Err("PAGE_TOKEN_INVALID"), "{wrong}");
        }
    }
}
