//! Finds private keys in any text: source code, settings, logs. The keys may be indented, quoted, escaped, in a diff, or
//! encoded in base64.

use std::ops::Range;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use domain::{
    private_key::{PrivateKeyFormat, is_private_der},
    text_encoding::to_utf8,
};
use zeroize::Zeroizing;

use super::{
    PrivateKey,
    armour::{self, Armoured},
    der::is_der,
    error::{PrivateKeyErrorKind, ProtectedFormat},
    openssh, putty,
};

const BEGIN: &str = "-----BEGIN";
const END: &str = "-----END";
const PUTTY: &str = "PuTTY-User-Key-File-";
/// The longest block that is searched for its end. A file with an RSA 4096 key has less than 4 KiB.
const MAX_BLOCK: usize = 16 * 1024;
/// The longest label of a block, with its blanks.
const MAX_LABEL: usize = 64;
/// The shortest base64 of a key: Ed25519 in PKCS#8 has 64 characters.
const SHORTEST_RUN: usize = 60;
/// The shortest line of base64 that may continue on the next line.
const SHORTEST_LINE: usize = 40;
/// A block with less base64 cannot be the remains of a key, but is an example such as `…`.
const SHORTEST_REMAINS: usize = 100;
/// The maximum number of encodings around each other.
const MAX_DEPTH: u8 = 2;
/// A file with a NUL byte in its first bytes is not text, as for git.
const SNIFFED: usize = 8000;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A private key that was found in a text.
#[derive(Clone, Debug)]
pub struct FoundKey {
    /// The line on which it begins, from 1.
    pub line: usize,
    /// The character at which it begins in its line, from 1.
    pub column: usize,
    /// The line on which it ends.
    pub end_line: usize,
    /// The format.
    pub format: PrivateKeyFormat,
    /// Whether it is encoded in base64, in addition to the base64 of its format.
    pub is_encoded: bool,
    /// The fingerprint of its public key, if that can be read without a passphrase.
    pub fingerprint: Option<String>,
    /// The key.
    pub content: FoundContent,
}

/// What was found.
#[derive(Clone, Debug)]
pub enum FoundContent {
    /// A key that can sign.
    Key(PrivateKey),
    /// A key that is protected by a passphrase.
    Protected,
    /// A key of a type or in a format that Keyward does not support, with its name.
    Unsupported(String),
    /// A key of which a part is missing or changed.
    Damaged,
}

/// Returns whether this is neither text nor a private key in DER, so that no key is searched for in it.
#[must_use]
pub fn is_binary(content: &[u8]) -> bool {
    !is_der(content) && to_utf8(content).iter().take(SNIFFED).any(|&byte| byte == 0)
}

/// Returns the private keys in a file, in the order of their positions. Nothing is searched for in a binary file.
#[must_use]
pub fn find_private_keys(content: &[u8]) -> Vec<FoundKey> {
    if is_der(content) {
        let whole = Parsed::of_der(content).map(|parsed| parsed.found(1, 1, 1));
        return whole.into_iter().collect();
    }
    if is_binary(content) {
        return Vec::new();
    }
    let bytes = Zeroizing::new(to_utf8(content).into_owned());
    let text = Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
    let mut lines = Lines { text: &text, at: 0, line: 1 };
    let mut found = Vec::new();
    for (range, mut parsed) in find_in(&text, 0) {
        // A PuTTY file has a MAC over its comment, which may be in another encoding.
        if parsed.is_damaged() && parsed.format == PrivateKeyFormat::Putty {
            parsed = Parsed::of(&bytes, PrivateKeyFormat::Putty).unwrap_or(parsed);
        }
        let (line, column) = lines.position(range.start);
        let end_line = line + text[range].matches('\n').count();
        found.push(parsed.found(line, column, end_line));
    }
    found
}

/// Counts the lines up to increasing positions.
struct Lines<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl Lines<'_> {
    fn position(&mut self, at: usize) -> (usize, usize) {
        self.line += self.text[self.at..at].matches('\n').count();
        self.at = at;
        let start = self.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        (self.line, self.text[start..at].chars().count() + 1)
    }
}

/// A found key without its position.
struct Parsed {
    format: PrivateKeyFormat,
    is_encoded: bool,
    fingerprint: Option<String>,
    content: FoundContent,
}

impl Parsed {
    fn found(self, line: usize, column: usize, end_line: usize) -> FoundKey {
        let Self { format, is_encoded, fingerprint, content } = self;
        FoundKey { line, column, end_line, format, is_encoded, fingerprint, content }
    }

