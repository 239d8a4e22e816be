//! A client's book: what it was told, in a file of its own, written before it goes on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
};

use pki::{Certificate, Sha256};

/// What stands for a certificate serial where no certificate was answered.
const NONE: &str = "-";

pub(crate) struct Book {
    path: PathBuf,
    file: File,
}

/// What a book says: by the name of what was asked for, the digest of what is kept of the answer, and its certificate serial.
#[derive(Debug, Default)]
pub(crate) struct Entries(BTreeMap<String, (String, String)>);

impl Book {
    pub(crate) fn open(folder: &Path, client: usize) -> Self {
        let path = folder.join(format!("client-{client}"));
        let file = File::options().create(true).append(true).open(&path).unwrap();
        Self { path, file }
    }

    /// Notes that something was answered.
    pub(crate) fn note(&mut self, name: &str, kept: &[u8]) {
        let serial = Certificate::parse(kept).map_or_else(|_| NONE.to_owned(), |found| found.serial().to_string());
        writeln!(self.file, "{name} {} {serial}", Sha256::of(kept)).unwrap();
        self.file.flush().unwrap();
    }

    /// Everything that was ever answered. The same thing twice must be the same twice.
    pub(crate) fn read(&self) -> Entries {
        let mut entries = BTreeMap::new();
        for line in std::fs::read_to_string(&self.path).unwrap().lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [name, digest, serial] = words[..] else { panic!("a torn line: {line:?}") };
            let entry = (digest.to_owned(), serial.to_owned());
            let before = entries.insert(name.to_owned(), entry.clone());
            assert!(before.is_none_or(|before| before == entry), "{name} was answered in two ways");
        }
        Entries(entries)
    }
}

impl Entries {
    pub(crate) fn has(&self, name: &str, kept: &[u8]) -> bool {
        self.0.get(name).is_some_and(|(digest, _)| *digest == Sha256::of(kept).to_string())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// All books together: no certificate serial is in two places. Answers how much was acknowledged.
pub(crate) fn count(books: &[Entries]) -> usize {
    let entries = || books.iter().flat_map(|book| book.0.values());
    let serials: Vec<&String> = entries().map(|(_, serial)| serial).filter(|serial| *serial != NONE).collect();
    assert_eq!(serials.iter().collect::<BTreeSet<_>>().len(), serials.len(), "a certificate serial was given twice");
    entries().count()
}
