//! Signatures of messages in the format of `ssh-keygen -Y sign` (OpenSSH's PROTOCOL.sshsig).

use base64::{Engine, engine::general_purpose::STANDARD};
use http_signature::{Algorithm, SigningKey, SigningKeyError};
use sha2::{Digest, Sha512};

use crate::ssh_wire::{put_positive, put_string};

const MAGIC: &[u8] = b"SSHSIG";
/// The length of a line of the armour, as in OpenSSH.
const LINE: usize = 70;

/// Signs a message for a namespace with the key of this public blob, and returns the armoured signature.
pub(crate) fn sign_message(
    key: &dyn SigningKey,
    public_blob: &[u8],
    namespace: &str,
    message: &[u8],
) -> Result<String, SigningKeyError> {
    let mut context = Vec::new();
    for part in [namespace.as_bytes(), b"", b"sha512"] {
        put_string(&mut context, part);
    }
    let mut signed = [MAGIC, &context].concat();
    put_string(&mut signed, &Sha512::digest(message));
    let signature = encode_signature(key.algorithm(), &key.sign(&signed)?)?;
    let mut blob = [MAGIC, &1_u32.to_be_bytes()].concat();
    put_string(&mut blob, public_blob);
    blob.extend_from_slice(&context);
    put_string(&mut blob, &signature);

    let mut armoured = "-----BEGIN SSH SIGNATURE-----\n".to_owned();
    for (at, character) in STANDARD.encode(&blob).char_indices() {
        if at > 0 && at % LINE == 0 {
            armoured.push('\n');
        }
        armoured.push(character);
    }
    armoured.push_str("\n-----END SSH SIGNATURE-----\n");
    Ok(armoured)
}

/// Encodes a signature with the name of its algorithm, from the form of RFC 9421.
fn encode_signature(algorithm: Algorithm, bytes: &[u8]) -> Result<Vec<u8>, SigningKeyError> {
    let (name, is_ecdsa) = match algorithm {
        Algorithm::Ed25519 => ("ssh-ed25519", false),
        Algorithm::RsaV1_5Sha256 => ("rsa-sha2-256", false),
        Algorithm::RsaV1_5Sha512 => ("rsa-sha2-512", false),
        Algorithm::EcdsaP256Sha256 => ("ecdsa-sha2-nistp256", true),
        Algorithm::EcdsaP384Sha384 => ("ecdsa-sha2-nistp384", true),
        _ => return Err(SigningKeyError::new("this kind of key can only sign requests; use an Ed25519 key")),
    };
    let mut value = Vec::new();
    if is_ecdsa {
        // RFC 5656 §3.1.2: r and s as mpints.
        let (r, s) = bytes.split_at(bytes.len() / 2);
        put_positive(&mut value, r);
        put_positive(&mut value, s);
    } else {
        value.extend_from_slice(bytes);
    }
    let mut signature = Vec::new();
    put_string(&mut signature, name.as_bytes());
    put_string(&mut signature, &value);
    Ok(signature)
}
