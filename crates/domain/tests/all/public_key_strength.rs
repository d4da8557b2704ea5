//! Keys that are too weak to register: published vectors, and keys with each known defect.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    PublicKey,
    public_key::{PublicKeyError, UnsupportedKeyType, Weakness},
};
use num_bigint::BigUint;

use crate::public_key::blob;

fn ed25519(point: &[u8; 32]) -> Result<PublicKey, PublicKeyError> {
    PublicKey::from_blob(&blob(&[b"ssh-ed25519", point]))
}

fn point(hex: &str) -> [u8; 32] {
    std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
}

fn rsa(n: &BigUint, e: u32) -> Result<PublicKey, PublicKeyError> {
    let encode = |number: &BigUint| URL_SAFE_NO_PAD.encode(number.to_bytes_be());
    let text = format!(r#"{{"kty":"RSA","n":"{}","e":"{}"}}"#, encode(n), encode(&BigUint::from(e)));
    PublicKey::parse(&text).map(|parsed| parsed.key)
}

/// Returns the first number from `start` on, in steps of `step`, that no prime below 2^16 divides. It replaces a prime
/// where only the form of a modulus is checked.
fn rough_number(start: BigUint, step: &BigUint) -> BigUint {
    let is_prime = |n: &u32| (2..=n.isqrt()).all(|d| !n.is_multiple_of(d));
    let primes: Vec<u32> = (2..1 << 16).filter(is_prime).collect();
    let is_rough = |n: &BigUint| primes.iter().all(|&prime| n % prime != BigUint::ZERO);
    std::iter::successors(Some(start), |n| Some(n + step)).find(is_rough).unwrap()
}

#[test]
fn the_weak_keys_of_ed25519_speccheck_are_refused() {
    let vectors: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../vectors/ed25519-speccheck.json")).unwrap();
    let verdicts: Vec<_> = vectors
        .iter()
        .map(|vector| match ed25519(&point(vector["pub_key"].as_str().unwrap())) {
            Ok(_) => None,
            Err(PublicKeyError::Weak(weakness)) => Some(weakness),
            Err(other) => panic!("{vector}: {other}"),
        })
        .collect();
    let (small, mixed) = (Some(Weakness::SmallOrder), Some(Weakness::MixedOrder));
    // Cases 6 and 7 test s ≥ L with a valid key.
    assert_eq!(verdicts, [small, small, mixed, mixed, mixed, mixed, None, None, mixed, mixed, small, small]);
}

#[test]
fn ed25519_points_of_small_order_are_refused_in_every_encoding() {
    // The eight points and their six non-canonical encodings: https://eprint.iacr.org/2020/1244, table 1.
    for hex in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ] {
        let error = ed25519(&point(hex)).unwrap_err();
        assert_eq!(error, PublicKeyError::Weak(Weakness::SmallOrder), "{hex}");
        assert_eq!(error.code(), "weak_key");
        let stored = blob(&[b"ssh-ed25519", &point(hex)]);
        assert!(PublicKey::from_stored_blob(&stored).is_ok(), "was checked when it was registered");
    }
}

#[test]
fn ed25519_points_past_the_prime_are_refused() {
    // y = p + i for i up to 18: the only values that have a second encoding.
    for i in 0..19 {
        let mut encoded = [0xff; 32];
        encoded[0] = 0xed + i;
        for sign in [0x7f, 0xff] {
            encoded[31] = sign;
            let error = ed25519(&encoded).unwrap_err();
            assert!(matches!(error, PublicKeyError::Weak(_) | PublicKeyError::NotOnCurve), "{i} {error}");
        }
    }
    assert_eq!(ed25519(&point(&format!("02{}", "00".repeat(31)))), Err(PublicKeyError::NotOnCurve));
}

