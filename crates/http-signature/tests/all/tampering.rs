//! Changes by an attacker after signing. The response is always that the signature is invalid, without details.

use http_signature::{
    Algorithm, EcdsaSigningKey, Profile, SignatureError, SigningKey, SigningKeyError, VerificationKey, VerifyError,
};

use crate::support::{
    GET_COMPONENTS, INVALID, NOW, POST_COMPONENTS, Refused, Request, native_member, signing_key, verification_key,
};

#[track_caller]
fn assert_invalid(change: impl Fn(&mut Request)) {
    for profile in [Profile::Native, Profile::Encord] {
        let mut request = Request::new("GET", "/Items?a=1&b=%20%7e+", "").sign(profile);
        assert!(request.verify().is_ok());
        change(&mut request);
        assert_eq!(request.refusal(), INVALID, "{profile:?}");
    }
}

#[test]
fn another_spelling_of_the_target_is_another_target() {
    let spellings = [
        "/Items?b=%20%7e+&a=1",
        "/Items?a=1&b=+%7e+",
        "/Items?a=1&b=%20~+",
        "/Items?a=1&b=%20%7E+",
        "/items?a=1&b=%20%7e+",
        "/Items?a=1&b=%20%7e%20",
        "/Items?a=1&b=%20%7e+&",
        "/Items/?a=1&b=%20%7e+",
        "//Items?a=1&b=%20%7e+",
        "/./Items?a=1&b=%20%7e+",
        "/%49tems?a=1&b=%20%7e+",
        "/Items",
        "/Items?",
    ];
    for spelling in spellings {
        assert_invalid(|request| request.target = spelling.to_owned());
    }
}

#[test]
fn another_method_is_another_request() {
    assert_invalid(|request| request.method = "HEAD".to_owned());
    assert_invalid(|request| request.method = "OPTIONS".to_owned());
    assert_invalid(|request| request.method = "get".to_owned());
    assert_invalid(|request| request.method = "DELETE".to_owned());
}

#[test]
fn a_native_request_belongs_to_its_host_and_scheme() {
    let signed = Request::get().sign(Profile::Native);
    for authority in ["other.example", "keyward.example:8443", "keyward.example:80", "keyward.example."] {
        let mut request = signed.clone();
        request.authority = authority.to_owned();
        assert_eq!(request.refusal(), INVALID, "{authority}");
    }
    let mut downgraded = signed.clone();
    downgraded.scheme = "http".to_owned();
    assert_eq!(downgraded.refusal(), INVALID);
    // RFC 9421 §2.2.3 calls these the same host.
    for authority in ["KEYWARD.example", "keyward.example:443"] {
        let mut request = signed.clone();
        request.authority = authority.to_owned();
        assert!(request.verify().is_ok(), "{authority}");
    }
}

#[test]
fn method_override_headers_are_ignored() {
    let request = Request::get().sign(Profile::Native).header("x-http-method-override", "DELETE");
    assert!(request.verify().expect("taken").base().starts_with("\"@method\": GET\n"));
}

#[test]
fn a_body_cannot_be_added_to_or_stripped_from_a_write() {
    use http_signature::DigestError;
    let empty = Request::new("POST", "/", "").sign(Profile::Native).verify().expect("taken");
    assert_eq!(empty.verify_body(b""), Ok(()));
    assert_eq!(empty.verify_body(b"{}"), Err(DigestError::Mismatch));
    let full = Request::post().sign(Profile::Native).verify().expect("taken");
    assert_eq!(full.verify_body(b""), Err(DigestError::Mismatch));
    // Its digest cannot be replaced together with it.
    let exchanged = Request::post().sign(Profile::Native);
    let mut exchanged = Request { body: b"{}".to_vec(), ..exchanged }.digest();
    assert_eq!(exchanged.refusal(), INVALID);
    // A line cannot be added to the digest.
    exchanged = Request::post().sign(Profile::Native);
    exchanged.append("content-digest", "sha-512=:AAAA:");
    assert_eq!(exchanged.refusal(), INVALID);
}

#[test]
fn a_signed_body_of_a_get_is_verified() {
    let request = Request::new("GET", "/search", "{\"q\":1}").sign(Profile::Native);
    let verified = request.verify().expect("taken");
    assert!(verified.covers_content_digest());
    assert_eq!(verified.verify_body(b"{\"q\":1}"), Ok(()));
    assert!(verified.verify_body(b"{\"q\":2}").is_err());
}

#[test]
fn parameters_cannot_be_changed() {
    let changes = [
        ("created=16188844", "created=16188845"),
        ("expires=16188845", "expires=16188844"),
        ("GRzl", "AAAA"),
        ("SHA256:jXQn", "SHA256:jXQN"),
        ("(\"@method\" \"@authority\"", "(\"@authority\" \"@method\""),
        (";created", ";alg=\"ed25519\";created"),
    ];
    for (from, to) in changes {
        let request = Request::get().sign(Profile::Native).edit("signature-input", from, to);
        assert_eq!(request.refusal(), INVALID, "{from} -> {to}");
    }
}

#[test]
fn spaces_between_parameters_do_not_count() {
    let request = Request::get().sign(Profile::Native).edit("signature-input", ";expires", ";  expires");
    let request = request.edit("signature-input", "\"@method\" ", "  \"@method\"   ");
    assert!(request.verify().is_ok());
}

