//! Random input causes no panic, and nothing is accepted unless it was signed.

use http::{HeaderMap, HeaderValue};
use http_signature::{
    Algorithm, ContentDigest, Message, Profile, RequestView, SignatureParameters, UnverifiedSignature, VerificationKey,
};
use proptest::prelude::*;

use crate::support::{NOW, Request, native_member, verification_key};

fn any_field() -> impl Strategy<Value = HeaderValue> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        "[ -~]{0,200}".prop_map(String::into_bytes),
        "(keyward|encord-sig|a)=(\\(\\)|:[A-Za-z0-9+/=]{0,90}:)(;[a-z]{1,7}=[ -~]{0,20}){0,4}"
            .prop_map(String::into_bytes),
    ]
    .prop_filter_map("no field value", |bytes| HeaderValue::from_bytes(&bytes).ok())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_requests_are_never_accepted(
        method in any::<String>(), scheme in any::<String>(), authority in any::<String>(), target in any::<String>(),
        fields in proptest::collection::vec((prop_oneof![Just("signature"), Just("signature-input"), Just("content-digest")], any_field()), 0..6),
        now in any::<i64>(),
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, value);
        }
        let request = RequestView { method: &method, scheme: &scheme, authority: &authority, target: &target, headers: &headers };
        if let Ok(Some(signature)) = UnverifiedSignature::parse(&request) {
            prop_assert!(signature.verify(&verification_key(), now).is_err());
        }
    }

    /// Changes one byte of the two fields. The signature is refused, or the change has no meaning (a space, the label).
    #[test]
    fn a_changed_byte_never_changes_what_was_signed(
        encord in any::<bool>(), in_input in any::<bool>(), at in any::<prop::sample::Index>(), byte in b' '..=b'~',
    ) {
        let original = Request::get().sign(if encord { Profile::Encord } else { Profile::Native });
        let name = if in_input { "signature-input" } else { "signature" };
        let mut value = original.field(name).into_bytes();
        let at = at.index(value.len());
        value[at] = byte;
        let mut changed = original.clone();
        changed.set(name, &String::from_utf8(value).expect("ASCII"));
        if let Ok(verified) = changed.verify() {
            let was = original.verify().expect("taken");
            prop_assert_eq!(verified.base(), was.base());
            prop_assert_eq!(verified.key_id(), was.key_id());
        }
    }

    #[test]
    fn arbitrary_text_does_not_panic_the_engine(
        text in "[ -~]{0,80}|(\\(|\"|;|=|\\)|@[a-z-]{3,14}|sf|bs|key|tr|req|name| ){0,24}", value in any_field(), target in any::<String>(),
    ) {
        let mut headers = HeaderMap::new();
        headers.insert("a", value);
        let request = RequestView { method: "GET", scheme: "http", authority: "a", target: &target, headers: &headers };
        if let Ok(parameters) = SignatureParameters::parse(&text) {
            let base = parameters.signature_base(&Message::request(request));
            prop_assert!(base.is_err() || base.is_ok_and(|base| base.is_ascii() && base.lines().count() == parameters.components.len() + 1));
        }
        for component in ["\"a\"", "\"a\";bs", "\"a\";key=\"a\"", "\"@query-param\";name=\"a\"", "\"@path\"", "\"@target-uri\""] {
            let member = format!("({component})");
            let parameters = SignatureParameters::parse(&member).expect("a member");
            if let Ok(base) = parameters.signature_base(&Message::request(request)) {
                prop_assert_eq!(base.lines().count(), 2);
            }
        }
    }

    #[test]
    fn arbitrary_digests_are_never_accepted(field in "[ -~]{0,120}|sha-(256|512)=:[A-Za-z0-9+/=]{0,90}:", body in any::<Vec<u8>>()) {
        prop_assert!(ContentDigest::parse(&field).and_then(|digest| digest.verify(&body)).is_err());
    }

    #[test]
    fn arbitrary_keys_and_signatures_do_not_panic(
        ed25519 in any::<[u8; 32]>(), bytes in proptest::collection::vec(any::<u8>(), 0..600), signature in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let keys = [
            VerificationKey::ed25519_from_bytes(&ed25519).ok(),
            VerificationKey::ecdsa_p256_from_sec1(&bytes).ok(),
            VerificationKey::ecdsa_p384_from_sec1(&bytes).ok(),
            VerificationKey::rsa_from_components(&bytes, &[1, 0, 1]).ok(),
            Some(VerificationKey::dummy()),
        ];
        for key in keys.into_iter().flatten() {
            for algorithm in [Algorithm::Ed25519, Algorithm::EcdsaP256Sha256, Algorithm::EcdsaP384Sha384, Algorithm::RsaPssSha512, Algorithm::RsaV1_5Sha256] {
                prop_assert!(key.verify(algorithm, b"message", &signature).is_err());
            }
        }
    }

    /// Every header name in HTTP can be covered, and its value is the signed one.
    #[test]
    fn any_header_can_be_covered(name in "x-[a-z0-9!#$%&'*+.^_`|~-]{1,20}", value in "[!-~]([ -~]{0,40}[!-~])?") {
        let request = Request::get().header(&name, &value);
        let request = request.sign_as("sig1", &native_member(&format!("\"@method\" \"@authority\" \"@target-uri\" \"{name}\"")));
        let verified = request.verify_at(NOW).expect("taken");
        prop_assert!(verified.covers_header(&name));
        let line = format!("\"{name}\": {value}\n");
        prop_assert!(verified.base().contains(&line));
    }
}
