//! `docs/vectors/native.json`, the test vectors for all clients. `scripts/native-vectors` creates it without this
//! crate.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_signature::{
    EcdsaSigningKey, Ed25519SigningKey, Profile, RsaSigningKey, SigningKey, SigningParameters, VerificationKey,
    sign_request,
};
use serde::Deserialize;

use crate::support::{Request, unbase64};

#[derive(Deserialize)]
struct File {
    keys: BTreeMap<String, Key>,
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Key {
    private_pkcs8_pem: String,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    key: String,
    algorithm: String,
    request: Given,
    cover: Vec<String>,
    created: i64,
    expires: i64,
    nonce: String,
    keyid: String,
    authority: String,
    target: String,
    content_digest: Option<String>,
    signature_base: String,
    signature_input: String,
    signature: String,
    deterministic: bool,
}

#[derive(Deserialize)]
struct Given {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

impl Vector {
    /// Returns the request as a server receives it, except that the authority has the form in the URL.
    fn request(&self) -> Request {
        let (scheme, rest) = self.request.url.split_once("://").expect("an absolute URL");
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let mut request = Request::new(&self.request.method, &self.target, self.request.body.as_deref().unwrap_or(""));
        (request.scheme, request.authority) = (scheme.to_owned(), authority.to_owned());
        for (name, value) in &self.request.headers {
            request.append(name, value);
        }
        request
    }

    /// Returns the request as it is sent, with the headers that a client adds according to the file.
    fn signed_request(&self) -> Request {
        let mut request = self.request();
        request.authority.clone_from(&self.authority);
        request.scheme.make_ascii_lowercase();
        request.append("signature-input", &self.signature_input);
        request.append("signature", &self.signature);
        if let Some(digest) = &self.content_digest {
            request.append("content-digest", digest);
        }
        request
    }

    fn keys(&self, keys: &BTreeMap<String, Key>) -> (Box<dyn SigningKey>, VerificationKey) {
        let pem = &keys[&self.key].private_pkcs8_pem;
        let der = unbase64(&pem.lines().filter(|line| !line.starts_with("-----")).collect::<String>());
        match self.algorithm.as_str() {
            "ed25519" => {
                let key = Ed25519SigningKey::from_seed(der.last_chunk().expect("a seed"));
                let public = VerificationKey::ed25519_from_bytes(&key.public_key()).expect("a strict key");
                (Box::new(key), public)
            }
            "ecdsa-p256-sha256" => {
                let key = EcdsaSigningKey::from_pkcs8(&der).expect("a valid key");
                let public = VerificationKey::ecdsa_p256_from_sec1(key.public_key()).expect("a point");
                (Box::new(key), public)
            }
            "ecdsa-p384-sha384" => {
                let key = EcdsaSigningKey::from_pkcs8(&der).expect("a valid key");
                let public = VerificationKey::ecdsa_p384_from_sec1(key.public_key()).expect("a point");
                (Box::new(key), public)
            }
            _ => {
                let key = RsaSigningKey::from_pkcs8(&der).expect("a valid key");
                let public = rsa_public_key(key.public_key());
                let padded = self.algorithm == "rsa-v1_5-sha256";
                (Box::new(if padded { key.with_v1_5_padding() } else { key }), public)
            }
        }
    }
}

/// Parses `RSAPublicKey` in DER: a sequence of two integers, for a modulus of 2048 bits.
fn rsa_public_key(der: &[u8]) -> VerificationKey {
    let modulus = &der[9..9 + 256];
    let exponent = &der[9 + 256 + 2..];
    assert_eq!((&der[..2], &der[4..8], exponent), (&[0x30, 0x82][..], &[0x02, 0x82, 0x01, 0x01][..], &[1, 0, 1][..]));
    VerificationKey::rsa_from_components(modulus, exponent).expect("a modulus of 2048 bits")
}

fn file() -> File {
    serde_json::from_str(include_str!("../../../../docs/vectors/native.json")).expect("JSON of the shape above")
}

#[test]
fn the_signer_signs_as_the_vectors_say() {
    let file = file();
    for vector in &file.vectors {
        let (key, _) = vector.keys(&file.keys);
        let covered: Vec<&str> = vector.cover.iter().map(String::as_str).collect();
        let parameters = SigningParameters {
            created: vector.created,
            lifetime_seconds: vector.expires - vector.created,
            nonce: &vector.nonce,
            key_id: &vector.keyid,
            covered_headers: &covered,
        };
        let request = vector.request();
        let signed = sign_request(&request.view(), &request.body, Profile::Native, &parameters, key.as_ref());
        let signed = signed.unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        assert_eq!(signed.base, vector.signature_base, "{}", vector.name);
        assert_eq!(signed.signature_input, vector.signature_input, "{}", vector.name);
        assert_eq!(signed.content_digest, vector.content_digest, "{}", vector.name);
        assert_eq!(signed.signature == vector.signature, vector.deterministic, "{}", vector.name);
    }
}

#[test]
fn the_verifier_accepts_the_vectors_and_no_other_signature() {
    let file = file();
    for vector in &file.vectors {
        let (_, key) = vector.keys(&file.keys);
        let request = vector.signed_request();
        let verified = request.verify_with(&key, vector.created);
        let verified = verified.unwrap_or_else(|error| panic!("{}: {error:?}", vector.name));
        assert_eq!(verified.nonce(), Some(vector.nonce.as_str()), "{}", vector.name);
        assert_eq!(verified.verify_body(&request.body), Ok(()), "{}", vector.name);

        let mut bytes = unbase64(vector.signature.trim_start_matches("keyward=:").trim_end_matches(':'));
        *bytes.last_mut().expect("a signature") ^= 1;
        let mut changed = request.clone();
        changed.set("signature", &format!("keyward=:{}:", STANDARD.encode(&bytes)));
        assert_eq!(changed.verify_with(&key, vector.created).err(), Some(crate::support::INVALID), "{}", vector.name);
    }
}

#[test]
fn the_vectors_have_every_algorithm_of_the_profile() {
    let file = file();
    for algorithm in ["ed25519", "ecdsa-p256-sha256", "ecdsa-p384-sha384", "rsa-pss-sha512", "rsa-v1_5-sha256"] {
        assert!(file.vectors.iter().any(|vector| vector.algorithm == algorithm), "{algorithm}");
    }
}

#[test]
fn the_page_about_the_protocol_prints_vectors_of_the_file() {
    let file = file();
    let page = include_str!("../../../../docs/protocol.md");
    assert!(page.contains(&file.keys["ed25519"].private_pkcs8_pem));
    for name in ["get", "post_json", "get_with_empty_query"] {
        let vector = file.vectors.iter().find(|vector| vector.name == name).expect("a vector of this name");
        assert!(page.contains(&format!("\n{}\n", vector.signature_base)), "{name}: another signature base");
        assert!(page.contains(&format!("\nSignature-Input: {}\n", vector.signature_input)), "{name}: another input");
        assert!(page.contains(&format!("\nSignature: {}\n", vector.signature)), "{name}: another signature");
    }
}
