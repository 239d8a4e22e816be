//! No published reason is an empty promise: the services and commands can give each, and a test shows it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    reasons::{is_production, published},
    tokens::{self, Kind, Token},
    tree,
};

#[test]
fn every_published_reason_is_produced() {
    let uses = Uses::of_production();
    let idle: Vec<_> = published().into_iter().filter(|name| !uses.produces(name)).collect();
    tree::assert_none(&idle, "published reasons that no code gives:");
}

#[test]
fn every_published_reason_appears_in_a_test() {
    let production = Uses::of_production();
    let tests = Mentions::of_tests();
    let unseen: Vec<_> = published().into_iter().filter(|name| !production.is_seen(name, &tests)).collect();
    tree::assert_none(&unseen, "published reasons that no test names:");
}

/// How production code comes to a reason's name.
#[derive(Default)]
struct Uses {
    /// Names that stand where a value is made.
    written: BTreeSet<String>,
    /// Names that a table or a `fn reason` gives to a variant of an error.
    variants: BTreeMap<String, BTreeSet<String>>,
    /// Every `::Variant` outside of those.
    constructed: BTreeSet<String>,
}

impl Uses {
    fn of_production() -> Self {
        let mut uses = Self::default();
        for path in tree::rust_files_under("crates").iter().filter(|path| is_production(path)) {
            uses.read(&tokens::production_tokens(path));
        }
        uses
    }

    fn produces(&self, name: &str) -> bool {
        self.written.contains(name) || self.variants_of(name).any(|variant| self.constructed.contains(&variant))
    }

    fn is_seen(&self, name: &str, tests: &Mentions) -> bool {
        tests.texts.contains(name) || self.variants_of(name).any(|variant| tests.variants.contains(&variant))
    }

    /// The variants that stand for a reason, the generated `Reason`'s included.
    fn variants_of(&self, name: &str) -> impl Iterator<Item = String> {
        let own = self.variants.get(name).into_iter().flatten().cloned();
        own.chain([camel(name)])
    }

    fn read(&mut self, tokens: &[Token]) {
        let mut place = Place::default();
        for (at, token) in tokens.iter().enumerate() {
            place.enter(tokens, at);
            let before = |steps: usize| at.checked_sub(steps).and_then(|at| tokens.get(at));
            if let Some(variant) = variant_at(tokens, at) {
                match place.in_naming() {
                    true => _ = place.arm.insert(variant.to_owned()),
                    false => _ = self.constructed.insert(variant.to_owned()),
                }
            }
            let Some(name) = token.as_text() else { continue };
            let row = before(1).filter(|t| t.is_mark('=')).and(before(2)).and_then(as_variant);
            if let Some(variant) = row {
                self.variants.entry(name.to_owned()).or_default().insert(variant.to_owned());
            } else if place.in_naming() && !place.arm.is_empty() {
                self.variants.entry(name.to_owned()).or_default().append(&mut place.arm);
            } else if !place.in_list() && !is_compared(tokens, at) {
                self.written.insert(name.to_owned());
            }
        }
    }
}

/// What test code names.
#[derive(Default)]
struct Mentions {
    /// Every word of every literal.
    texts: BTreeSet<String>,
    /// Every `::Variant`.
    variants: BTreeSet<String>,
}

impl Mentions {
    fn of_tests() -> Self {
        let mut mentions = Self::default();
        let mut files = tree::rust_files_under("crates");
        files.extend(tree::rust_files_under("tests").into_iter().filter(|path| !path.starts_with("tests/tidy")));
        for path in files {
            let tokens = tokens::test_tokens(&path);
            mentions.variants.extend((0..tokens.len()).filter_map(|at| variant_at(&tokens, at)).map(str::to_owned));
            for token in &tokens {
                let Kind::Literal(text) = &token.kind else { continue };
                let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                mentions.texts.extend(words.map(str::to_owned));
            }
        }
        mentions
    }
}

