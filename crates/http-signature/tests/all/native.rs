//! The native profile: the accepted signatures, and the required components and parameters.

use http_signature::{
    ComponentError, DigestError, NONCE_MAX_CHARACTERS, Profile, SignatureError, SyntaxError, VerificationKey,
    VerifyError,
};

use crate::support::{GET_COMPONENTS, INVALID, KEY_ID, NONCE, NOW, POST_COMPONENTS, Refused, Request, native_member};

#[test]
fn a_signed_get_is_accepted() {
    let verified = Request::get().sign(Profile::Native).verify().expect("taken");
    assert_eq!(verified.profile(), Profile::Native);
    assert_eq!(verified.key_id(), KEY_ID);
    assert_eq!(verified.created(), NOW);
    assert_eq!(verified.expires_at(), NOW + 60);
    assert_eq!(verified.nonce(), Some(NONCE));
    assert!(!verified.covers_content_digest());
    assert_eq!(verified.verify_body(b""), Ok(()));
    assert_eq!(verified.verify_body(b"x"), Err(DigestError::NotCovered));
    assert_eq!(
        verified.base(),
        format!(
            "\"@method\": GET\n\
             \"@authority\": keyward.example\n\
             \"@target-uri\": https://keyward.example/api/v1/me?verbose=1\n\
             \"@signature-params\": (\"@method\" \"@authority\" \"@target-uri\");created={NOW};expires={};nonce=\"{NONCE}\"\
             ;keyid=\"{KEY_ID}\";tag=\"keyward\"",
            NOW + 60
        )
    );
}

#[test]
fn a_signed_post_is_accepted_with_its_body_only() {
    let request = Request::post().sign(Profile::Native);
    let verified = request.verify().expect("taken");
    assert!(verified.covers_content_digest());
    assert_eq!(verified.verify_body(&request.body), Ok(()));
    assert_eq!(verified.verify_body(b""), Err(DigestError::Mismatch));
    assert_eq!(verified.verify_body(b"{}"), Err(DigestError::Mismatch));
}

#[test]
fn an_unsigned_request_has_no_signature() {
    let request = Request::get();
    assert!(http_signature::UnverifiedSignature::parse(&request.view()).expect("nothing to refuse").is_none());
}