#[test]
fn each_flipped_bit_of_a_signature_is_detected() {
    struct Flipped(usize);
    impl SigningKey for Flipped {
        fn algorithm(&self) -> Algorithm {
            Algorithm::Ed25519
        }
        fn sign(&self, base: &[u8]) -> Result<Vec<u8>, SigningKeyError> {
            let mut signature = signing_key().sign(base)?;
            signature[self.0 / 8] ^= 1 << (self.0 % 8);
            Ok(signature)
        }
    }
    let member = native_member(GET_COMPONENTS);
    for bit in 0..512 {
        let request = Request::get().sign_with("sig1", &member, &Flipped(bit));
        assert_eq!(request.refusal(), INVALID, "bit {bit}");
    }
}

#[test]
fn a_signature_of_another_length_is_refused() {
    let signed = Request::get().sign(Profile::Native);
    let whole =
        crate::support::unbase64(signed.field("signature").trim_start_matches("keyward=:").trim_end_matches(':'));
    for length in [0, 1, 32, 63, 65, 128, 512] {
        use base64::Engine as _;
        let mut bytes = whole.clone();
        bytes.resize(length, 0);
        let text = base64::engine::general_purpose::STANDARD.encode(&bytes);
        let mut request = signed.clone();
        request.set("signature", &format!("keyward=:{text}:"));
        assert_eq!(request.refusal(), INVALID, "{length} bytes");
    }
}

#[test]
fn other_spellings_of_a_signature_are_refused() {
    let signed = Request::get().sign(Profile::Native);
    let text = signed.field("signature").trim_start_matches("keyward=:").trim_end_matches("==:").to_owned();
    assert_eq!(text.len(), 86);
    let stem = &text[..85];
    let variants = [
        format!(":{text}:"),
        format!(":{text}=:"),
        format!(":{text}===:"),
        format!(":{stem}/==:"),
        format!(":{} {}==:", &text[..40], &text[40..]),
        format!(":{}==:", text.replace(['+', '/'], "-")) + ";a",
        format!(":{text}==:;a=1"),
        format!("\"{text}==\""),
        format!("{text}=="),
        format!("(:{text}==:)"),
        "?1".to_owned(),
        String::new(),
    ];
    for variant in variants {
        let mut request = signed.clone();
        request.set("signature", &format!("keyward={variant}"));
        let refusal = request.refusal();
        assert!(
            matches!(refusal, Refused::Parse(SignatureError::Malformed { field: "Signature", .. })),
            "{variant}: {refusal:?}"
        );
    }
}

#[test]
fn algorithm_that_conflicts_with_the_key_is_refused() {
    let member = native_member(GET_COMPONENTS);
    let named = |alg: &str| format!("{member};alg=\"{alg}\"");
    assert!(Request::get().sign_as("sig1", &named("ed25519")).verify().is_ok());
    for alg in ["rsa-pss-sha512", "rsa-v1_5-sha256", "ecdsa-p256-sha256", "ecdsa-p384-sha384"] {
        assert_eq!(Request::get().sign_as("sig1", &named(alg)).refusal(), INVALID, "{alg}");
    }
    // The key's public bytes as a shared secret: the known algorithm confusion.
    let request = Request::get().sign_as("sig1", &member);
    let secret = VerificationKey::hmac_sha256(&signing_key().public_key());
    assert_eq!(request.verify_with(&secret, NOW).expect_err("refused"), INVALID);
}

#[test]
fn ecdsa_in_der_is_refused() {
    struct Der(EcdsaSigningKey);
    impl SigningKey for Der {
        fn algorithm(&self) -> Algorithm {
            Algorithm::EcdsaP256Sha256
        }
        fn sign(&self, base: &[u8]) -> Result<Vec<u8>, SigningKeyError> {
            let fixed = self.0.sign(base)?;
            let integer = |half: &[u8]| {
                let mut bytes = half.to_vec();
                if bytes[0] >= 0x80 {
                    bytes.insert(0, 0);
                }
                [vec![2, u8::try_from(bytes.len()).expect("short")], bytes].concat()
            };
            let body = [integer(&fixed[..32]), integer(&fixed[32..])].concat();
            Ok([vec![0x30, u8::try_from(body.len()).expect("short")], body].concat())
        }
    }
    let (key, public) = crate::keys::p256_pair();
    let member = native_member(POST_COMPONENTS);
    let fixed = Request::post().digest().sign_with("sig1", &member, &key);
    assert!(fixed.verify_with(&public, NOW).is_ok());
    let der = Request::post().digest().sign_with("sig1", &member, &Der(key));
    assert_eq!(der.verify_with(&public, NOW).expect_err("refused"), Refused::Verify(VerifyError::DerEncoded));
    // A signature by another key is refused without a reason.
    assert_eq!(der.verify_with(&VerificationKey::dummy(), NOW).expect_err("refused"), INVALID);
}

#[test]
fn another_key_and_an_unknown_key_look_alike() {
    let request = Request::post().sign(Profile::Native);
    let other = http_signature::Ed25519SigningKey::from_seed(&[8; 32]).public_key();
    let other = VerificationKey::ed25519_from_bytes(&other).expect("a strict key");
    assert_eq!(request.verify_with(&other, NOW).expect_err("refused"), INVALID);
    assert_eq!(request.verify_with(&VerificationKey::dummy(), NOW).expect_err("refused"), INVALID);
    // The clock does not reveal a difference.
    assert_eq!(request.verify_with(&other, 0).expect_err("refused"), INVALID);
    let stale = request.verify_with(&verification_key(), NOW + 1000).expect_err("refused");
    assert_eq!(stale, Refused::Verify(VerifyError::Stale { seconds_late: 1000 }));
}

#[test]
fn a_signature_is_not_good_for_another_request_of_the_same_key() {
    let first = Request::get().sign(Profile::Native);
    let mut second = Request::new("GET", "/api/v1/me", "");
    second.set("signature-input", &first.field("signature-input"));
    second.set("signature", &first.field("signature"));
    assert_eq!(second.refusal(), INVALID);
}
