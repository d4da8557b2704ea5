//! OpenSSH's private key format (PROTOCOL.key), unencrypted, with one key. It is parsed here because libraries refuse
//! the files of PuTTYgen (padding to 16 bytes) and comments that are not UTF-8.

use zeroize::Zeroizing;

use super::{
    PrivateKey,
    error::{PrivateKeyErrorKind, ProtectedFormat},
    parts::{Curve, RsaParts, ecdsa_key, ed25519_key, rsa_key, to_comment},
};
use crate::ssh_wire::{self, Malformed, Reader, put_string};

pub(super) fn read(bytes: &[u8]) -> Result<PrivateKey, PrivateKeyErrorKind> {
    let container = Container::read(bytes)?;
    if container.cipher != b"none" {
        return Err(PrivateKeyErrorKind::PassphraseProtected(ProtectedFormat::OpenSsh));
    }
    let name = Reader::new(container.public_blob).string()?;
    match name {
        b"ssh-ed25519" => read_ed25519(&container),
        b"ssh-rsa" => read_rsa(&container),
        b"ecdsa-sha2-nistp256" => read_ecdsa(&container, Curve::P256),
        b"ecdsa-sha2-nistp384" => read_ecdsa(&container, Curve::P384),
        name => Err(unsupported(name)),
    }
}

/// Returns the fingerprint of the public key, which is not encrypted.
pub(super) fn fingerprint(bytes: &[u8]) -> Option<String> {
    Container::read(bytes).ok().map(|container| ssh_wire::fingerprint(container.public_blob))
}

/// Returns the error for a type of key, by its SSH name.
pub(super) fn unsupported(name: &[u8]) -> PrivateKeyErrorKind {
    let is_name = |name: &[u8]| name.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"-@._".contains(&byte));
    PrivateKeyErrorKind::UnsupportedKeyType(match name {
        b"ssh-dss" => "DSA".to_owned(),
        b"ecdsa-sha2-nistp521" => "ECDSA on P-521".to_owned(),
        b"ssh-ed448" => "Ed448".to_owned(),
        name if name.starts_with(b"sk-") => "a security key".to_owned(),
        name if name.len() <= 64 && is_name(name) => String::from_utf8_lossy(name).into_owned(),
        _ => return PrivateKeyErrorKind::Damaged,
    })
}

impl From<Malformed> for PrivateKeyErrorKind {
    fn from(_: Malformed) -> Self {
        Self::Damaged
    }
}

/// The parts of a file.
struct Container<'a> {
    cipher: &'a [u8],
    public_blob: &'a [u8],
    private_section: &'a [u8],
}

impl<'a> Container<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, PrivateKeyErrorKind> {
        let mut reader = Reader::new(bytes.strip_prefix(b"openssh-key-v1\0").ok_or(Malformed)?);
        let (cipher, _kdf, _options) = (reader.string()?, reader.string()?, reader.string()?);
        match reader.u32()? {
            0 => return Err(PrivateKeyErrorKind::Damaged),
            1 => {}
            _ => return Err(PrivateKeyErrorKind::SeveralKeys),
        }
        let (public_blob, private_section) = (reader.string()?, reader.string()?);
        // An authentication tag may follow encrypted data.
        if cipher == b"none" {
            reader.end()?;
        }
        Ok(Self { cipher, public_blob, private_section })
    }

    /// Returns the private section after its check numbers.
    fn section(&self) -> Result<Reader<'a>, Malformed> {
        let mut reader = Reader::new(self.private_section);
        if reader.u32()? == reader.u32()? { Ok(reader) } else { Err(Malformed) }
    }

    /// Compares the public key with its copy in the section.
    fn check_public(&self, fields: &[&[u8]]) -> Result<(), PrivateKeyErrorKind> {
        let mut blob = Vec::with_capacity(self.public_blob.len());
        for field in fields {
            put_string(&mut blob, field);
        }
        if blob == self.public_blob { Ok(()) } else { Err(PrivateKeyErrorKind::HalvesDiffer) }
    }
}

/// Reads the comment, and padding 1, 2, 3, … of any length: OpenSSH pads to 8 bytes, PuTTYgen to 16.
fn read_end(mut reader: Reader<'_>) -> Result<String, Malformed> {
    let comment = to_comment(reader.string()?);
    for expected in 1..=u8::MAX {
        match reader.byte() {
            Ok(byte) if byte == expected => {}
            Ok(_) => return Err(Malformed),
            Err(Malformed) => break,
        }
    }
    reader.end()?;
    Ok(comment)
}

fn read_ed25519(container: &Container<'_>) -> Result<PrivateKey, PrivateKeyErrorKind> {
    let mut reader = container.section()?;
    let (kind, public, pair) = (reader.string()?, reader.string()?, reader.string()?);
    let comment = read_end(reader)?;
    container.check_public(&[kind, public])?;
    let (seed, claimed) = pair.split_first_chunk::<32>().ok_or(Malformed)?;
    let key = ed25519_key(seed, Some(public), comment)?;
    if claimed == public { Ok(key) } else { Err(PrivateKeyErrorKind::HalvesDiffer) }
}

fn read_ecdsa(container: &Container<'_>, curve: Curve) -> Result<PrivateKey, PrivateKeyErrorKind> {
    let mut reader = container.section()?;
    let (kind, name, point) = (reader.string()?, reader.string()?, reader.string()?);
    let scalar = Zeroizing::new(reader.positive_of(curve.scalar_bytes())?);
    let comment = read_end(reader)?;
    container.check_public(&[kind, name, point])?;
    ecdsa_key(curve, &scalar, Some(point), comment)
}

fn read_rsa(container: &Container<'_>) -> Result<PrivateKey, PrivateKeyErrorKind> {
    let mut reader = container.section()?;
    let kind = reader.string()?;
    let (modulus, exponent, private) = (reader.positive()?, reader.positive()?, reader.positive()?);
    let (coefficient, prime1, prime2) = (reader.positive()?, reader.positive()?, reader.positive()?);
    let comment = read_end(reader)?;
    let mut public = Reader::new(container.public_blob);
    if public.string()? != kind || public.positive()? != exponent || public.positive()? != modulus {
        return Err(PrivateKeyErrorKind::HalvesDiffer);
    }
    public.end()?;
    rsa_key(&RsaParts { modulus, exponent, private, prime1, prime2, coefficient }, comment)
}
