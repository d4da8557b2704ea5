//! PKCS#8 (RFC 5958, RFC 8410), unencrypted, with an Ed25519 key: what OpenSSL and WebCrypto export.

use std::sync::Arc;

use ed25519_dalek::pkcs8::{ALGORITHM_OID, DecodePrivateKey, KeypairBytes, PrivateKeyInfoRef};
use http_signature::Ed25519SigningKey;
use zeroize::Zeroizing;

use super::{PrivateKey, error::PrivateKeyErrorKind};
use crate::ssh_wire;

pub(super) fn read(der: &[u8]) -> Result<PrivateKey, PrivateKeyErrorKind> {
    let info = PrivateKeyInfoRef::try_from(der).map_err(|_| PrivateKeyErrorKind::Damaged)?;
    if info.algorithm.oid != ALGORITHM_OID {
        return Err(PrivateKeyErrorKind::Pem);
    }
    let pair = KeypairBytes::from_pkcs8_der(der).map_err(|_| PrivateKeyErrorKind::Damaged)?;
    let signing_key = Ed25519SigningKey::from_seed(&Zeroizing::new(pair.secret_key));
    let point = signing_key.public_key();
    if pair.public_key.is_some_and(|claimed| claimed.0 != point) {
        return Err(PrivateKeyErrorKind::HalvesDiffer);
    }
    let signing_key = Arc::new(signing_key);
    Ok(PrivateKey {
        signing_key: signing_key.clone(),
        ssh_signing_key: signing_key,
        public_blob: ssh_wire::ed25519_blob(&point),
        ed25519: Some(point),
        comment: String::new(),
    })
}
