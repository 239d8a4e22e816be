//! A client's book: what it was told, in a file of its own, written before it goes on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
};

use pki::{Certificate, Sha256};

pub(crate) struct Book {
    path: PathBuf,
    file: File,
}

impl Book {
    pub(crate) fn open(folder: &Path, client: usize) -> Self {
        let path = folder.join(format!("client-{client}"));
        let file = File::options().create(true).append(true).open(&path).unwrap();
        Self { path, file }
    }

    /// Notes that a device's certificate was answered.
    pub(crate) fn note(&mut self, device: &str, certificate: &[u8]) {
        let serial = Certificate::parse(certificate).unwrap().serial().to_string();
        writeln!(self.file, "{device} {} {serial}", Sha256::of(certificate)).unwrap();
        self.file.flush().unwrap();
    }

    /// Everything that was ever answered: device -> (digest, serial). The same device twice must be the same twice.
    pub(crate) fn read(&self) -> BTreeMap<String, (String, String)> {
        let mut told = BTreeMap::new();
        for line in std::fs::read_to_string(&self.path).unwrap().lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [device, digest, serial] = words[..] else { panic!("a torn line: {line:?}") };
            let entry = (digest.to_owned(), serial.to_owned());
            let before = told.insert(device.to_owned(), entry.clone());
            assert!(before.is_none_or(|before| before == entry), "{device} was answered with two certificates");
        }
        told
    }
}

/// All books together: no certificate serial is in two places. Answers how many devices were acknowledged.
pub(crate) fn count(books: &[BTreeMap<String, (String, String)>]) -> usize {
    let serials: Vec<&String> = books.iter().flat_map(|book| book.values().map(|(_, serial)| serial)).collect();
    assert_eq!(serials.iter().collect::<BTreeSet<_>>().len(), serials.len(), "a certificate serial was given twice");
    serials.len()
}
