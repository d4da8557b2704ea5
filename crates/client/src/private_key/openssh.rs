//! OpenSSH's own private key format (PROTOCOL.key), unencrypted, with one key.

use std::sync::Arc;

use crypto_bigint::{NonZero, U4096};
use http_signature::{EcdsaSigningKey, Ed25519SigningKey, RsaSigningKey, SigningKey, SigningKeyError};
use ssh_key::private::{KeypairData, RsaKeypair};
use zeroize::Zeroizing;

use super::{PrivateKey, error::PrivateKeyErrorKind};
use crate::ssh_wire::{Malformed, Reader, put_string};

pub(super) fn read(bytes: &[u8]) -> Result<PrivateKey, PrivateKeyErrorKind> {
    let container = Container::read(bytes).map_err(|Malformed| PrivateKeyErrorKind::Damaged)?;
    if container.cipher != b"none" {
        return Err(PrivateKeyErrorKind::PassphraseProtected);
    }
    match Reader::new(container.public_blob).string().map_err(|Malformed| PrivateKeyErrorKind::Damaged)? {
        b"ssh-ed25519" | b"ssh-rsa" => read_by_crate(bytes),
        b"ecdsa-sha2-nistp256" => read_ecdsa(&container, 32, EcdsaSigningKey::p256_from_parts),
        b"ecdsa-sha2-nistp384" => read_ecdsa(&container, 48, EcdsaSigningKey::p384_from_parts),
        _ => Err(PrivateKeyErrorKind::UnsupportedKeyType),
    }
}

/// What a file is made of.
struct Container<'a> {
    cipher: &'a [u8],
    public_blob: &'a [u8],
    private_section: &'a [u8],
}

impl<'a> Container<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes.strip_prefix(b"openssh-key-v1\0").ok_or(Malformed)?);
        let (cipher, _kdf, _options) = (reader.string()?, reader.string()?, reader.string()?);
        if reader.u32()? != 1 {
            return Err(Malformed);
        }
        let (public_blob, private_section) = (reader.string()?, reader.string()?);
        // An authentication tag may follow what is encrypted.
        if cipher == b"none" {
            reader.end()?;
        }
        Ok(Self { cipher, public_blob, private_section })
    }
}

/// The parts of an ECDSA key.
struct EcdsaParts<'a> {
    /// Type, curve and point as the private section has them.
    public_blob: Vec<u8>,
    point: &'a [u8],
    scalar: Zeroizing<Vec<u8>>,
    comment: &'a [u8],
}

impl<'a> EcdsaParts<'a> {
    fn read(section: &'a [u8], length: usize) -> Result<Self, Malformed> {
        let mut reader = Reader::new(section);
        if reader.u32()? != reader.u32()? {
            return Err(Malformed);
        }
        let (kind, curve, point) = (reader.string()?, reader.string()?, reader.string()?);
        let scalar = Zeroizing::new(reader.positive(length)?);
        let comment = reader.string()?;
        let mut public_blob = Vec::with_capacity(section.len());
        for part in [kind, curve, point] {
            put_string(&mut public_blob, part);
        }
        for expected in 1..8 {
            match reader.byte() {
                Ok(byte) if byte == expected => {}
                Ok(_) => return Err(Malformed),
                Err(Malformed) => break,
            }
        }
        reader.end()?;
        Ok(Self { public_blob, point, scalar, comment })
    }
}

/// An ECDSA key. The crate refuses the one in 256 whose number begins with zeros, which OpenSSH leaves out.
fn read_ecdsa(
    container: &Container<'_>,
    length: usize,
    signing_key: fn(&[u8], &[u8]) -> Result<EcdsaSigningKey, SigningKeyError>,
) -> Result<PrivateKey, PrivateKeyErrorKind> {
    let parts = EcdsaParts::read(container.private_section, length);
    let parts = parts.map_err(|Malformed| PrivateKeyErrorKind::Damaged)?;
    if parts.public_blob != container.public_blob {
        return Err(PrivateKeyErrorKind::HalvesDiffer);
    }
    let signing_key = signing_key(&parts.scalar, parts.point).map_err(|_| PrivateKeyErrorKind::HalvesDiffer)?;
    let comment = String::from_utf8_lossy(parts.comment).chars().filter(|character| !character.is_control()).collect();
    let signing_key = Arc::new(signing_key);
    Ok(PrivateKey {
        signing_key: signing_key.clone(),
        ssh_signing_key: signing_key,
        public_blob: parts.public_blob,
        ed25519: None,
        comment,
    })
}

