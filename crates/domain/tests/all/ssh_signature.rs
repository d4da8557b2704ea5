//! Signatures of the real `ssh-keygen -Y sign`, verified with the parts from `SshSignature`.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use domain::{
    KeyMaterial, PublicKey,
    proof::{PROOF_NAMESPACE, proof_message},
    public_key::{PublicKeyError, UnsupportedKeyType},
    ssh_signature::{SshSignature, SshSignatureAlgorithm as Algorithm, SshSignatureError as Error},
};
use proptest::prelude::*;

use crate::{public_key::blob, ssh_keygen::KeyPair};

fn parse(text: &str) -> Result<SshSignature, Error> {
    SshSignature::parse(text, PROOF_NAMESPACE)
}

fn is_valid(proof: &SshSignature, message: &str) -> bool {
    let signed = proof.signed_bytes(message.as_bytes());
    let signature = &proof.signature().bytes;
    match (proof.public_key().material(), proof.signature().algorithm) {
        (KeyMaterial::Ed25519(key), Algorithm::Ed25519) => {
            UnparsedPublicKey::new(&ED25519, key).verify(&signed, signature)
        }
        (KeyMaterial::EcdsaP256(key), Algorithm::EcdsaP256) => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(&signed, signature)
        }
        (KeyMaterial::EcdsaP384(key), Algorithm::EcdsaP384) => {
            UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, key).verify(&signed, signature)
        }
        (KeyMaterial::Rsa { n, e }, Algorithm::RsaSha256) => {
            RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, &signed, signature)
        }
        (KeyMaterial::Rsa { n, e }, Algorithm::RsaSha512) => {
            RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA512, &signed, signature)
        }
        other => panic!("{other:?}"),
    }
    .is_ok()
}

#[test]
fn a_signature_of_ssh_keygen_is_a_proof() {
    for (arguments, algorithm) in [
        (&["-t", "ed25519"][..], Algorithm::Ed25519),
        (&["-t", "rsa", "-b", "2048"], Algorithm::RsaSha512),
        (&["-t", "ecdsa", "-b", "256"], Algorithm::EcdsaP256),
        (&["-t", "ecdsa", "-b", "384"], Algorithm::EcdsaP384),
    ] {
        let pair = KeyPair::generate(arguments);
        let key = PublicKey::parse(&pair.public_line()).unwrap().key;
        let message = |challenge| {
            let principal = "usr_01h455vb4pex5vsknk084sn02q";
            proof_message("https://keys.example.com", principal, &key.fingerprint(), challenge)
        };
        for options in [&[][..], &["-O", "hashalg=sha256"]] {
            let proof = parse(&pair.sign("keyward-proof", options, &message("fresh"))).unwrap();
            assert_eq!(proof.public_key(), &key);
            assert_eq!(proof.signature().algorithm, algorithm);
            assert!(is_valid(&proof, &message("fresh")));
            assert!(!is_valid(&proof, &message("stale")));
        }
    }
}

#[test]
fn ecdsa_signatures_have_their_full_width_whatever_their_numbers() {
    // About one in 128 signatures has an r or s that starts with a zero byte.
    let pair = KeyPair::generate(&["-t", "ecdsa", "-b", "256"]);
    for challenge in 0..40 {
        let message = challenge.to_string();
        let proof = parse(&pair.sign("keyward-proof", &[], &message)).unwrap();
        assert_eq!(proof.signature().bytes.len(), 64);
        assert!(is_valid(&proof, &message));
    }
}

#[test]
fn the_message_is_five_lines() {
    let key = PublicKey::parse(&KeyPair::generate(&["-t", "ed25519"]).public_line()).unwrap().key;
    let fingerprint = key.fingerprint();
    assert_eq!(
        proof_message("https://keys.example.com", "sa_01h455vb4pex5vsknk084sn02q", &fingerprint, "n0nce"),
        format!("keyward-proof\nhttps://keys.example.com\nsa_01h455vb4pex5vsknk084sn02q\n{fingerprint}\nn0nce\n")
    );
}

#[test]
fn a_signature_for_another_purpose_is_no_proof() {
    let pair = KeyPair::generate(&["-t", "ed25519"]);
    for namespace in ["git", "file", "keyward-proof ", "Keyward-proof"] {
        assert_eq!(parse(&pair.sign(namespace, &[], "any")), Err(Error::Namespace(PROOF_NAMESPACE)));
    }
}

/// An SSHSIG of these fields, in its armour.
struct Parts<'a> {
    preamble: &'a [u8],
    key: Vec<u8>,
    reserved: &'a [u8],
    hash: &'a [u8],
    signature: Vec<u8>,
    trailing: &'a [u8],
}