#[test]
fn path_and_query_replace_the_target_uri() {
    let member = native_member(r#""@query" "@authority" "@path" "@method""#);
    assert!(Request::get().sign_as("any-label", &member).verify().is_ok());
    let both = native_member(r#""@method" "@authority" "@target-uri" "@path""#);
    assert!(Request::get().sign_as("any-label", &both).verify().is_ok());
}

#[test]
fn each_required_component_is_required() {
    let cases = [
        (r#""@authority" "@target-uri""#, "@method"),
        (r#""@method" "@target-uri""#, "@authority"),
        (r#""@method" "@authority""#, "@path"),
        (r#""@method" "@authority" "@path""#, "@query"),
        (r#""@method" "@authority" "@query""#, "@path"),
        ("", "@method"),
    ];
    for (components, missing) in cases {
        let request = Request::get().sign_as("sig1", &native_member(components));
        assert_eq!(request.refusal(), Refused::Verify(VerifyError::MissingComponent(missing)), "{components}");
        // A sender without the key gets no information.
        let strange = request.verify_with(&VerificationKey::dummy(), NOW).expect_err("refused");
        assert_eq!(strange, INVALID);
    }
}

#[test]
fn every_method_but_three_needs_a_digest_even_without_a_body() {
    for method in ["GET", "HEAD", "OPTIONS"] {
        let request = Request::new(method, "/", "").sign_as("sig1", &native_member(GET_COMPONENTS));
        assert!(request.verify().is_ok(), "{method}");
    }
    // Methods are case-sensitive: `get` is not GET, and its effect on a server is unknown.
    for method in ["POST", "PUT", "PATCH", "DELETE", "QUERY", "get", "TRACE"] {
        let uncovered = Request::new(method, "/", "").digest().sign_as("sig1", &native_member(GET_COMPONENTS));
        assert_eq!(uncovered.refusal(), Refused::Verify(VerifyError::MissingDigest), "{method}");
        let covered = Request::new(method, "/", "").digest().sign_as("sig1", &native_member(POST_COMPONENTS));
        assert_eq!(covered.verify().expect("taken").verify_body(b""), Ok(()), "{method}");
    }
}

#[test]
fn a_digest_that_proves_nothing_is_refused_before_the_body_is_seen() {
    let member = native_member(POST_COMPONENTS);
    let weak = Request::post().header("content-digest", "md5=:Sd/dVLAcvNLSq16eXua5uQ==:").sign_as("sig1", &member);
    assert_eq!(weak.refusal(), Refused::Verify(VerifyError::Digest(DigestError::UnsupportedAlgorithm)));
    let repeated = Request::post().digest();
    let again = repeated.field("content-digest");
    let repeated = repeated.header("content-digest", &again).sign_as("sig1", &member);
    assert_eq!(repeated.refusal(), Refused::Verify(VerifyError::Digest(DigestError::Duplicate)));
    let absent = Request::post().digest().sign_as("sig1", &member);
    let mut stripped = absent.clone();
    stripped.headers.remove("content-digest");
    let missing = ComponentError::Missing("\"content-digest\"".to_owned());
    assert_eq!(stripped.refusal(), Refused::Parse(SignatureError::Component(missing)));
}

#[test]
fn further_plain_headers_may_be_covered() {
    let request = Request::get().header("keyward-workspace", "ws_1").header("date", "today");
    let member = native_member(r#""keyward-workspace" "@method" "@authority" "@target-uri""#);
    let request = request.sign_as("sig1", &member);
    let verified = request.verify().expect("taken");
    assert!(verified.covers_header("keyward-workspace"));
    assert!(verified.covers_header("Keyward-Workspace"));
    assert!(!verified.covers_header("date"));
    assert!(!verified.covers_header("keyward"));
    assert!(!verified.covers_header("@method"));
    assert_eq!(request.edit("keyward-workspace", "ws_1", "ws_2").refusal(), INVALID);
}

#[test]
fn a_covered_header_cannot_pretend_to_be_another() {
    // The value of the one field looks like the line of the other, but lines begin with the quoted name.
    let request = Request::get().header("x-note", "\"keyward-workspace\": ws_1");
    let request = request.sign_as("sig1", &native_member(r#""@method" "@authority" "@target-uri" "x-note""#));
    assert!(!request.verify().expect("taken").covers_header("keyward-workspace"));
}

#[test]
fn components_that_the_profile_does_not_name_are_refused() {
    let unnamed = [
        r#""@scheme""#,
        r#""@request-target""#,
        r#""@query-param";name="verbose""#,
        r#""x-a";bs"#,
        r#""cache-status";sf"#,
        r#""x-a";key="a""#,
    ];
    for component in unnamed {
        let request = Request::get().header("x-a", "a=1").header("cache-status", "a");
        let request = request.sign_as("sig1", &native_member(&format!("{GET_COMPONENTS} {component}")));
        let refusal = request.refusal();
        assert!(matches!(refusal, Refused::Parse(SignatureError::UnexpectedComponent(_))), "{component}: {refusal:?}");
    }
    // These cannot be signed in a request, so the signature is from another one.
    for component in [r#""x-a";tr"#, r#""x-a";req"#, r#""@method";req"#, r#""@status""#, r#""@signature-params""#] {
        let request = Request::get().header("x-a", "a=1").sign(Profile::Native);
        let request = request.edit("signature-input", "\"@method\"", &format!("\"@method\" {component}"));
        assert!(matches!(request.refusal(), Refused::Parse(SignatureError::UnexpectedComponent(_))), "{component}");
    }
}

#[test]
fn a_component_covered_twice_is_refused() {
    let request =
        Request::get().sign(Profile::Native).edit("signature-input", "\"@method\"", "\"@method\" \"@method\"");
    assert_eq!(request.refusal(), Refused::Parse(SignatureError::DuplicateComponent));
}

#[test]
fn parameters_are_required_by_name() {
    let member = native_member(GET_COMPONENTS);
    let without = |text: &str| {
        assert!(member.contains(text), "{text}");
        Request::get().sign_as("sig1", &member.replace(text, "")).refusal()
    };
    assert_eq!(without(&format!(";created={NOW}")), Refused::Parse(SignatureError::MissingParameter("created")));
    assert_eq!(without(&format!(";keyid=\"{KEY_ID}\"")), Refused::Parse(SignatureError::MissingParameter("keyid")));
    assert_eq!(without(&format!(";expires={}", NOW + 60)), Refused::Verify(VerifyError::MissingParameter("expires")));
    assert_eq!(without(&format!(";nonce=\"{NONCE}\"")), Refused::Verify(VerifyError::MissingParameter("nonce")));
    assert_eq!(without(";tag=\"keyward\""), Refused::Parse(SignatureError::NoProfile));
}

#[test]
fn parameters_of_another_type_are_refused_and_never_treated_as_absent() {
    let member = native_member(GET_COMPONENTS);
    let created = format!("created={NOW}");
    let expires = format!("expires={}", NOW + 60);
    let key_id = format!("keyid=\"{KEY_ID}\"");
    let nonce = format!("nonce=\"{NONCE}\"");
    let cases = [
        (created.as_str(), format!("created=\"{NOW}\""), "created"),
        (&created, format!("created={NOW}.0"), "created"),
        (&created, "created=-1".to_owned(), "created"),
        (&created, "created".to_owned(), "created"),
        (&expires, "expires=never".to_owned(), "expires"),
        (&expires, "expires=-1".to_owned(), "expires"),
        (&key_id, "keyid=abc".to_owned(), "keyid"),
        (&key_id, "keyid=:AAAA:".to_owned(), "keyid"),
        (&key_id, "keyid=12".to_owned(), "keyid"),
        (&key_id, "keyid=\"\"".to_owned(), "keyid"),
        (&key_id, format!("keyid=\" {KEY_ID}\""), "keyid"),
        (&key_id, "keyid=\"a\\\"b\"".to_owned(), "keyid"),
        (&key_id, format!("keyid=\"{}\"", "k".repeat(129)), "keyid"),
        (&nonce, "nonce=12345".to_owned(), "nonce"),
        (&nonce, "nonce=\"\\\\backslashes-are-not-taken\"".to_owned(), "nonce"),
        (&key_id, format!("{key_id};alg=\"none\""), "alg"),
        (&key_id, format!("{key_id};alg=\"hmac-sha256\""), "alg"),
        (&key_id, format!("{key_id};alg=\"ED25519\""), "alg"),
        (&key_id, format!("{key_id};alg=ed25519"), "alg"),
    ];
    for (from, to, name) in cases {
        let request = Request::get().sign_as("sig1", &member.replace(from, &to));
        assert_eq!(request.refusal(), Refused::Parse(SignatureError::BadParameter(name)), "{to}");
    }
}

#[test]
fn unknown_and_repeated_parameters_are_refused() {
    let request = Request::get().sign_as("sig1", &format!("{};extra=1", native_member(GET_COMPONENTS)));
    assert_eq!(request.refusal(), Refused::Parse(SignatureError::UnexpectedParameter("extra".to_owned())));
    let request = Request::get().sign(Profile::Native).edit("signature-input", ";tag", ";created=1;tag");
    assert!(matches!(request.refusal(), Refused::Parse(SignatureError::Malformed { reason: SyntaxError { .. }, .. })));
}

#[test]
fn a_nonce_has_22_to_128_visible_characters() {
    let with_nonce = |nonce: &str| {
        let member = native_member(GET_COMPONENTS).replace(NONCE, nonce);
        Request::get().sign_as("sig1", &member).verify()
    };
    for nonce in ["n".repeat(22), "n".repeat(NONCE_MAX_CHARACTERS), "f00f".repeat(8)] {
        assert_eq!(with_nonce(&nonce).expect("taken").nonce(), Some(nonce.as_str()));
    }
    for nonce in [String::new(), "n".repeat(21), "n".repeat(129), "a nonce with spaces in it".to_owned()] {
        let length = nonce.len();
        assert_eq!(with_nonce(&nonce).expect_err("refused"), Refused::Verify(VerifyError::BadNonce { length }));
    }
}

#[test]
fn the_replay_key_is_the_base_under_its_prefix() {
    use sha2::{Digest as _, Sha256};
    let verified = Request::get().sign(Profile::Native).verify().expect("taken");
    let expected: [u8; 32] = Sha256::digest(format!("key_1{}", verified.base())).into();
    assert_eq!(verified.base_hash(b"key_1"), expected);
    assert_ne!(verified.base_hash(b"key_2"), expected);
}

#[test]
fn errors_read_as_sentences() {
    let stale = VerifyError::Stale { seconds_late: 412 };
    assert_eq!(stale.to_string(), "stale by 412 s; set your clock, or sign again");
    let digest = VerifyError::Digest(DigestError::Mismatch);
    assert!(digest.to_string().starts_with("digest does not match body"));
    let short = VerifyError::BadNonce { length: 3 };
    assert_eq!(short.to_string(), "the nonce has 3 characters; send 22 to 128 random characters of visible ASCII");
}
