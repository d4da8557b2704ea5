//! Requests to sign and to change. Each test contains its own values.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_signature::{
    Ed25519SigningKey, Message, Profile, RequestView, SignatureError, SignatureParameters, SignedHeaders, SigningKey,
    SigningParameters, UnverifiedSignature, VerificationKey, VerifiedSignature, VerifyError, sign_request,
};

/// Tuesday, 20 April 2021 02:07:55 UTC.
pub(crate) const NOW: i64 = 1_618_884_475;
pub(crate) const NONCE: &str = "GRzlUfiGwvXsQRr4cSsoYg";
pub(crate) const KEY_ID: &str = "SHA256:jXQn4MUCzPEBMIVFQrNQZyXmOZXe4nTiRfVpKGjVCJE";

/// A request that owns its parts.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) scheme: String,
    pub(crate) authority: String,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str, body: &str) -> Self {
        Self {
            method: method.to_owned(),
            scheme: "https".to_owned(),
            authority: "keyward.example".to_owned(),
            target: target.to_owned(),
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        }
    }

    pub(crate) fn get() -> Self {
        Self::new("GET", "/api/v1/me?verbose=1", "")
    }

    pub(crate) fn post() -> Self {
        Self::new("POST", "/api/v1/me/keys", r#"{"title":"laptop"}"#)
    }

    pub(crate) fn view(&self) -> RequestView<'_> {
        RequestView {
            method: &self.method,
            scheme: &self.scheme,
            authority: &self.authority,
            target: &self.target,
            headers: &self.headers,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.append(name, value);
        self
    }

    pub(crate) fn append(&mut self, name: &str, value: &str) {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a field name");
        self.headers.append(name, HeaderValue::from_str(value).expect("a field value"));
    }

    pub(crate) fn set(&mut self, name: &'static str, value: &str) {
        self.headers.insert(name, HeaderValue::from_str(value).expect("a field value"));
    }

    pub(crate) fn field(&self, name: &str) -> String {
        self.headers[name].to_str().expect("ASCII").to_owned()
    }

    /// Replaces text in a field, and checks that the text was there.
    pub(crate) fn edit(mut self, name: &'static str, from: &str, to: &str) -> Self {
        let value = self.field(name);
        assert!(value.contains(from), "{name} is {value}, which has no {from}");
        self.set(name, &value.replacen(from, to, 1));
        self
    }

    pub(crate) fn apply(mut self, signed: &SignedHeaders) -> Self {
        self.set("signature-input", &signed.signature_input);
        self.set("signature", &signed.signature);
        if let Some(digest) = &signed.content_digest {
            self.set("content-digest", digest);
        }
        self
    }

    /// Signs with [`signing_key`] as a correct client does.
    pub(crate) fn sign(self, profile: Profile) -> Self {
        let key_id = match profile {
            Profile::Native => KEY_ID.to_owned(),
            Profile::Encord => hex(&signing_key().public_key()),
        };
        let parameters = SigningParameters {
            created: NOW,
            lifetime_seconds: 60,
            nonce: NONCE,
            key_id: &key_id,
            covered_headers: &[],
        };
        let signed = sign_request(&self.view(), &self.body, profile, &parameters, &signing_key()).expect("signed");
        self.apply(&signed)
    }

    /// Adds a `Content-Digest` of the body.
    pub(crate) fn digest(mut self) -> Self {
        let digest = http_signature::content_digest(&self.body);
        self.set("content-digest", &digest);
        self
    }

    /// Signs any member of `Signature-Input`, whether or not a profile would accept it.
    pub(crate) fn sign_as(self, label: &str, member: &str) -> Self {
        self.sign_with(label, member, &signing_key())
    }

    pub(crate) fn sign_with(mut self, label: &str, member: &str, key: &dyn SigningKey) -> Self {
        let parameters = SignatureParameters::parse(member).expect("a member of Signature-Input");
        let base = parameters.signature_base(&Message::request(self.view())).expect("a signature base");
        let signature = STANDARD.encode(key.sign(base.as_bytes()).expect("a signature"));
        self.append("signature-input", &format!("{label}={member}"));
        self.append("signature", &format!("{label}=:{signature}:"));
        self
    }

    pub(crate) fn parse(&self) -> Result<UnverifiedSignature, SignatureError> {
        UnverifiedSignature::parse(&self.view()).map(|found| found.expect("a signature is there"))
    }

    /// Verifies with the public key of [`signing_key`], with the clock at `now`.
    pub(crate) fn verify_at(&self, now: i64) -> Result<VerifiedSignature, Refused> {
        self.verify_with(&verification_key(), now)
    }

    pub(crate) fn verify_with(&self, key: &VerificationKey, now: i64) -> Result<VerifiedSignature, Refused> {
        self.parse().map_err(Refused::Parse)?.verify(key, now).map_err(Refused::Verify)
    }

    pub(crate) fn verify(&self) -> Result<VerifiedSignature, Refused> {
        self.verify_at(NOW)
    }

    pub(crate) fn refusal(&self) -> Refused {
        self.verify().expect_err("refused")
    }
}

/// The error of either step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Parse(SignatureError),
    Verify(VerifyError),
}

pub(crate) const INVALID: Refused = Refused::Verify(VerifyError::Invalid);

pub(crate) fn signing_key() -> Ed25519SigningKey {
    Ed25519SigningKey::from_seed(&[7; 32])
}

pub(crate) fn verification_key() -> VerificationKey {
    VerificationKey::ed25519_from_bytes(&signing_key().public_key()).expect("a strict key")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "whole bytes");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

pub(crate) fn unbase64(text: &str) -> Vec<u8> {
    STANDARD.decode(text.split_whitespace().collect::<String>()).expect("base64")
}

/// Returns a member of `Signature-Input` of the native profile, valid except for the change of a test.
pub(crate) fn native_member(components: &str) -> String {
    native_member_at(components, NOW, NOW + 60)
}

pub(crate) fn native_member_at(components: &str, created: i64, expires: i64) -> String {
    format!("({components});created={created};expires={expires};nonce=\"{NONCE}\";keyid=\"{KEY_ID}\";tag=\"keyward\"")
}

/// The components of a native GET.
pub(crate) const GET_COMPONENTS: &str = r#""@method" "@authority" "@target-uri""#;
/// The components of a native POST.
pub(crate) const POST_COMPONENTS: &str = r#""@method" "@authority" "@target-uri" "content-digest""#;
