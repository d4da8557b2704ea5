//! Paths of requests that two servers may interpret differently. They are refused. A route can allow some escapes.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::Deserialize;

use crate::secret::quoted;

/// An escape that is refused in a path unless a route allows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub enum Escape {
    /// `%2F`
    Slash,
    /// `%5C`
    Backslash,
    /// `%3B`
    Semicolon,
    /// `%25`
    Percent,
}

impl Escape {
    /// All escapes.
    pub const ALL: [Self; 4] = [Self::Slash, Self::Backslash, Self::Semicolon, Self::Percent];

    /// Returns the escape in upper case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Slash => "%2F",
            Self::Backslash => "%5C",
            Self::Semicolon => "%3B",
            Self::Percent => "%25",
        }
    }

    /// Returns the encoded byte.
    const fn byte(self) -> u8 {
        match self {
            Self::Slash => b'/',
            Self::Backslash => b'\\',
            Self::Semicolon => b';',
            Self::Percent => b'%',
        }
    }

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|escape| escape.byte() == byte)
    }
}

impl fmt::Display for Escape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is not an [`Escape`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{} is no escape that a route can allow; write %2F, %5C, %3B or %25", quoted(.0))]
pub struct EscapeError(String);

impl FromStr for Escape {
    type Err = EscapeError;

    fn from_str(text: &str) -> Result<Self, EscapeError> {
        let escape = Self::ALL.into_iter().find(|escape| escape.as_str().eq_ignore_ascii_case(text));
        escape.ok_or_else(|| EscapeError(text.to_owned()))
    }
}

impl TryFrom<String> for Escape {
    type Error = EscapeError;

    fn try_from(text: String) -> Result<Self, EscapeError> {
        text.parse()
    }
}

/// Why a path is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PathError {
    /// It does not begin with `/`, as `*` or a complete URL.
    #[error("the path does not begin with `/`")]
    NotAbsolute,
    /// `//`
    #[error("the path has an empty segment (`//`), which some servers remove")]
    EmptySegment,
    /// A segment that means the directory itself or its parent.
    #[error("the path has a `.` or `..` segment, which some servers resolve")]
    DotSegment,
    /// A character that must be escaped or is never allowed.
    #[error("the path contains `{0}`, which servers read in different ways")]
    Character(char),
    /// An escape that a route can allow.
    #[error("the path contains `{0}` (an encoded `{byte}`), which servers read in different ways", byte = char::from(.0.byte()))]
    Escape(Escape),
    /// An escape that no route can allow.
    #[error("the path contains `%{0:02X}`, an encoded dot or control character, which is never allowed")]
    Forbidden(u8),
    /// A `%` that two hexadecimal digits do not follow.
    #[error("the path contains a `%` that is not followed by two hexadecimal digits")]
    Malformed,
    /// `%252F`
    #[error("the path contains `%25` before two hexadecimal digits, which some servers decode twice")]
    EncodedTwice,
    /// A server that decodes the escapes that the first route allows would serve a path of another route.
    #[error("a server that decodes the escapes of the path reads a path that falls under another route")]
    OtherRoute,
}

impl PathError {
    /// Returns the escape that a route could allow.
    #[must_use]
    pub const fn allowable(self) -> Option<Escape> {
        match self {
            Self::Escape(escape) => Some(escape),
            _ => None,
        }
    }
}

/// Refuses a path that two servers may interpret differently, except for the escapes in `allowed`.
///
/// # Errors
/// The first problem in the path.
pub fn check(path: &str, allowed: &[Escape]) -> Result<(), PathError> {
    if !path.starts_with('/') {
        return Err(PathError::NotAbsolute);
    }
    if let Some(character) = path.chars().find(|c| matches!(c, '\\' | ';')) {
        return Err(PathError::Character(character));
    }
    check_segments(path)?;
    let mut rest = path;
    while let Some((_, after)) = rest.split_once('%') {
        let byte = decode(after).ok_or(PathError::Malformed)?;
        rest = after.get(2..).unwrap_or_default();
        match (byte, Escape::of(byte)) {
            (b'.' | 0..=0x1f | 0x7f, _) => return Err(PathError::Forbidden(byte)),
            (_, Some(escape)) if !allowed.contains(&escape) => return Err(PathError::Escape(escape)),
            (b'%', _) if decode(rest).is_some() => return Err(PathError::EncodedTwice),
            _ => {}
        }
    }
    // After decoding them, the path must not contain a segment that is refused.
    match decoded(path) {
        Cow::Borrowed(_) => Ok(()),
        Cow::Owned(decoded) => check_segments(&decoded),
    }
}

fn check_segments(path: &str) -> Result<(), PathError> {
    if path.contains("//") {
        return Err(PathError::EmptySegment);
    }
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(PathError::DotSegment);
    }
    Ok(())
}

/// Returns the path for a server that decodes escapes before it splits segments: `%2F` and `%5C` separate segments, and
/// a `%3B` begins a parameter of a segment.
#[must_use]
pub fn decoded(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut decoded = String::with_capacity(path.len());
    let (mut rest, mut is_parameter) = (path, false);
    while let Some(first) = rest.chars().next() {
        let escape = rest.strip_prefix('%').and_then(decode).and_then(Escape::of);
        let (front, after) = rest.split_at(if escape.is_some() { 3 } else { first.len_utf8() });
        rest = after;
        match (escape, first) {
            (Some(Escape::Slash | Escape::Backslash), _) | (_, '/') => {
                is_parameter = false;
                decoded.push('/');
            }
            (Some(Escape::Semicolon), _) => is_parameter = true,
            _ if is_parameter => {}
            _ => decoded.push_str(front),
        }
    }
    if decoded == path { Cow::Borrowed(path) } else { Cow::Owned(decoded) }
}