    /// Reads one key. Returns `None` if it is none.
    fn of(file: &[u8], format: PrivateKeyFormat) -> Option<Self> {
        let kind = match PrivateKey::read(file) {
            Ok(key) => {
                let fingerprint = Some(key.fingerprint());
                return Some(Self { format, is_encoded: false, fingerprint, content: FoundContent::Key(key) });
            }
            Err(kind) => kind,
        };
        let mut fingerprint = None;
        let mut format = format;
        let content = match kind {
            PrivateKeyErrorKind::PassphraseProtected(protected) => {
                // These two formats do not encrypt the public key.
                fingerprint = match armour::read(file) {
                    Ok(Armoured::OpenSsh(bytes)) => openssh::fingerprint(&bytes),
                    Ok(Armoured::Putty(file)) => putty::fingerprint(&file),
                    _ => None,
                };
                if matches!(protected, ProtectedFormat::Pkcs8 | ProtectedFormat::Pkcs8Der) {
                    format = PrivateKeyFormat::EncryptedPkcs8;
                }
                FoundContent::Protected
            }
            PrivateKeyErrorKind::UnsupportedKeyType(name) => FoundContent::Unsupported(name),
            PrivateKeyErrorKind::PuttyVersion(version) => FoundContent::Unsupported(format!("PuTTY version {version}")),
            PrivateKeyErrorKind::UnsupportedFormat(other) => {
                format = other;
                FoundContent::Unsupported(other.to_string())
            }
            PrivateKeyErrorKind::Damaged | PrivateKeyErrorKind::HalvesDiffer => FoundContent::Damaged,
            _ => return None,
        };
        Some(Self { format, is_encoded: false, fingerprint, content })
    }

    /// Reads the DER of one key. Other DER, such as a certificate, is none.
    fn of_der(der: &[u8]) -> Option<Self> {
        Self::of(der, PrivateKeyFormat::Pkcs8).filter(|parsed| !matches!(parsed.content, FoundContent::Damaged))
    }

    fn is_damaged(&self) -> bool {
        matches!(self.content, FoundContent::Damaged)
    }
}

/// Returns the keys in a text, in the order of their positions. They do not overlap.
fn find_in(text: &str, depth: u8) -> Vec<(Range<usize>, Parsed)> {
    let mut found = find_blocks(text);
    found.extend(find_putty_files(text));
    found.extend(find_jwks(text));
    let mut taken: Vec<Range<usize>> = found.iter().map(|(range, _)| range.clone()).collect();
    taken.sort_by_key(|range| range.start);
    let is_taken = |run: &Range<usize>| taken.iter().any(|range| range.start < run.end && run.start < range.end);
    for run in Runs::of(text).filter(|run| !is_taken(&run.range)) {
        found.extend(read_run(&run, depth).into_iter().map(|parsed| (run.range.clone(), parsed)));
    }
    found.sort_by_key(|(range, _)| range.start);
    found
}

/// Finds PEM blocks with a private key, also if they lost their line breaks or are quoted.
fn find_blocks(text: &str) -> Vec<(Range<usize>, Parsed)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find(BEGIN).map(|found| at + found) {
        at = start + BEGIN.len();
        let Some(label) = text[at..].get(..floor(&text[at..], MAX_LABEL)).and_then(|rest| rest.split("-----").next())
        else {
            continue;
        };
        let Some(format) = format_of_label(label) else { continue };
        let body = at + label.len() + "-----".len();
        if body > text.len() {
            continue;
        }
        let limit = body + floor(&text[body..], MAX_BLOCK);
        let end_line = text[body..limit].find("-----").map(|found| body + found);
        let end = end_line.filter(|end| text[*end..].starts_with(END)).and_then(|end| {
            let after = end + END.len();
            text[after..].get(..floor(&text[after..], MAX_LABEL))?.find("-----").map(|found| after + found + 5)
        });
        // Without its END line, it is a part of a key or an example.
        let range = start..end.or(end_line).unwrap_or(limit);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let parsed = match end {
            Some(end) => read_block(&text[start..end], &text[line_start..start], format),
            None => None,
        };
        let body = &text[body..end_line.unwrap_or(limit)];
        let parsed = parsed.or_else(|| {
            let damaged = Parsed { format, is_encoded: false, fingerprint: None, content: FoundContent::Damaged };
            is_substantial(body).then_some(damaged)
        });
        if let Some(parsed) = parsed {
            at = range.end.max(at);
            found.push((range, parsed));
        }
    }
    found
}

