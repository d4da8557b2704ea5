//! The cost of verifying a signed request beyond the bare Ed25519 verification, in time and allocations.
//! `cargo bench -p http-signature`

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use ed25519_dalek::{Signature, Signer as _, SigningKey};
use http::{HeaderMap, HeaderValue};
use http_signature::{
    Algorithm, Ed25519SigningKey, Profile, RequestView, SigningParameters, UnverifiedSignature, VerificationKey,
    sign_request,
};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const SEED: [u8; 32] = [7; 32];
const NOW: i64 = 1_618_884_475;

fn main() {
    divan::main();
}

/// Returns the fields of a signed request as a client sends them.
fn signed_fields(method: &str, body: &[u8], profile: Profile) -> HeaderMap {
    let key = Ed25519SigningKey::from_seed(&SEED);
    let hex = key.public_key().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let mut headers = HeaderMap::new();
    for (name, value) in [("host", "keyward.example"), ("user-agent", "keyward/0.1"), ("accept", "application/json")] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let parameters = SigningParameters {
        created: NOW,
        lifetime_seconds: 60,
        nonce: "GRzlUfiGwvXsQRr4cSsoYg",
        key_id: match profile {
            Profile::Native => "SHA256:jXQn4MUCzPEBMIVFQrNQZyXmOZXe4nTiRfVpKGjVCJE",
            Profile::Encord => &hex,
        },
        covered_headers: &[],
    };
    let signed = sign_request(&view(method, &headers), body, profile, &parameters, &key).expect("signed");
    let value = |text: &str| HeaderValue::from_str(text).expect("a field value");
    headers.insert("signature-input", value(&signed.signature_input));
    headers.insert("signature", value(&signed.signature));
    if let Some(digest) = signed.content_digest {
        headers.insert("content-digest", value(&digest));
    }
    headers
}

fn view<'a>(method: &'a str, headers: &'a HeaderMap) -> RequestView<'a> {
    let target = "/api/v1/workspaces/ws_01h455vb4pex5vsknk084sn02q/projects?limit=50";
    RequestView { method, scheme: "https", authority: "keyward.example", target, headers }
}

fn verification_key() -> VerificationKey {
    let public = Ed25519SigningKey::from_seed(&SEED).public_key();
    VerificationKey::ed25519_from_bytes(&public).expect("a strict key")
}

fn bench_request(bencher: Bencher<'_, '_>, method: &str, body: &[u8], profile: Profile) {
    let headers = signed_fields(method, body, profile);
    let key = verification_key();
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        let signature = UnverifiedSignature::parse(black_box(&view(method, &headers))).expect("parsed");
        let verified = signature.expect("there").verify(&key, NOW).expect("taken");
        assert_eq!(verified.verify_body(body), Ok(()));
        verified
    });
}

/// The baseline: `verify_strict` over as many bytes as the native base of the GET has.
#[divan::bench]
fn verify_strict_alone(bencher: Bencher<'_, '_>) {
    let key = SigningKey::from_bytes(&SEED);
    let message = [b'x'; 350];
    let signature: Signature = key.sign(&message);
    let public = key.verifying_key();
    bencher
        .counter(ItemsCount::new(1_usize))
        .bench_local(|| public.verify_strict(black_box(&message), &signature).expect("valid"));
}

#[divan::bench]
fn native_get(bencher: Bencher<'_, '_>) {
    bench_request(bencher, "GET", b"", Profile::Native);
}

#[divan::bench]
fn native_post_1_kib(bencher: Bencher<'_, '_>) {
    bench_request(bencher, "POST", &[b'x'; 1024], Profile::Native);
}

#[divan::bench]
fn encord_get(bencher: Bencher<'_, '_>) {
    bench_request(bencher, "GET", b"", Profile::Encord);
}

#[divan::bench]
fn encord_post_1_kib(bencher: Bencher<'_, '_>) {
    bench_request(bencher, "POST", &[b'x'; 1024], Profile::Encord);
}

/// Everything except the signature check.
#[divan::bench]
fn parse_native_get(bencher: Bencher<'_, '_>) {
    let headers = signed_fields("GET", b"", Profile::Native);
    bencher.bench_local(|| UnverifiedSignature::parse(black_box(&view("GET", &headers))).expect("parsed"));
}

#[divan::bench]
fn parse_encord_get(bencher: Bencher<'_, '_>) {
    let headers = signed_fields("GET", b"", Profile::Encord);
    bencher.bench_local(|| UnverifiedSignature::parse(black_box(&view("GET", &headers))).expect("parsed"));
}

/// An unknown key id must cost as much as a known one.
#[divan::bench]
fn unknown_key(bencher: Bencher<'_, '_>) {
    let message = [b'x'; 350];
    let signature = SigningKey::from_bytes(&SEED).sign(&message).to_bytes();
    let key = VerificationKey::dummy();
    bencher.bench_local(|| key.verify(Algorithm::Ed25519, black_box(&message), &signature).is_err());
}