/// Decodes the two hexadecimal digits at the beginning of a text.
fn decode(text: &str) -> Option<u8> {
    let digits = text.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    u8::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_two_servers_may_read_differently_is_refused() {
        for good in [
            "/",
            "/api/v1/me",
            "/api/v1/me/",
            "/a%20b",
            "/a%C3%A4",
            "/a..b",
            "/a.b/c",
            "/.well-known/x",
            "/a+b~c",
            "/@x",
        ] {
            assert_eq!(check(good, &[]), Ok(()), "{good}");
        }
        for (bad, error) in [
            ("*", PathError::NotAbsolute),
            ("", PathError::NotAbsolute),
            ("http://x/a", PathError::NotAbsolute),
            ("/..", PathError::DotSegment),
            ("/a/../b", PathError::DotSegment),
            ("/a/./b", PathError::DotSegment),
            ("/a//b", PathError::EmptySegment),
            ("//a", PathError::EmptySegment),
            ("/a;b", PathError::Character(';')),
            ("/a\\b", PathError::Character('\\')),
            ("/%2e%2e/a", PathError::Forbidden(b'.')),
            ("/a/%2E./b", PathError::Forbidden(b'.')),
            ("/a%2fb", PathError::Escape(Escape::Slash)),
            ("/a%2Fb", PathError::Escape(Escape::Slash)),
            ("/a%5cb", PathError::Escape(Escape::Backslash)),
            ("/a%3bb", PathError::Escape(Escape::Semicolon)),
            ("/a%252fb", PathError::Escape(Escape::Percent)),
            ("/a%00", PathError::Forbidden(0)),
            ("/a%0d%0ab", PathError::Forbidden(b'\r')),
            ("/a%7f", PathError::Forbidden(0x7f)),
            ("/a%", PathError::Malformed),
            ("/a%4", PathError::Malformed),
            ("/a%zz", PathError::Malformed),
            ("/a%+1", PathError::Malformed),
            ("/a%ä", PathError::Malformed),
        ] {
            assert_eq!(check(bad, &[]), Err(error), "{bad}");
        }
    }

    #[test]
    fn an_allowed_escape_makes_no_segment_that_is_refused_as_it_is() {
        use Escape::{Backslash, Percent, Semicolon, Slash};
        for (allowed, good) in [
            (Slash, "/@acme%2fcli"),
            (Slash, "/api/v4/projects/acme%2Fwidgets/issues"),
            (Slash, "/a%2F"),
            (Slash, "/a..%2F..b"),
            (Backslash, "/a%5Cb"),
            (Semicolon, "/a%3bb"),
            (Percent, "/100%25"),
            (Percent, "/100%25%20x"),
        ] {
            assert_eq!(check(good, &[allowed]), Ok(()), "{good}");
            assert!(matches!(check(good, &[]), Err(PathError::Escape(_))), "{good}");
        }
        for (bad, error) in [
            ("/a%2F..%2Fb", PathError::DotSegment),
            ("/a/..%2Fb", PathError::DotSegment),
            ("/a%5C..", PathError::DotSegment),
            ("/a/..%3Bx/b", PathError::DotSegment),
            ("/a%2F%2Fb", PathError::EmptySegment),
            ("/%2Fa", PathError::EmptySegment),
            ("/a/%3Bx/b", PathError::EmptySegment),
            ("/a%2F%2e%2e%2Fb", PathError::Forbidden(b'.')),
            ("/a%252F", PathError::EncodedTwice),
            ("/a/%252e%252e/b", PathError::EncodedTwice),
            ("/a;b", PathError::Character(';')),
            ("/a%2F%0a", PathError::Forbidden(b'\n')),
        ] {
            assert_eq!(check(bad, &Escape::ALL), Err(error), "{bad}");
        }
    }

    #[test]
    fn a_path_is_decoded_as_a_server_does_that_looks_for_slashes_afterwards() {
        for (path, expected) in [
            ("/a/b", "/a/b"),
            ("/a%2fb/c", "/a/b/c"),
            ("/a%5Cb", "/a/b"),
            ("/a%3Bp=1/b%3bq%2Fc", "/a/b/c"),
            ("/a%20%25b", "/a%20%25b"),
            ("/ä%2Fö", "/ä/ö"),
        ] {
            assert_eq!(decoded(path), expected, "{path}");
        }
    }

    #[test]
    fn an_escape_is_written_as_in_a_path() {
        assert_eq!("%2f".parse(), Ok(Escape::Slash));
        assert_eq!(Escape::ALL.map(|escape| escape.as_str().parse()), Escape::ALL.map(Ok));
        let error = "/".parse::<Escape>().unwrap_err().to_string();
        assert!(error.contains("%2F, %5C, %3B or %25"), "{error}");
        let error = PathError::Escape(Escape::Slash).to_string();
        assert!(error.contains("`%2F` (an encoded `/`)"), "{error}");
    }
}
