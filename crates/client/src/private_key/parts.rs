//! Creates a signing key from the numbers of a key in any file format. It checks that the private and the public key
//! match.

use std::sync::Arc;

use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384};
use crypto_bigint::{NonZero, U4096};
use ed25519_dalek::pkcs8::spki::der::{self, Decode, Reader as _, SliceReader, asn1::UintRef};
use http_signature::{EcdsaSigningKey, Ed25519SigningKey, RsaSigningKey};
use zeroize::Zeroizing;

use super::{PrivateKey, error::PrivateKeyErrorKind};
use crate::ssh_wire::{self, put_positive, put_string};

/// Returns a comment for display: bytes that are not UTF-8 become U+FFFD, and control characters are removed.
pub(super) fn to_comment(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().filter(|character| !character.is_control()).collect()
}

pub(super) fn ed25519_key(
    seed: &[u8; 32],
    claimed: Option<&[u8]>,
    comment: String,
) -> Result<PrivateKey, PrivateKeyErrorKind> {
    let signing_key = Ed25519SigningKey::from_seed(seed);
    let point = signing_key.public_key();
    // RUSTSEC-2022-0093: two signatures over one message with two different public keys reveal the private key.
    if claimed.is_some_and(|claimed| claimed != point) {
        return Err(PrivateKeyErrorKind::HalvesDiffer);
    }
    let signing_key = Arc::new(signing_key);
    Ok(PrivateKey {
        signing_key: signing_key.clone(),
        ssh_signing_key: signing_key,
        public_blob: ssh_wire::ed25519_blob(&point),
        ed25519: Some(point),
        comment,
        warning: None,
    })
}

/// A curve of ECDSA keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Curve {
    P256,
    P384,
}

impl Curve {
    /// Returns the length of a scalar and of a coordinate.
    pub(super) const fn scalar_bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }

    const fn ssh_name(self) -> &'static str {
        match self {
            Self::P256 => "nistp256",
            Self::P384 => "nistp384",
        }
    }
}

/// Creates an ECDSA key from its big-endian scalar, with or without leading zeros, and optionally its point in any form
/// of SEC 1.
pub(super) fn ecdsa_key(
    curve: Curve,
    scalar: &[u8],
    claimed: Option<&[u8]>,
    comment: String,
) -> Result<PrivateKey, PrivateKeyErrorKind> {
    let start = scalar.iter().position(|&byte| byte != 0).unwrap_or(scalar.len());
    let zeros = curve.scalar_bytes().checked_sub(scalar.len() - start).ok_or(PrivateKeyErrorKind::Damaged)?;
    let mut padded = Zeroizing::new(vec![0; zeros]);
    padded.extend_from_slice(&scalar[start..]);
    let algorithm = if curve == Curve::P256 { &ECDH_P256 } else { &ECDH_P384 };
    let point = agreement::PrivateKey::from_private_key(algorithm, &padded)
        .map_err(|_| PrivateKeyErrorKind::Damaged)?
        .compute_public_key()
        .map_err(|_| PrivateKeyErrorKind::Damaged)?;
    let point = point.as_ref();
    if claimed.is_some_and(|claimed| !is_same_point(claimed, point)) {
        return Err(PrivateKeyErrorKind::HalvesDiffer);
    }
    let signing_key = match curve {
        Curve::P256 => EcdsaSigningKey::p256_from_parts(&padded, point),
        Curve::P384 => EcdsaSigningKey::p384_from_parts(&padded, point),
    };
    let signing_key = Arc::new(signing_key.map_err(|_| PrivateKeyErrorKind::HalvesDiffer)?);
    let mut public_blob = Vec::with_capacity(160);
    put_string(&mut public_blob, format!("ecdsa-sha2-{}", curve.ssh_name()).as_bytes());
    put_string(&mut public_blob, curve.ssh_name().as_bytes());
    put_string(&mut public_blob, point);
    Ok(PrivateKey {
        signing_key: signing_key.clone(),
        ssh_signing_key: signing_key,
        public_blob,
        ed25519: None,
        comment,
        warning: None,
    })
}

/// Returns whether a point in compressed, uncompressed or hybrid form (SEC 1 §2.3.3, X9.62 §4.3.6) equals this
/// uncompressed one.
fn is_same_point(claimed: &[u8], point: &[u8]) -> bool {
    let coordinate = point.len() / 2;
    let parity = point[point.len() - 1] & 1;
    match claimed {
        [4, rest @ ..] => *rest == point[1..],
        [form @ (2 | 3), x @ ..] => form & 1 == parity && *x == point[1..=coordinate],
        [form @ (6 | 7), rest @ ..] => form & 1 == parity && *rest == point[1..],
        _ => false,
    }
}

/// The numbers of an RSA key, big-endian without leading zeros.
pub(super) struct RsaParts<'a> {
    pub(super) modulus: &'a [u8],
    pub(super) exponent: &'a [u8],
    pub(super) private: &'a [u8],
    pub(super) prime1: &'a [u8],
    pub(super) prime2: &'a [u8],
    pub(super) coefficient: &'a [u8],
}

