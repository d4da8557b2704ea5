//! Inspects the header blocks of an HTTP/2 connection for a `:path` with a fragment, which is not allowed (RFC 9113
//! §8.3.1). The parser of paths removes fragments without an error, so that a signature for another target would be
//! valid.
//!
//! A `#` is replaced by a byte that no path may have, so that only this request is refused as malformed. Other requests
//! on the connection, which may come from other clients of a proxy, continue. No text is stored: of the compression
//! table (RFC 7541), only the lengths of its entries are needed, and which of them have the name of a path.

use std::collections::VecDeque;

/// The rest of the connection cannot be parsed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Malformed;

const FRAME_HEADER: usize = 9;
const HEADERS: u8 = 1;
const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
const PRIORITY_LENGTH: u32 = 5;

/// The bytes from a client after its preface.
#[derive(Debug, Default)]
pub(super) struct Http2 {
    frame: Frame,
    fields: Fields,
}

/// The position in a frame.
#[derive(Clone, Copy, Debug)]
enum Frame {
    /// This number of bytes of the header was received.
    Header { bytes: [u8; FRAME_HEADER], length: usize },
    /// The length of the padding comes next.
    PadLength { left: u32, has_priority: bool, ends: bool },
    /// The number of bytes before the block, of the block, and after it.
    Block { before: u32, left: u32, padding: u32, ends: bool },
    /// This number of bytes is not a header block.
    Other { left: u32 },
}

impl Default for Frame {
    fn default() -> Self {
        Self::Header { bytes: [0; FRAME_HEADER], length: 0 }
    }
}

impl Http2 {
    /// Processes received bytes.
    pub(super) fn watch(&mut self, received: &mut [u8]) -> Result<(), Malformed> {
        let mut at = 0;
        while let Some(byte) = received.get_mut(at) {
            if let Frame::Other { left } = &mut self.frame {
                let step = usize::try_from(*left).unwrap_or(usize::MAX).min(received.len() - at);
                at += step;
                *left -= u32::try_from(step).unwrap_or(*left);
                if *left == 0 {
                    self.frame = Frame::default();
                }
                continue;
            }
            self.take(byte)?;
            at += 1;
        }
        Ok(())
    }

    fn take(&mut self, byte: &mut u8) -> Result<(), Malformed> {
        self.frame = match self.frame {
            Frame::Header { mut bytes, length } => {
                *bytes.get_mut(length).ok_or(Malformed)? = *byte;
                if length + 1 < FRAME_HEADER { Frame::Header { bytes, length: length + 1 } } else { begin(bytes)? }
            }
            Frame::PadLength { left, has_priority, ends } => {
                let padding = u32::from(*byte);
                let before = if has_priority { PRIORITY_LENGTH } else { 0 };
                let left = left.checked_sub(padding + before).ok_or(Malformed)?;
                Frame::Block { before, left, padding, ends }
            }
            Frame::Block { before: before @ 1.., left, padding, ends } => {
                Frame::Block { before: before - 1, left, padding, ends }
            }
            Frame::Block { before: 0, left: left @ 1.., padding, ends } => {
                self.fields.take(byte)?;
                Frame::Block { before: 0, left: left - 1, padding, ends }
            }
            Frame::Block { .. } | Frame::Other { .. } => return Err(Malformed),
        };
        if let Frame::Block { before: 0, left: 0, padding, ends } = self.frame {
            if ends {
                self.fields.end()?;
            }
            self.frame = if padding == 0 { Frame::default() } else { Frame::Other { left: padding } };
        }
        Ok(())
    }
}

/// Returns the state after a frame's header.
fn begin(header: [u8; FRAME_HEADER]) -> Result<Frame, Malformed> {
    let [a, b, c, kind, flags, ..] = header;
    let left = u32::from_be_bytes([0, a, b, c]);
    let ends = flags & END_HEADERS != 0;
    Ok(match kind {
        HEADERS if flags & PADDED != 0 => {
            let left = left.checked_sub(1).ok_or(Malformed)?;
            Frame::PadLength { left, has_priority: flags & PRIORITY != 0, ends }
        }
        HEADERS if flags & PRIORITY != 0 => {
            let left = left.checked_sub(PRIORITY_LENGTH).ok_or(Malformed)?;
            Frame::Block { before: PRIORITY_LENGTH, left, padding: 0, ends }
        }
        HEADERS | CONTINUATION => Frame::Block { before: 0, left, padding: 0, ends },
        // Clients must not send it, and its block would change the table.
        PUSH_PROMISE => return Err(Malformed),
        _ if left == 0 => Frame::default(),
        _ => Frame::Other { left },
    })
}

