//! A strict, borrowing parser for the structured fields (RFC 8941) of signatures and digests. It does not interpret the
//! fields. `sfv` parses fields of other types (see `component`).
//!
//! RFC 8941 allows a parser to accept several forms of one value (leading zeros, missing base64 padding, `;a=?1`). This
//! parser only accepts the canonical form, so that the serialised value is the received one, except for spaces.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The maximum number of parameters of an item or inner list. RFC 9421 defines six. The search for duplicates takes
/// quadratic time.
const MAX_PARAMETERS: usize = 16;

/// A bare item (RFC 8941 §3.3), in its received form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BareItem<'a> {
    /// An integer of at most 15 digits.
    Integer(i64),
    /// A decimal. No parameter of RFC 9421 is a decimal, so its value is not parsed.
    Decimal(&'a str),
    /// The text between the quotes of a string, including escapes (`\"`, `\\`).
    String(&'a str),
    /// A token.
    Token(&'a str),
    /// A byte sequence, as the padded base64 between the colons.
    ByteSequence(&'a str),
    /// A boolean.
    Boolean(bool),
}

impl<'a> BareItem<'a> {
    /// Returns the string, if it is one and has no escapes.
    #[must_use]
    pub fn as_plain_string(self) -> Option<&'a str> {
        match self {
            Self::String(text) if !text.contains('\\') => Some(text),
            _ => None,
        }
    }

    pub(crate) fn serialize(self, out: &mut String) {
        match self {
            // Writing to a String cannot fail.
            Self::Integer(number) => _ = write!(out, "{number}"),
            Self::Decimal(text) | Self::Token(text) => out.push_str(text),
            Self::String(text) => {
                out.push('"');
                out.push_str(text);
                out.push('"');
            }
            Self::ByteSequence(text) => {
                out.push(':');
                out.push_str(text);
                out.push(':');
            }
            Self::Boolean(value) => out.push_str(if value { "?1" } else { "?0" }),
        }
    }
}

/// A parameter of an item or an inner list (RFC 8941 §3.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// The parameter's key.
    pub key: &'a str,
    /// Its value, which is `true` if none is written.
    pub value: BareItem<'a>,
}

impl Parameter<'_> {
    pub(crate) fn serialize(self, out: &mut String) {
        out.push(';');
        out.push_str(self.key);
        if self.value != BareItem::Boolean(true) {
            out.push('=');
            self.value.serialize(out);
        }
    }
}

/// Why a structured field cannot be parsed, and the position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{expected} at byte {position}")]
pub struct SyntaxError {
    /// The offset in the combined field value.
    pub position: usize,
    /// The expected syntax.
    pub expected: &'static str,
}

/// A cursor in a combined field value.
pub(crate) struct Parser<'a> {
    input: &'a str,
    position: usize,
}

impl<'a> Parser<'a> {
    pub(crate) fn new(input: &'a str) -> Self {
        let mut parser = Self { input, position: 0 };
        parser.skip_while(|byte| byte == b' ');
        parser
    }

    pub(crate) fn at_end(&self) -> bool {
        self.position == self.input.len()
    }

