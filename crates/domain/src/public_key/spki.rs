//! SubjectPublicKeyInfo (RFC 5280 §4.1.2.7), in DER only: RFC 8410 for Ed25519, RFC 5480 for ECDSA, RFC 3279 §2.3.1
//! for RSA.

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, EcdsaVerificationAlgorithm, ParsedPublicKey},
};
use spki::{
    ObjectIdentifier, SubjectPublicKeyInfoRef,
    der::{
        Decode, Reader, SliceReader,
        asn1::{AnyRef, UintRef},
    },
};

use super::{
    KeyMaterial, P256_POINT_BYTES, P384_POINT_BYTES, PublicKey,
    error::{PublicKeyError, UnsupportedKeyType},
};

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const ED448: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.113");
const X25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.110");
const X448: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.111");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const DSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10040.4.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

pub(super) fn read(der: &[u8]) -> Result<PublicKey, PublicKeyError> {
    let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| PublicKeyError::Der)?;
    let key = info.subject_public_key.as_bytes().ok_or(PublicKeyError::Der)?;
    let unsupported = match info.algorithm.oid {
        ED25519 => {
            // RFC 8410 §3: the parameters are absent.
            if info.algorithm.parameters.is_some() {
                return Err(PublicKeyError::Der);
            }
            return PublicKey::new(KeyMaterial::Ed25519(key.try_into().map_err(|_| PublicKeyError::Length)?));
        }
        RSA => {
            // RFC 3279 §2.3.1: the parameters are NULL.
            if info.algorithm.parameters_any().is_ok_and(AnyRef::is_null) {
                return read_rsa(key);
            }
            return Err(PublicKeyError::Der);
        }
        EC => match info.algorithm.parameters_oid().map_err(|_| PublicKeyError::Der)? {
            P256 => {
                let point = expand(&ECDSA_P256_SHA256_FIXED, key, P256_POINT_BYTES)?;
                return PublicKey::new(KeyMaterial::EcdsaP256(&point));
            }
            P384 => {
                let point = expand(&ECDSA_P384_SHA384_FIXED, key, P384_POINT_BYTES)?;
                return PublicKey::new(KeyMaterial::EcdsaP384(&point));
            }
            P521 => UnsupportedKeyType::EcdsaP521,
            _ => UnsupportedKeyType::OtherCurve,
        },
        ED448 => UnsupportedKeyType::Ed448,
        X25519 | X448 => UnsupportedKeyType::KeyAgreement,
        RSA_PSS => UnsupportedKeyType::RsaPss,
        DSA => UnsupportedKeyType::Dsa,
        _ => UnsupportedKeyType::Other,
    };
    Err(PublicKeyError::UnsupportedKeyType(unsupported))
}

/// `RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER }` (RFC 8017 §A.1.1)
pub(super) fn read_rsa(der: &[u8]) -> Result<PublicKey, PublicKeyError> {
    let read = |der| {
        let mut reader = SliceReader::new(der)?;
        let numbers =
            reader.sequence(|inner| Ok::<_, spki::der::Error>((UintRef::decode(inner)?, UintRef::decode(inner)?)))?;
        reader.finish()?;
        Ok::<_, spki::der::Error>(numbers)
    };
    let (n, e) = read(der).map_err(|_| PublicKeyError::Der)?;
    PublicKey::new(KeyMaterial::Rsa { n: n.as_bytes(), e: e.as_bytes() })
}

/// RFC 5480 §2.2 allows compressed points here. SSH blobs never contain them.
fn expand(
    algorithm: &'static EcdsaVerificationAlgorithm,
    point: &[u8],
    length: usize,
) -> Result<Vec<u8>, PublicKeyError> {
    if !matches!(point.first(), Some(2 | 3)) {
        return Ok(point.to_vec());
    }
    let key = ParsedPublicKey::new(algorithm, point).map_err(|_| PublicKeyError::NotOnCurve)?;
    let der: PublicKeyX509Der = key.as_der().map_err(|_| PublicKeyError::NotOnCurve)?;
    let der = der.as_ref();
    Ok(der.split_at_checked(der.len().saturating_sub(length)).ok_or(PublicKeyError::Length)?.1.to_vec())
}