/// The default size of the table. The server does not change it.
const MAX_TABLE: u32 = 4096;
/// The size of an entry without its name and value (RFC 7541 §4.1).
const ENTRY: u32 = 32;
/// Longer than any header field that Keyward accepts.
const MAX_INTEGER: u32 = 1 << 24;

/// The fields of the header blocks, in the coding of RFC 7541.
#[derive(Debug)]
struct Fields {
    state: State,
    /// The dynamic table, the newest entry first.
    table: VecDeque<Entry>,
    size: u32,
    max_size: u32,
}

impl Default for Fields {
    fn default() -> Self {
        Self { state: State::Begin, table: VecDeque::new(), size: 0, max_size: MAX_TABLE }
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    name: Name,
    value_length: u32,
}

impl Entry {
    const fn size(self) -> u32 {
        ENTRY + self.name.length + self.value_length
    }
}

#[derive(Clone, Copy, Debug)]
struct Name {
    length: u32,
    is_path: bool,
}

/// The position in a block.
#[derive(Clone, Copy, Debug)]
enum State {
    Begin,
    /// The next byte continues an integer.
    Integer {
        of: Integer,
        value: u32,
        shift: u32,
    },
    /// The length of a string comes next.
    StringLength {
        name: Option<Name>,
        is_indexed: bool,
    },
    String {
        name: Option<Name>,
        is_indexed: bool,
        text: Text,
    },
}

/// The meaning of an integer.
#[derive(Clone, Copy, Debug)]
enum Integer {
    /// The index of a complete field in the table.
    Field,
    /// The index of a name. The value follows.
    Name {
        is_indexed: bool,
    },
    TableSize,
    /// The length of a string.
    Length {
        name: Option<Name>,
        is_indexed: bool,
        is_huffman: bool,
    },
}

impl Fields {
    fn take(&mut self, byte: &mut u8) -> Result<(), Malformed> {
        self.state = match self.state {
            State::Begin => {
                let (of, bits) = match *byte {
                    0x80.. => (Integer::Field, 7),
                    0x40.. => (Integer::Name { is_indexed: true }, 6),
                    0x20.. => (Integer::TableSize, 5),
                    _ => (Integer::Name { is_indexed: false }, 4),
                };
                self.begin_integer(of, *byte, bits)?
            }
            State::StringLength { name, is_indexed } => {
                let of = Integer::Length { name, is_indexed, is_huffman: *byte & 0x80 != 0 };
                self.begin_integer(of, *byte, 7)?
            }
            State::Integer { of, value, shift } => {
                let value = value + (u32::from(*byte & 0x7f) << shift);
                if value > MAX_INTEGER {
                    return Err(Malformed);
                }
                match *byte {
                    0x80.. if shift < 21 => State::Integer { of, value, shift: shift + 7 },
                    0x80.. => return Err(Malformed),
                    _ => self.end_integer(of, value)?,
                }
            }
            State::String { name, is_indexed, mut text } => {
                text.take(byte, name.is_some_and(|name| name.is_path))?;
                if text.left == 0 {
                    self.end_string(name, is_indexed, text)?
                } else {
                    State::String { name, is_indexed, text }
                }
            }
        };
        Ok(())
    }

    /// Checks that a block ends with a field.
    fn end(&mut self) -> Result<(), Malformed> {
        if matches!(self.state, State::Begin) { Ok(()) } else { Err(Malformed) }
    }

    fn begin_integer(&mut self, of: Integer, byte: u8, bits: u32) -> Result<State, Malformed> {
        let mask = (1 << bits) - 1;
        let value = u32::from(byte) & mask;
        if value == mask { Ok(State::Integer { of, value, shift: 0 }) } else { self.end_integer(of, value) }
    }

    fn end_integer(&mut self, of: Integer, value: u32) -> Result<State, Malformed> {
        match of {
            // Entries were inspected when they were added to the table.
            Integer::Field => self.find_name(value).map(|_| State::Begin),
            Integer::Name { is_indexed } => {
                let name = if value == 0 { None } else { Some(self.find_name(value)?) };
                Ok(State::StringLength { name, is_indexed })
            }
            Integer::TableSize if value <= MAX_TABLE => {
                self.max_size = value;
                self.evict(0);
                Ok(State::Begin)
            }
            Integer::TableSize => Err(Malformed),
            Integer::Length { name, is_indexed, is_huffman } => {
                let text = Text { left: value, is_huffman, ..Text::default() };
                if value == 0 {
                    self.end_string(name, is_indexed, text)
                } else {
                    Ok(State::String { name, is_indexed, text })
                }
            }
        }
    }

