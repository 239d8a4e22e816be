//! What is to be provisioned: one device, a list, or a folder of CSRs. All of it is read and checked before anything is asked.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use api::{
    RequestId,
    issuance::v1::Occasion,
    provisioning::v1::{KeyAlgorithm, ServerMadeKey, UnitRequest, unit_request::Key},
};
use mfg::DeviceId;
use pki::{Sha256, pem};

use crate::{
    failure::{Failure, read_file},
    files,
    verbs::table::Given,
};

/// More devices than this are two batches.
const MOST_ITEMS: usize = 1_000_000;

/// One device.
pub(super) struct Item {
    /// Its line in the list, from 1; its place otherwise.
    pub(super) line: usize,
    pub(super) device_id: DeviceId,
    pub(super) lot: Option<String>,
    /// PKCS#10, DER; none when the provisioner makes the key.
    pub(super) csr: Option<Vec<u8>>,
}

/// All of them, and what they have in common.
pub(super) struct Batch {
    pub(super) items: Vec<Item>,
    name: String,
    algorithm: KeyAlgorithm,
    occasion: Occasion,
}

impl Batch {
    /// Reads what the arguments name.
    ///
    /// # Errors
    /// The first line or file that is not what it should be; a device id that stands there twice.
    pub(super) fn read(given: &Given<'_>) -> Result<Self, Failure> {
        let lot = given.text("lot").map(str::to_owned);
        let (mut items, name) = match (given.text("DEVICE"), given.text("csv"), given.text("folder")) {
            (Some(id), None, None) => (vec![single(id, given)?], "single".to_owned()),
            (None, Some(list), None) if given.text("csr").is_none() => (in_list(Path::new(list))?, file_name(list)),
            (None, None, Some(folder)) if given.text("csr").is_none() => {
                (in_folder(Path::new(folder))?, file_name(folder))
            }
            (_, _, _) => return Err(Failure::usage("want one of DEVICE (with or without --csr), --csv and --folder")),
        };
        for item in items.iter_mut().filter(|item| item.lot.is_none()) {
            item.lot.clone_from(&lot);
        }
        let algorithm = match given.text("key") {
            Some("p384") => KeyAlgorithm::P384,
            Some("ed25519") => KeyAlgorithm::Ed25519,
            Some(_) | None => KeyAlgorithm::P256,
        };
        let occasion = match given.text("occasion") {
            Some("replacement") => Occasion::Replacement,
            Some("rework") => Occasion::Rework,
            Some(_) | None => Occasion::First,
        };
        let name = given.text("batch").map_or(name, str::to_owned);
        once_each(&items)?;
        Ok(Self { items, name, algorithm, occasion })
    }

    /// The request for one device: the same in every run over the same batch.
    pub(super) fn request(&self, item: &Item) -> UnitRequest {
        let key = match &item.csr {
            Some(csr) => Key::Csr(bytes::Bytes::copy_from_slice(csr)),
            None => Key::ServerMadeKey(ServerMadeKey { algorithm: self.algorithm.into() }),
        };
        UnitRequest {
            request_id: self.request_id("provision", item, &self.key_name(item)),
            device_id: item.device_id.as_str().to_owned(),
            lot: item.lot.clone(),
            key: Some(key),
            occasion: self.occasion.into(),
        }
    }

    /// The request id of one step with one device.
    pub(super) fn request_id(&self, step: &str, item: &Item, content: &str) -> String {
        let lot = item.lot.as_deref().unwrap_or_default();
        let occasion = self.occasion.as_str_name();
        let named = format!(
            "countersign/batch/v1\0{}\0{step}\0{}\0{lot}\0{occasion}\0{content}",
            self.name,
            item.device_id.as_str()
        );
        let mut octets = [0; 16];
        for (to, from) in octets.iter_mut().zip(Sha256::of(named.as_bytes()).as_bytes()) {
            *to = *from;
        }
        RequestId::from_octets(octets).to_string()
    }

    fn key_name(&self, item: &Item) -> String {
        match &item.csr {
            Some(csr) => format!("csr {}", Sha256::of(csr)),
            None => format!("made {}", self.algorithm.as_str_name()),
        }
    }
}

