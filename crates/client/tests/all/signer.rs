//! The verifier of a profile accepts the requests of a signer.

use std::sync::Arc;

use client::{PrivateKey, Profile, SignError, Signer, generate_key_pair};
use http::{HeaderMap, Request};
use http_signature::{RequestView, UnverifiedSignature, VerificationKey, VerifiedSignature};

use crate::{
    ssh_keygen::KeyPair,
    still::{CountingRandom, StillClock},
};

const NOW: i64 = 1_800_000_000;

fn key() -> PrivateKey {
    PrivateKey::from_text(&generate_key_pair(&CountingRandom::default(), "me").private_openssh).unwrap()
}

fn signer(profile: Profile) -> Signer {
    let system = (Arc::new(StillClock(NOW)), Arc::new(CountingRandom::default()));
    Signer::new(&key(), profile).unwrap().with_system(system.0, system.1)
}

fn verify(view: &RequestView<'_>) -> VerifiedSignature {
    let public = VerificationKey::ed25519_from_bytes(key().ed25519_public_key().unwrap()).unwrap();
    UnverifiedSignature::parse(view).unwrap().unwrap().verify(&public, NOW).unwrap()
}

fn field<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[test]
fn a_native_signature_covers_the_required_components() {
    let mut request =
        Request::post("https://keys.example.com:8443/api/v1/me/keys?a=b%20c").body(b"{}".to_vec()).unwrap();
    let signed = signer(Profile::Native).sign(&mut request).unwrap();
    assert_eq!((signed.created, signed.expires), (NOW, NOW + 60));
    let fingerprint = key().fingerprint();
    assert_eq!(
        field(request.headers(), "signature-input"),
        format!(
            "keyward=(\"@method\" \"@authority\" \"@target-uri\" \"content-digest\");created={NOW};expires={};\
             nonce=\"AQEBAQEBAQEBAQEBAQEBAQ\";keyid=\"{fingerprint}\";tag=\"keyward\"",
            NOW + 60
        )
    );
    assert!(signed.base.contains("\"@target-uri\": https://keys.example.com:8443/api/v1/me/keys?a=b%20c\n"));
    let view = RequestView {
        method: "POST",
        scheme: "https",
        authority: "keys.example.com:8443",
        target: "/api/v1/me/keys?a=b%20c",
        headers: request.headers(),
    };
    let verified = verify(&view);
    assert_eq!(verified.base(), signed.base);
    assert!(verified.verify_body(b"{}").is_ok());
    assert!(verified.verify_body(b"{ }").is_err());
}

#[test]
fn a_read_is_signed_without_a_digest_and_each_time_with_another_nonce() {
    let signer = signer(Profile::Native);
    let mut nonces = [0, 1].map(|_| {
        let mut request = Request::get("http://127.0.0.1:8080").body(Vec::new()).unwrap();
        signer.sign(&mut request).unwrap();
        assert_eq!(field(request.headers(), "content-digest"), "");
        let headers = request.headers();
        let view = RequestView { method: "GET", scheme: "http", authority: "127.0.0.1:8080", target: "/", headers };
        verify(&view).nonce().unwrap().to_owned()
    });
    nonces.sort();
    assert_ne!(nonces[0], nonces[1]);
}

#[test]
fn the_host_field_and_the_named_workspace_are_covered() {
    let mut request = Request::delete("http://127.0.0.1:8080/projects")
        .header("host", "keys.example.com")
        .header("keyward-workspace", "ws_01h455vb4pex5vsknk084sn02q")
        .body([])
        .unwrap();
    signer(Profile::Native).sign(&mut request).unwrap();
    let view = RequestView {
        method: "DELETE",
        scheme: "http",
        authority: "keys.example.com",
        target: "/projects",
        headers: request.headers(),
    };
    let verified = verify(&view);
    assert!(verified.covers_header("keyward-workspace"));
    assert!(verified.covers_content_digest(), "of an empty body too");
}

#[test]
fn a_request_of_reqwest_is_signed_as_it_will_be_sent() {
    let mut request =
        reqwest::Client::new().put("https://EXAMPLE.com:443/a/../b c?q=ü#fragment").body("text").build().unwrap();
    signer(Profile::Native).sign_reqwest(&mut request).unwrap();
    let view = RequestView {
        method: "PUT",
        scheme: "https",
        authority: "example.com",
        target: "/b%20c?q=%C3%BC",
        headers: request.headers(),
    };
    assert!(verify(&view).verify_body(b"text").is_ok());
}

#[test]
fn the_encord_profile_signs_as_the_encord_sdk_does() {
    let mut request = Request::get("http://127.0.0.1/v2/public/user/bearer-token").body([]).unwrap();
    let signed = signer(Profile::Encord).sign(&mut request).unwrap();
    assert_eq!((signed.created, signed.expires), (NOW, NOW + 300));
    let hex = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c";
    assert_eq!(
        field(request.headers(), "signature-input"),
        format!(
            "encord-sig=(\"@method\" \"@request-target\" \"content-digest\");created={NOW};keyid=\"{hex}\";\
             alg=\"ed25519\""
        )
    );
    // SHA-256 of nothing.
    assert_eq!(field(request.headers(), "content-digest"), "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:");
    let view = RequestView {
        method: "GET",
        scheme: "http",
        authority: "127.0.0.1",
        target: "/v2/public/user/bearer-token",
        headers: request.headers(),
    };
    assert_eq!(verify(&view).key_id(), hex);
}

#[test]
fn keys_of_every_type_sign_natively_and_only_ed25519_as_encord() {
    for arguments in [&["-t", "rsa", "-b", "2048"][..], &["-t", "ecdsa", "-b", "256"], &["-t", "ecdsa", "-b", "384"]] {
        let key = PrivateKey::from_file(&KeyPair::generate(arguments).path()).unwrap();
        let mut request = Request::get("https://example.com/").body([]).unwrap();
        Signer::new(&key, Profile::Native).unwrap().sign(&mut request).unwrap();
        assert!(matches!(Signer::new(&key, Profile::Encord), Err(SignError::EncordKey)));
    }
}

#[test]
fn a_request_that_cannot_be_signed_stays_as_it_was() {
    let signer = signer(Profile::Native);
    let mut relative = Request::get("/api/v1/me").body([]).unwrap();
    assert!(matches!(signer.sign(&mut relative), Err(SignError::NotAbsolute)));
    assert!(relative.headers().is_empty());
    let mut with_user = Request::get("https://me:secret@example.com/").body([]).unwrap();
    assert!(matches!(signer.sign(&mut with_user), Err(SignError::UserInfo)));
}
