//! Valid and invalid signatures. The base is implemented here from RFC 9421, independently of the tested code.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::Clock as _;
use sha2::{Digest as _, Sha256};

use crate::support::{Answer, HOST, Key, TestApp, TestRequest};

/// A member of `Signature-Input` before it is signed.
#[derive(Clone)]
pub struct Draft {
    pub label: String,
    /// Component identifiers as text, with quotes and parameters.
    pub components: Vec<String>,
    /// Signature parameters as text, in their order.
    pub parameters: Vec<(String, String)>,
}

impl Draft {
    /// Signs as a correct client of the native profile.
    pub fn native(test: &TestApp, key: &Key, method: &str) -> Self {
        let now = test.clock.now().as_second();
        let digest = (!matches!(method, "GET" | "HEAD" | "OPTIONS")).then_some("content-digest");
        Self {
            label: "sig".to_owned(),
            components: ["@method", "@authority", "@target-uri"].into_iter().chain(digest).map(quoted).collect(),
            parameters: [
                ("created", now.to_string()),
                ("expires", (now + 60).to_string()),
                ("nonce", quoted(&fresh_nonce(test))),
                ("keyid", quoted(&key.fingerprint)),
                ("tag", quoted("keyward")),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
        }
    }

    /// Signs as the Encord SDK.
    pub fn encord(test: &TestApp, key: &Key) -> Self {
        Self {
            label: "encord-sig".to_owned(),
            components: ["@method", "@request-target", "content-digest"].map(quoted).into(),
            parameters: [
                ("created", test.clock.now().as_second().to_string()),
                ("keyid", quoted(&hex_of(key))),
                ("alg", quoted("ed25519")),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
        }
    }

    pub fn label(mut self, label: &str) -> Self {
        label.clone_into(&mut self.label);
        self
    }

    /// Removes a component.
    pub fn without(mut self, component: &str) -> Self {
        let before = self.components.len();
        self.components.retain(|other| *other != quoted(component));
        assert!(self.components.len() < before, "{component} is not there");
        self
    }

    /// Covers one more component, given as text.
    pub fn with(mut self, component: &str) -> Self {
        self.components.push(component.to_owned());
        self
    }

    /// Sets a parameter, given as text. An empty value removes it.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        match self.parameters.iter_mut().find(|(other, _)| other == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.parameters.push((name.to_owned(), value.to_owned())),
        }
        self.parameters.retain(|(_, value)| !value.is_empty());
        self
    }

    /// Returns the value after the label.
    pub fn member(&self) -> String {
        self.parameters.iter().fold(format!("({})", self.components.join(" ")), |mut text, (name, value)| {
            write!(text, ";{name}={value}").expect("a string");
            text
        })
    }

    /// Returns the signature base (RFC 9421 §2.5).
    pub fn base(&self, request: &TestRequest<'_>) -> String {
        let (path, query) = request.target.split_once('?').map_or((request.target.as_str(), ""), |parts| parts);
        let mut base = String::new();
        for component in &self.components {
            let name = component.split(';').next().unwrap_or_default().trim_matches('"');
            let value = match name {
                "@method" => request.method.clone(),
                "@authority" => HOST.to_owned(),
                "@target-uri" => format!("http://{HOST}{}", request.target),
                "@request-target" => request.target.clone(),
                "@path" => path.to_owned(),
                "@query" => format!("?{query}"),
                "@scheme" => "http".to_owned(),
                field => {
                    let values = request.headers.get_all(field).iter();
                    values.map(|value| value.to_str().expect("ASCII").to_owned()).collect::<Vec<_>>().join(", ")
                }
            };
            writeln!(base, "{component}: {value}").expect("a string");
        }
        base + "\"@signature-params\": " + &self.member()
    }

    /// Signs a request. The digest of its body was added if it is covered.
    pub fn sign<'a>(&self, request: TestRequest<'a>, key: &Key) -> TestRequest<'a> {
        let covers_digest = self.components.iter().any(|name| name.contains("content-digest"));
        let request = if covers_digest && !request.headers.contains_key("content-digest") {
            let digest = digest_of(&request.body);
            request.header("content-digest", &digest)
        } else {
            request
        };
        let signature = STANDARD.encode(key.sign(self.base(&request).as_bytes()));
        let (label, member) = (&self.label, self.member());
        let input = append(&request, "signature-input", &format!("{label}={member}"));
        let signature = append(&request, "signature", &format!("{label}=:{signature}:"));
        request.header("signature-input", &input).header("signature", &signature)
    }
}

/// Appends to the existing value, so that a request may be signed several times.
fn append(request: &TestRequest<'_>, field: &str, member: &str) -> String {
    match request.headers.get(field) {
        Some(before) => format!("{}, {member}", before.to_str().expect("ASCII")),
        None => member.to_owned(),
    }
}

/// Returns the raw key in the form of the Encord SDK.
pub fn hex_of(key: &Key) -> String {
    to_hex(&key.public_bytes())
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// `Authorization` as version 1 of the Encord SDK signs a body.
pub fn version_1_signature(key: &Key, body: &[u8]) -> String {
    format!("{}:{}", hex_of(key), to_hex(&key.sign(&Sha256::digest(body))))
}

/// Returns a string of a structured field.
pub fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// Returns `sha-256=:…:`.
pub fn digest_of(body: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)))
}

/// Returns 128 bits as text.
pub fn fresh_nonce(test: &TestApp) -> String {
    use domain::Random as _;
    let mut nonce = [0; 16];
    test.random.fill(&mut nonce);
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(nonce)
}

/// The reasons about the form of a request. They do not depend on a key, so every client gets them.
const FORM: [&str; 3] = ["missing", "several", "malformed"];

/// Checks that the refusal does not depend on a key: it has no reason, or one about the form of the request.
#[track_caller]
pub fn assert_refused_without_key_details(answer: Answer, what: &str) {
    assert_eq!(answer.status, 401, "{what}: {}", String::from_utf8_lossy(&answer.bytes));
    let body = answer.expect_problem(401, "unauthenticated");
    assert!(body.get("server_time").is_none(), "{what}: {body}");
    let reason = body.get("reason").map(|reason| reason.as_str().expect("a text"));
    assert!(reason.is_none_or(|reason| FORM.contains(&reason)), "{what}: {body}");
}

/// Checks that the holder gets the reason, and returns the text.
#[track_caller]
pub fn assert_refused_with(answer: Answer, reason: &str) -> String {
    let body = answer.expect_problem(401, "unauthenticated");
    assert_eq!(body["reason"], reason, "{body}");
    assert_eq!(body.get("server_time").is_some(), !FORM.contains(&reason), "{body}");
    body["detail"].as_str().expect("a text").to_owned()
}