/// Returns the greatest index up to `most` at which a text can be split.
fn floor(text: &str, most: usize) -> usize {
    text.floor_char_boundary(most)
}

fn format_of_label(label: &str) -> Option<PrivateKeyFormat> {
    let label: String = label.chars().filter(|c| !c.is_whitespace() && *c != '\\').collect();
    Some(match label.as_str() {
        "OPENSSHPRIVATEKEY" => PrivateKeyFormat::OpenSsh,
        "PRIVATEKEY" => PrivateKeyFormat::Pkcs8,
        "ENCRYPTEDPRIVATEKEY" => PrivateKeyFormat::EncryptedPkcs8,
        "RSAPRIVATEKEY" => PrivateKeyFormat::Pkcs1,
        "ECPRIVATEKEY" => PrivateKeyFormat::Sec1,
        "DSAPRIVATEKEY" => PrivateKeyFormat::Dsa,
        "PGPPRIVATEKEYBLOCK" => PrivateKeyFormat::Pgp,
        other if other.ends_with("PRIVATEKEY") => PrivateKeyFormat::Other,
        _ => return None,
    })
}

/// Reads a block as it stands, and otherwise without what a program or a diff has around each line. `before` is the text
/// before the BEGIN line.
fn read_block(block: &str, before: &str, format: PrivateKeyFormat) -> Option<Parsed> {
    if format == PrivateKeyFormat::Pgp {
        let content = FoundContent::Unsupported(format.to_string());
        return Some(Parsed { format, is_encoded: false, fingerprint: None, content });
    }
    let plain = Parsed::of(block.as_bytes(), format);
    if plain.as_ref().is_some_and(|parsed| !parsed.is_damaged()) {
        return plain;
    }
    let cleaned = Zeroizing::new(without_decoration(block, before));
    Parsed::of(cleaned.as_bytes(), format).filter(|parsed| !parsed.is_damaged())
}

/// Removes the text before the first line from every line, and quotes and operators of programs around the lines.
fn without_decoration(block: &str, before: &str) -> String {
    let mut clean = String::with_capacity(block.len());
    for line in block.lines() {
        let line = line.strip_prefix(before).unwrap_or(line).trim();
        let line = line.strip_suffix('+').map_or(line, |rest| {
            // At the end of a line, `+` joins strings, unless base64 ends with it.
            if rest.ends_with(|c: char| c.is_whitespace() || "\"'`".contains(c)) { rest.trim_end() } else { line }
        });
        let line = line.trim_start_matches(['#', '*', '>', '|']);
        let line = line.strip_prefix("//").unwrap_or(line);
        let is_around = |c: char| c.is_whitespace() || "\"'`,;()\\".contains(c);
        clean.push_str(line.trim_matches(is_around));
        clean.push('\n');
    }
    clean
}

/// Returns whether a block that cannot be read contains enough base64 to be the remains of a key.
fn is_substantial(body: &str) -> bool {
    let base64 = body.bytes().take_while(u8::is_ascii).filter(|&byte| is_base64(byte)).count();
    base64 >= SHORTEST_REMAINS && !body.contains("...") && !body.contains(['<', '{', '$'])
}

/// Finds PuTTY files, also with `\n` in place of line breaks.
fn find_putty_files(text: &str) -> Vec<(Range<usize>, Parsed)> {
    const LAST: &str = "Private-MAC:";
    let mut found = Vec::new();
    for (start, _) in text.match_indices(PUTTY) {
        let limit = start + floor(&text[start..], MAX_BLOCK);
        let Some(mac) = text[start..limit].find(LAST).map(|found| start + found + LAST.len()) else { continue };
        let digits = text[mac..].bytes().take_while(|byte| *byte == b' ').count() + mac;
        let end = digits + text[digits..].bytes().take_while(u8::is_ascii_hexdigit).count();
        let file = &text[start..end];
        if file[1..].contains(PUTTY) {
            continue;
        }
        found.extend(Parsed::of(file.as_bytes(), PrivateKeyFormat::Putty).map(|parsed| (start..end, parsed)));
    }
    found
}