#[test]
fn ecdsa_points_off_their_curve_are_refused() {
    for (name, curve, length) in [("ecdsa-sha2-nistp256", "nistp256", 64), ("ecdsa-sha2-nistp384", "nistp384", 96)] {
        let key = |point: &[u8]| PublicKey::from_blob(&blob(&[name.as_bytes(), curve.as_bytes(), point])).unwrap_err();
        assert_eq!(key(&[&[4], &vec![7; length][..]].concat()), PublicKeyError::NotOnCurve);
        assert_eq!(key(&[&[4], &vec![0; length][..]].concat()), PublicKeyError::NotOnCurve);
        assert_eq!(key(&[&[4], &vec![0xff; length][..]].concat()), PublicKeyError::NotOnCurve);
        assert_eq!(key(&[0]), PublicKeyError::PointEncoding, "the point at infinity");
        assert_eq!(key(&[]), PublicKeyError::PointEncoding);
        assert_eq!(key(&[&[6], &vec![7; length][..]].concat()), PublicKeyError::PointEncoding, "hybrid");
        assert_eq!(key(&[&[4], &vec![7; length - 1][..]].concat()), PublicKeyError::Length);
    }
}

#[test]
fn rsa_keys_are_2048_to_4096_bits_with_exponent_65537() {
    let two = BigUint::from(2_u8);
    let of_bits = |bits: u32| {
        let p = rough_number(two.pow(bits / 2) - 1_u8, &two);
        let q = rough_number(two.pow(bits - bits / 2 - 2) * 3_u8 + 1_u8, &two);
        p * q
    };
    let n = of_bits(2048);
    assert_eq!(rsa(&n, 65537).unwrap().algorithm().bits(), 2048);
    for e in [3, 35, 37, 65535, 65539, 0x0001_0001_u32 << 8] {
        assert_eq!(rsa(&n, e), Err(PublicKeyError::Weak(Weakness::RsaExponent)), "{e}");
    }
    let longest = of_bits(4096);
    assert_eq!(longest.bits(), 4096);
    assert!(rsa(&longest, 65537).is_ok());
    let short = two.pow(2047) - 1_u8;
    assert_eq!(rsa(&short, 65537), Err(PublicKeyError::Weak(Weakness::RsaTooShort { bits: 2047 })));
    let long = two.pow(4096) + 1_u8;
    let too_long = PublicKeyError::UnsupportedKeyType(UnsupportedKeyType::RsaTooLong { bits: 4097 });
    assert_eq!(rsa(&long, 65537), Err(too_long));
}

#[test]
fn rsa_moduli_with_small_factors_are_refused() {
    let good = rough_number(BigUint::from(3_u8).pow(1292), &BigUint::from(2_u8));
    for factor in [2_u32, 3, 65521] {
        assert_eq!(rsa(&(&good * factor), 65537), Err(PublicKeyError::Weak(Weakness::RsaSmallFactor)), "{factor}");
    }
}

#[test]
fn rsa_moduli_of_the_roca_shape_are_refused() {
    // p = k·M + (65537^a mod M), M the product of the first 39 primes.
    let primes = (2_u32..168).filter(|n| (2..*n).all(|d| n % d != 0));
    let m: BigUint = primes.map(BigUint::from).product();
    let k = BigUint::from(3_u8).pow(508);
    let prime = |a: u32| {
        let residue = BigUint::from(65537_u32).modpow(&BigUint::from(a), &m);
        rough_number(&k * &m + residue, &(&m * a))
    };
    let n = prime(1_234_567) * prime(7_654_321);
    assert!((2048..2100).contains(&n.bits()), "{}", n.bits());
    assert_eq!(rsa(&n, 65537), Err(PublicKeyError::Weak(Weakness::Roca)));
}

#[test]
fn rsa_moduli_of_close_primes_are_refused() {
    let two = BigUint::from(2_u8);
    let p = rough_number(BigUint::from(3_u8).pow(648), &two);
    let q = rough_number(&p + 2_u8, &two);
    for n in [&p * &q, &p * &p] {
        assert_eq!(rsa(&n, 65537), Err(PublicKeyError::Weak(Weakness::RsaClosePrimes)));
    }
}
