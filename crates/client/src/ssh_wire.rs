//! The SSH wire encoding (RFC 4251 §5): public key blobs with their fingerprints and lines, and the messages of agents.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use sha2::{Digest, Sha256};

/// Appends a `string`. All texts are far below 4 GiB.
pub(crate) fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Appends a positive `mpint`. The bytes may have leading zeros.
pub(crate) fn put_positive(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len());
    let magnitude = &bytes[start..];
    let sign: &[u8] = if magnitude.first().is_some_and(|&byte| byte >= 0x80) { &[0] } else { &[] };
    put_string(out, &[sign, magnitude].concat());
}

/// Returns the public key blob of an Ed25519 key (RFC 8709 §4).
pub(crate) fn ed25519_blob(point: &[u8; 32]) -> Vec<u8> {
    let mut blob = Vec::with_capacity(51);
    put_string(&mut blob, b"ssh-ed25519");
    put_string(&mut blob, point);
    blob
}

/// Returns the fingerprint of the key with this blob, as `ssh-keygen -l` prints it.
pub(crate) fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(blob)))
}

/// Returns the OpenSSH line of the key with this blob. The blob begins with the length and text of the type's name.
pub(crate) fn public_openssh(blob: &[u8], comment: &str) -> String {
    let name = Reader::new(blob).string().map_or_else(|Malformed| "".into(), String::from_utf8_lossy);
    format!("{name} {} {comment}", STANDARD.encode(blob)).trim_end().to_owned()
}

/// Bytes with an invalid encoding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Malformed;

/// Reads fields from the beginning.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (front, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(front)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        self.take(1).map(|byte| byte[0])
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.take(4)?.try_into().map(u32::from_be_bytes).map_err(|_| Malformed)
    }

    pub(crate) fn string(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u32()?;
        self.take(usize::try_from(length).map_err(|_| Malformed)?)
    }

    /// Reads a positive `mpint`, without the leading zero for its sign.
    pub(crate) fn positive(&mut self) -> Result<&'a [u8], Malformed> {
        match self.string()? {
            [0, rest @ ..] if rest.first().is_some_and(|&byte| byte >= 0x80) => Ok(rest),
            bytes @ [1..=0x7f, ..] => Ok(bytes),
            _ => Err(Malformed),
        }
    }

    /// Reads a positive `mpint`, padded with leading zeros to this number of bytes.
    pub(crate) fn positive_of(&mut self, length: usize) -> Result<Vec<u8>, Malformed> {
        let bytes = self.positive()?;
        let zeros = length.checked_sub(bytes.len()).ok_or(Malformed)?;
        let mut fixed = vec![0; zeros];
        fixed.extend_from_slice(bytes);
        Ok(fixed)
    }

    /// Checks that all bytes were read.
    pub(crate) fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_padded_and_only_its_canonical_encoding_is_accepted() {
        let read = |bytes: &[u8]| {
            let mut encoded = Vec::new();
            put_string(&mut encoded, bytes);
            Reader::new(&encoded).positive_of(4)
        };
        assert_eq!(read(&[0x7f, 1]), Ok(vec![0, 0, 0x7f, 1]));
        assert_eq!(read(&[0, 0x80, 1, 2, 3]), Ok(vec![0x80, 1, 2, 3]));
        for malformed in [&[][..], &[0], &[0, 1], &[0x80], &[1, 2, 3, 4, 5], &[0, 0, 0x80]] {
            assert_eq!(read(malformed), Err(Malformed), "{malformed:?}");
        }
    }

    #[test]
    fn nothing_is_read_beyond_the_end_and_nothing_may_be_left() {
        assert_eq!(Reader::new(&[0, 0, 0, 2, b'a']).string(), Err(Malformed));
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff]).string(), Err(Malformed));
        assert_eq!(Reader::new(&[0, 0, 0]).u32(), Err(Malformed));
        let mut reader = Reader::new(&[0, 0, 0, 1, b'a', 0]);
        assert_eq!(reader.string(), Ok(&b"a"[..]));
        assert_eq!(reader.end(), Err(Malformed));
    }
}
