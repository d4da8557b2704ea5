//! The encodings of text files. Windows programs write UTF-16 (`>` in PowerShell) or a byte order mark (Notepad).

use std::borrow::Cow;

const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";
const UTF16_LE_MARK: &[u8] = b"\xff\xfe";
const UTF16_BE_MARK: &[u8] = b"\xfe\xff";

/// Converts a text file's bytes to UTF-8 without a byte order mark. UTF-16 is recognised by its byte order mark, or by
/// the zero byte in each of its first characters. All other bytes are returned unchanged, including bytes that are not
/// UTF-8.
#[must_use]
pub fn to_utf8(bytes: &[u8]) -> Cow<'_, [u8]> {
    if let Some(text) = bytes.strip_prefix(UTF8_MARK) {
        return text.into();
    }
    let convert = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes.as_chunks();
        let mut text = String::with_capacity(bytes.len());
        text.extend(
            char::decode_utf16(pairs.iter().copied().map(unit)).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)),
        );
        if !rest.is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
        Cow::Owned(text.into_bytes())
    };
    match bytes {
        _ if bytes.starts_with(UTF16_LE_MARK) => convert(&bytes[2..], u16::from_le_bytes),
        _ if bytes.starts_with(UTF16_BE_MARK) => convert(&bytes[2..], u16::from_be_bytes),
        [1..=0x7f, 0, 1..=0x7f, 0, ..] => convert(bytes, u16::from_le_bytes),
        [0, 1..=0x7f, 0, 1..=0x7f, ..] => convert(bytes, u16::from_be_bytes),
        _ => bytes.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn a_text_is_the_same_in_every_encoding() {
        for text in ["a key\r\n", "schlüssel 🔑", "", "ab"] {
            let with_mark = format!("\u{feff}{text}");
            for bytes in [
                text.as_bytes().to_vec(),
                with_mark.as_bytes().to_vec(),
                utf16(&with_mark, u16::to_le_bytes),
                utf16(&with_mark, u16::to_be_bytes),
            ] {
                assert_eq!(to_utf8(&bytes), text.as_bytes(), "{bytes:x?}");
            }
        }
        for unit in [u16::to_le_bytes, u16::to_be_bytes] {
            assert_eq!(to_utf8(&utf16("a schlüssel", unit)), "a schlüssel".as_bytes());
        }
    }

    #[test]
    fn other_text_is_unchanged_and_broken_utf_16_is_marked() {
        for bytes in [&b"J\xf6rg"[..], b"a\0", b"0\x2a\x30\x05", b"\xff", b"\0\0\0\x0bssh-ed25519"] {
            assert_eq!(to_utf8(bytes), bytes);
        }
        // An incomplete code unit, and an incomplete surrogate pair.
        assert_eq!(to_utf8(b"\xff\xfea\0b"), "a\u{fffd}".as_bytes());
        assert_eq!(to_utf8(b"\xff\xfe\0\xd8a\0"), "\u{fffd}a".as_bytes());
    }
}
