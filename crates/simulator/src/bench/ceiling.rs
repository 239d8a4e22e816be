//! What the cryptography alone allows: for each certificate one verified request and one signature, on every core at once.
//!
//! The requests differ, as they do in a factory. Verifying takes a time that depends on the numbers, and a processor that sees the same
//! signature again and again learns its branches: three hundredths faster than anybody who issues could be.

use std::{
    hint::black_box,
    iter, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use issuance::{KeyKind, SigningKey as _, SoftwareKey, make_csr};
use pki::{CertificateRequest, PublicKey, SignatureAlgorithm, SignatureError};

use super::DeviceKey;

/// How long one measurement takes.
const TAKES: Duration = Duration::from_millis(1500);
/// Requests that a core verifies in turn: more than a processor remembers, fewer than its cache holds.
const REQUESTS: usize = 256;
/// Octets of a to-be-signed device certificate.
const TBS_OCTETS: usize = 480;

/// Certificates a second, over all cores.
///
/// # Errors
/// When a key cannot be made, or a thread cannot be started.
pub(super) fn measure(key: DeviceKey) -> anyhow::Result<f64> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = (0..cores)
        .map(|_| thread::Builder::new().spawn(move || on_one_core(key)))
        .collect::<std::io::Result<Vec<_>>>()
        .context("cannot start a thread for each core")?;
    let mut all = 0.0;
    for thread in threads {
        all += thread.join().map_err(|_| anyhow!("a measuring thread ended early"))??;
    }
    Ok(all)
}

fn on_one_core(key: DeviceKey) -> anyhow::Result<f64> {
    let lot_key = SoftwareKey::generate(KeyKind::P256)?;
    let requests = iter::repeat_with(|| Request::made(key)).take(REQUESTS).collect::<anyhow::Result<Vec<_>>>()?;
    let tbs = [0x30; TBS_OCTETS];
    let begin = Instant::now();
    let mut done = 0.0;
    for request in requests.iter().cycle().take_while(|_| begin.elapsed() < TAKES) {
        if key == DeviceKey::Server {
            let made = SoftwareKey::generate(key.kind())?;
            black_box(made.sign(black_box(&request.message))?);
        }
        request.verify().map_err(|_| anyhow!("a signature fails"))?;
        black_box(lot_key.sign(black_box(&tbs))?);
        done += 1.0;
    }
    Ok(done / begin.elapsed().as_secs_f64())
}

/// As many octets as a request has, signed by a device of its own.
struct Request {
    key: PublicKey,
    algorithm: SignatureAlgorithm,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl Request {
    fn made(key: DeviceKey) -> anyhow::Result<Self> {
        let device = SoftwareKey::generate(key.kind())?;
        let message = make_csr(&device, "sn0000001")?;
        let signature = device.sign(&message)?;
        let key = CertificateRequest::parse(&message)?.public_key().clone();
        Ok(Self { key, algorithm: device.algorithm(), message, signature })
    }

    fn verify(&self) -> Result<(), SignatureError> {
        self.key.verify(self.algorithm, black_box(&self.message), &self.signature)
    }
}
