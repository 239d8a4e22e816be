//! Names of headers as they were written. HTTP takes them in any case and the server's library in lower case only, but a message's
//! property is `temperatureAlert` over every protocol.

use std::sync::{Arc, Mutex, PoisonError};

/// What marks a header that carries a property.
pub(super) const PREFIX: &str = "iothub-app-";
/// Longest header name that is looked at, and most of them that one connection has remembered.
const MAX_NAME: usize = 256;
const MAX_NAMES: usize = 100;

/// The names of property headers of one connection, as they were written.
#[derive(Debug, Clone, Default)]
pub(super) struct Casing(Arc<Mutex<Vec<String>>>);

/// Watches octets go by for lines that are headers with properties.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    casing: Casing,
    line: Vec<u8>,
}

impl Casing {
    /// The name as it was last written, without the prefix; as it is given where it was not seen.
    pub(super) fn of(&self, lower: &str) -> String {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let written = names.iter().rev().find(|name| name.eq_ignore_ascii_case(lower));
        written.cloned().unwrap_or_else(|| lower.to_owned())
    }

    fn remember(&self, name: &str) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.retain(|known| !known.eq_ignore_ascii_case(name));
        if names.len() == MAX_NAMES {
            names.remove(0);
        }
        names.push(name.to_owned());
    }
}

impl Watcher {
    pub(super) fn casing(&self) -> Casing {
        self.casing.clone()
    }

    /// More octets of the connection. A body that looks like a header can change how a name is written, and nothing else.
    pub(super) fn watch(&mut self, octets: &[u8]) {
        for octet in octets {
            match octet {
                b'\n' => self.line.clear(),
                b':' => {
                    let name = std::str::from_utf8(&self.line).ok().and_then(property);
                    if let Some(name) = name {
                        self.casing.remember(name);
                    }
                    self.line.resize(MAX_NAME, b':');
                }
                octet if self.line.len() < MAX_NAME => self.line.push(*octet),
                _ => {}
            }
        }
    }
}

fn property(header: &str) -> Option<&str> {
    let (prefix, name) = header.split_at_checked(PREFIX.len())?;
    (prefix.eq_ignore_ascii_case(PREFIX) && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_is_called_as_it_was_written_also_when_it_comes_in_pieces() {
        let request =
            b"POST / HTTP/1.1\r\nHost: h\r\nIoTHub-App-temperatureAlert: true\r\niothub-app-B:x:iothub-app-C:\r\n\r\n";
        for size in [1, 7, request.len()] {
            let mut watcher = Watcher::default();
            request.chunks(size).for_each(|piece| watcher.watch(piece));
            let casing = watcher.casing();
            let found = ["temperaturealert", "b", "c"].map(|name| casing.of(name));
            assert_eq!(found, ["temperatureAlert", "B", "c"]);
        }
    }

    #[test]
    fn names_and_their_number_are_bounded() {
        let mut watcher = Watcher::default();
        watcher.watch(format!("iothub-app-{}:\n", "x".repeat(MAX_NAME)).as_bytes());
        (0..200).for_each(|n| watcher.watch(format!("iothub-app-N{n}: 1\r\n").as_bytes()));
        let casing = watcher.casing();
        assert_eq!((casing.of("n0").as_str(), casing.of("n199").as_str()), ("n0", "N199"));
        assert_eq!(casing.0.lock().map(|names| names.len()).ok(), Some(MAX_NAMES));
    }
}
