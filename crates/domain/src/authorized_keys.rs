//! The lines of an `authorized_keys` file (OpenSSH's sshd(8)): options, a public key and a comment.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use crate::public_key::{PublicKey, PublicKeyError};

/// The options that restrict what a key is accepted for. Other options are about SSH only.
const RESTRICTIONS: [&str; 3] = ["command", "from", "principals"];
/// The names with which a line begins that has no options.
const KEY_TYPES: [&str; 3] = ["ssh-", "ecdsa-sha2-", "sk-"];

/// A key in an `authorized_keys` file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthorizedKey {
    /// The number of its line, from 1.
    pub line: usize,
    /// The key.
    pub key: PublicKey,
    /// The text after the key.
    pub comment: Option<String>,
    /// The time of the option `expiry-time`.
    pub expires_at: Option<Timestamp>,
    /// The names of the options that restrict the key: from which addresses, or for what it is accepted.
    pub restrictions: Vec<&'static str>,
}

/// A line that is invalid.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct LineError {
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: LineErrorReason,
}

/// Why a line is invalid. `Display` says how to correct it, and contains nothing of the line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LineErrorReason {
    /// The key cannot be registered.
    #[error("{0}")]
    Key(PublicKeyError),
    /// The options are not followed by a key.
    #[error("there is no key after the options: check the quotes, and that there is no blank between the options")]
    NoKey,
    /// It is the key of a certificate authority.
    #[error("`cert-authority` marks the key of a certificate authority, which signs other keys: remove the line")]
    CertificateAuthority,
    /// The value of `expiry-time` is malformed.
    #[error("the value of `expiry-time` is malformed: write it as YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS")]
    ExpiryTime,
}

/// Parses the lines of a file. Blank lines and comments are skipped.
///
/// An `expiry-time` without `Z` is in the time zone of the machine for sshd, and is read in UTC here.
///
/// # Errors
/// All invalid lines, if there is one.
pub fn parse(text: &str) -> Result<Vec<AuthorizedKey>, Vec<LineError>> {
    let (mut keys, mut errors) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        match parse_line(number, content) {
            Ok(key) => keys.push(key),
            Err(reason) => errors.push(LineError { line: number, reason }),
        }
    }
    if errors.is_empty() { Ok(keys) } else { Err(errors) }
}

fn parse_line(line: usize, content: &str) -> Result<AuthorizedKey, LineErrorReason> {
    let has_options = !KEY_TYPES.iter().any(|start| content.starts_with(start));
    let (options, key) = if has_options { split_options(content)? } else { (Vec::new(), content) };
    if !KEY_TYPES.iter().any(|start| key.starts_with(start)) {
        return Err(LineErrorReason::NoKey);
    }
    let (mut expires_at, mut restrictions) = (None, Vec::new());
    for (name, value) in options {
        match name.to_ascii_lowercase().as_str() {
            "cert-authority" => return Err(LineErrorReason::CertificateAuthority),
            "expiry-time" => {
                let time = value.and_then(parse_expiry_time).ok_or(LineErrorReason::ExpiryTime)?;
                expires_at = Some(expires_at.map_or(time, |earlier: Timestamp| earlier.min(time)));
            }
            other => restrictions.extend(RESTRICTIONS.iter().filter(|name| **name == other)),
        }
    }
    let parsed = PublicKey::parse(key).map_err(LineErrorReason::Key)?;
    Ok(AuthorizedKey { line, key: parsed.key, comment: parsed.comment, expires_at, restrictions })
}

/// Splits a line after its options. Each option is a name, and a value if it has one.
#[expect(clippy::type_complexity, reason = "the two parts of a line")]
fn split_options(content: &str) -> Result<(Vec<(&str, Option<&str>)>, &str), LineErrorReason> {
    let (mut options, mut start, mut is_quoted, mut is_escaped) = (Vec::new(), 0, false, false);
    for (at, character) in content.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => {
                options.push(to_option(&content[start..at]));
                start = at + 1;
            }
            ' ' | '\t' if !is_quoted => {
                options.push(to_option(&content[start..at]));
                return Ok((options, content[at..].trim_start()));
            }
            _ => {}
        }
    }
    Err(LineErrorReason::NoKey)
}

