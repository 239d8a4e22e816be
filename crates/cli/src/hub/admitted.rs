//! `countersign hub ca admitted`: which devices came in under a CA's key, and how many may.

use api::hub::v1::GetLotAdmissionsRequest;
use pki::Sha256;
use serde_json::json;

use super::{connect::Hub, held, print, refused};
use crate::{args::Output, failure::Failure};

pub(super) async fn run(hub: &Hub, key: &Sha256, output: Output) -> Result<(), Failure> {
    let (mut devices, mut page_token) = (Vec::new(), String::new());
    let tally = loop {
        let key_sha256 = key.as_bytes().to_vec().into();
        let request = GetLotAdmissionsRequest { key_sha256, page_size: 1000, page_token };
        let page = hub.devices().get_lot_admissions(request).await.map_err(|s| refused(&s))?.into_inner();
        devices.extend(page.device_ids);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break held(page.tally)?;
        }
    };
    let remaining = tally.remaining.map_or_else(|| "unlimited".to_owned(), |units| units.to_string());
    let mut words = format!(
        "{} devices were let in under the key {key}, {} units were handed on by it, {remaining} remain\n",
        devices.len(),
        tally.handed_over
    );
    devices.iter().for_each(|device| words.extend([device, "\n"]));
    let json = json!({
        "key_sha256": key.to_string(),
        "handed_over": tally.handed_over,
        "remaining": tally.remaining,
        "devices": devices,
    });
    print(output, words.trim_end(), &json);
    Ok(())
}
