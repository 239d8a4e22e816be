//! Page tokens come back from strangers.

use records::page::{Page, token};
use store::{EmbeddedStore, Entry, FaultPlan, Options, Store, StoreIdentity, Unit};

use super::memory;

fn listed(store: &dyn Store, page: &Page) -> Vec<String> {
    let found = store.list("lots", page.after(), page.limit()).unwrap();
    found.into_iter().map(|(name, _)| name).collect()
}

fn fill(store: &dyn Store) {
    let unit = |name: &&str| Unit { entry: Some(Entry::new("lots", name).unwrap()), ..Unit::default() };
    store.commit(["a", "b", "c", "d"].iter().map(unit).collect()).unwrap();
}

#[test]
fn pages_follow_each_other_without_gap_or_repetition() {
    let store = memory(&FaultPlan::default());
    fill(&store);
    let (mut all, mut next) = (Vec::new(), String::new());
    loop {
        let page = listed(&store, &Page::read("lots", 3, &next).unwrap());
        next = token("lots", (page.len() == 3).then(|| page.last().cloned()).flatten());
        all.extend(page);
        if next.is_empty() {
            break;
        }
    }
    assert_eq!(all, ["a", "b", "c", "d"]);
}

#[test]
fn sizes_and_tokens_that_no_list_made_are_refused_by_name() {
    let reason = |size, token: &str| Page::read("lots", size, token).map_err(|refusal| refusal.reason());
    for size in [-1, i32::MIN] {
        assert_eq!(reason(size, ""), Err("REQUEST_MALFORMED"));
    }
    let of_another_list = token("orders", Some("a".to_owned()));
    for token in ["x", ":", ":a", &of_another_list, &format!(" {of_another_list}"), "\0", "🦀:", &"x".repeat(100_000)]
    {
        assert_eq!(reason(1, token), Err("PAGE_TOKEN_INVALID"), "{token:.20}");
    }
    assert_eq!(Page::read("lots", i32::MAX, "").map(|page| page.limit()), Ok(store::MAX_LISTED));
}

#[test]
fn a_token_with_a_hostile_name_lists_what_comes_after_it_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("store");
    EmbeddedStore::init(&directory, &StoreIdentity::new("root-ca", "company-x", [1; 16]).unwrap()).unwrap();
    let embedded = EmbeddedStore::open(&directory, Options::default()).unwrap();
    let memory = memory(&FaultPlan::default());
    let long = "x".repeat(100_000);
    for store in [&embedded as &dyn Store, &memory] {
        fill(store);
        let other = Unit { entry: Some(Entry::new("orders", "z").unwrap()), ..Unit::default() };
        store.commit(vec![other]).unwrap();
        for (after, expected) in [
            ("", &["a", "b", "c", "d"][..]),
            ("b", &["c", "d"]),
            ("b\0", &["c", "d"]),
            ("bb", &["c", "d"]),
            ("\0", &["a", "b", "c", "d"]),
            ("\0lots\0a", &["a", "b", "c", "d"]),
            ("🦀", &[]),
            (long.as_str(), &[]),
        ] {
            // A token's check keeps strangers from making one by accident, not on purpose.
            let page = Page::read("lots", 0, &token("lots", Some(after.to_owned()))).unwrap();
            assert_eq!(listed(store, &page), expected, "{after:.20?}");
        }
    }
}
