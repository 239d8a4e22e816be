//! Rust sources as flat tokens, so that comments, documentation, attributes and test modules cannot raise a false alarm.

use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::tree;

/// One token and the line that it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) line: usize,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identifier or keyword.
    Word(String),
    /// One punctuation character; a bracket is one too.
    Mark(char),
    /// A literal as it is written.
    Literal(String),
}

impl Token {
    pub(crate) fn is_word(&self, word: &str) -> bool {
        matches!(&self.kind, Kind::Word(w) if w == word)
    }

    pub(crate) fn is_mark(&self, mark: char) -> bool {
        self.kind == Kind::Mark(mark)
    }

    /// The content of a plain string literal without escapes.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Literal(text) => text.strip_prefix('"')?.strip_suffix('"'),
            Kind::Word(_) | Kind::Mark(_) => None,
        }
    }
}

/// The production files of a crate: what lies under its `src`, without files that hold only tests.
pub(crate) fn production_files(krate: &str) -> Vec<PathBuf> {
    let holds_only_tests =
        |path: &Path| path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs");
    tree::rust_files_under(&format!("crates/{krate}/src")).into_iter().filter(|path| !holds_only_tests(path)).collect()
}

/// The tokens of a file, without attributes and documentation, and without what stands under `#[cfg(test)]`.
pub(crate) fn production_tokens(path: &Path) -> Vec<Token> {
    parse(path).production
}

/// The tokens of a file that only tests are built from: all of a file of tests, else what stands under `#[cfg(test)]`.
pub(crate) fn test_tokens(path: &Path) -> Vec<Token> {
    let is_of_tests = |part: std::path::Component<'_>| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs";
    let parts = parse(path);
    if path.components().any(is_of_tests) { [parts.production, parts.tests].concat() } else { parts.tests }
}

/// The production tokens of a text.
pub(crate) fn tokens_of(text: &str) -> Vec<Token> {
    flatten_text(text).unwrap_or_else(|e| panic!("no Rust: {e}")).production
}

fn parse(path: &Path) -> Parts {
    flatten_text(&tree::read(path)).unwrap_or_else(|e| panic!("{} is no Rust: {e}", path.display()))
}

/// The tokens of one file.
#[derive(Default)]
struct Parts {
    production: Vec<Token>,
    /// What stands under `#[cfg(test)]`.
    tests: Vec<Token>,
}

fn flatten_text(text: &str) -> Result<Parts, proc_macro2::LexError> {
    let mut parts = Parts::default();
    flatten(text.parse()?, &mut parts.production, &mut parts.tests);
    Ok(parts)
}

fn flatten(stream: TokenStream, out: &mut Vec<Token>, tests: &mut Vec<Token>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Punct(mark) if mark.as_char() == '#' => {
                let _ = trees.next_if(|next| matches!(next, TokenTree::Punct(p) if p.as_char() == '!'));
                if trees.next().is_some_and(|attribute| is_cfg_test(&attribute)) {
                    // The item under it ends with its first braces, or with a semicolon before them.
                    let ends = |tree: &TokenTree| match tree {
                        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                        TokenTree::Punct(mark) => mark.as_char() == ';',
                        TokenTree::Ident(_) | TokenTree::Literal(_) => false,
                    };
                    let mut item = Vec::new();
                    for tree in trees.by_ref() {
                        let is_last = ends(&tree);
                        item.push(tree);
                        if is_last {
                            break;
                        }
                    }
                    let mut below = Vec::new();
                    flatten(item.into_iter().collect(), tests, &mut below);
                    tests.append(&mut below);
                }
            }
            TokenTree::Punct(mark) => out.push(Token { kind: Kind::Mark(mark.as_char()), line }),
            TokenTree::Ident(word) => out.push(Token { kind: Kind::Word(word.to_string()), line }),
            TokenTree::Literal(literal) => out.push(Token { kind: Kind::Literal(literal.to_string()), line }),
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ('(', ')'),
                    Delimiter::Brace => ('{', '}'),
                    Delimiter::Bracket => ('[', ']'),
                    Delimiter::None => (' ', ' '),
                };
                out.push(Token { kind: Kind::Mark(open), line });
                flatten(group.stream(), out, tests);
                out.push(Token { kind: Kind::Mark(close), line: group.span_close().start().line });
            }
        }
    }
}

/// `[cfg(test)]` and `[cfg(any(test, ...))]`; not `[cfg(not(test))]`.
fn is_cfg_test(attribute: &TokenTree) -> bool {
    let text = attribute.to_string();
    let has_word = |word: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word);
    has_word("cfg") && has_word("test") && !has_word("not")
}

#[test]
fn tests_attributes_and_comments_are_no_production_tokens() {
    let text = "//! \"A_B\"\n#[doc = \"C_D\"]\nfn f() -> &'static str { \"E_F\" } // \"G_H\"\n#[cfg(test)]\nmod tests { const X: &str = \"I_J\"; }\nconst K: &str = \"K_L\";";
    let parts = flatten_text(text).unwrap();
    let texts = |tokens: &[Token]| -> Vec<_> {
        tokens.iter().filter_map(|t| t.as_text().map(|s| (s.to_owned(), t.line))).collect()
    };
    assert_eq!(texts(&parts.production), [("E_F".to_owned(), 3), ("K_L".to_owned(), 6)]);
    assert_eq!(texts(&parts.tests), [("I_J".to_owned(), 5)]);
}
