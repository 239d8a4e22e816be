//! The property bag: what a message's properties look like at the end of an MQTT topic, `%24.ct=application%2Fjson&temperatureAlert=true`.
//!
//! Names and values are percent-encoded (RFC 3986 section 2.1), a plus sign is a plus sign, the order is kept.

/// Most properties in one bag.
pub const MAX_PROPERTIES: usize = 100;
/// Most octets of one bag as it stands in the topic.
pub const MAX_OCTETS: usize = 8 * 1024;

/// Why a text is no property bag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BagFault {
    /// Longer than [`MAX_OCTETS`].
    #[error("a property bag of more than {MAX_OCTETS} octets")]
    TooLong,
    /// More than [`MAX_PROPERTIES`].
    #[error("more than {MAX_PROPERTIES} properties")]
    TooMany,
    /// A percent sign without two hexadecimal digits behind it.
    #[error("a percent sign without two hexadecimal digits")]
    Percent,
    /// What the percent signs stand for is not UTF-8, or a control character.
    #[error("a property that is not UTF-8 or holds a control character")]
    Text,
    /// Nothing before the equals sign.
    #[error("a property without a name")]
    NoName,
    /// One name stands twice, so nobody could tell which value is meant.
    #[error("a property that is given twice")]
    Repeated,
}

/// Reads a bag; an empty text is an empty bag. A name without an equals sign has the empty value.
///
/// # Errors
/// [`BagFault`]
pub fn decode(bag: &str) -> Result<Vec<(String, String)>, BagFault> {
    if bag.len() > MAX_OCTETS {
        return Err(BagFault::TooLong);
    }
    let mut properties: Vec<(String, String)> = Vec::new();
    for pair in bag.split('&').filter(|pair| !pair.is_empty()) {
        if properties.len() == MAX_PROPERTIES {
            return Err(BagFault::TooMany);
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = percent_decode(name)?;
        if name.is_empty() {
            return Err(BagFault::NoName);
        }
        if properties.iter().any(|(known, _)| *known == name) {
            return Err(BagFault::Repeated);
        }
        properties.push((name, percent_decode(value)?));
    }
    Ok(properties)
}

/// Writes a bag, so that [`decode`] reads the same properties again.
pub fn encode<'a>(properties: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut bag = String::new();
    for (name, value) in properties {
        if !bag.is_empty() {
            bag.push('&');
        }
        percent_encode(name, &mut bag);
        bag.push('=');
        percent_encode(value, &mut bag);
    }
    bag
}

fn percent_decode(text: &str) -> Result<String, BagFault> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            octets.push(*first);
            continue;
        }
        let digits = rest.split_at_checked(2).ok_or(BagFault::Percent)?;
        let [high, low] = digits.0 else { return Err(BagFault::Percent) };
        octets.push((hex(*high)? << 4) | hex(*low)?);
        rest = digits.1;
    }
    let text = String::from_utf8(octets).map_err(|_| BagFault::Text)?;
    if text.chars().any(char::is_control) { Err(BagFault::Text) } else { Ok(text) }
}

fn hex(digit: u8) -> Result<u8, BagFault> {
    let value = char::from(digit).to_digit(16).ok_or(BagFault::Percent)?;
    u8::try_from(value).map_err(|_| BagFault::Percent)
}

/// Everything but the unreserved characters (RFC 3986 section 2.3), so that no topic ever gets a wildcard from a property.
fn percent_encode(text: &str, out: &mut String) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or('0');
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            out.push(char::from(octet));
        } else {
            out.extend(['%', digit(octet >> 4), digit(octet & 0x0f)]);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_the_sdks_send_is_read() {
        let bag = "%24.mid=id-0&%24.ct=application%2Fjson&%24.ce=utf-8&temperatureAlert=true";
        let expected =
            [("$.mid", "id-0"), ("$.ct", "application/json"), ("$.ce", "utf-8"), ("temperatureAlert", "true")];
        assert_eq!(decode(bag).unwrap(), pairs(&expected));
        assert_eq!(decode("").unwrap(), pairs(&[]));
        assert_eq!(decode("a+b=%2B+&flag&c=").unwrap(), pairs(&[("a+b", "++"), ("flag", ""), ("c", "")]));
    }

    #[test]
    fn what_is_no_bag_is_refused_by_name() {
        let cases = [
            ("a=%", BagFault::Percent),
            ("a=%4", BagFault::Percent),
            ("a=%+1", BagFault::Percent),
            ("a=%zz", BagFault::Percent),
            ("a=%ff", BagFault::Text),
            ("a=%00", BagFault::Text),
            ("=b", BagFault::NoName),
            ("a=1&%61=2", BagFault::Repeated),
        ];
        for (bag, fault) in cases {
            assert_eq!(decode(bag), Err(fault), "{bag}");
        }
        assert_eq!(decode(&"a".repeat(MAX_OCTETS + 1)), Err(BagFault::TooLong));
        let many: String = (0..=MAX_PROPERTIES).map(|n| format!("{n}=1&")).collect();
        assert_eq!(decode(&many), Err(BagFault::TooMany));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(values in proptest::collection::btree_map("[^\\p{Cc}]{1,20}", "[^\\p{Cc}]{0,20}", 0..8)) {
            let bag = encode(values.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            prop_assert!(!bag.contains(['/', '#', '+', '?']));
            prop_assert_eq!(decode(&bag).unwrap(), values.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = decode(&text);
        }
    }
}
