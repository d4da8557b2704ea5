//! Ed25519 with the verdicts of `ed25519_dalek::VerifyingKey::verify_strict`, without decompressing R, and with
//! precomputed tables for keys that are used repeatedly.
//!
//! `verify_strict` refuses S ≥ L, an R that is not a point, and an R or A of small order. Then it computes
//! R′ = \[S]B − \[k]A and accepts exactly if the encoding of R′ is R, byte by byte. This encoding is canonical and that of
//! a point. So if R is equal to it, R is a point, and R has small order exactly if it is one of the eight canonical
//! encodings of such points. If R is not equal to it, the signature is refused in any case. So the bytes of R are
//! sufficient, and the square root that decompresses R is not needed (ADR 15).
//!
//! R′ is computed with the table of the key, if there is one, or without (ADR 16). A signature that does not verify with
//! a table is verified without it as well. So the work of a refusal does not depend on whether the key has a table or
//! exists.
//!
//! All values are public, so their computation may take a variable time. The inverse that the encoding of R′ needs is
//! computed by [`inversion`], and checked by a multiplication.

mod inversion;
mod tables;

use std::sync::{
    LazyLock,
    atomic::{AtomicBool, Ordering},
};

use curve25519_dalek::{EdwardsPoint, Scalar, constants::EIGHT_TORSION, edwards::CompressedEdwardsY};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha512};

use self::tables::KeyTable;
use super::KeyError;

/// The encodings of the points of small order.
static SMALL_ORDER: LazyLock<[[u8; 32]; 8]> = LazyLock::new(|| EIGHT_TORSION.map(|point| point.compress().to_bytes()));

/// Whether signatures are verified by `verify_strict` itself.
static BY_LIBRARY_ALONE: AtomicBool = AtomicBool::new(false);

/// Chooses for this process whether Ed25519 signatures are verified by the library's `verify_strict`, which decompresses
/// R and has no tables of keys. The verdicts are the same, and it takes longer. Without a call, it is not used.
pub fn verify_ed25519_by_library(is_by_library: bool) {
    BY_LIBRARY_ALONE.store(is_by_library, Ordering::Relaxed);
}

/// Returns whether a signature verifies with a table of the key that is computed for this call. It is for tests that
/// compare the verdicts: [`VerificationKey::verify`](super::VerificationKey::verify) computes a table only for keys that
/// are used repeatedly.
#[must_use]
pub fn verify_ed25519_with_new_table(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let Some(equation) = Equation::of(key, message, signature) else { return false };
    decompress_negated(key).is_some_and(|point| equation.holds(KeyTable::new(*key, &point).multiply(&equation)))
}

/// A public key, as bytes. Signatures are refused if the bytes are not those of a point, or if it has small order.
#[derive(Clone, Copy)]
pub(crate) struct Ed25519Key([u8; 32]);

impl Ed25519Key {
    /// Creates a key from its canonical encoding, if the point is in the prime-order group.
    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let point = CompressedEdwardsY(*bytes).decompress().ok_or(KeyError::NotAPoint)?;
        if point.compress().as_bytes() != bytes {
            return Err(KeyError::NotAPoint);
        }
        if point.is_small_order() || !point.is_torsion_free() {
            return Err(KeyError::WeakPoint);
        }
        Ok(Self(*bytes))
    }

    /// Creates a key from bytes that were checked before they were stored.
    pub(crate) const fn from_stored_bytes(bytes: &[u8; 32]) -> Self {
        Self(*bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns whether `verify_strict` accepts the signature.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        if BY_LIBRARY_ALONE.load(Ordering::Relaxed) {
            let signature = Signature::from_bytes(signature);
            return VerifyingKey::from_bytes(&self.0).is_ok_and(|key| key.verify_strict(message, &signature).is_ok());
        }
        let Some(equation) = Equation::of(&self.0, message, signature) else { return false };
        let with_table = tables::with(&self.0, |table| equation.holds_with(table));
        if with_table == Some(true) {
            return true;
        }
        let Some(point) = decompress_negated(&self.0) else { return false };
        if equation.holds_without_table(&point) {
            tables::record_valid_signature(&self.0, &point);
            return true;
        }
        if with_table.is_none() {
            // The work of a refusal with a table.
            std::hint::black_box(equation.holds_with(tables::of_base_point()));
        }
        false
    }
}

/// Returns −A, if A is a point that does not have small order.
fn decompress_negated(key: &[u8; 32]) -> Option<EdwardsPoint> {
    let point = CompressedEdwardsY(*key).decompress()?;
    (!point.is_small_order()).then(|| -point)
}

/// R = \[S]B − \[k]A, without the point A.
struct Equation<'a> {
    r: &'a [u8; 32],
    s: Scalar,
    k: Scalar,
}

impl<'a> Equation<'a> {
    /// Reads a signature (RFC 8032 §5.1.7). Returns `None` for S ≥ L, and for an R of small order.
    fn of(key: &[u8; 32], message: &[u8], signature: &'a [u8; 64]) -> Option<Self> {
        let (r, s) = signature.split_first_chunk::<32>()?;
        let s = Option::from(Scalar::from_canonical_bytes(s.try_into().ok()?))?;
        if SMALL_ORDER.contains(r) {
            return None;
        }
        let hash = Sha512::new().chain_update(r).chain_update(key).chain_update(message).finalize();
        Some(Self { r, s, k: Scalar::from_bytes_mod_order_wide(&hash.into()) })
    }

    fn holds(&self, other: EdwardsPoint) -> bool {
        other.compress_vartime(inversion::invert).as_bytes() == self.r
    }

    fn holds_with(&self, table: &KeyTable) -> bool {
        #[cfg(test)]
        super::tests::count("Ed25519 with a table", 64);
        self.holds(table.multiply(self))
    }

    fn holds_without_table(&self, negated_key: &EdwardsPoint) -> bool {
        #[cfg(test)]
        super::tests::count("Ed25519", 64);
        self.holds(EdwardsPoint::vartime_double_scalar_mul_basepoint(&self.k, negated_key, &self.s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_of_small_order_has_one_of_the_eight_encodings() {
        assert_eq!(SMALL_ORDER.iter().collect::<std::collections::BTreeSet<_>>().len(), 8);
        for point in EIGHT_TORSION {
            assert!(point.is_small_order());
            assert!(SMALL_ORDER.contains(&point.compress().to_bytes()));
        }
    }
}
