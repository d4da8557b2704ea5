//! Checks that keys are strong enough to register: points in the right subgroup, moduli without known factors.

use std::sync::LazyLock;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, EcdsaVerificationAlgorithm, ParsedPublicKey,
};
use curve25519_dalek::edwards::CompressedEdwardsY;
use num_bigint::BigUint;
use num_integer::Integer;

use super::{
    KeyMaterial, RSA_EXPONENT,
    error::{PublicKeyError, Weakness},
};

/// Checks that signatures by this key can be trusted. Points must be uncompressed, and moduli have at most 4096 bits.
pub(super) fn check(material: KeyMaterial<'_>) -> Result<(), PublicKeyError> {
    match material {
        KeyMaterial::Ed25519(point) => check_ed25519(point),
        KeyMaterial::EcdsaP256(point) => check_on_curve(&ECDSA_P256_SHA256_FIXED, point),
        KeyMaterial::EcdsaP384(point) => check_on_curve(&ECDSA_P384_SHA384_FIXED, point),
        KeyMaterial::Rsa { n, e } => check_rsa(n, e),
    }
}

/// Accepts a canonical point of the prime-order subgroup, other than the identity. `verify_strict` alone accepts points
/// of mixed order.
fn check_ed25519(encoded: &[u8; 32]) -> Result<(), PublicKeyError> {
    let encoded = CompressedEdwardsY(*encoded);
    let point = encoded.decompress().ok_or(PublicKeyError::NotOnCurve)?;
    if point.is_small_order() {
        return Err(PublicKeyError::Weak(Weakness::SmallOrder));
    }
    if point.compress() != encoded {
        return Err(PublicKeyError::Weak(Weakness::NonCanonicalPoint));
    }
    if !point.is_torsion_free() {
        return Err(PublicKeyError::Weak(Weakness::MixedOrder));
    }
    Ok(())
}

fn check_on_curve(algorithm: &'static EcdsaVerificationAlgorithm, point: &[u8]) -> Result<(), PublicKeyError> {
    ParsedPublicKey::new(algorithm, point).map(drop).map_err(|_| PublicKeyError::NotOnCurve)
}

/// Checks the length, the exponent and the known defects of key generators. For keys of `ssh-keygen` with Debian's
/// predictable OpenSSL (CVE-2008-0166), the exponent is sufficient. There is no list of such keys from `openssl
/// genrsa`.
fn check_rsa(n: &[u8], e: &[u8]) -> Result<(), PublicKeyError> {
    let n = BigUint::from_bytes_be(n);
    if n.bits() < 2048 {
        let bits = usize::try_from(n.bits()).unwrap_or_default();
        return Err(PublicKeyError::Weak(Weakness::RsaTooShort { bits }));
    }
    if e != RSA_EXPONENT {
        return Err(PublicKeyError::Weak(Weakness::RsaExponent));
    }
    if has_small_factor(&n) {
        return Err(PublicKeyError::Weak(Weakness::RsaSmallFactor));
    }
    if has_roca_fingerprint(&n) {
        return Err(PublicKeyError::Weak(Weakness::Roca));
    }
    if has_close_primes(&n) {
        return Err(PublicKeyError::Weak(Weakness::RsaClosePrimes));
    }
    Ok(())
}

/// Returns whether a prime below 2^16 divides `n`.
fn has_small_factor(n: &BigUint) -> bool {
    static PRIMORIAL: LazyLock<BigUint> = LazyLock::new(|| {
        let mut factors: Vec<_> = primes_below(1 << 16).map(BigUint::from).collect();
        // Multiply in pairs, so that the factors of each product have similar sizes.
        while factors.len() > 1 {
            factors = factors.chunks(2).map(|pair| pair.iter().product()).collect();
        }
        factors.pop().unwrap_or_default()
    });
    (&*PRIMORIAL % n).gcd(n) != BigUint::from(1_u8)
}

/// Infineon's primes are k·M + (65537^a mod M), where M is a product of the first primes. Modulo each of these primes,
/// `n` is therefore a power of 65537. A modulus from another generator passes all 39 tests with a probability of about
/// 2^-28 (Nemec et al., "The Return of Coppersmith's Attack", 2017, §2.3).
fn has_roca_fingerprint(n: &BigUint) -> bool {
    primes_below(168).skip(1).all(|prime| {
        let residue = n % prime;
        std::iter::successors(Some(1), |power| Some(power * 65537 % prime))
            .take(usize::try_from(prime).unwrap_or(usize::MAX))
            .any(|power| residue == BigUint::from(power))
    })
}

/// Returns whether Fermat's method factors `n` within 100 steps, which is the case if the primes share their upper
/// half.
fn has_close_primes(n: &BigUint) -> bool {
    let root = n.sqrt();
    let first = if &root * &root == *n { root } else { root + 1_u8 };
    (0_u8..100).any(|step| {
        let a = &first + step;
        let difference = &a * &a - n;
        let root = difference.sqrt();
        &root * &root == difference
    })
}

fn primes_below(limit: u32) -> impl Iterator<Item = u32> {
    let length = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut composite = vec![false; length];
    for factor in (2..length).take_while(|factor| factor * factor < length) {
        for multiple in (factor * factor..length).step_by(factor) {
            composite[multiple] = true;
        }
    }
    (2..limit).zip(composite.into_iter().skip(2)).filter_map(|(number, composite)| (!composite).then_some(number))
}
