//! Other implementations: PyPI `http-message-signatures` in both directions, and the Encord SDK's own signer.
//! They run in a Python interpreter with `encord`, `http-message-signatures` and `requests` installed.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use http_signature::{
    EcdsaSigningKey, Ed25519SigningKey, Profile, RsaSigningKey, SigningKey, SigningParameters, VerificationKey,
    sign_request,
};
use serde::{Deserialize, Serialize};

use crate::support::{KEY_ID, NONCE, Refused, Request, hex, unhex};

/// Returns the interpreter in `KEYWARD_PYTHON`, or else the one of `.venv` at the root of the workspace.
fn python() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = std::env::var_os("KEYWARD_PYTHON").map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
    assert!(
        python.is_file(),
        "no Python at {}: run `python3 -m venv .venv && .venv/bin/pip install encord http-message-signatures requests` \
         at the root of the workspace, or set KEYWARD_PYTHON",
        python.display()
    );
    python
}

fn run(mode: &str, input: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop.py");
    let mut child = Command::new(python())
        .args([script, mode])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("Python reads");
    let output = child.wait_with_output().expect("Python ends");
    assert!(output.status.success(), "interop.py {mode} failed; its message is above");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[derive(Clone, Deserialize)]
struct Sample {
    method: String,
    scheme: String,
    authority: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Sample {
    fn request(&self) -> Request {
        let mut request = Request::new(&self.method, &self.target, "");
        (request.scheme, request.authority) = (self.scheme.clone(), self.authority.clone());
        request.body = unhex(&self.body);
        for (name, value) in &self.headers {
            request.append(name, value);
        }
        request
    }
}

#[derive(Deserialize)]
struct SignedSet {
    algorithm: String,
    public: Vec<String>,
    private: String,
    requests: Vec<Sample>,
}

impl SignedSet {
    fn verification_key(&self) -> VerificationKey {
        let parts: Vec<Vec<u8>> = self.public.iter().map(|part| unhex(part)).collect();
        let key = match self.algorithm.as_str() {
            "ed25519" => VerificationKey::ed25519_from_bytes(parts[0][..].try_into().expect("32 bytes")),
            "ecdsa-p256-sha256" => VerificationKey::ecdsa_p256_from_sec1(&parts[0]),
            "ecdsa-p384-sha384" => VerificationKey::ecdsa_p384_from_sec1(&parts[0]),
            _ => VerificationKey::rsa_from_components(&parts[0], &parts[1]),
        };
        key.expect("a valid key")
    }

    fn signing_key(&self) -> Box<dyn SigningKey> {
        let der = unhex(&self.private);
        match self.algorithm.as_str() {
            "ed25519" => Box::new(Ed25519SigningKey::from_seed(der.last_chunk().expect("a seed"))),
            "rsa-pss-sha512" => Box::new(RsaSigningKey::from_pkcs8(&der).expect("a valid key")),
            "rsa-v1_5-sha256" => Box::new(RsaSigningKey::from_pkcs8(&der).expect("a valid key").with_v1_5_padding()),
            _ => Box::new(EcdsaSigningKey::from_pkcs8(&der).expect("a valid key")),
        }
    }
}

#[derive(Deserialize)]
struct SignedByPython {
    now: i64,
    sets: Vec<SignedSet>,
}

#[derive(Serialize)]
struct ForPython {
    algorithm: String,
    private: String,
    key_id: &'static str,
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: String,
}

#[test]
fn signatures_interoperate_with_http_message_signatures() {
    let signed: SignedByPython = serde_json::from_str(&run("sign", "")).expect("JSON");
    assert_eq!(signed.sets.len(), 5);
    let mut cases = Vec::new();
    for set in &signed.sets {
        let (public, private) = (set.verification_key(), set.signing_key());
        for sample in &set.requests {
            let request = sample.request();
            let verified = request.verify_with(&public, signed.now);
            let verified = verified.unwrap_or_else(|error| panic!("{} {}: {error:?}", set.algorithm, sample.target));
            assert_eq!(verified.nonce(), Some(NONCE));
            assert_eq!(verified.verify_body(&request.body), Ok(()));
            let mut elsewhere = request.clone();
            elsewhere.authority.insert(0, 'x');
            assert_eq!(elsewhere.verify_with(&public, signed.now).expect_err("refused"), crate::support::INVALID);
            cases.push(sign_for_python(set, sample, private.as_ref(), signed.now, false));
            cases.push(sign_for_python(set, sample, private.as_ref(), signed.now, true));
        }
    }
    let verdicts = run("verify", &serde_json::to_string(&cases).expect("JSON"));
    let verdicts: Vec<String> = serde_json::from_str(&verdicts).expect("JSON");
    assert_eq!(verdicts.len(), cases.len());
    for (index, (case, verdict)) in cases.iter().zip(&verdicts).enumerate() {
        let spoilt = index % 2 == 1;
        let expected = if spoilt { verdict.starts_with("refused: ") } else { verdict == NONCE };
        assert!(expected, "{} {} {} (spoilt: {spoilt}): {verdict}", case.algorithm, case.method, case.url);
    }
}

fn sign_for_python(set: &SignedSet, sample: &Sample, key: &dyn SigningKey, now: i64, spoil: bool) -> ForPython {
    let mut request = sample.request();
    request.headers.clear();
    // The other implementation does not normalise the authority in @target-uri.
    let normal_form = request.authority.to_lowercase().replace(":443", "");
    request.authority = normal_form;
    let parameters =
        SigningParameters { created: now, lifetime_seconds: 60, nonce: NONCE, key_id: KEY_ID, covered_headers: &[] };
    let signed = sign_request(&request.view(), &request.body, Profile::Native, &parameters, key).expect("signed");
    let mut headers = vec![
        ("Signature-Input".to_owned(), signed.signature_input.clone()),
        ("Signature".to_owned(), signed.signature.clone()),
    ];
    headers.extend(signed.content_digest.map(|digest| ("Content-Digest".to_owned(), digest)));
    let path = if spoil { request.target.replacen('/', "/spoilt/", 1) } else { request.target.clone() };
    ForPython {
        algorithm: set.algorithm.clone(),
        private: set.private.clone(),
        key_id: KEY_ID,
        method: request.method.clone(),
        url: format!("{}://{}{path}", request.scheme, request.authority),
        headers,
        body: hex(&request.body),
    }
}

#[derive(Deserialize)]
struct SignedByEncord {
    public: String,
    requests: Vec<Sample>,
}

#[test]
fn signatures_of_the_encord_sdk_verify() {
    let signed: SignedByEncord = serde_json::from_str(&run("encord", "")).expect("JSON");
    assert_eq!(signed.requests.len(), 8);
    let key = VerificationKey::ed25519_from_bytes(&unhex(&signed.public).try_into().expect("32 bytes"));
    let key = key.expect("a valid key");
    for sample in &signed.requests {
        let request = sample.request();
        let unverified = request.parse().unwrap_or_else(|error| panic!("{} {}: {error}", sample.method, sample.target));
        assert_eq!((unverified.profile(), unverified.key_id()), (Profile::Encord, signed.public.as_str()));
        let created = unverified.created();
        let verified = unverified.verify(&key, created).expect("taken");
        assert_eq!(verified.verify_body(&request.body), Ok(()));
        assert!(verified.verify_body(b"another body").is_err());
        let mut elsewhere = request.clone();
        elsewhere.target.push('x');
        assert!(matches!(elsewhere.verify_with(&key, created), Err(Refused::Verify(_))));
    }
}

#[test]
fn the_client_signs_as_the_encord_sdk_does() {
    let signed: SignedByEncord = serde_json::from_str(&run("encord", "")).expect("JSON");
    for sample in &signed.requests {
        let request = sample.request();
        let created = request.parse().expect("parsed").created();
        let parameters = SigningParameters {
            created,
            lifetime_seconds: 60,
            nonce: NONCE,
            key_id: &signed.public,
            covered_headers: &[],
        };
        // The key differs, so the signature differs. All other values are identical.
        let key = crate::support::signing_key();
        let ours = sign_request(&request.view(), &request.body, Profile::Encord, &parameters, &key).expect("signed");
        assert_eq!(ours.signature_input, request.field("signature-input"));
        assert_eq!(ours.content_digest, Some(request.field("content-digest")));
    }
}