    fn end_string(&mut self, name: Option<Name>, is_indexed: bool, text: Text) -> Result<State, Malformed> {
        text.end()?;
        let Some(name) = name else {
            let name = Name { length: text.length, is_path: text.is_path_name() };
            return Ok(State::StringLength { name: Some(name), is_indexed });
        };
        if is_indexed {
            let entry = Entry { name, value_length: text.length };
            self.evict(entry.size());
            if entry.size() <= self.max_size {
                self.size += entry.size();
                self.table.push_front(entry);
            }
        }
        Ok(State::Begin)
    }

    /// Removes entries until there is room for this number of bytes.
    fn evict(&mut self, more: u32) {
        while self.size.saturating_add(more) > self.max_size
            && let Some(entry) = self.table.pop_back()
        {
            self.size -= entry.size();
        }
    }

    fn find_name(&self, index: u32) -> Result<Name, Malformed> {
        let index = usize::try_from(index).ok().and_then(|index| index.checked_sub(1)).ok_or(Malformed)?;
        match STATIC_NAMES.get(index) {
            Some(name) => {
                let length = u32::try_from(name.len()).map_err(|_| Malformed)?;
                Ok(Name { length, is_path: *name == ":path" })
            }
            None => self.table.get(index - STATIC_NAMES.len()).map(|entry| entry.name).ok_or(Malformed),
        }
    }
}

/// The codes of `:path`: the number of bits, and the code.
const PATH_CODES: [(u32, u32); 5] = [(7, 0x5c), (6, 0x2b), (5, 0x3), (5, 0x9), (6, 0x27)];
const PATH_NAME: [u8; 5] = *b":path";
/// The code of `#`. That of `>` differs in the last bit.
const HASH_CODE: (u32, u32) = (12, 0xffa);
const END_CODE: (u32, u32) = (30, 0x3fff_ffff);

/// A name or a value that is being received.
#[derive(Clone, Copy, Debug, Default)]
struct Text {
    /// The number of bytes that are still expected.
    left: u32,
    is_huffman: bool,
    /// The length of the text so far, uncompressed.
    length: u32,
    /// How many bytes of it match `:path`. Equal to the length unless the text differs.
    matched: u32,
    /// The bits of an incomplete code.
    code: u32,
    bits: u32,
}

impl Text {
    fn take(&mut self, byte: &mut u8, is_path_value: bool) -> Result<(), Malformed> {
        self.left -= 1;
        if !self.is_huffman {
            if is_path_value && *byte == b'#' {
                *byte = b'>';
            }
            self.note(|index| PATH_NAME.get(index) == Some(byte));
            return Ok(());
        }
        for bit in (0..8).rev() {
            self.code = self.code << 1 | u32::from(*byte >> bit & 1);
            self.bits += 1;
            if !is_code(self.bits, self.code) {
                if self.bits >= END_CODE.0 {
                    return Err(Malformed);
                }
                continue;
            }
            let code = (self.bits, self.code);
            (self.bits, self.code) = (0, 0);
            if code == END_CODE {
                return Err(Malformed);
            }
            if is_path_value && code == HASH_CODE {
                *byte |= 1 << bit;
            }
            self.note(|index| PATH_CODES.get(index) == Some(&code));
        }
        Ok(())
    }

    fn note(&mut self, is_path: impl FnOnce(usize) -> bool) {
        let index = usize::try_from(self.length).unwrap_or(usize::MAX);
        self.matched += u32::from(is_path(index));
        self.length += 1;
    }

    const fn is_path_name(self) -> bool {
        self.length == 5 && self.matched == 5
    }

