#![no_main]
//! MQTT packets as a connection brings them: in pieces whose size the first octet says.

use bytes::BytesMut;
use device_wire::mqtt::{decode, encode};
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 64 * 1024;

fuzz_target!(|octets: &[u8]| {
    let Some((size, octets)) = octets.split_first() else { return };
    let mut arrived = BytesMut::new();
    for piece in octets.chunks(usize::from(*size).max(1)) {
        arrived.extend_from_slice(piece);
        loop {
            match decode(&mut arrived, LIMIT) {
                Ok(Some(packet)) => {
                    let mut written = BytesMut::new();
                    encode(&packet, &mut written);
                    assert_eq!(decode(&mut written, LIMIT), Ok(Some(packet)));
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
});