/// Where in a file a token stands.
#[derive(Default)]
struct Place {
    open: Vec<char>,
    /// How deep `open` was where the function began that gives variants their names.
    naming: Option<usize>,
    /// The variants of the arm that is being read there.
    arm: BTreeSet<String>,
}

impl Place {
    fn enter(&mut self, tokens: &[Token], at: usize) {
        let token = &tokens[at];
        let named = at > 0 && tokens[at - 1].is_word("fn");
        if named && (token.is_word("reason") || token.is_word("as_str")) {
            self.naming = Some(self.open.len());
            self.arm.clear();
        }
        if let Kind::Mark(mark @ ('(' | '[' | '{')) = token.kind {
            self.open.push(mark);
        }
        if let Kind::Mark(')' | ']' | '}') = token.kind {
            self.open.pop();
            if token.is_mark('}') && self.naming == Some(self.open.len()) {
                self.naming = None;
            }
        }
    }

    fn in_naming(&self) -> bool {
        self.naming.is_some()
    }

    fn in_list(&self) -> bool {
        self.open.last() == Some(&'[')
    }
}

/// The `Variant` of `Enum::Variant`.
fn variant_at(tokens: &[Token], at: usize) -> Option<&str> {
    let is_colon = |steps: usize| at.checked_sub(steps).is_some_and(|at| tokens[at].is_mark(':'));
    as_variant(&tokens[at]).filter(|_| is_colon(1) && is_colon(2))
}

fn as_variant(token: &Token) -> Option<&str> {
    let Kind::Word(word) = &token.kind else { return None };
    let is_camel = word.starts_with(|c: char| c.is_ascii_uppercase()) && word.chars().any(|c| c.is_ascii_lowercase());
    is_camel.then_some(word)
}

/// Whether a text is looked for, by `==` or as a pattern, and not given.
fn is_compared(tokens: &[Token], at: usize) -> bool {
    let is = |at: Option<usize>, marks: &str| {
        at.and_then(|at| tokens.get(at)).is_some_and(|token| marks.chars().any(|mark| token.is_mark(mark)))
    };
    let by_operator = is(at.checked_sub(1), "=") && is(at.checked_sub(2), "=!");
    by_operator || is(Some(at + 1), "|") || (is(Some(at + 1), "=") && is(Some(at + 2), "=>"))
}

/// `LOT_UNKNOWN` as the generated enum spells it, `LotUnknown`.
fn camel(name: &str) -> String {
    let word = |word: &str| word[..1].to_owned() + &word[1..].to_ascii_lowercase();
    name.split('_').filter(|part| !part.is_empty()).map(word).collect()
}

#[test]
fn a_reason_is_produced_where_it_is_given_not_where_it_is_looked_for() {
    let text = r#"
        enum E { Made, Idle }
        fn reason(e: &E) -> &str { match e { E::Made => "MADE_REASON", E::Idle => "IDLE_REASON" } }
        fn make() -> E { refuse("WRITTEN_REASON"); E::Made }
        const LIST: &[&str] = &["LISTED_REASON"];
        fn look(s: &str) -> bool { s == "COMPARED_REASON" || matches!(s, "A_PATTERN" | "B_PATTERN" => 1) }
        table! { InTable = "TABLE_REASON", Unused = "UNUSED_REASON" }
        fn other() { fail(T::InTable) }
    "#;
    let mut uses = Uses::default();
    uses.read(&tokens::tokens_of(text));
    let names = ["MADE_REASON", "IDLE_REASON", "WRITTEN_REASON", "LISTED_REASON", "COMPARED_REASON", "A_PATTERN"];
    let names = names.into_iter().chain(["B_PATTERN", "TABLE_REASON", "UNUSED_REASON"]);
    let produced: Vec<_> = names.filter(|name| uses.produces(name)).collect();
    assert_eq!(produced, ["MADE_REASON", "WRITTEN_REASON", "TABLE_REASON"]);
}
