//! Points in time, in whole seconds: what X.509 can express and nothing finer.

use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Seconds since 1970-01-01T00:00:00Z, leap seconds aside; negative before. Between the years 0 and 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(i64);

/// A text that is no RFC 3339 time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time of RFC 3339, such as 2026-11-24T12:00:00Z: {text:?}")]
pub struct TimeError {
    text: String,
}

impl TimeError {
    /// The published name of this refusal.
    pub fn reason(&self) -> &'static str {
        "TIME_INVALID"
    }
}

impl UnixTime {
    /// 0000-01-01T00:00:00Z, the earliest time that a GeneralizedTime can hold.
    const FIRST: i64 = -62_167_219_200;
    /// 9999-12-31T23:59:59Z, the latest.
    const LAST: i64 = 253_402_300_799;

    /// 99991231235959Z: no well-defined expiry (RFC 5280 section 4.1.2.5).
    pub const NEVER: UnixTime = UnixTime(UnixTime::LAST);

    /// The time this many seconds after the epoch. What no certificate could hold is clamped into the years 0 to 9999.
    pub const fn new(seconds: i64) -> UnixTime {
        if seconds < UnixTime::FIRST {
            UnixTime(UnixTime::FIRST)
        } else if seconds > UnixTime::LAST {
            UnixTime(UnixTime::LAST)
        } else {
            UnixTime(seconds)
        }
    }

    /// Seconds since the epoch.
    pub const fn as_secs(self) -> i64 {
        self.0
    }

    /// This time plus `seconds` (may be negative), or `None` outside the years 0 to 9999.
    pub const fn checked_add(self, seconds: i64) -> Option<UnixTime> {
        match self.0.checked_add(seconds) {
            Some(sum) if sum >= UnixTime::FIRST && sum <= UnixTime::LAST => Some(UnixTime(sum)),
            Some(_) | None => None,
        }
    }

    /// Reads an RFC 3339 time in any offset; a fraction of a second is dropped downwards, so that a time before
    /// notBefore stays before it.
    ///
    /// # Errors
    /// When the text is no such time.
    pub fn parse(text: &str) -> Result<UnixTime, TimeError> {
        OffsetDateTime::parse(text, &Rfc3339)
            .map(|time| UnixTime::new(time.unix_timestamp()))
            .map_err(|_| TimeError { text: text.chars().take(64).collect() })
    }

    /// Reads the twelve digits and the Z of a UTCTime (RFC 5280 section 4.1.2.5.1).
    pub(crate) fn from_utc_time(value: &[u8]) -> Option<UnixTime> {
        let (digits, zone) = value.split_at_checked(12)?;
        if zone != b"Z" {
            return None;
        }
        let year = number(digits.get(..2)?)?;
        // RFC 5280 section 4.1.2.5.1: YY of 50 and above is 19YY, below is 20YY.
        let century = if year >= 50 { 1900 } else { 2000 };
        UnixTime::from_digits(century + year, digits.get(2..)?)
    }

    /// Reads the fourteen digits and the Z of a GeneralizedTime, without a fraction (RFC 5280 section 4.1.2.5.2).
    pub(crate) fn from_generalized_time(value: &[u8]) -> Option<UnixTime> {
        let (digits, zone) = value.split_at_checked(14)?;
        if zone != b"Z" {
            return None;
        }
        UnixTime::from_digits(number(digits.get(..4)?)?, digits.get(4..)?)
    }

    fn from_digits(year: i32, rest: &[u8]) -> Option<UnixTime> {
        let part = |at: usize| -> Option<u8> { u8::try_from(number(rest.get(at..at + 2)?)?).ok() };
        let month = time::Month::try_from(part(0)?).ok()?;
        let date = time::Date::from_calendar_date(year, month, part(2)?).ok()?;
        let clock = time::Time::from_hms(part(4)?, part(6)?, part(8)?).ok()?;
        Some(UnixTime::new(OffsetDateTime::new_utc(date, clock).unix_timestamp()))
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp(self.0)
            .ok()
            .and_then(|time| time.format(&Rfc3339).ok())
            .ok_or(fmt::Error)?;
        out.write_str(&text)
    }
}

impl FromStr for UnixTime {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<UnixTime, TimeError> {
        UnixTime::parse(text)
    }
}

fn number(digits: &[u8]) -> Option<i32> {
    digits.iter().try_fold(0_i32, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reads_both_asn1_forms() {
        assert_eq!(UnixTime::from_utc_time(b"700101000001Z"), Some(UnixTime::new(1)));
        assert_eq!(UnixTime::from_utc_time(b"491231235959Z").unwrap().to_string(), "2049-12-31T23:59:59Z");
        assert_eq!(UnixTime::from_utc_time(b"500101000000Z").unwrap().to_string(), "1950-01-01T00:00:00Z");
        assert_eq!(UnixTime::from_generalized_time(b"99991231235959Z"), Some(UnixTime::NEVER));
        for wrong in
            [&b"7001010000Z"[..], b"700101000000+0000", b"701301000000Z", b"7001010000000", b"", b"70010100000-Z"]
        {
            assert_eq!(UnixTime::from_utc_time(wrong), None);
        }
        assert_eq!(UnixTime::from_generalized_time(b"20240230000000Z"), None);
        assert_eq!(UnixTime::from_generalized_time(b"20240101000000.5Z"), None);
    }

    #[test]
    fn a_fraction_is_dropped_downwards() {
        assert_eq!(
            UnixTime::parse("2024-03-01T00:00:00.999+00:00").unwrap(),
            UnixTime::parse("2024-03-01T00:00:00Z").unwrap()
        );
        assert_eq!(UnixTime::parse("yesterday").unwrap_err().reason(), "TIME_INVALID");
    }

    #[test]
    fn display_round_trips_at_both_ends() {
        for time in [UnixTime::new(i64::MIN), UnixTime::new(0), UnixTime::NEVER] {
            assert_eq!(UnixTime::parse(&time.to_string()).unwrap(), time);
        }
        assert_eq!(UnixTime::NEVER.checked_add(1), None);
        assert_eq!(UnixTime::new(5).checked_add(-5), Some(UnixTime::new(0)));
    }
}
