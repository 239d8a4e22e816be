//! Requests, made before the clock runs: a key and a CSR for each, because a public key is certified once.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use anyhow::{Context as _, anyhow};
use api::RequestId;
use bytes::Bytes;
use issuance::{Entropy as _, KeyKind, SoftwareKey, SystemEntropy, make_csr};
use pki::hex;

use super::DeviceKey;

/// One unit that is asked for.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) request_id: String,
    pub(super) device_id: String,
    /// None: the provisioner makes the key.
    pub(super) csr: Option<Bytes>,
}

/// What is asked for, in order; every request is taken once.
#[derive(Debug)]
pub(super) struct Requests {
    key: DeviceKey,
    /// Tells the devices of this run from those of every other.
    run: [u8; RUN_OCTETS],
    prepared: Vec<Bytes>,
    next: AtomicUsize,
}

const RUN_OCTETS: usize = 6;

impl DeviceKey {
    /// The kind of the device's key.
    pub(super) fn kind(self) -> KeyKind {
        match self {
            Self::P256 | Self::Server => KeyKind::P256,
            Self::P384 => KeyKind::P384,
            Self::Ed25519 => KeyKind::Ed25519,
        }
    }
}

impl Requests {
    /// Nothing.
    pub(super) fn none(key: DeviceKey) -> Self {
        Self { key, run: [0; RUN_OCTETS], prepared: Vec::new(), next: AtomicUsize::new(0) }
    }

    /// Makes `count` requests, on all cores.
    pub(super) fn prepare(key: DeviceKey, count: usize) -> anyhow::Result<Self> {
        let mut run = [0; RUN_OCTETS];
        SystemEntropy.fill(&mut run)?;
        let mut requests = Self { run, ..Self::none(key) };
        if key == DeviceKey::Server {
            return Ok(requests);
        }
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let part = count.div_ceil(cores);
        let names = (0..count).map(|number| requests.device_id(number)).collect::<Vec<_>>();
        let made: anyhow::Result<Vec<Vec<Bytes>>> = thread::scope(|scope| {
            let make = |names: &'_ [String]| names.iter().map(|name| csr(key, name)).collect();
            let parts: Vec<_> = names.chunks(part.max(1)).map(|names| scope.spawn(move || make(names))).collect();
            parts.into_iter().map(|part| part.join().map_err(|_| anyhow!("a thread ended early"))?).collect()
        });
        requests.prepared = made.context("making the requests")?.concat();
        Ok(requests)
    }

    /// The next request with its number. Beyond what was prepared it is made now, and the client costs that much more.
    pub(super) fn take(&self) -> anyhow::Result<(usize, Asked)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Ok((number, self.asked(number)?))
    }

    /// At most `count` of those that were prepared, from everywhere.
    pub(super) fn sample(&self, count: usize) -> anyhow::Result<Vec<Asked>> {
        let step = self.prepared.len().div_ceil(count.max(1)).max(1);
        (0..self.prepared.len()).step_by(step).map(|number| self.asked(number)).collect()
    }

    fn asked(&self, number: usize) -> anyhow::Result<Asked> {
        let device_id = self.device_id(number);
        let csr = match (self.key, self.prepared.get(number)) {
            (DeviceKey::Server, _) => None,
            (DeviceKey::P256 | DeviceKey::P384 | DeviceKey::Ed25519, Some(csr)) => Some(csr.clone()),
            (DeviceKey::P256 | DeviceKey::P384 | DeviceKey::Ed25519, None) => Some(csr(self.key, &device_id)?),
        };
        Ok(Asked { request_id: self.request_id(number).to_string(), device_id, csr })
    }

    fn device_id(&self, number: usize) -> String {
        format!("b{}-{number}", hex::encode(&self.run))
    }

    fn request_id(&self, number: usize) -> RequestId {
        let mut octets = [0; 16];
        let number = u64::try_from(number).unwrap_or(u64::MAX).to_be_bytes();
        // A UUID of version 8 keeps all but 6 of its bits; those are in octets 6 and 8, which say nothing here.
        let parts = self.run.iter().chain(&[0, 0, 0]).chain(number.iter().skip(1));
        for (to, from) in octets.iter_mut().zip(parts) {
            *to = *from;
        }
        RequestId::from_octets(octets)
    }
}

/// A request id that nobody used.
pub(super) fn fresh_request_id() -> anyhow::Result<RequestId> {
    let mut octets = [0; 16];
    SystemEntropy.fill(&mut octets)?;
    Ok(RequestId::from_octets(octets))
}

fn csr(key: DeviceKey, name: &str) -> anyhow::Result<Bytes> {
    Ok(Bytes::from(make_csr(&SoftwareKey::generate(key.kind())?, name)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_request_is_another_one_also_beyond_what_was_prepared_and_in_another_run() {
        let runs = [Requests::prepare(DeviceKey::P256, 5).unwrap(), Requests::prepare(DeviceKey::P256, 3).unwrap()];
        let (mut requests, mut devices, mut keys) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for run in &runs {
            for _ in 0..6 {
                let (_, asked) = run.take().unwrap();
                let csr = pki::CertificateRequest::parse(&asked.csr.unwrap()).unwrap();
                RequestId::parse(&asked.request_id).unwrap();
                mfg::DeviceId::parse(&asked.device_id).unwrap();
                requests.insert(asked.request_id);
                devices.insert(asked.device_id);
                keys.insert(csr.public_key().spki().to_vec());
            }
        }
        assert_eq!((requests.len(), devices.len(), keys.len()), (12, 12, 12));
    }
}