    /// Checks the padding of the last byte, which is the beginning of the longest code: ones, and fewer than eight (RFC
    /// 7541 §5.2).
    const fn end(self) -> Result<(), Malformed> {
        if self.bits < 8 && self.code == (1 << self.bits) - 1 { Ok(()) } else { Err(Malformed) }
    }
}

/// The number of symbols with a code of each length in bits (RFC 7541, appendix B). Codes of one length are
/// consecutive, and those of the next length follow them, so these numbers are sufficient.
const CODES: [u32; 31] = {
    let mut codes = [0; 31];
    let counts = [
        (5, 10),
        (6, 26),
        (7, 32),
        (8, 6),
        (10, 5),
        (11, 3),
        (12, 2),
        (13, 6),
        (14, 2),
        (15, 3),
        (19, 3),
        (20, 8),
        (21, 13),
        (22, 26),
        (23, 29),
        (24, 12),
        (25, 4),
        (26, 15),
        (27, 19),
        (28, 29),
        (30, 4),
    ];
    let mut at = 0;
    while at < counts.len() {
        codes[counts[at].0] = counts[at].1;
        at += 1;
    }
    codes
};

/// The first code of each length.
const FIRST_CODES: [u32; 31] = {
    let mut first = [0; 31];
    let mut bits = 1;
    while bits < first.len() {
        first[bits] = (first[bits - 1] + CODES[bits - 1]) << 1;
        bits += 1;
    }
    first
};

fn is_code(bits: u32, code: u32) -> bool {
    let bits = usize::try_from(bits).unwrap_or(usize::MAX);
    match (FIRST_CODES.get(bits), CODES.get(bits)) {
        (Some(first), Some(count)) => code.checked_sub(*first).is_some_and(|offset| offset < *count),
        _ => false,
    }
}

/// The names of the static table (RFC 7541, appendix A).
const STATIC_NAMES: [&str; 61] = [
    ":authority",
    ":method",
    ":method",
    ":path",
    ":path",
    ":scheme",
    ":scheme",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "accept",
    "access-control-allow-origin",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "refresh",
    "retry-after",
    "server",
    "set-cookie",
    "strict-transport-security",
    "transfer-encoding",
    "user-agent",
    "vary",
    "via",
    "www-authenticate",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// Returns the bytes that are passed on, which must not depend on how the input is split into reads.
    #[track_caller]
    fn watch(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
        let watched = |step: usize| {
            let (mut http2, mut passed) = (Http2::default(), Vec::new());
            for read in bytes.chunks(step) {
                let mut read = read.to_vec();
                http2.watch(&mut read)?;
                passed.extend_from_slice(&read);
            }
            Ok(passed)
        };
        let first = watched(bytes.len());
        assert!((1..40).all(|step| watched(step) == first), "it depends on how the bytes came");
        first
    }

    /// Sends a header block in one frame, in several, and with padding and priority. Returns the block after each of
    /// them.
    #[track_caller]
    fn block(block: &[u8]) -> Result<Vec<u8>, Malformed> {
        let plain = watch(&frame(HEADERS, END_HEADERS, block)).map(|bytes| bytes[FRAME_HEADER..].to_vec());
        let padded = [&[3, 0, 0, 0, 0, 0], block, &[0x23; 3]].concat();
        let padded = watch(&frame(HEADERS, END_HEADERS | PADDED | PRIORITY, &padded));
        assert_eq!(padded.map(|bytes| bytes[FRAME_HEADER + 6..bytes.len() - 3].to_vec()), plain);
        let (one, other) = block.split_at(block.len() / 2);
        let parts = [frame(HEADERS, 0, one), frame(CONTINUATION, END_HEADERS, other)].concat();
        let parts = watch(&parts);
        assert_eq!(parts.map(|bytes| [&bytes[9..9 + one.len()], &bytes[18 + one.len()..]].concat()), plain);
        plain
    }

    /// Encodes a string without compression.
    fn text(text: &str) -> Vec<u8> {
        [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat()
    }

    #[test]
    fn a_fragment_in_a_path_makes_the_path_invalid() {
        for (name, value) in [
            // `:path` by its index (indexed, not indexed, never indexed), and written out.
            (vec![0x44], text("/me#x")),
            (vec![0x04], text("/me#x")),
            (vec![0x15], text("/me#x")),
            ([&[0x40], text(":path").as_slice()].concat(), text("/me#x")),
            ([&[0x00], text(":path").as_slice()].concat(), text("/me#x")),
            // `:path` compressed: 1011100 101011 00011 01001 100111, and three ones.
            (vec![0x00, 0x84, 0xb9, 0x58, 0xd3, 0x3f], text("/me#x")),
        ] {
            let before = [name, value].concat();
            let mut after = before.clone();
            let hash = after.iter().rposition(|byte| *byte == b'#').expect("a hash");
            after[hash] = b'>';
            assert_eq!(block(&before), Ok(after), "{before:x?}");
        }
        // `/#` compressed: 011000 111111111010, and six ones; `/>` differs in one bit.
        let (hash, other) = ([0x04, 0x83, 0x63, 0xfe, 0xbf], [0x04, 0x83, 0x63, 0xfe, 0xff]);
        assert_eq!(block(&hash), Ok(other.to_vec()));
    }

    #[test]
    fn a_hash_in_other_fields_is_unchanged() {
        for fields in [
            [&[0x44], text("/me?a=1").as_slice(), &[0x40], &text("x"), &text("#")].concat(),
            [&[0x40], text(":pat").as_slice(), &text("#")].concat(),
            [&[0x40], text(":paths").as_slice(), &text("#")].concat(),
            [&[0x40], text("#").as_slice(), &text(":path")].concat(),
            // RFC 7541, appendix C.4.1: the first request there, compressed.
            vec![0x82, 0x86, 0x84, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff],
        ] {
            assert_eq!(block(&fields), Ok(fields.clone()), "{fields:x?}");
        }
        // Bodies and settings are not header fields.
        for kind in [0, 2, 3, 4, 6, 7, 8, 0x10] {
            let bytes = frame(kind, 0xff, b"\x44\x05/me#x");
            assert_eq!(watch(&bytes), Ok(bytes.clone()), "{kind}");
        }
    }

    #[test]
    fn names_are_found_in_the_table_as_it_grows_and_shrinks() {
        let request = |fields: &[u8]| frame(HEADERS, END_HEADERS, fields);
        let add_path = [&[0x40], text(":path").as_slice(), &text("/")].concat();
        let add_other = [&[0x40], text("x-other").as_slice(), &text("1")].concat();
        let path_at = |index: u8| [&[index], text("/#").as_slice()].concat();
        let passed = |requests: &[Vec<u8>]| {
            let passed = watch(&requests.iter().flat_map(|fields| request(fields)).collect::<Vec<_>>());
            passed.map(|passed| passed.contains(&b'>'))
        };
        // An index without its type bits: 62 is the newest entry, in six bits.
        let newest = path_at(0x40 | 0x3e);
        assert_eq!(passed(&[add_path.clone(), newest.clone()]), Ok(true));
        assert_eq!(passed(&[add_path.clone(), add_other.clone(), newest.clone()]), Ok(false), "x-other");
        let second = [&[0x7f, 0x00], text("/#").as_slice()].concat();
        assert_eq!(passed(&[add_path.clone(), add_other.clone(), second.clone()]), Ok(true), "63 takes two bytes");
        assert_eq!(passed(std::slice::from_ref(&newest)), Err(Malformed), "the table is empty");
        // A field of 4096 bytes fills the table.
        let full = [&[0x40], text("x").as_slice(), &[0x7f, 0xe0, 0x1e], &[b'a'; 4063]].concat();
        assert_eq!(full.len(), 4063 + 6);
        assert_eq!(passed(&[add_path.clone(), full.clone(), newest.clone()]), Ok(false));
        assert_eq!(passed(&[add_path.clone(), full.clone(), second.clone()]), Err(Malformed), "it was evicted");
        // With one more byte, the table is empty.
        let over = [&[0x40], text("x").as_slice(), &[0x7f, 0xe1, 0x1e], &[b'a'; 4064]].concat();
        assert_eq!(passed(&[add_path.clone(), over, newest.clone()]), Err(Malformed));
        // A table that is reduced and enlarged again is empty.
        assert_eq!(passed(&[add_path.clone(), vec![0x20], newest.clone()]), Err(Malformed));
        assert_eq!(passed(&[vec![0x20, 0x3f, 0xe1, 0x1f], add_path, newest]), Ok(true));
        assert_eq!(passed(&[vec![0x3f, 0xe2, 0x1f]]), Err(Malformed), "larger than the server allows");
    }

    #[test]
    fn malformed_frames_end_the_connection() {
        for fields in [
            &[0x80][..],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
            &[0x04],
            &[0x04, 0x05, b'/'],
            // Invalid padding: zeros, eight ones, and the code for the end of a string.
            &[0x04, 0x81, 0x60],
            &[0x04, 0x82, 0x63, 0xff],
            &[0x04, 0x84, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(watch(&frame(HEADERS, END_HEADERS, fields)), Err(Malformed), "{fields:x?}");
        }
        assert_eq!(watch(&frame(PUSH_PROMISE, END_HEADERS, &[0, 0, 0, 2, 0x84])), Err(Malformed));
        assert_eq!(watch(&frame(HEADERS, END_HEADERS | PADDED, &[9, 0x84])), Err(Malformed));
        assert_eq!(watch(&frame(HEADERS, END_HEADERS | PRIORITY, &[0x84])), Err(Malformed));
    }
}
