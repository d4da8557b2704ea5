//! Detection of secrets in the wrong place: the text of a private key instead of a file name, or a URL with a password
//! in a setting. Messages show such a value with [`shown`] or [`quoted`]. Texts from other libraries pass through
//! [`redact`] before they are printed, logged or returned.

mod redaction;

use std::fmt;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

pub use self::redaction::redact;
use crate::{
    private_key::{PrivateKeyFormat, detect as detect_private_key, is_private_der},
    text_encoding::to_utf8,
};

/// The maximum number of characters of a value in a message.
const MAX_SHOWN: usize = 200;
/// The minimum length of a random secret in characters: 30 bytes in base64.
const MIN_RANDOM: usize = 40;
/// The minimum length of a random secret in hexadecimal digits: 32 bytes.
const MIN_HEX: usize = 64;
/// The prefix of bearer tokens.
const TOKEN_PREFIX: &str = "kwt_";
/// The minimum number of characters after the prefix. A shorter text only mentions the prefix.
const MIN_TOKEN: usize = 8;
/// Parameters of URLs and connection strings whose value is a password.
const PASSWORD_PARAMETERS: [&str; 4] = ["password=", "passwd=", "pwd=", "sslpassword="];

/// Base64 of any program: padded or not, with stray bits at its end.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A kind of secret that no message should contain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Secret {
    /// A private key in any format, including its base64.
    PrivateKey,
    /// A bearer token of Keyward.
    BearerToken,
    /// A URL or a connection string with a password.
    Password,
    /// A long random text, such as the token of an invitation. Other texts may look similar.
    Random,
}

impl Secret {
    /// Returns whether only a secret can look like this.
    #[must_use]
    pub const fn is_certain(self) -> bool {
        !matches!(self, Self::Random)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PrivateKey => "a private key",
            Self::BearerToken => "a bearer token",
            Self::Password => "a URL with a password",
            Self::Random => "a random secret",
        })
    }
}

/// Returns the kind of secret that `text` is or contains.
#[must_use]
pub fn recognise(text: &str) -> Option<Secret> {
    if is_private_key(text) {
        Some(Secret::PrivateKey)
    } else if has_bearer_token(text) {
        Some(Secret::BearerToken)
    } else if has_password(text) {
        Some(Secret::Password)
    } else {
        runs(text).any(|run| is_random(text, run)).then_some(Secret::Random)
    }
}

/// Returns whether `text` is or contains a private key: in a known format, in base64, or with its line breaks lost or
/// escaped.
#[must_use]
pub fn is_private_key(text: &str) -> bool {
    /// Shorter than any BEGIN line.
    const SHORTEST: usize = 24;
    if text.len() < SHORTEST {
        return false;
    }
    // Backslashes come from escaped line breaks and quotes.
    let plain = text.replace("\\n", "\n").replace("\\r", "\r").replace('\\', "");
    find_private_key(&plain).is_some()
}

/// Returns the format of the private key in `text`, whether or not Keyward supports it. Base64 is decoded up to two
/// times: `base64 < FILE | base64` is not a format.
#[must_use]
pub fn find_private_key(text: &str) -> Option<PrivateKeyFormat> {
    let found = detect_private_key(text).or_else(|| {
        let squeezed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let whole = std::iter::once(squeezed.as_str());
        whole.chain(text.split(|c: char| !is_base64(c))).find_map(find_encoded)
    });
    // A JWK inside a longer text.
    found.or_else(|| {
        let start = text.find('{').filter(|_| text.contains("\"kty\""))?;
        detect_private_key(&text[start..])
    })
}

/// Returns the format of the private key whose base64 `run` is, or whose file in base64.
fn find_encoded(run: &str) -> Option<PrivateKeyFormat> {
    const SHORTEST: usize = 40;
    // The text before an `=` is the name of a variable.
    let run = run.trim_end_matches('=').rsplit('=').next().unwrap_or_default();
    if run.len() < SHORTEST {
        return None;
    }
    let standard = run.replace('-', "+").replace('_', "/");
    // A truncated text may end inside a group of four.
    let bytes =
        LENIENT.decode(&standard).or_else(|_| LENIENT.decode(&standard.as_bytes()[..standard.len() / 4 * 4])).ok()?;
    if bytes.starts_with(b"openssh-key-v1") {
        return Some(PrivateKeyFormat::OpenSsh);
    }
    if is_private_der(&bytes) {
        return Some(PrivateKeyFormat::Pkcs8);
    }
    detect_private_key(&String::from_utf8_lossy(&to_utf8(&bytes)))
}

fn has_bearer_token(text: &str) -> bool {
    text.match_indices(TOKEN_PREFIX).any(|(at, _)| token_length(&text[at + TOKEN_PREFIX.len()..]) >= MIN_TOKEN)
}

fn token_length(text: &str) -> usize {
    text.bytes().take_while(|c| c.is_ascii_alphanumeric() || b"-_".contains(c)).count()
}

