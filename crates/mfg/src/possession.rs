//! What a hub asks a CA to sign, so that it believes that somebody holds the CA's key.

use std::fmt;

/// Hexadecimal digits of a verification code.
pub const CODE_LENGTH: usize = 48;

/// A hub's verification code: 48 hexadecimal digits, kept as they were written. It means nothing anywhere else, so that signing it
/// says nothing but "this key is held".
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VerificationCode(String);

/// A text that is no verification code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a verification code of 48 hexadecimal digits")]
pub struct CodeRefusal(pub String);

impl CodeRefusal {
    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        "VERIFICATION_CODE_INVALID"
    }
}

impl VerificationCode {
    /// Reads a code, in either case.
    ///
    /// # Errors
    /// `VERIFICATION_CODE_INVALID`.
    pub fn parse(text: &str) -> Result<Self, CodeRefusal> {
        if text.len() == CODE_LENGTH && text.bytes().all(|octet| octet.is_ascii_hexdigit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(CodeRefusal(text.chars().take(80).collect()))
        }
    }

    /// The digits as they were written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VerificationCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for VerificationCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "VerificationCode({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_code_is_48_hexadecimal_digits_and_nothing_else() {
        let code = "0123456789abcdefABCDEF".repeat(3).chars().take(CODE_LENGTH).collect::<String>();
        assert_eq!(VerificationCode::parse(&code).unwrap().as_str(), code);
        let wrong = [
            String::new(),
            code.replacen('0', "g", 1),
            format!("{code}0"),
            code.chars().skip(1).collect(),
            format!(" {}", code.chars().skip(1).collect::<String>()),
            "sn0000001".to_owned(),
            "é".repeat(CODE_LENGTH / 2),
        ];
        for wrong in wrong {
            assert_eq!(VerificationCode::parse(&wrong).unwrap_err().reason(), "VERIFICATION_CODE_INVALID", "{wrong}");
        }
    }
}