/// Finds JWKs with private members.
fn find_jwks(text: &str) -> Vec<(Range<usize>, Parsed)> {
    let mut found: Vec<(Range<usize>, Parsed)> = Vec::new();
    for (at, _) in text.match_indices("\"kty\"") {
        let from = floor(text, at.saturating_sub(MAX_BLOCK));
        let Some(start) = text[from..at].rfind('{').map(|found| from + found) else { continue };
        let limit = at + floor(&text[at..], MAX_BLOCK);
        let Some(end) = text[at..limit].find('}').map(|found| at + found + 1) else { continue };
        let parsed = Parsed::of(&text.as_bytes()[start..end], PrivateKeyFormat::Jwk);
        found.extend(parsed.filter(|parsed| !parsed.is_damaged()).map(|parsed| (start..end, parsed)));
    }
    found
}

const fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// A run of base64, whose lines are joined.
struct Run {
    range: Range<usize>,
    text: Zeroizing<String>,
}

/// The long runs of base64 in a text.
struct Runs<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Runs<'a> {
    fn of(text: &'a str) -> Self {
        Self { text: text.as_bytes(), at: 0 }
    }

    /// Returns the end of the base64 that begins here.
    fn end_of_line(&self, from: usize) -> usize {
        from + self.text[from..].iter().take_while(|byte| is_base64(**byte)).count()
    }

    /// Returns where the next line begins if this is a line break, real or escaped.
    fn next_line(&self, at: usize) -> Option<usize> {
        let rest = &self.text[at..];
        let breaks: [&[u8]; 4] = [b"\r\n", b"\n", b"\\r\\n", b"\\n"];
        let length = breaks.iter().find(|line_break| rest.starts_with(line_break))?.len();
        Some(at + length + rest[length..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count())
    }
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        loop {
            let start = self.at + self.text[self.at..].iter().position(|byte| is_base64(*byte))?;
            let mut end = self.end_of_line(start);
            let mut parts: Vec<_> = std::iter::once(start..end).collect();
            while parts.last().is_some_and(|part| part.len() >= SHORTEST_LINE) {
                let Some(next) = self.next_line(end) else { break };
                let next_end = self.end_of_line(next);
                // The whole line belongs to it, or it is another text.
                let is_whole = match self.text.get(next_end..).unwrap_or_default() {
                    [] | [b'\n' | b'\r' | b'\\' | b'"' | b'\'', ..] => true,
                    // Padding, and not the name of a variable.
                    [b'=', rest @ ..] => matches!(rest, [] | [b'=' | b'\n' | b'\r' | b'\\' | b'"' | b'\'', ..]),
                    _ => false,
                };
                if next_end == next || !is_whole {
                    break;
                }
                parts.push(next..next_end);
                end = next_end;
            }
            self.at = end + 1;
            self.at = self.at.min(self.text.len());
            if parts.iter().map(Range::len).sum::<usize>() >= SHORTEST_RUN {
                let parts = parts.iter().map(|part| String::from_utf8_lossy(&self.text[part.clone()]));
                return Some(Run { range: start..end, text: Zeroizing::new(parts.collect()) });
            }
        }
    }
}

/// Reads a run that is the base64 of a key without its armour, or of a file with keys.
fn read_run(run: &Run, depth: u8) -> Vec<Parsed> {
    let standard = Zeroizing::new(run.text.replace('-', "+").replace('_', "/"));
    // A run that is cut off may end inside a group of four.
    let whole = standard.len() / 4 * 4;
    let decoded = LENIENT.decode(standard.as_bytes()).or_else(|_| LENIENT.decode(&standard.as_bytes()[..whole]));
    let Ok(decoded) = decoded.map(Zeroizing::new) else { return Vec::new() };
    if decoded.starts_with(b"openssh-key-v1\0") {
        let block =
            format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n", *padded(&standard));
        let block = Zeroizing::new(block);
        return Parsed::of(block.as_bytes(), PrivateKeyFormat::OpenSsh).into_iter().collect();
    }
    if is_private_der(&decoded) {
        return Parsed::of_der(&decoded).into_iter().collect();
    }
    if depth >= MAX_DEPTH || is_binary(&decoded) {
        return Vec::new();
    }
    let bytes = Zeroizing::new(to_utf8(&decoded).into_owned());
    let text = Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
    let within = find_in(&text, depth + 1).into_iter();
    within.map(|(_, parsed)| Parsed { is_encoded: true, ..parsed }).collect()
}

fn padded(text: &str) -> Zeroizing<String> {
    let padding = text.len().next_multiple_of(4) - text.len();
    Zeroizing::new(format!("{text}{}", "=".repeat(padding)))
}