fn to_option(text: &str) -> (&str, Option<&str>) {
    match text.split_once('=') {
        Some((name, value)) => {
            (name, Some(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)))
        }
        None => (text, None),
    }
}

fn parse_expiry_time(text: &str) -> Option<Timestamp> {
    let digits = text.strip_suffix('Z').unwrap_or(text);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || !matches!(digits.len(), 8 | 12 | 14) {
        return None;
    }
    let of = |range: std::ops::Range<usize>| digits.get(range).map_or(Some(0), |part| part.parse::<i8>().ok());
    let year = digits[..4].parse().ok()?;
    let time = DateTime::new(year, of(4..6)?, of(6..8)?, of(8..10)?, of(10..12)?, of(12..14)?, 0).ok()?;
    time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";

    fn one(line: &str) -> AuthorizedKey {
        parse(line).unwrap_or_else(|errors| panic!("{line}: {errors:?}")).remove(0)
    }

    fn reason(line: &str) -> LineErrorReason {
        parse(line).expect_err(line).remove(0).reason
    }

    #[test]
    fn lines_have_options_a_key_and_a_comment() {
        let text = format!("# comment\r\n\r\n{KEY} ann@laptop and more\r\n  \n\trestrict,pty {KEY}\n");
        let keys = parse(&text).unwrap();
        let seen: Vec<_> = keys.iter().map(|key| (key.line, key.comment.as_deref(), key.restrictions.len())).collect();
        assert_eq!(seen, [(3, Some("ann@laptop and more"), 0), (5, None, 0)]);
        let quoted =
            format!(r#"environment="A=ssh-rsa, \"b\" c",FROM="10.0.0.0/8,*.example.com",command="a b" {KEY} bot"#);
        let key = one(&quoted);
        assert_eq!((key.comment.as_deref(), key.restrictions), (Some("bot"), vec!["from", "command"]));
    }

    #[test]
    fn every_invalid_line_is_reported_with_its_number() {
        let text = format!("{KEY}\nssh-rsa AAAA\n\nno-pty\ncert-authority {KEY}\n");
        let errors = parse(&text).unwrap_err();
        assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), [2, 4, 5]);
        assert!(matches!(errors[0].reason, LineErrorReason::Key(_)));
        assert_eq!(errors[1].reason, LineErrorReason::NoKey);
        assert_eq!(errors[2].reason, LineErrorReason::CertificateAuthority);
        assert!(errors[2].to_string().starts_with("line 5: "), "{}", errors[2]);
        for line in [r#"command="ls"#, r#"command="ls ssh-ed25519 AAAA"#, "what is this", "no-pty  no-pty"] {
            assert_eq!(reason(line), LineErrorReason::NoKey, "{line}");
        }
    }

    #[test]
    fn an_expiry_time_is_read_in_utc() {
        for (value, expected) in [
            ("20270131", "2027-01-31T00:00:00Z"),
            ("202701311230", "2027-01-31T12:30:00Z"),
            ("20270131123059Z", "2027-01-31T12:30:59Z"),
        ] {
            let line = format!("expiry-time=\"{value}\" {KEY}");
            assert_eq!(one(&line).expires_at, Some(expected.parse().unwrap()), "{value}");
        }
        let twice = one(&format!("expiry-time=\"20280101\",expiry-time=\"20270131\" {KEY}"));
        assert_eq!(twice.expires_at, Some("2027-01-31T00:00:00Z".parse().unwrap()));
        for value in ["", "2027", "20270231", "2027013112", "20270131ZZ", "tomorrow", "+0270131"] {
            assert_eq!(reason(&format!("expiry-time=\"{value}\" {KEY}")), LineErrorReason::ExpiryTime, "{value}");
        }
        assert_eq!(reason(&format!("expiry-time {KEY}")), LineErrorReason::ExpiryTime);
    }
}
