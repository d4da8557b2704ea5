//! The formats of OpenSSL and WebCrypto: PKCS#8 (RFC 5958), PKCS#1 for RSA (RFC 8017 §A.1.2) and SEC 1 for ECDSA (RFC
//! 5915), unencrypted, in DER.

use ed25519_dalek::pkcs8::{
    DecodePrivateKey, KeypairBytes, ObjectIdentifier, PrivateKeyInfoRef,
    spki::{
        AlgorithmIdentifierRef,
        der::{
            self, Decode, Reader as _, SliceReader, Tag, TagNumber, Tagged as _,
            asn1::{AnyRef, BitStringRef, ContextSpecific, OctetStringRef},
        },
    },
};
use zeroize::Zeroizing;

use super::{
    PrivateKey,
    error::{PrivateKeyErrorKind, ProtectedFormat},
    parts::{Curve, ecdsa_key, ed25519_key, rsa_key_of_pkcs1},
};

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
/// Unsupported types, by their usual names.
const OTHERS: [(ObjectIdentifier, &str); 11] = [
    (ObjectIdentifier::new_unwrap("1.3.101.113"), "Ed448"),
    (ObjectIdentifier::new_unwrap("1.3.101.110"), "X25519, which cannot sign"),
    (ObjectIdentifier::new_unwrap("1.3.101.111"), "X448, which cannot sign"),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10"), "RSA that is bound to PSS"),
    (ObjectIdentifier::new_unwrap("1.2.840.10040.4.1"), "DSA"),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.3.1"), "Diffie-Hellman, which cannot sign"),
    (ObjectIdentifier::new_unwrap("1.2.840.10046.2.1"), "Diffie-Hellman, which cannot sign"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.35"), "ECDSA on P-521"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.10"), "ECDSA on secp256k1"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.33"), "ECDSA on P-224"),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.1"), "ECDSA on P-192"),
];
/// The prefixes of the identifiers of encryption algorithms: PKCS#5 and PKCS#12.
const ENCRYPTIONS: [&str; 2] = ["1.2.840.113549.1.5.", "1.2.840.113549.1.12.1."];

fn unsupported(identifier: ObjectIdentifier) -> PrivateKeyErrorKind {
    let name = OTHERS.iter().find(|(other, _)| *other == identifier);
    PrivateKeyErrorKind::UnsupportedKeyType(name.map_or_else(|| identifier.to_string(), |(_, name)| (*name).to_owned()))
}

/// Returns whether these bytes are exactly one SEQUENCE. This holds for every key in DER and for no text.
pub(super) fn is_der(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x30) && AnyRef::from_der(bytes).is_ok()
}

/// Reads a file in DER and detects its format.
pub(super) fn read_any(der: &[u8]) -> Result<PrivateKey, PrivateKeyErrorKind> {
    if PrivateKeyInfoRef::try_from(der).is_ok() {
        return read_pkcs8(der);
    }
    if EcPrivateKey::read(der).is_ok() {
        return read_sec1(der);
    }
    if is_encrypted(der) {
        return Err(PrivateKeyErrorKind::PassphraseProtected(ProtectedFormat::Pkcs8Der));
    }
    if is_pkcs12(der) {
        return Err(PrivateKeyErrorKind::Pkcs12);
    }
    // The first member of all private keys is a version. The remaining format is PKCS#1.
    match der {
        _ if is_certificate(der) => Err(PrivateKeyErrorKind::Certificate),
        _ if !domain::private_key::is_private_der(der) => Err(PrivateKeyErrorKind::NotAPrivateKey),
        _ => rsa_key_of_pkcs1(der, String::new()),
    }
}

/// Returns whether this is a SEQUENCE that begins with version 3 (RFC 7292 §4).
fn is_pkcs12(der: &[u8]) -> bool {
    let read = || {
        SliceReader::new(der)?.sequence(|inner| {
            let version = u8::decode(inner)?;
            inner.read_slice(inner.remaining_len())?;
            Ok::<_, der::Error>(version)
        })
    };
    read() == Ok(3)
}

/// Returns whether this is a signed object of X.509: what is signed, an algorithm and a signature (RFC 5280 §4.1).
fn is_certificate(der: &[u8]) -> bool {
    let read = || {
        SliceReader::new(der)?.sequence(|inner| {
            let parts = [AnyRef::decode(inner)?, AnyRef::decode(inner)?, AnyRef::decode(inner)?];
            Ok::<_, der::Error>(parts.map(|part| part.tag()))
        })
    };
    read() == Ok([Tag::Sequence, Tag::Sequence, Tag::BitString])
}

