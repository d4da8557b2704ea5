//! JWK (RFC 7517): `OKP` of RFC 8037, `EC` and `RSA` of RFC 7518 §6.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::{
    KeyMaterial, PublicKey,
    error::{PublicKeyError, UnsupportedKeyType},
};
use crate::private_key::{self, PrivateKeyFormat};

/// The members of a JWK that are used. A duplicate member is an error. Other members are ignored (RFC 7517 §4).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

/// A JWK Set (RFC 7517 §5), as servers publish it.
#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Jwk>,
}

pub(super) fn read(text: &str) -> Result<PublicKey, PublicKeyError> {
    let members: serde_json::Map<_, _> = serde_json::from_str(text).map_err(|_| PublicKeyError::Jwk)?;
    let set = members.get("keys").and_then(serde_json::Value::as_array);
    let in_set = set.into_iter().flatten().filter_map(serde_json::Value::as_object);
    if in_set.chain([&members]).any(private_key::is_private_jwk) {
        return Err(PublicKeyError::PrivateKey(PrivateKeyFormat::Jwk));
    }
    let jwk: Jwk = match set.map(Vec::len) {
        None => serde_json::from_str(text).map_err(|_| PublicKeyError::Jwk)?,
        Some(1) => {
            let set: JwkSet = serde_json::from_str(text).map_err(|_| PublicKeyError::Jwk)?;
            set.keys.into_iter().next().ok_or(PublicKeyError::Jwk)?
        }
        Some(0) => return Err(PublicKeyError::Empty),
        Some(_) => return Err(PublicKeyError::SeveralKeys),
    };
    let unsupported = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("OKP", Some("Ed25519")) => {
            let x = decode(jwk.x)?.try_into().map_err(|_| PublicKeyError::Length)?;
            return PublicKey::new(KeyMaterial::Ed25519(&x));
        }
        ("EC", Some("P-256")) => return PublicKey::new(KeyMaterial::EcdsaP256(&point(jwk.x, jwk.y, 32)?)),
        ("EC", Some("P-384")) => return PublicKey::new(KeyMaterial::EcdsaP384(&point(jwk.x, jwk.y, 48)?)),
        ("RSA", _) => {
            return PublicKey::new(KeyMaterial::Rsa { n: &integer(jwk.n)?, e: &integer(jwk.e)? });
        }
        ("OKP", Some("Ed448")) => UnsupportedKeyType::Ed448,
        ("OKP", Some("X25519" | "X448")) => UnsupportedKeyType::KeyAgreement,
        ("EC", Some("P-521")) => UnsupportedKeyType::EcdsaP521,
        ("EC", Some(_)) => UnsupportedKeyType::OtherCurve,
        _ => return Err(PublicKeyError::Jwk),
    };
    Err(PublicKeyError::UnsupportedKeyType(unsupported))
}

fn decode(member: Option<String>) -> Result<Vec<u8>, PublicKeyError> {
    URL_SAFE_NO_PAD.decode(member.ok_or(PublicKeyError::Jwk)?).map_err(|_| PublicKeyError::Base64)
}

/// RFC 7518 §6.2.1.2: coordinates have the full length of the curve, leading zeros included.
fn point(x: Option<String>, y: Option<String>, coordinate_bytes: usize) -> Result<Vec<u8>, PublicKeyError> {
    let (x, y) = (decode(x)?, decode(y)?);
    if x.len() != coordinate_bytes || y.len() != coordinate_bytes {
        return Err(PublicKeyError::Length);
    }
    Ok([&[4], x.as_slice(), y.as_slice()].concat())
}

/// RFC 7518 §2, Base64urlUInt: "the minimum number of octets".
fn integer(member: Option<String>) -> Result<Vec<u8>, PublicKeyError> {
    let bytes = decode(member)?;
    match bytes.first() {
        None => Err(PublicKeyError::NotPositive),
        Some(0) => Err(PublicKeyError::NonMinimalInteger),
        Some(_) => Ok(bytes),
    }
}
