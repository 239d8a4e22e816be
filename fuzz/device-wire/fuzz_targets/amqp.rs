#![no_main]
//! AMQP frames and messages: what is read can be written and is then the same.

use bytes::{Bytes, BytesMut};
use device_wire::amqp::{frame, message::Message};
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 64 * 1024;

fuzz_target!(|octets: &[u8]| {
    let _ = Message::decode(Bytes::copy_from_slice(octets));
    let mut arrived = BytesMut::from(octets);
    while let Ok(Some(read)) = frame::decode(&mut arrived, LIMIT) {
        let Some(performative) = &read.performative else { continue };
        let mut written = BytesMut::new();
        frame::encode(read.channel, performative, &read.payload, &mut written);
        // What a compact encoding said may need more room in ours.
        if written.len() <= LIMIT {
            let again = frame::decode(&mut written, LIMIT);
            assert!(matches!(again, Ok(Some(again)) if again.channel == read.channel && again.payload == read.payload));
        }
    }
});
