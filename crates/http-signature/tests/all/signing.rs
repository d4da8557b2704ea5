//! Signing: the result can be verified, and a request that would be refused is not signed.

use http_signature::{
    Algorithm, Ed25519SigningKey, Profile, SigningError, SigningKey, SigningKeyError, SigningParameters, sign_request,
};

use crate::support::{KEY_ID, NONCE, NOW, Request, hex, signing_key, verification_key};

fn parameters() -> SigningParameters<'static> {
    SigningParameters { created: NOW, lifetime_seconds: 60, nonce: NONCE, key_id: KEY_ID, covered_headers: &[] }
}

#[track_caller]
fn assert_not_signed(profile: Profile, parameters: &SigningParameters<'_>, reason: &str) {
    let error = sign_request(&Request::get().view(), b"", profile, parameters, &signing_key()).expect_err("refused");
    assert!(error.to_string().contains(reason), "{error}");
}

#[test]
fn covered_headers_are_signed_and_must_exist() {
    let request = Request::get().header("keyward-workspace", "ws_1");
    let parameters = SigningParameters { covered_headers: &["keyward-workspace", "keyward-workspace"], ..parameters() };
    let signed = sign_request(&request.view(), b"", Profile::Native, &parameters, &signing_key()).expect("signed");
    assert!(signed.base.contains("\"keyward-workspace\": ws_1\n"));
    assert!(request.apply(&signed).verify().expect("taken").covers_header("keyward-workspace"));

    let absent = sign_request(&Request::get().view(), b"", Profile::Native, &parameters, &signing_key());
    assert!(matches!(absent.expect_err("refused"), SigningError::Component(_)));
}

#[test]
fn the_digest_is_of_the_body_that_is_given() {
    // An existing digest is replaced, as the documentation says.
    let request = Request::post().header("content-digest", "sha-256=:AAAA:");
    let signed =
        sign_request(&request.view(), &request.body, Profile::Native, &parameters(), &signing_key()).expect("signed");
    let request = request.apply(&signed);
    assert_eq!(request.headers.get_all("content-digest").iter().count(), 1);
    let verified = request.verify_with(&verification_key(), NOW).expect("taken");
    assert_eq!(verified.verify_body(&request.body), Ok(()));
    assert_eq!(verified.base(), signed.base);
}

#[test]
fn a_request_that_the_verifier_would_refuse_is_not_signed() {
    let native = |change: fn(&mut SigningParameters<'static>), reason: &str| {
        let mut parameters = parameters();
        change(&mut parameters);
        assert_not_signed(Profile::Native, &parameters, reason);
    };
    native(|parameters| parameters.lifetime_seconds = 0, "lifetime");
    native(|parameters| parameters.lifetime_seconds = 61, "lifetime");
    native(|parameters| parameters.nonce = "short", "nonce");
    native(|parameters| parameters.nonce = "a nonce with spaces in it", "visible ASCII");
    native(|parameters| parameters.nonce = "a-quote-\"-does-not-belong-here", "visible ASCII");
    native(|parameters| parameters.key_id = "", "key id");
    native(|parameters| parameters.created = -1, "time");
    native(|parameters| parameters.created = i64::MAX, "time");
    native(|parameters| parameters.covered_headers = &["@scheme"], "field name");
    native(|parameters| parameters.covered_headers = &["Date"], "field name");
    let encord = SigningParameters { covered_headers: &["date"], key_id: &hex(&[0xab; 32]), ..parameters() };
    assert_not_signed(Profile::Encord, &encord, "no other headers");
    assert_not_signed(Profile::Encord, &parameters(), "64 lower-case hex digits");
}

/// A key that reports another algorithm, as an agent might.
struct Pretender(Algorithm);

impl SigningKey for Pretender {
    fn algorithm(&self) -> Algorithm {
        self.0
    }
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SigningKeyError> {
        Err(SigningKeyError::new("the agent is locked; unlock it and try again"))
    }
}

#[test]
fn keys_that_no_profile_accepts_do_not_sign() {
    let sign = |profile, algorithm| {
        let error = sign_request(&Request::get().view(), b"", profile, &parameters(), &Pretender(algorithm));
        error.expect_err("refused").to_string()
    };
    assert!(sign(Profile::Native, Algorithm::HmacSha256).contains("no profile supports"));
    assert!(sign(Profile::Native, Algorithm::RsaV1_5Sha512).contains("no profile supports"));
    assert!(sign(Profile::Encord, Algorithm::RsaPssSha512).contains("only Ed25519 keys"));
    assert_eq!(sign(Profile::Native, Algorithm::Ed25519), "the agent is locked; unlock it and try again");
}

#[test]
fn the_public_half_belongs_to_the_seed() {
    // RFC 8032 §7.1, test 1.
    let seed = crate::support::unhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    let key = Ed25519SigningKey::from_seed(&seed.try_into().expect("32 bytes"));
    assert_eq!(hex(&key.public_key()), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    let signature = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";
    assert_eq!(hex(&key.sign(b"").expect("a signature")), signature);
}
