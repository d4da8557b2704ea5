//! OpenSSH's own private key format (PROTOCOL.key), unencrypted, with one key.

use std::sync::Arc;

use crypto_bigint::{NonZero, U4096};
use http_signature::{EcdsaSigningKey, Ed25519SigningKey, RsaSigningKey, SigningKey};
use ssh_key::private::{EcdsaKeypair, KeypairData, RsaKeypair};
use zeroize::Zeroizing;

use super::{PrivateKey, error::PrivateKeyErrorKind};

pub(super) fn read(bytes: &[u8]) -> Result<PrivateKey, PrivateKeyErrorKind> {
    let key = ssh_key::PrivateKey::from_bytes(bytes).map_err(|error| match error {
        ssh_key::Error::PublicKey | ssh_key::Error::Crypto => PrivateKeyErrorKind::HalvesDiffer,
        ssh_key::Error::AlgorithmUnknown | ssh_key::Error::AlgorithmUnsupported { .. } => {
            PrivateKeyErrorKind::UnsupportedKeyType
        }
        _ => PrivateKeyErrorKind::Damaged,
    })?;
    let mut ed25519 = None;
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
        KeypairData::Ecdsa(EcdsaKeypair::NistP256 { public, private }) => Arc::new(
            EcdsaSigningKey::p256_from_parts(private.as_slice(), public.as_bytes())
                .map_err(|_| PrivateKeyErrorKind::HalvesDiffer)?,
        ),
        KeypairData::Ecdsa(EcdsaKeypair::NistP384 { public, private }) => Arc::new(
            EcdsaSigningKey::p384_from_parts(private.as_slice(), public.as_bytes())
                .map_err(|_| PrivateKeyErrorKind::HalvesDiffer)?,
        ),
        KeypairData::Rsa(pair) => Arc::new(read_rsa(pair)?),
        _ => return Err(PrivateKeyErrorKind::UnsupportedKeyType),
    };
    let public_blob = key.public_key().to_bytes().map_err(|_| PrivateKeyErrorKind::Damaged)?;
    let comment = key.comment().chars().filter(|character| !character.is_control()).collect();
    Ok(PrivateKey { signing_key, public_blob, ed25519, comment })
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
