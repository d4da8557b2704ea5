//! The explanation of a verifier: the base that it computed, and the values that it hides.

use http_signature::{Profile, explain_signature_base, mask_signature_base};

use crate::support::{Request, native_member};

#[test]
fn signer_and_verifier_write_the_same_explanation() {
    for request in [Request::get(), Request::post()] {
        for profile in [Profile::Native, Profile::Encord] {
            let signed = request.clone().sign(profile);
            let verified = signed.verify().expect("taken");
            let explained = explain_signature_base(&signed.view()).expect("a base");
            assert_eq!(explained, verified.base(), "all of it is required, so all of it is shown");
            assert_eq!(explained, mask_signature_base(verified.base()));
        }
    }
}

#[test]
fn the_value_of_a_further_field_is_not_shown() {
    let member = native_member(r#""@method" "@authority" "@target-uri" "x-a" "x-b""#);
    let signed =
        Request::get().header("x-a", "secret").header("x-a", " b: \"x\": c ").header("x-b", "").sign_as("k", &member);
    let verified = signed.verify().expect("taken");
    let explained = explain_signature_base(&signed.view()).expect("a base");
    assert_eq!(explained, mask_signature_base(verified.base()));
    // printf '%s' 'secret, b: "x": c' | sha256sum
    let hash = "f9735775edf532846f9bfcd7398a3185a1583355fb91a1a953acc424a0bf952a";
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let masked = format!("\n\"x-a\": length=17, sha-256={hash}\n\"x-b\": length=0, sha-256={empty}\n");
    assert!(explained.contains(&masked), "{explained}");
    assert!(!explained.contains("secret"));
}

#[test]
fn components_without_a_value_are_marked() {
    let member = native_member(r#""@method" "@authority" "@target-uri" "x-a" "x-b""#);
    let mut spoilt = Request::get().header("x-a", "1").header("x-b", "2").sign_as("k", &member);
    spoilt.headers.remove("x-a");
    spoilt.headers.insert("x-b", http::HeaderValue::from_bytes(b"\xe4").expect("a value"));
    let explained = explain_signature_base(&spoilt.view()).expect("a base");
    assert!(explained.contains("\n\"x-a\": (missing)\n\"x-b\": (not one line of ASCII)\n"), "{explained}");
    let beyond =
        Request::get().sign(Profile::Native).edit("signature-input", "\"@method\"", "\"@method\";req \"@scheme\"");
    let explained = explain_signature_base(&beyond.view()).expect("a base");
    assert!(explained.starts_with("\"@method\";req: (not supported)\n\"@scheme\": (not supported)\n"), "{explained}");
}

#[test]
fn there_is_nothing_to_explain_without_a_signature_of_a_profile() {
    assert_eq!(explain_signature_base(&Request::get().view()), None);
    let other = Request::get().sign(Profile::Native).edit("signature-input", "keyward\"", "other\"");
    assert_eq!(explain_signature_base(&other.view()), None);
}
