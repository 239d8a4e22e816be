#![no_main]
//! Property bags: what is read can be written and is then the same.

use device_wire::{
    bag,
    topic::{Subscription, Up},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = Up::parse(text, "d1");
    let _ = Subscription::parse(text, "d1");
    if let Ok(properties) = bag::decode(text) {
        let written = bag::encode(properties.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        // Encoding can only grow a bag, so the bound is the one thing that may refuse it.
        assert!(written.len() > bag::MAX_OCTETS || bag::decode(&written) == Ok(properties));
    }
});
