//! PuTTY's file format (`.ppk`), versions 2 and 3, unencrypted. A MAC covers the whole file.

use aws_lc_rs::{digest, hmac};
use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::{
    PrivateKey,
    error::{PrivateKeyErrorKind, ProtectedFormat},
    openssh::unsupported,
    parts::{Curve, RsaParts, ecdsa_key, ed25519_key, rsa_key, to_comment},
};
use crate::ssh_wire::{self, Malformed, Reader, put_string};

pub(super) const START: &[u8] = b"PuTTY-User-Key-File-";
/// A file with an RSA 4096 key has 44 lines.
const MAX_LINES: usize = 1000;

pub(super) fn read(file: &[u8]) -> Result<PrivateKey, PrivateKeyErrorKind> {
    let mut lines = Lines(file);
    let (version, algorithm) = lines.first().ok_or(Malformed)?;
    let version = match version {
        b"2" => Version::Two,
        b"3" => Version::Three,
        other => {
            let is_number = other.len() <= 4 && other.iter().all(u8::is_ascii_digit);
            let number = String::from_utf8_lossy(if is_number { other } else { b"?" }).into_owned();
            return Err(PrivateKeyErrorKind::PuttyVersion(number));
        }
    };
    let encryption = lines.field(b"Encryption")?;
    if encryption != b"none" {
        return Err(PrivateKeyErrorKind::PassphraseProtected(ProtectedFormat::Putty));
    }
    let comment = lines.field(b"Comment")?;
    let public = lines.base64(b"Public-Lines")?;
    let private = lines.base64(b"Private-Lines")?;
    let mac = lines.field(b"Private-MAC")?;
    lines.end()?;

    // Spaces at the end of a line may have been added together with the line ending.
    let is_whole = [comment, comment.trim_ascii_end()].into_iter().any(|comment| {
        let mut signed = Zeroizing::new(Vec::with_capacity(file.len()));
        for part in [algorithm, encryption, comment, &public, &private] {
            put_string(&mut signed, part);
        }
        version.is_mac(&signed, mac)
    });
    if !is_whole {
        return Err(PrivateKeyErrorKind::Damaged);
    }
    let key = read_key(algorithm, &public, &private, to_comment(comment))?;
    if key.public_blob == *public { Ok(key) } else { Err(PrivateKeyErrorKind::HalvesDiffer) }
}

/// Returns the fingerprint of the public key, which is not encrypted.
pub(super) fn fingerprint(file: &[u8]) -> Option<String> {
    let mut lines = Lines(file);
    let (_, _) = lines.first()?;
    let (_, _) = (lines.field(b"Encryption").ok()?, lines.field(b"Comment").ok()?);
    lines.base64(b"Public-Lines").ok().map(|blob| ssh_wire::fingerprint(&blob))
}

enum Version {
    Two,
    Three,
}

impl Version {
    /// Computes the MAC of a file without passphrase, whose key is public.
    fn is_mac(&self, signed: &[u8], hex: &[u8]) -> bool {
        let key = match self {
            Self::Two => {
                let key = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, b"putty-private-key-file-mac-key");
                hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key.as_ref())
            }
            Self::Three => hmac::Key::new(hmac::HMAC_SHA256, b""),
        };
        let mac = hmac::sign(&key, signed);
        let (pairs, rest) = hex.as_chunks::<2>();
        let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        rest.is_empty() && pairs.iter().map(byte).eq(mac.as_ref().iter().copied().map(Some))
    }
}

fn read_key(
    algorithm: &[u8],
    public: &[u8],
    private: &[u8],
    comment: String,
) -> Result<PrivateKey, PrivateKeyErrorKind> {
    let mut public = Reader::new(public);
    if public.string()? != algorithm {
        return Err(PrivateKeyErrorKind::Damaged);
    }
    let mut private = Reader::new(private);
    match algorithm {
        b"ssh-ed25519" => {
            let seed = private.string()?.try_into().map_err(|_| Malformed)?;
            private.end()?;
            ed25519_key(seed, Some(public.string()?), comment)
        }
        b"ssh-rsa" => {
            let (exponent, modulus) = (public.positive()?, public.positive()?);
            let (exponent_private, prime1) = (private.positive()?, private.positive()?);
            let (prime2, coefficient) = (private.positive()?, private.positive()?);
            private.end()?;
            rsa_key(&RsaParts { modulus, exponent, private: exponent_private, prime1, prime2, coefficient }, comment)
        }
        b"ecdsa-sha2-nistp256" | b"ecdsa-sha2-nistp384" => {
            let curve = if algorithm.ends_with(b"256") { Curve::P256 } else { Curve::P384 };
            let scalar = Zeroizing::new(private.positive_of(curve.scalar_bytes())?);
            private.end()?;
            let _curve_name = public.string()?;
            ecdsa_key(curve, &scalar, Some(public.string()?), comment)
        }
        other => Err(unsupported(other)),
    }
}

/// The remaining lines of a file.
struct Lines<'a>(&'a [u8]);

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let end = self.0.iter().position(|&byte| byte == b'\n');
        let line = &self.0[..end.unwrap_or(self.0.len())];
        self.0 = end.map_or(&[], |end| &self.0[end + 1..]);
        // The lines may be indented, as in YAML.
        Some(line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_start())
    }

    /// Returns the version of the format, and the type of the key.
    fn first(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let rest = self.next()?.strip_prefix(START)?;
        let colon = rest.iter().position(|&byte| byte == b':')?;
        Some((&rest[..colon], rest[colon + 1..].trim_ascii()))
    }

    /// Returns the value of the next field. Every byte of a comment is kept, including spaces.
    fn field(&mut self, name: &[u8]) -> Result<&'a [u8], Malformed> {
        let line = self.next().ok_or(Malformed)?;
        let value = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(b":")).ok_or(Malformed)?;
        Ok(if name == b"Comment" { value.strip_prefix(b" ").unwrap_or(value) } else { value.trim_ascii() })
    }

    /// Returns the bytes of the next field, whose value is their number of lines.
    fn base64(&mut self, name: &[u8]) -> Result<Zeroizing<Vec<u8>>, Malformed> {
        let count = std::str::from_utf8(self.field(name)?).ok().and_then(|count| count.parse().ok());
        let mut text = Zeroizing::new(Vec::new());
        for _ in 0..count.filter(|&count: &usize| count <= MAX_LINES).ok_or(Malformed)? {
            text.extend_from_slice(self.next().ok_or(Malformed)?.trim_ascii());
        }
        STANDARD.decode(&*text).map(Zeroizing::new).map_err(|_| Malformed)
    }

    fn end(mut self) -> Result<(), Malformed> {
        while let Some(line) = self.next() {
            if !line.trim_ascii().is_empty() {
                return Err(Malformed);
            }
        }
        Ok(())
    }
}