fn single(id: &str, given: &Given<'_>) -> Result<Item, Failure> {
    let device_id = DeviceId::parse(id).map_err(|e| Failure::usage(format!("DEVICE {id:?}: {e}")))?;
    let csr = given.text("csr").map(|path| read_csr(Path::new(path))).transpose()?;
    Ok(Item { line: 1, device_id, lot: None, csr })
}

/// `device id[,CSR file[,lot]]`; a head, empty lines and lines that begin with `#` are skipped. CSR paths start at the list's folder.
fn in_list(path: &Path) -> Result<Vec<Item>, Failure> {
    let text = files::text(path)?;
    // What a spreadsheet puts before the first line.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let here = path.parent().unwrap_or(Path::new("."));
    let mut items = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let wrong = |what: String| Failure::malformed(path, format!("line {number}: {what}"));
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') || (items.is_empty() && line.starts_with("device_id")) {
            continue;
        }
        if line.contains('"') {
            return Err(wrong("quotes are not read; no field needs them".to_owned()));
        }
        if line.contains(';') {
            return Err(wrong("fields are divided by commas, not by semicolons".to_owned()));
        }
        let mut fields = line.split(',').map(str::trim);
        let id = fields.next().unwrap_or_default();
        let device_id = DeviceId::parse(id).map_err(|e| wrong(format!("{id:?}: {e}")))?;
        let csr = fields.next().filter(|field| !field.is_empty());
        let csr = csr.map(|file| read_csr(&here.join(file))).transpose().map_err(|e| e.within(&place(path, number)))?;
        let lot = fields.next().filter(|field| !field.is_empty()).map(str::to_owned);
        if fields.next().is_some() {
            return Err(wrong("want device id, CSR file, lot".to_owned()));
        }
        items.push(Item { line: number, device_id, lot, csr });
        check_count(path, items.len())?;
    }
    if items.is_empty() {
        return Err(Failure::malformed(path, "names no device"));
    }
    Ok(items)
}

/// How a line of a list is named before what is wrong with what it names.
fn place(path: &Path, line: usize) -> String {
    format!("{}: line {line}", path.display())
}

/// Every `<device id>.csr` and `<device id>.pem`, in the order of the names.
fn in_folder(folder: &Path) -> Result<Vec<Item>, Failure> {
    let failed = |e: std::io::Error| Failure::file(folder, &e);
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in folder.read_dir().map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|end| end == "csr" || end == "pem") {
            paths.push(path);
            check_count(folder, paths.len())?;
        }
    }
    if paths.is_empty() {
        return Err(Failure::malformed(folder, "holds no <device id>.csr and no <device id>.pem"));
    }
    paths.sort();
    let item = |(line, path): (usize, &PathBuf)| {
        let id = path.file_stem().unwrap_or_default().to_string_lossy();
        let device_id =
            DeviceId::parse(&id).map_err(|e| Failure::malformed(path, format!("its name is no device id: {e}")))?;
        Ok(Item { line, device_id, lot: None, csr: Some(read_csr(path)?) })
    };
    (1..).zip(&paths).map(item).collect()
}

fn read_csr(path: &Path) -> Result<Vec<u8>, Failure> {
    let octets = read_file(path)?;
    match files::as_pem(&octets) {
        Some(text) => {
            let block = pem::single(text, pem::CERTIFICATE_REQUEST).map_err(|e| Failure::malformed(path, e))?;
            Ok(block.der().to_vec())
        }
        None => Ok(octets),
    }
}

fn once_each(items: &[Item]) -> Result<(), Failure> {
    let mut seen = HashMap::new();
    for item in items {
        if let Some(before) = seen.insert(item.device_id.as_str(), item.line) {
            let (id, line) = (item.device_id.as_str(), item.line);
            return Err(Failure::named("FILE_MALFORMED", format!("{id} stands in line {before} and in line {line}")));
        }
    }
    Ok(())
}

fn check_count(path: &Path, count: usize) -> Result<(), Failure> {
    if count > MOST_ITEMS { Err(Failure::malformed(path, "more than a million devices")) } else { Ok(()) }
}

fn file_name(path: &str) -> String {
    Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned()
}
