//! The key pairs. They are made from their number, so that the server can be given them before.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use ed25519_dalek::{SIGNATURE_LENGTH, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

const KIND: &[u8] = b"ssh-ed25519";

pub(crate) struct Key {
    signing: SigningKey,
    blob: Vec<u8>,
    fingerprint: String,
}

pub(crate) fn make_keys(count: u32) -> Vec<Key> {
    (0..count).map(Key::new).collect()
}

impl Key {
    fn new(number: u32) -> Self {
        let secret = Sha256::new().chain_update(b"key of the load generator").chain_update(number.to_be_bytes());
        let signing = SigningKey::from_bytes(&secret.finalize().into());
        let mut blob = vec![0, 0, 0, 11];
        blob.extend_from_slice(KIND);
        blob.extend_from_slice(&[0, 0, 0, 32]);
        blob.extend_from_slice(signing.verifying_key().as_bytes());
        let fingerprint = format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&blob)));
        Self { signing, blob, fingerprint }
    }

    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(crate) fn blob_base64(&self) -> String {
        STANDARD.encode(&self.blob)
    }

    pub(crate) fn verifying(&self) -> VerifyingKey {
        self.signing.verifying_key()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LENGTH] {
        self.signing.sign(message).to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_are_the_same_in_every_run() {
        let (some, again) = (make_keys(3), make_keys(3));
        assert_eq!(some[2].fingerprint(), again[2].fingerprint());
        assert_ne!(some[0].fingerprint(), some[1].fingerprint());
        assert_eq!(some[0].blob.len(), 51);
    }
}
