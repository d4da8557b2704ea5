//! The SSH wire encoding (RFC 4251 §5), parsed strictly: strings, unsigned integers, and no trailing bytes.

/// Bytes that violate RFC 4251 §5.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WireError {
    /// They end too soon.
    Truncated,
    /// There are bytes after the end.
    TrailingBytes,
    /// A multiple precision integer with unnecessary leading bytes.
    NonMinimalInteger,
    /// A multiple precision integer below 1, which no key or signature has.
    NotPositive,
}

/// Parses one field after another.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn read_bytes(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn read_u32(&mut self) -> Result<u32, WireError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*bytes))
    }

    pub(crate) fn read_string(&mut self) -> Result<&'a [u8], WireError> {
        let length = usize::try_from(self.read_u32()?).map_err(|_| WireError::Truncated)?;
        self.read_bytes(length)
    }

    /// Parses a positive `mpint`, and returns it big-endian without the leading zero for its sign.
    pub(crate) fn read_mpint(&mut self) -> Result<&'a [u8], WireError> {
        match self.read_string()? {
            [] | [0x80..=0xff, ..] => Err(WireError::NotPositive),
            // "Unnecessary leading bytes with the value 0 or 255 MUST NOT be included."
            [0] | [0, 0..=0x7f, ..] => Err(WireError::NonMinimalInteger),
            [0, magnitude @ ..] | magnitude => Ok(magnitude),
        }
    }

    pub(crate) fn finish(self) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(WireError::TrailingBytes) }
    }
}

/// Appends a `string`. Callers write at most a few kilobytes, so the length always fits.
pub(crate) fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends a positive `mpint` whose magnitude has no leading zeros.
pub(crate) fn put_mpint(out: &mut Vec<u8>, magnitude: &[u8]) {
    if magnitude.first().is_some_and(|&byte| byte >= 0x80) {
        put_length(out, magnitude.len() + 1);
        out.push(0);
        out.extend_from_slice(magnitude);
    } else {
        put_string(out, magnitude);
    }
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}