    /// Parses `key=`, the beginning of a dictionary member with a value. Every member of the fields parsed here has a
    /// value.
    pub(crate) fn member_key(&mut self) -> Result<&'a str, SyntaxError> {
        let key = self.key()?;
        self.expect(b'=', "`=` and a value")?;
        Ok(key)
    }

    /// Parses the end of a dictionary member: the end of the field, or a comma that another member follows.
    pub(crate) fn member_end(&mut self) -> Result<(), SyntaxError> {
        self.skip_optional_whitespace();
        if self.at_end() {
            return Ok(());
        }
        self.expect(b',', "a comma")?;
        self.skip_optional_whitespace();
        if self.at_end() { Err(self.error("a member after the comma")) } else { Ok(()) }
    }

    pub(crate) fn inner_list_start(&mut self) -> Result<(), SyntaxError> {
        self.expect(b'(', "an inner list")
    }

    /// Returns true if another item of the inner list follows, and false after its `)` was consumed.
    pub(crate) fn inner_list_next(&mut self) -> Result<bool, SyntaxError> {
        let before = self.position;
        self.skip_while(|byte| byte == b' ');
        if self.peek() == Some(b')') {
            self.position += 1;
            return Ok(false);
        }
        if self.position == before && self.input.as_bytes().get(before.wrapping_sub(1)) != Some(&b'(') {
            return Err(self.error("a space or `)`"));
        }
        Ok(true)
    }

    /// Parses parameters in the order received. A repeated key is refused, although RFC 8941 would use its last value.
    pub(crate) fn parameters(&mut self, into: &mut Vec<Parameter<'a>>) -> Result<(), SyntaxError> {
        while self.peek() == Some(b';') {
            self.position += 1;
            self.skip_while(|byte| byte == b' ');
            let key = self.key()?;
            let value = if self.peek() == Some(b'=') {
                self.position += 1;
                match self.bare_item()? {
                    BareItem::Boolean(true) => return Err(self.error("no `=?1`, which is written without a value")),
                    value => value,
                }
            } else {
                BareItem::Boolean(true)
            };
            if into.len() == MAX_PARAMETERS {
                return Err(self.error("no further parameter"));
            }
            if into.iter().any(|earlier| earlier.key == key) {
                return Err(self.error("a parameter that is not there yet"));
            }
            into.push(Parameter { key, value });
        }
        Ok(())
    }

    pub(crate) fn string(&mut self) -> Result<&'a str, SyntaxError> {
        self.expect(b'"', "a string")?;
        let start = self.position;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let text = self.since(start);
                    self.position += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.position += 1;
                    if !matches!(self.peek(), Some(b'"' | b'\\')) {
                        return Err(self.error("`\"` or `\\` after a backslash"));
                    }
                    self.position += 1;
                }
                Some(b' '..=b'~') => self.position += 1,
                _ => return Err(self.error("a printable character or the closing quote")),
            }
        }
    }

    /// Decodes a byte sequence in padded base64 whose unused bits are zero.
    pub(crate) fn byte_sequence(&mut self) -> Result<Vec<u8>, SyntaxError> {
        self.byte_sequence_text().map(|(_, bytes)| bytes)
    }

    fn byte_sequence_text(&mut self) -> Result<(&'a str, Vec<u8>), SyntaxError> {
        self.expect(b':', "a byte sequence")?;
        let start = self.position;
        self.skip_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
        let text = self.since(start);
        let bytes = STANDARD.decode(text).map_err(|_| self.error("padded base64 before"))?;
        self.expect(b':', "base64 and a colon")?;
        Ok((text, bytes))
    }

    pub(crate) fn bare_item(&mut self) -> Result<BareItem<'a>, SyntaxError> {
        match self.peek() {
            Some(b'"') => self.string().map(BareItem::String),
            Some(b':') => self.byte_sequence_text().map(|(text, _)| BareItem::ByteSequence(text)),
            Some(b'?') => {
                self.position += 1;
                let value = match self.peek() {
                    Some(b'0') => false,
                    Some(b'1') => true,
                    _ => return Err(self.error("0 or 1")),
                };
                self.position += 1;
                Ok(BareItem::Boolean(value))
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(byte) if byte == b'*' || byte.is_ascii_alphabetic() => {
                let start = self.position;
                self.skip_while(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte));
                Ok(BareItem::Token(self.since(start)))
            }
            _ => Err(self.error("a value")),
        }
    }

    fn number(&mut self) -> Result<BareItem<'a>, SyntaxError> {
        let start = self.position;
        let negative = self.peek() == Some(b'-');
        if negative {
            self.position += 1;
        }
        let digits_start = self.position;
        self.skip_while(|byte| byte.is_ascii_digit());
        let digits = self.since(digits_start);
        if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
            return Err(self.error("a number without leading zeros"));
        }
        if self.peek() == Some(b'.') {
            self.position += 1;
            let fraction_start = self.position;
            self.skip_while(|byte| byte.is_ascii_digit());
            let fraction = self.since(fraction_start);
            let canonical = fraction.len() == 1 || !fraction.ends_with('0');
            let zero = digits == "0" && fraction == "0";
            if digits.len() > 12 || fraction.is_empty() || fraction.len() > 3 || !canonical || (negative && zero) {
                return Err(self.error("a decimal in its shortest form"));
            }
            return Ok(BareItem::Decimal(self.since(start)));
        }
        if digits.len() > 15 || (negative && digits == "0") {
            return Err(self.error("an integer of at most 15 digits"));
        }
        self.since(start).parse().map(BareItem::Integer).map_err(|_| self.error("an integer"))
    }

    fn key(&mut self) -> Result<&'a str, SyntaxError> {
        let start = self.position;
        if !matches!(self.peek(), Some(b'a'..=b'z' | b'*')) {
            return Err(self.error("a lower-case key"));
        }
        self.skip_while(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*'));
        Ok(self.since(start))
    }

    fn peek(&self) -> Option<u8> {
        self.input.as_bytes().get(self.position).copied()
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), SyntaxError> {
        if self.peek() == Some(byte) {
            self.position += 1;
            Ok(())
        } else {
            Err(self.error(expected))
        }
    }

    fn skip_optional_whitespace(&mut self) {
        self.skip_while(|byte| matches!(byte, b' ' | b'\t'));
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&wanted) {
            self.position += 1;
        }
    }

    // The parser only advances over ASCII bytes, so the slice is on character boundaries.
    fn since(&self, start: usize) -> &'a str {
        self.input.get(start..self.position).unwrap_or_default()
    }

    pub(crate) fn error(&self, expected: &'static str) -> SyntaxError {
        SyntaxError { position: self.position, expected }
    }
}