impl Parts<'_> {
    fn new() -> Self {
        let point = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key().to_bytes();
        Self {
            preamble: b"SSHSIG\0\0\0\x01",
            key: blob(&[b"ssh-ed25519", &point]),
            reserved: b"",
            hash: b"sha512",
            signature: blob(&[b"ssh-ed25519", &[1; 64]]),
            trailing: b"",
        }
    }

    fn parse(&self) -> Result<SshSignature, Error> {
        let fields = blob(&[&self.key, b"keyward-proof", self.reserved, self.hash, &self.signature]);
        let bytes = [self.preamble, &fields, self.trailing].concat();
        let body = STANDARD.encode(bytes);
        parse(&format!("-----BEGIN SSH SIGNATURE-----\n{body}\n-----END SSH SIGNATURE-----\n"))
    }
}

#[test]
fn every_field_of_a_proof_is_strict() {
    assert!(Parts::new().parse().is_ok());
    let malformed = Err(Error::Malformed);
    assert_eq!(Parts { preamble: b"SSHSIG\0\0\0\x02", ..Parts::new() }.parse(), malformed);
    assert_eq!(Parts { preamble: b"SSHSIX\0\0\0\x01", ..Parts::new() }.parse(), malformed);
    assert_eq!(Parts { reserved: b"x", ..Parts::new() }.parse(), malformed);
    assert_eq!(Parts { trailing: b"x", ..Parts::new() }.parse(), malformed);
    assert_eq!(Parts { hash: b"sha1", ..Parts::new() }.parse(), Err(Error::HashAlgorithm));
    for (expected, signature) in [
        (Error::Malformed, blob(&[b"ssh-ed25519", &[1; 63]])),
        (Error::Malformed, blob(&[b"ssh-ed25519", &[1; 65]])),
        (Error::Malformed, blob(&[b"ssh-ed25519", &[1; 64], b""])),
        (Error::Malformed, blob(&[b"ssh-ed25519"])),
        (Error::SignatureAlgorithm, blob(&[b"rsa-sha2-512", &[1; 256]])),
        (Error::SignatureAlgorithm, blob(&[b"ssh-rsa", &[1; 256]])),
        (Error::SignatureAlgorithm, blob(&[b"sk-ssh-ed25519@openssh.com", &[1; 64]])),
    ] {
        assert_eq!(Parts { signature, ..Parts::new() }.parse(), Err(expected));
    }
    let short = blob(&[b"ssh-ed25519", &[1; 31]]);
    assert_eq!(Parts { key: short, ..Parts::new() }.parse(), Err(Error::PublicKey(PublicKeyError::Length)));
    let unsupported = PublicKeyError::UnsupportedKeyType(UnsupportedKeyType::Dsa);
    assert_eq!(Parts { key: blob(&[b"ssh-dss"]), ..Parts::new() }.parse(), Err(Error::PublicKey(unsupported)));
}

#[test]
fn sha_1_signatures_by_rsa_keys_are_refused() {
    let pair = KeyPair::generate(&["-t", "rsa", "-b", "2048"]);
    let key = PublicKey::parse(&pair.public_line()).unwrap().key.blob().to_vec();
    for (name, length, expected) in [
        (&b"ssh-rsa"[..], 256, Err(Error::SignatureAlgorithm)),
        (b"rsa-sha2-256", 256, Ok(Algorithm::RsaSha256)),
        (b"rsa-sha2-256", 255, Err(Error::Malformed)),
    ] {
        let signature = blob(&[name, &vec![1; length]]);
        let parsed = Parts { key: key.clone(), signature, ..Parts::new() }.parse();
        assert_eq!(parsed.map(|proof| proof.signature().algorithm), expected);
    }
}

#[test]
fn a_malformed_armour_is_refused() {
    let pair = KeyPair::generate(&["-t", "ed25519"]);
    let text = pair.sign("keyward-proof", &[], "any");
    assert!(parse(&text.replace('\n', "\r\n")).is_ok());
    for other in [
        String::new(),
        pair.public_line(),
        text.replace("SSH SIGNATURE", "SIGNATURE"),
        format!("{text}{text}"),
        text.replace('\n', ""),
    ] {
        assert_eq!(parse(&other), Err(Error::Armour), "{other}");
    }
    assert_eq!(parse(&"a".repeat(1 << 20)), Err(Error::TooLong));
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let parts = Parts { signature: bytes.clone(), ..Parts::new() };
        prop_assert!(parts.parse().is_err());
        let parts = Parts { preamble: &bytes, ..Parts::new() };
        prop_assert!(parts.parse().is_err());
    }
}