/// Creates an RSA key through PKCS#1. The signer parses it and checks that the primes and exponents match.
pub(super) fn rsa_key(parts: &RsaParts<'_>, comment: String) -> Result<PrivateKey, PrivateKeyErrorKind> {
    check_rsa_strength(parts.modulus, parts.exponent)?;
    let exponent1 = exponent_for(parts.private, parts.prime1)?;
    let exponent2 = exponent_for(parts.private, parts.prime2)?;
    let numbers = [parts.modulus, parts.exponent, parts.private, parts.prime1, parts.prime2];
    let mut content = Zeroizing::new(vec![2, 1, 0]);
    for number in numbers.into_iter().chain([exponent1.as_slice(), exponent2.as_slice(), parts.coefficient]) {
        put_der_integer(&mut content, number);
    }
    let mut der = Zeroizing::new(vec![0x30]);
    put_der_length(&mut der, content.len());
    der.extend_from_slice(&content);
    rsa_key_of_pkcs1(&der, comment)
}

/// Creates an RSA key from an `RSAPrivateKey` in DER (RFC 8017 §A.1.2).
pub(super) fn rsa_key_of_pkcs1(der: &[u8], comment: String) -> Result<PrivateKey, PrivateKeyErrorKind> {
    let read = || {
        let mut reader = SliceReader::new(der)?;
        let public = reader.sequence(|inner| {
            let version = u8::decode(inner)?;
            let public = (UintRef::decode(inner)?, UintRef::decode(inner)?);
            // The signer checks the rest.
            inner.read_slice(inner.remaining_len())?;
            Ok::<_, der::Error>((version == 0).then_some(public))
        })?;
        reader.finish()?;
        Ok::<_, der::Error>(public)
    };
    // Version 1 has more than two primes.
    let (modulus, exponent) = read().ok().flatten().ok_or(PrivateKeyErrorKind::Damaged)?;
    check_rsa_strength(modulus.as_bytes(), exponent.as_bytes())?;
    let key = || RsaSigningKey::from_pkcs1(der).map_err(|_| PrivateKeyErrorKind::HalvesDiffer);
    let mut public_blob = Vec::with_capacity(600);
    put_string(&mut public_blob, b"ssh-rsa");
    put_positive(&mut public_blob, exponent.as_bytes());
    put_positive(&mut public_blob, modulus.as_bytes());
    Ok(PrivateKey {
        signing_key: Arc::new(key()?),
        ssh_signing_key: Arc::new(key()?.with_v1_5_padding()),
        public_blob,
        ed25519: None,
        comment,
        warning: None,
    })
}

fn check_rsa_strength(modulus: &[u8], exponent: &[u8]) -> Result<(), PrivateKeyErrorKind> {
    let leading_zeros = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = modulus.len() * 8 - leading_zeros;
    if !(2048..=4096).contains(&bits) {
        return Err(PrivateKeyErrorKind::UnsupportedKeyType(format!("RSA of {bits} bits")));
    }
    if exponent != [1, 0, 1] {
        return Err(PrivateKeyErrorKind::UnsupportedKeyType("RSA with another exponent than 65537".to_owned()));
    }
    Ok(())
}

/// Returns the private exponent modulo prime − 1. PKCS#1 contains it (RFC 8017 §A.1.2), and the files of OpenSSH and
/// PuTTY do not.
fn exponent_for(private: &[u8], prime: &[u8]) -> Result<Zeroizing<Vec<u8>>, PrivateKeyErrorKind> {
    let number = |bytes: &[u8]| {
        let mut padded = Zeroizing::new([0; 512]);
        let start = padded.len().checked_sub(bytes.len()).ok_or(PrivateKeyErrorKind::Damaged)?;
        padded[start..].copy_from_slice(bytes);
        Ok::<_, PrivateKeyErrorKind>(Zeroizing::new(U4096::from_be_slice(&*padded)))
    };
    let modulus = NonZero::new(number(prime)?.wrapping_sub(&U4096::ONE)).into_option();
    let modulus = Zeroizing::new(modulus.ok_or(PrivateKeyErrorKind::Damaged)?);
    let exponent = Zeroizing::new(number(private)?.rem(&modulus));
    Ok(Zeroizing::new(exponent.to_be_bytes().as_ref().to_vec()))
}

/// Appends a positive INTEGER in DER. The bytes may have leading zeros.
fn put_der_integer(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len());
    let magnitude = &bytes[start..];
    let needs_zero = magnitude.first().is_none_or(|&byte| byte >= 0x80);
    out.push(2);
    put_der_length(out, magnitude.len() + usize::from(needs_zero));
    if needs_zero {
        out.push(0);
    }
    out.extend_from_slice(magnitude);
}

/// Appends a DER length below 2^16, which is enough for nine numbers of 4096 bits.
fn put_der_length(out: &mut Vec<u8>, length: usize) {
    let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    match (high, low) {
        (0, 0..=0x7f) => out.push(low),
        (0, _) => out.extend([0x81, low]),
        _ => out.extend([0x82, high, low]),
    }
}
