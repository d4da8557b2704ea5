//! The cost of verifying a signed request beyond the bare Ed25519 verification, in time and allocations.
//! `cargo bench -p http-signature`

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
        ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, ParsedPublicKey,
        RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
    },
};
use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use ed25519_dalek::{Signature, Signer as _};
use http::{HeaderMap, HeaderValue};
use http_signature::{
    Algorithm, EcdsaSigningKey, Ed25519SigningKey, Profile, RequestView, RsaSigningKey, SigningKey, SigningParameters,
    UnverifiedSignature, VerificationKey, sign_request,
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
    fields_signed_by(&Ed25519SigningKey::from_seed(&SEED), method, body, profile)
}

/// As [`signed_fields`], signed by any key. Only the profile of the Encord SDK names the key of the seed.
fn fields_signed_by(private_key: &dyn SigningKey, method: &str, body: &[u8], profile: Profile) -> HeaderMap {
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
    let signed = sign_request(&view(method, &headers), body, profile, &parameters, private_key).expect("signed");
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
    bench_fields(bencher, &signed_fields(method, body, profile), &verification_key(), method, body);
}

fn bench_fields(bencher: Bencher<'_, '_>, headers: &HeaderMap, key: &VerificationKey, method: &str, body: &[u8]) {
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        let signature = UnverifiedSignature::parse(black_box(&view(method, headers))).expect("parsed");
        let verified = signature.expect("there").verify(key, NOW).expect("taken");
        assert_eq!(verified.verify_body(body), Ok(()));
        verified
    });
}

/// The baseline: `verify_strict` over as many bytes as the native base of the GET has.
#[divan::bench]
fn verify_strict_alone(bencher: Bencher<'_, '_>) {
    let key = ed25519_dalek::SigningKey::from_bytes(&SEED);
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
    let signature = ed25519_dalek::SigningKey::from_bytes(&SEED).sign(&message).to_bytes();
    let key = VerificationKey::dummy();
    bencher.bench_local(|| key.verify(Algorithm::Ed25519, black_box(&message), &signature).is_err());
}

/// A key of another type than Ed25519.
struct OtherKey {
    signer: Box<dyn SigningKey>,
    key: VerificationKey,
    /// The key as the library parses it.
    library: ParsedPublicKey,
}

impl OtherKey {
    fn ecdsa(signing: &'static EcdsaSigningAlgorithm, verification: &'static dyn VerificationAlgorithm) -> Self {
        let pair = EcdsaKeyPair::generate(signing).expect("a pair");
        let der = pair.to_pkcs8v1().expect("a document");
        let signer = EcdsaSigningKey::from_pkcs8(der.as_ref()).expect("a key");
        let point = signer.public_key().to_vec();
        let key = if point.len() == 65 {
            VerificationKey::ecdsa_p256_from_sec1(&point)
        } else {
            VerificationKey::ecdsa_p384_from_sec1(&point)
        };
        let library = ParsedPublicKey::new(verification, &point).expect("a point");
        Self { signer: Box::new(signer), key: key.expect("a point"), library }
    }

    fn rsa(size: KeySize) -> Self {
        let pair = KeyPair::generate(size).expect("a pair");
        let der: Pkcs8V1Der<'_> = pair.as_der().expect("a document");
        let signer = RsaSigningKey::from_pkcs8(der.as_ref()).expect("a key");
        // RSAPublicKey ends with the modulus and `02 03 01 00 01`.
        let public = signer.public_key();
        let end = public.len() - 5;
        let modulus = &public[end - size.len()..end];
        let key = VerificationKey::rsa_from_components(modulus, &[1, 0, 1]).expect("a modulus");
        let library = ParsedPublicKey::new(&RSA_PSS_2048_8192_SHA512, public).expect("a key");
        Self { signer: Box::new(signer), key, library }
    }

    fn of(name: &str) -> Self {
        match name {
            "ecdsa-p256-sha256" => Self::ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, &ECDSA_P256_SHA256_FIXED),
            "ecdsa-p384-sha384" => Self::ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING, &ECDSA_P384_SHA384_FIXED),
            "rsa-pss-sha512, 2048 bits" => Self::rsa(KeySize::Rsa2048),
            _ => Self::rsa(KeySize::Rsa4096),
        }
    }
}

const OTHER_KEYS: [&str; 4] =
    ["ecdsa-p256-sha256", "ecdsa-p384-sha384", "rsa-pss-sha512, 2048 bits", "rsa-pss-sha512, 4096 bits"];

#[divan::bench(args = OTHER_KEYS)]
fn native_get_of_another_key(bencher: Bencher<'_, '_>, name: &str) {
    let OtherKey { signer, key, .. } = OtherKey::of(name);
    let headers = fields_signed_by(&*signer, "GET", b"", Profile::Native);
    bench_fields(bencher, &headers, &key, "GET", b"");
}

/// The baseline: the library's verification over as many bytes.
#[divan::bench(args = OTHER_KEYS)]
fn another_key_alone(bencher: Bencher<'_, '_>, name: &str) {
    let OtherKey { signer, library, .. } = OtherKey::of(name);
    let message = [b'x'; 350];
    let signature = signer.sign(&message).expect("a signature");
    let counted = bencher.counter(ItemsCount::new(1_usize));
    counted.bench_local(|| library.verify_sig(black_box(&message), &signature).expect("valid"));
}
