//! Titles, names and descriptions. They are stored unchanged, except that surrounding spaces are removed.

use crate::secret::{Secret, recognise};

/// An invalid text.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TextError {
    /// Only blank characters.
    #[error("it is empty; enter at least one character")]
    Empty,
    /// Too many characters.
    #[error("it has more than {0} characters; shorten it")]
    TooLong(usize),
    /// A control or direction-changing character, which could change what a reader sees.
    #[error("it contains a control character (such as a line break); remove it")]
    Control,
    /// A private key or a bearer token, which all readers of the title or description would see.
    #[error("it contains {0}, which was not stored; remove it, and replace it if other people have seen it")]
    Secret(Secret),
}

/// The maximum number of characters of a title or a name.
pub const MAX_TITLE: usize = 100;
/// The maximum number of characters of a description.
pub const MAX_DESCRIPTION: usize = 1000;

fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Parses a title or a user's name: one line, 1 to [`MAX_TITLE`] characters.
///
/// # Errors
/// It is empty, too long, or contains control characters.
pub fn parse_title(text: &str) -> Result<String, TextError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(TextError::Empty);
    }
    check(text, MAX_TITLE, is_forbidden)
}

/// Parses a description: 0 to [`MAX_DESCRIPTION`] characters, line breaks allowed.
///
/// # Errors
/// It is too long, or contains control characters other than line breaks and tabs.
pub fn parse_description(text: &str) -> Result<String, TextError> {
    check(text.trim(), MAX_DESCRIPTION, |c| is_forbidden(c) && !matches!(c, '\n' | '\r' | '\t'))
}

fn check(text: &str, most: usize, forbidden: fn(char) -> bool) -> Result<String, TextError> {
    if text.chars().count() > most {
        Err(TextError::TooLong(most))
    } else if text.contains(forbidden) {
        // A private key in several lines is reported as a private key.
        Err(secret_in(text).map_or(TextError::Control, TextError::Secret))
    } else {
        secret_in(text).map_or_else(|| Ok(text.to_owned()), |secret| Err(TextError::Secret(secret)))
    }
}

/// Returns a secret that gives access to its reader. URLs with a password are allowed, because they may be examples.
fn secret_in(text: &str) -> Option<Secret> {
    recognise(text).filter(|secret| matches!(secret, Secret::PrivateKey | Secret::BearerToken))
}

/// Percent-encodes text as UTF-8 (RFC 3986 §2.1): every byte except unreserved characters and those in `kept`.
#[must_use]
pub fn percent_encode(text: &str, kept: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default().to_ascii_uppercase();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
            encoded.push(byte.into());
        } else {
            encoded.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_one_visible_line() {
        assert_eq!(parse_title("  CI runner №1 🚀 "), Ok("CI runner №1 🚀".into()));
        assert_eq!(parse_title(" \t "), Err(TextError::Empty));
        assert_eq!(parse_title(&"é".repeat(100)), Ok("é".repeat(100)));
        assert_eq!(parse_title(&"é".repeat(101)), Err(TextError::TooLong(100)));
        for text in ["a\nb", "a\0b", "a\u{202e}b", "a\u{85}b"] {
            assert_eq!(parse_title(text), Err(TextError::Control), "{text:?}");
        }
    }

    #[test]
    fn a_private_key_and_a_bearer_token_are_refused() {
        let key = "-----BEGIN OPENSSH PRIVATE KEY----- b3BlbnNzaC1rZXktdjEAAAAA";
        assert_eq!(parse_title(key), Err(TextError::Secret(Secret::PrivateKey)));
        assert_eq!(parse_title(&key.replace(' ', "\n")), Err(TextError::Secret(Secret::PrivateKey)));
        assert_eq!(parse_description(&format!("for CI:\n{key}")), Err(TextError::Secret(Secret::PrivateKey)));
        assert_eq!(parse_title("kwt_0123456789abcdef"), Err(TextError::Secret(Secret::BearerToken)));
        assert!(parse_description("Rotates the private key of postgres://keyward:PASSWORD@db/keyward").is_ok());
    }

    #[test]
    fn a_description_may_be_empty_and_have_lines() {
        assert_eq!(parse_description(""), Ok(String::new()));
        assert_eq!(parse_description("one\r\ntwo"), Ok("one\r\ntwo".into()));
        assert_eq!(parse_description("one\u{1b}[31m"), Err(TextError::Control));
        assert_eq!(parse_description(&"x".repeat(1001)), Err(TextError::TooLong(1000)));
    }

    #[test]
    fn text_is_percent_encoded_as_utf_8() {
        assert_eq!(percent_encode("Zoë O'Neil-2", b""), "Zo%C3%AB%20O%27Neil-2");
        assert_eq!(percent_encode("a%0d\n", b""), "a%250d%0A");
        assert_eq!(percent_encode("/a b/", b"/"), "/a%20b/");
    }
}