fn is_encrypted(der: &[u8]) -> bool {
    let read = || {
        let mut reader = SliceReader::new(der)?;
        reader.sequence(|inner| {
            let algorithm = AlgorithmIdentifierRef::decode(inner)?;
            <&OctetStringRef>::decode(inner)?;
            Ok::<_, der::Error>(algorithm.oid.to_string())
        })
    };
    read().is_ok_and(|identifier| ENCRYPTIONS.iter().any(|start| identifier.starts_with(start)))
}

pub(super) fn read_pkcs8(der: &[u8]) -> Result<PrivateKey, PrivateKeyErrorKind> {
    let info = PrivateKeyInfoRef::try_from(der).map_err(|_| PrivateKeyErrorKind::Damaged)?;
    match info.algorithm.oid {
        ED25519 => {
            let pair = KeypairBytes::from_pkcs8_der(der).map_err(|_| PrivateKeyErrorKind::Damaged)?;
            let claimed = pair.public_key.map(|key| key.0);
            ed25519_key(&Zeroizing::new(pair.secret_key), claimed.as_ref().map(<[u8; 32]>::as_slice), String::new())
        }
        RSA => rsa_key_of_pkcs1(info.private_key.as_bytes(), String::new()),
        EC => {
            // A curve with explicit parameters has no identifier.
            let of_curve = |_| PrivateKeyErrorKind::UnsupportedKeyType("ECDSA on a curve without name".to_owned());
            let curve = curve(info.algorithm.parameters_oid().map_err(of_curve)?)?;
            let key = EcPrivateKey::read(info.private_key.as_bytes()).map_err(|_| PrivateKeyErrorKind::Damaged)?;
            key.of_curve(curve)
        }
        other => Err(unsupported(other)),
    }
}

pub(super) fn read_sec1(der: &[u8]) -> Result<PrivateKey, PrivateKeyErrorKind> {
    let key = EcPrivateKey::read(der).map_err(|_| PrivateKeyErrorKind::Damaged)?;
    let parameters = key.parameters.ok_or(PrivateKeyErrorKind::Damaged)?;
    let named = parameters.decode_as::<ObjectIdentifier>();
    let of_curve = |_| PrivateKeyErrorKind::UnsupportedKeyType("ECDSA on a curve without name".to_owned());
    let curve = curve(named.map_err(of_curve)?)?;
    key.of_curve(curve)
}

fn curve(identifier: ObjectIdentifier) -> Result<Curve, PrivateKeyErrorKind> {
    match identifier {
        P256 => Ok(Curve::P256),
        P384 => Ok(Curve::P384),
        other => Err(unsupported(other)),
    }
}

/// `ECPrivateKey` (RFC 5915 §3). In PKCS#8, the parameters are outside of it.
struct EcPrivateKey<'a> {
    scalar: &'a [u8],
    parameters: Option<AnyRef<'a>>,
    point: Option<&'a [u8]>,
}

impl<'a> EcPrivateKey<'a> {
    fn read(der: &'a [u8]) -> Result<Self, der::Error> {
        let mut reader = SliceReader::new(der)?;
        let key = reader.sequence(|inner| {
            let version = u8::decode(inner)?;
            let scalar = <&OctetStringRef>::decode(inner)?.as_bytes();
            let parameters = ContextSpecific::<AnyRef<'_>>::decode_explicit(inner, TagNumber(0))?;
            let point = ContextSpecific::<BitStringRef<'_>>::decode_explicit(inner, TagNumber(1))?;
            let point = match point {
                Some(point) => Some(point.value.as_bytes().ok_or(der::ErrorKind::Failed)?),
                None => None,
            };
            if version != 1 {
                return Err(der::Error::from(der::ErrorKind::Failed));
            }
            Ok(Self { scalar, parameters: parameters.map(|field| field.value), point })
        })?;
        reader.finish()?;
        Ok(key)
    }

    fn of_curve(&self, curve: Curve) -> Result<PrivateKey, PrivateKeyErrorKind> {
        ecdsa_key(curve, self.scalar, self.point, String::new())
    }
}
