//! Pages of lists (AIP-158): how many, and after which name.

use api::Refusal;

const DEFAULT: usize = 100;
const MOST: usize = 1000;
/// In front of the name in a token, so that a token of another list format is refused and not misread.
const TOKEN_PREFIX: &str = "after:";

/// What a list request asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    limit: usize,
    after: Option<String>,
}

impl Page {
    /// Reads `page_size` and `page_token`.
    ///
    /// # Errors
    /// `REQUEST_MALFORMED` for a negative size, `PAGE_TOKEN_INVALID`.
    pub fn read(page_size: i32, page_token: &str) -> Result<Self, Refusal> {
        let size = usize::try_from(page_size).map_err(|_| Refusal::malformed("page_size", "is negative"))?;
        let after = match page_token {
            "" => None,
            token => Some(
                token
                    .strip_prefix(TOKEN_PREFIX)
                    .ok_or_else(|| Refusal::new("PAGE_TOKEN_INVALID", "the page token was not made by this list"))?
                    .to_owned(),
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
}

/// The token of the next page; empty at the end.
#[must_use]
pub fn token(next: Option<String>) -> String {
    next.map(|name| format!("{TOKEN_PREFIX}{name}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_bounded_and_tokens_checked() {
        assert_eq!(Page::read(0, "").map(|p| p.limit()), Ok(100));
        assert_eq!(Page::read(5000, "").map(|p| p.limit()), Ok(1000));
        assert_eq!(
            Page::read(3, &token(Some("b0032".into()))).map(|p| p.after().map(str::to_owned)),
            Ok(Some("b0032".into()))
        );
        assert_eq!(Page::read(-1, "").map_err(|r| r.reason()), Err("REQUEST_MALFORMED"));
        assert_eq!(Page::read(1, "b0032").map_err(|r| r.reason()), Err("PAGE_TOKEN_INVALID"));
    }
}