fn has_password(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let is_given = |name: &&str| {
        lower.match_indices(*name).any(|(at, _)| {
            let is_word = !lower[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
            is_word && lower[at + name.len()..].starts_with(|c: char| !c.is_whitespace() && !"&;'\"`".contains(c))
        })
    };
    text.match_indices("://").any(|(at, mark)| userinfo(&text[..at], &text[at + mark.len()..]).is_some())
        || PASSWORD_PARAMETERS.iter().any(is_given)
}

/// Returns the length of the user information (RFC 3986 §3.2.1) at the beginning of `rest`, which follows `://`, if it
/// is a secret: a password, even if it is escaped incorrectly, or any user information for HTTP.
fn userinfo(before: &str, rest: &str) -> Option<usize> {
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let scheme = before.rsplit(|c| !is_scheme(c)).next().unwrap_or_default();
    let is_http = matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https");
    let word = rest.split(|c: char| c.is_whitespace() || c.is_control() || "\"`<>".contains(c)).next()?;
    let authority = word.split(['/', '?', '#']).next().unwrap_or_default();
    if let Some(end) = authority.rfind('@') {
        return (is_http || authority[..end].contains(':')).then_some(end);
    }
    // A password with an unescaped `/`, `?` or `#`. In a web URL, the path may contain `@`, after a port if there is
    // one.
    let end = word.rfind('@')?;
    let port = authority.split_once(':')?.1;
    let is_port = is_http && (port.is_empty() || port.bytes().all(|c| c.is_ascii_digit()));
    (!is_port).then_some(end)
}

/// Returns whether a character belongs to base64, in either alphabet.
const fn is_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_' | '=')
}

/// Returns the longest runs of base64 characters in a text.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !is_base64(c))
}

/// Returns whether a run of base64 characters in `text` is too evenly distributed for a name.
fn is_random(text: &str, run: &str) -> bool {
    let core = run.trim_matches('/');
    if core.len() >= MIN_HEX && core.bytes().all(|c| c.is_ascii_hexdigit()) {
        return true;
    }
    if core.len() < MIN_RANDOM || is_public(text, run) {
        return false;
    }
    // A path consists of many short names. Base64 has a slash in one of 64 characters.
    let class = |c: u8| (c.is_ascii_lowercase(), c.is_ascii_uppercase(), c.is_ascii_digit());
    let bytes = core.as_bytes();
    let has = |test: fn(&u8) -> bool| bytes.iter().filter(|c| test(c)).count() >= 3;
    let changes = bytes.windows(2).filter(|pair| class(pair[0]) != class(pair[1])).count();
    has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_digit)
        && changes * 5 >= bytes.len() * 2
}

/// Returns whether a run is a fingerprint or a public key, which is not a secret.
fn is_public(text: &str, run: &str) -> bool {
    // Both are slices of the same text, so the difference of their addresses is an offset.
    let at = run.as_ptr() as usize - text.as_ptr() as usize;
    let is_fingerprint = text[..at].ends_with("SHA256:") && run.trim_end_matches('=').len() == 43;
    let is_key = run.starts_with("AAAA")
        && LENIENT.decode(run.get(..24).unwrap_or_default()).is_ok_and(|bytes| {
            bytes.get(4..).is_some_and(|name| name.starts_with(b"ssh-") || name.starts_with(b"ecdsa-sha2-"))
        });
    is_fingerprint || is_key
}

/// A value in a message. If it is short, has one line and is not a secret, it is shown unchanged. Otherwise a
/// description is shown.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    value: &'a str,
    mark: &'static str,
}

/// Shows a value in a sentence.
#[must_use]
pub const fn shown(value: &str) -> Shown<'_> {
    Shown { value, mark: "" }
}

/// Shows a value between backticks. A description has no backticks.
#[must_use]
pub const fn quoted(value: &str) -> Shown<'_> {
    Shown { value, mark: "`" }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match describe(self.value) {
            None => write!(f, "{0}{1}{0}", self.mark, self.value),
            Some(description) => f.write_str(&description),
        }
    }
}

/// As `Display`, so that debug output does not contain a hidden value either.
impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Describes a value that should not be shown, such as `a value of 411 characters that looks like a private key`.
/// Returns `None` for a value that may be shown.
#[must_use]
pub fn describe(value: &str) -> Option<String> {
    let length = value.chars().count();
    let plural = if length == 1 { "" } else { "s" };
    let described = format!("a value of {length} character{plural}");
    if let Some(secret) = recognise(value) {
        Some(format!("{described} that looks like {secret}"))
    } else if value.contains(char::is_control) {
        let lines = value.lines().count();
        Some(if lines > 1 {
            format!("{described} in {lines} lines")
        } else {
            format!("{described}, not all printable")
        })
    } else {
        (length > MAX_SHOWN).then_some(described)
    }
}

/// Returns a parser's message without the values in it. Parsers quote invalid input, which may be a secret in the wrong
/// place.
#[must_use]
pub fn parser_message(message: &str) -> String {
    let mut said = message.lines().next().unwrap_or_default().to_owned();
    // serde's `invalid type: string "…", expected …`. The value may contain quotes.
    if let Some(start) = said.find("string \"") {
        match said.rfind("\", expected") {
            Some(end) if end >= start + "string \"".len() => said.replace_range(start..=end, "a string"),
            _ => said.replace_range(start.., "a string"),
        }
    }
    for name in ["unknown field `", "unknown variant `", "duplicate field `", "duplicate key `"] {
        let Some(start) = said.find(name) else { continue };
        let value = start + name.len() - 1;
        let ends = ["`, expected", "`, there are no"];
        let end = ends.iter().find_map(|end| said[value + 1..].find(end)).or_else(|| said[value + 1..].rfind('`'));
        let Some(end) = end else { continue };
        if let Some(description) = describe(&said[value + 1..value + 1 + end]) {
            said.replace_range(value..=value + 1 + end, &description);
        }
    }
    // The rest of the message may contain a secret, too.
    let is_secret = recognise(&said).is_some() || said.contains(char::is_control);
    if is_secret { "the value there is invalid".to_owned() } else { said }
}

#[cfg(test)]
mod tests;
