//! Removes secrets from a longer text: a log line, a response, or an error of another crate.

use std::{borrow::Cow, ops::Range};

use super::{MIN_TOKEN, TOKEN_PREFIX, find_encoded, is_base64, is_private_key, token_length, userinfo};

/// The replacement for a secret.
const HIDDEN: &str = "[hidden]";
/// The minimum number of base64 characters after `-----BEGIN … PRIVATE KEY-----`. With fewer characters, the text only
/// mentions the format.
const MIN_BODY: usize = 16;
/// Members of a JWK that are secret (RFC 7518 §6.2.2, §6.3.2, §6.4.1).
const PRIVATE_MEMBERS: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "k"];

/// Replaces the secrets in a text with `[hidden]`: private keys in any format, bearer tokens, and passwords in URLs. A
/// text without secrets is returned unchanged.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    // Most texts contain none of these, so one search for each is enough.
    let may_hold = |marks: &[&str]| marks.iter().any(|mark| text.contains(mark));
    let mut hidden = Vec::new();
    if may_hold(&["PRIVATE KEY"]) {
        hidden.extend(pem_bodies(text));
    }
    if may_hold(&["PuTTY-User-Key-File", "Private-Lines:"]) {
        hidden.extend(putty_bodies(text));
    }
    if may_hold(&["kty"]) {
        hidden.extend(jwk_members(text));
    }
    if may_hold(&[TOKEN_PREFIX]) {
        hidden.extend(bearer_tokens(text));
    }
    if may_hold(&["://"]) {
        hidden.extend(user_infos(text));
    }
    hidden.extend(encoded_keys(text));
    if hidden.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(without(text, hidden)) }
}

fn without(text: &str, mut hidden: Vec<Range<usize>>) -> String {
    hidden.sort_by_key(|range| range.start);
    let mut rest = String::with_capacity(text.len());
    let mut at = 0;
    for range in hidden {
        if range.end <= at {
            continue;
        }
        // Overlapping ranges are one secret.
        if range.start >= at && (at == 0 || range.start > at || !rest.ends_with(HIDDEN)) {
            rest.push_str(&text[at..range.start]);
            rest.push_str(HIDDEN);
        }
        at = range.end;
    }
    rest.push_str(&text[at..]);
    rest
}

/// Returns the text between the BEGIN and END lines of private keys. Without an END line, it ends with the quotation.
fn pem_bodies(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices("PRIVATE KEY").filter_map(|(at, label)| {
        let begins = text[..at].rfind("BEGIN").is_some_and(|begin| at - begin <= 24);
        let start = at + label.len();
        let start = start + text[start..].strip_prefix(" BLOCK").map_or(0, |_| " BLOCK".len());
        let start = skip_breaks(text, start + length_of(&text[start..], |c| c == '-' || c == ' '));
        let ends = ["-----END", "---- END"];
        let end = ends.iter().find_map(|end| text[start..].find(end)).map_or_else(|| end(text, start), |n| start + n);
        let is_key = text[start..end].split(|c| !is_base64(c)).any(|run| run.len() >= MIN_BODY);
        (begins && is_key).then_some(start..end)
    })
}

fn putty_bodies(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices("Private-Lines:").map(|(at, mark)| at + mark.len()..end(text, at))
}

/// Returns the values of the private members of a JWK, in JSON that may itself be escaped, once or more often.
fn jwk_members(text: &str) -> impl Iterator<Item = Range<usize>> {
    PRIVATE_MEMBERS.iter().flat_map(move |member| {
        text.match_indices(member).filter_map(move |(at, name)| {
            let is_quoted = text[..at].ends_with(['"', '\'']);
            let start = at + name.len();
            let between = length_of(&text[start..], |c| matches!(c, ' ' | ':' | '\\' | '"' | '\''));
            let is_member = is_quoted && text[start..start + between].contains(':');
            let start = start + between;
            let length = length_of(&text[start..], is_base64);
            (is_member && length > 0).then_some(start..start + length)
        })
    })
}

fn bearer_tokens(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices(TOKEN_PREFIX).filter_map(|(at, prefix)| {
        let start = at + prefix.len();
        let length = token_length(&text[start..]);
        (length >= MIN_TOKEN).then_some(start..start + length)
    })
}

fn user_infos(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices("://").filter_map(|(at, mark)| {
        let start = at + mark.len();
        userinfo(&text[..at], &text[start..]).map(|length| start..start + length)
    })
}

/// Returns the base64 of private keys, with or without line breaks in it.
fn encoded_keys(text: &str) -> Vec<Range<usize>> {
    /// A shorter run is a word of the following text.
    const MIN_LINE: usize = 16;
    let mut hidden = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let start = at + length_of(rest, |c| !is_base64(c));
        let mut end = start + length_of(&text[start..], is_base64);
        at = end;
        let is_key = |from: usize, to: usize| {
            let run = &text[from..to];
            run.len() >= 2 * MIN_LINE && (find_encoded(run).is_some() || is_private_key(run))
        };
        if start == end {
            break;
        }
        // The letter of an escaped line break before it is not part of the base64.
        let escaped = usize::from(text[..start].ends_with('\\') && text[start..].starts_with(['n', 'r']));
        if !is_key(start + escaped, end) {
            continue;
        }
        // The following lines.
        loop {
            let next = skip_breaks(text, end);
            let length = length_of(&text[next..], is_base64);
            if next == end || length < MIN_LINE && !text[next..next + length].ends_with('=') {
                break;
            }
            end = next + length;
        }
        hidden.push(start..end);
        at = end;
    }
    hidden
}

/// Returns the position after the spaces and line breaks at `at`, including escaped ones.
fn skip_breaks(text: &str, mut at: usize) -> usize {
    loop {
        let rest = &text[at..];
        let length = match rest.as_bytes() {
            [b'\\', b'n' | b'r' | b't', ..] => 2,
            [c, ..] if c.is_ascii_whitespace() => 1,
            _ => return at,
        };
        at += length;
    }
}

/// Returns the length in bytes of the characters at the beginning of `text` that match.
fn length_of(text: &str, is_such: impl Fn(char) -> bool) -> usize {
    text.find(|c| !is_such(c)).unwrap_or(text.len())
}

/// Returns where the quotation around `start` ends: before a quotation mark or a backtick, or at the end of the text.
fn end(text: &str, start: usize) -> usize {
    let mut escaped = false;
    for (at, c) in text[start..].char_indices() {
        match c {
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            '"' | '`' if !escaped => return start + at,
            _ => {}
        }
        escaped = false;
    }
    text.len()
}
