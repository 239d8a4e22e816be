//! What the cryptography alone allows: for each certificate one verified request and one signature, on every core at once.

use std::{
    hint::black_box,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use issuance::{KeyKind, SigningKey as _, SoftwareKey, make_csr};
use pki::CertificateRequest;

use super::DeviceKey;

/// How long one measurement takes.
const TAKES: Duration = Duration::from_millis(1500);
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
    let device = SoftwareKey::generate(key.kind())?;
    let csr = make_csr(&device, "sn0000001")?;
    let request = CertificateRequest::parse(&csr)?;
    let (algorithm, signature) = (device.algorithm(), device.sign(&csr)?);
    let tbs = [0x30; TBS_OCTETS];
    let begin = Instant::now();
    let mut done = 0.0;
    while begin.elapsed() < TAKES {
        if key == DeviceKey::Server {
            let made = SoftwareKey::generate(key.kind())?;
            black_box(made.sign(black_box(&csr))?);
        }
        request
            .public_key()
            .verify(algorithm, black_box(&csr), &signature)
            .map_err(|_| anyhow!("a signature fails"))?;
        black_box(lot_key.sign(black_box(&tbs))?);
        done += 1.0;
    }
    Ok(done / begin.elapsed().as_secs_f64())
}
