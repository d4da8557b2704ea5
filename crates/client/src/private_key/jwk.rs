//! A JWK (RFC 7517) with a private key, as exported by WebCrypto: `OKP` of RFC 8037, `EC` and `RSA` of RFC 7518 §6.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use zeroize::{Zeroize as _, Zeroizing};

use super::{
    PrivateKey,
    error::PrivateKeyErrorKind,
    parts::{Curve, RsaParts, ecdsa_key, ed25519_key, rsa_key},
};

/// The members of a JWK that are used. A duplicate member is an error. Other members are ignored (RFC 7517 §4).
#[derive(Deserialize)]
pub(super) struct Jwk {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    d: Option<String>,
    p: Option<String>,
    q: Option<String>,
    qi: Option<String>,
}

impl Drop for Jwk {
    fn drop(&mut self) {
        for member in [&mut self.d, &mut self.p, &mut self.q, &mut self.qi].into_iter().flatten() {
            member.zeroize();
        }
    }
}

/// A JWK, or a set (§5).
#[derive(Deserialize)]
#[serde(untagged)]
enum Document {
    Key(Box<Jwk>),
    Set { keys: Vec<Jwk> },
}

/// Returns the JWK in a text, or in a set with one JWK. Returns `None` for other texts.
pub(super) fn find(text: &[u8]) -> Result<Option<Box<Jwk>>, PrivateKeyErrorKind> {
    if text.first() != Some(&b'{') {
        return Ok(None);
    }
    match serde_json::from_slice(text) {
        Ok(Document::Key(jwk)) => Ok(Some(jwk)),
        Ok(Document::Set { mut keys }) if keys.len() == 1 => Ok(keys.pop().map(Box::new)),
        Ok(Document::Set { keys }) if keys.is_empty() => Err(PrivateKeyErrorKind::Empty),
        Ok(Document::Set { .. }) => Err(PrivateKeyErrorKind::SeveralKeys),
        Err(_) => Ok(None),
    }
}

pub(super) fn read(jwk: &Jwk) -> Result<PrivateKey, PrivateKeyErrorKind> {
    let unsupported = |name: &str| Err(PrivateKeyErrorKind::UnsupportedKeyType(name.to_owned()));
    let curve = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("oct", _) => return unsupported("a symmetric key"),
        _ if jwk.d.is_none() => return Err(PrivateKeyErrorKind::PublicKey),
        ("OKP", Some("Ed25519")) => {
            let seed = decode(jwk.d.as_ref())?;
            let seed = seed.as_slice().try_into().map_err(|_| PrivateKeyErrorKind::Damaged)?;
            return ed25519_key(seed, Some(&decode(jwk.x.as_ref())?), String::new());
        }
        ("RSA", _) => {
            let (modulus, exponent, private) =
                (decode(jwk.n.as_ref())?, decode(jwk.e.as_ref())?, decode(jwk.d.as_ref())?);
            let (prime1, prime2) = (decode(jwk.p.as_ref())?, decode(jwk.q.as_ref())?);
            let coefficient = decode(jwk.qi.as_ref())?;
            let parts = RsaParts {
                modulus: &modulus,
                exponent: &exponent,
                private: &private,
                prime1: &prime1,
                prime2: &prime2,
                coefficient: &coefficient,
            };
            return rsa_key(&parts, String::new());
        }
        ("EC", Some("P-256")) => Curve::P256,
        ("EC", Some("P-384")) => Curve::P384,
        ("EC", Some("P-521")) => return unsupported("ECDSA on P-521"),
        ("OKP", Some("Ed448")) => return unsupported("Ed448"),
        ("OKP", Some("X25519" | "X448")) => return unsupported("X25519 or X448, which cannot sign"),
        _ => return unsupported("a JWK of another kind"),
    };
    let (x, y) = (decode(jwk.x.as_ref())?, decode(jwk.y.as_ref())?);
    if x.len() != curve.scalar_bytes() || y.len() != curve.scalar_bytes() {
        return Err(PrivateKeyErrorKind::Damaged);
    }
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    ecdsa_key(curve, &decode(jwk.d.as_ref())?, Some(&point), String::new())
}

fn decode(member: Option<&String>) -> Result<Zeroizing<Vec<u8>>, PrivateKeyErrorKind> {
    let member = member.ok_or(PrivateKeyErrorKind::Damaged)?;
    URL_SAFE_NO_PAD.decode(member).map(Zeroizing::new).map_err(|_| PrivateKeyErrorKind::Damaged)
}
