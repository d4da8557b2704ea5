//! The Encord profile accepts exactly the requests of the Python SDK. `interop` tests the SDK itself.

use http_signature::{DigestError, Profile, SignatureError, SigningKey as _, VerificationKey, VerifyError};

use crate::support::{INVALID, NOW, Refused, Request, hex, signing_key};

fn key_id() -> String {
    hex(&signing_key().public_key())
}

const COMPONENTS: &str = r#""@method" "@request-target" "content-digest""#;

fn member() -> String {
    format!("({COMPONENTS});created={NOW};keyid=\"{}\";alg=\"ed25519\"", key_id())
}

#[test]
fn a_signed_request_is_accepted() {
    let request = Request::post().sign(Profile::Encord);
    assert_eq!(request.field("signature-input"), format!("encord-sig={}", member()));
    let verified = request.verify().expect("taken");
    assert_eq!(verified.profile(), Profile::Encord);
    assert_eq!(verified.key_id(), key_id());
    assert_eq!(verified.expires_at(), NOW + 300);
    assert_eq!(verified.nonce(), None);
    assert_eq!(verified.verify_body(&request.body), Ok(()));
    assert_eq!(verified.verify_body(b""), Err(DigestError::Mismatch));
}

#[test]
fn a_get_has_the_digest_of_its_empty_body() {
    let request = Request::get().sign(Profile::Encord);
    assert_eq!(request.field("content-digest"), "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:");
    assert_eq!(request.verify().expect("taken").verify_body(b""), Ok(()));
}

#[test]
fn it_does_not_cover_the_host_which_the_caller_must_know() {
    let mut request = Request::get().sign(Profile::Encord);
    request.authority = "other.example".to_owned();
    assert_eq!(request.verify().expect("taken").profile(), Profile::Encord);
}

#[test]
fn other_components_or_another_order_are_refused() {
    let others = [
        r#""@request-target" "@method" "content-digest""#,
        r#""@method" "@request-target""#,
        r#""@method" "content-digest""#,
        "",
    ];
    for components in others {
        let request = Request::post().digest().sign_as("encord-sig", &member().replace(COMPONENTS, components));
        assert_eq!(request.refusal(), Refused::Parse(SignatureError::EncordComponents), "{components}");
    }
    for extra in ["\"@authority\"", "\"date\"", "\"content-digest\";bs"] {
        let components = format!("{COMPONENTS} {extra}");
        let request = Request::post().header("date", "today").digest();
        let request = request.sign_as("encord-sig", &member().replace(COMPONENTS, &components));
        assert!(matches!(request.refusal(), Refused::Parse(SignatureError::UnexpectedComponent(_))), "{extra}");
    }
}

#[test]
fn parameters_are_the_three_of_the_sdk() {
    let cases = [
        (format!(";created={NOW}"), "", SignatureError::MissingParameter("created")),
        (format!(";keyid=\"{}\"", key_id()), "", SignatureError::MissingParameter("keyid")),
        (";alg=\"ed25519\"".to_owned(), "", SignatureError::MissingParameter("alg")),
        ("\"ed25519\"".to_owned(), "\"rsa-pss-sha512\"", SignatureError::BadParameter("alg")),
        (
            ";alg".to_owned(),
            ";nonce=\"GRzlUfiGwvXsQRr4cSsoYg\";alg",
            SignatureError::UnexpectedParameter("nonce".to_owned()),
        ),
        (";alg".to_owned(), ";expires=1618884500;alg", SignatureError::UnexpectedParameter("expires".to_owned())),
        (";alg".to_owned(), ";tag=\"other\";alg", SignatureError::UnexpectedParameter("tag".to_owned())),
    ];
    for (from, to, error) in cases {
        assert!(member().contains(&from), "{from}");
        let request = Request::get().digest().sign_as("encord-sig", &member().replace(&from, to));
        assert_eq!(request.refusal(), Refused::Parse(error), "{from} -> {to}");
    }
}

#[test]
fn key_id_is_64_lower_case_hex_digits() {
    let id = key_id();
    let variants = [
        id.to_uppercase(),
        format!(" {id}"),
        format!("{id} "),
        id[..63].to_owned(),
        format!("{id}0"),
        format!("SHA256:{}", &id[..43]),
        "g".repeat(64),
        String::new(),
    ];
    for variant in variants {
        let request = Request::get().digest().sign_as("encord-sig", &member().replace(&id, &variant));
        assert_eq!(request.refusal(), Refused::Parse(SignatureError::BadParameter("keyid")), "{variant:?}");
    }
}

#[test]
fn the_verifying_key_must_match_the_key_id() {
    // Signed by this key, but with the keyid of another one.
    let request = Request::get().digest().sign_as("encord-sig", &member().replace(&key_id(), &"0a".repeat(32)));
    assert_eq!(request.refusal(), INVALID);
}

#[test]
fn only_ed25519_keys_verify() {
    let request = Request::get().sign(Profile::Encord);
    let hmac = VerificationKey::hmac_sha256(&signing_key().public_key());
    assert_eq!(request.verify_with(&hmac, NOW).expect_err("refused"), INVALID);
}

#[test]
fn another_label_is_another_signature() {
    let request = Request::get().digest().sign_as("encord-sig2", &member());
    assert_eq!(request.refusal(), Refused::Parse(SignatureError::NoProfile));
}

#[test]
fn parameters_count_in_the_order_received() {
    let reordered = format!("({COMPONENTS});alg=\"ed25519\";keyid=\"{}\";created={NOW}", key_id());
    let request = Request::get().digest().sign_as("encord-sig", &reordered);
    assert!(request.verify().is_ok());
    // Signed in one order, sent in the other.
    let request = Request::get().sign(Profile::Encord);
    let mut swapped = request.clone();
    swapped.set("signature-input", &format!("encord-sig={reordered}"));
    assert_eq!(swapped.refusal(), INVALID);
}

#[test]
fn the_base_is_the_one_of_the_sdk() {
    let request = Request::get().sign(Profile::Encord);
    let digest = request.field("content-digest");
    let base = format!(
        "\"@method\": GET\n\"@request-target\": /api/v1/me?verbose=1\n\"content-digest\": {digest}\n\
         \"@signature-params\": {}",
        member()
    );
    let verified = request.verify().expect("taken");
    assert_eq!(verified.base(), base);
    assert!(signing_key().sign(base.as_bytes()).is_ok());
}

#[test]
fn a_weak_digest_is_refused() {
    let request = Request::get().header("content-digest", "md5=:1B2M2Y8AsgTpgAmY7PhCfg==:");
    let request = request.sign_as("encord-sig", &member());
    assert_eq!(request.refusal(), Refused::Verify(VerifyError::Digest(DigestError::UnsupportedAlgorithm)));
}