fn read_by_crate(bytes: &[u8]) -> Result<PrivateKey, PrivateKeyErrorKind> {
    let key = ssh_key::PrivateKey::from_bytes(bytes).map_err(|error| match error {
        ssh_key::Error::PublicKey | ssh_key::Error::Crypto => PrivateKeyErrorKind::HalvesDiffer,
        ssh_key::Error::AlgorithmUnknown | ssh_key::Error::AlgorithmUnsupported { .. } => {
            PrivateKeyErrorKind::UnsupportedKeyType
        }
        _ => PrivateKeyErrorKind::Damaged,
    })?;
    let mut ed25519 = None;
    let mut ssh_signing_key: Option<Arc<dyn SigningKey>> = None;
    let signing_key: Arc<dyn SigningKey> = match key.key_data() {
        KeypairData::Encrypted(_) => return Err(PrivateKeyErrorKind::PassphraseProtected),
        KeypairData::Ed25519(pair) => {
            let signing_key = Ed25519SigningKey::from_seed(&Zeroizing::new(pair.private.to_bytes()));
            // RUSTSEC-2022-0093: two signatures over one message under two public halves give the private one away.
            if signing_key.public_key() != pair.public.0 {
                return Err(PrivateKeyErrorKind::HalvesDiffer);
            }
            ed25519 = Some(pair.public.0);
            Arc::new(signing_key)
        }
        KeypairData::Rsa(pair) => {
            ssh_signing_key = Some(Arc::new(read_rsa(pair)?.with_v1_5_padding()));
            Arc::new(read_rsa(pair)?)
        }
        _ => return Err(PrivateKeyErrorKind::UnsupportedKeyType),
    };
    let public_blob = key.public_key().to_bytes().map_err(|_| PrivateKeyErrorKind::Damaged)?;
    let comment = key.comment().chars().filter(|character| !character.is_control()).collect();
    let ssh_signing_key = ssh_signing_key.unwrap_or_else(|| Arc::clone(&signing_key));
    Ok(PrivateKey { signing_key, ssh_signing_key, public_blob, ed25519, comment })
}

/// Through PKCS#1, which is what the signer reads and checks: that the primes make the modulus, and the exponents fit.
fn read_rsa(pair: &RsaKeypair) -> Result<RsaSigningKey, PrivateKeyErrorKind> {
    let number = |mpint: &ssh_key::Mpint| {
        let bytes = mpint.as_positive_bytes().map(|bytes| Zeroizing::new(bytes.to_vec()));
        bytes.filter(|bytes| !bytes.is_empty()).ok_or(PrivateKeyErrorKind::Damaged)
    };
    let (modulus, exponent) = (number(&pair.public.n)?, number(&pair.public.e)?);
    let is_too_short = modulus.len() < 256 || modulus.len() == 256 && modulus[0] < 0x80;
    if is_too_short || modulus.len() > 512 || *exponent != [1, 0, 1] {
        return Err(PrivateKeyErrorKind::UnsupportedKeyType);
    }
    let private = number(&pair.private.d)?;
    let (prime1, prime2) = (number(&pair.private.p)?, number(&pair.private.q)?);
    let (exponent1, exponent2) = (exponent_for(&private, &prime1)?, exponent_for(&private, &prime2)?);
    let coefficient = number(&pair.private.iqmp)?;
    let mut content = Zeroizing::new(vec![2, 1, 0]);
    for number in [&modulus, &exponent, &private, &prime1, &prime2, &exponent1, &exponent2, &coefficient] {
        put_der_integer(&mut content, number);
    }
    let mut der = Zeroizing::new(vec![0x30]);
    put_der_length(&mut der, content.len());
    der.extend_from_slice(&content);
    RsaSigningKey::from_pkcs1(&der).map_err(|_| PrivateKeyErrorKind::HalvesDiffer)
}

/// The private exponent modulo prime − 1, which PKCS#1 holds (RFC 8017 §A.1.2) and OpenSSH leaves out.
fn exponent_for(private: &[u8], prime: &[u8]) -> Result<Zeroizing<Vec<u8>>, PrivateKeyErrorKind> {
    let number = |bytes: &[u8]| {
        let mut padded = Zeroizing::new([0; 512]);
        let start = padded.len().checked_sub(bytes.len()).ok_or(PrivateKeyErrorKind::Damaged)?;
        padded[start..].copy_from_slice(bytes);
        Ok(Zeroizing::new(U4096::from_be_slice(&*padded)))
    };
    let modulus = NonZero::new(number(prime)?.wrapping_sub(&U4096::ONE)).into_option();
    let modulus = Zeroizing::new(modulus.ok_or(PrivateKeyErrorKind::Damaged)?);
    let exponent = Zeroizing::new(number(private)?.rem(&modulus));
    Ok(Zeroizing::new(exponent.to_be_bytes().as_ref().to_vec()))
}

/// Appends a positive INTEGER in DER, whatever zeros the bytes begin with.
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

/// Appends a DER length below 2^16, the most that nine numbers of 4096 bits make.
fn put_der_length(out: &mut Vec<u8>, length: usize) {
    let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    match (high, low) {
        (0, 0..=0x7f) => out.push(low),
        (0, _) => out.extend([0x81, low]),
        _ => out.extend([0x82, high, low]),
    }
}
