//! Ed25519 with the verdicts of `ed25519_dalek::VerifyingKey::verify_strict`, without decompressing R.
//!
//! `verify_strict` refuses S ≥ L, an R that is not a point, and an R or A of small order. Then it computes
//! R′ = \[S]B − \[k]A and accepts exactly if the encoding of R′ is R, byte by byte. This encoding is canonical and that of
//! a point. So if R is equal to it, R is a point, and R has small order exactly if it is one of the eight canonical
//! encodings of such points. If R is not equal to it, the signature is refused in any case. So the bytes of R are
//! sufficient, and the square root that decompresses R is not needed (ADR 15). The key's small order is checked once.

use std::sync::{
    LazyLock,
    atomic::{AtomicBool, Ordering},
};

use curve25519_dalek::constants::EIGHT_TORSION;
use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};

use super::KeyError;

/// The encodings of the points of small order.
static SMALL_ORDER: LazyLock<[[u8; 32]; 8]> = LazyLock::new(|| EIGHT_TORSION.map(|point| point.compress().to_bytes()));

/// Whether signatures are verified by `verify_strict` itself.
static BY_LIBRARY_ALONE: AtomicBool = AtomicBool::new(false);

/// Chooses for this process whether Ed25519 signatures are verified by the library's `verify_strict`, which decompresses
/// R. The verdicts are the same, and it takes longer. Without a call, R is not decompressed.
pub fn decompress_r_of_ed25519(is_decompressed: bool) {
    BY_LIBRARY_ALONE.store(is_decompressed, Ordering::Relaxed);
}

/// A public key that does not have small order.
#[derive(Clone, Copy)]
pub(crate) struct Ed25519Key(VerifyingKey);

impl Ed25519Key {
    /// Creates a key from its canonical encoding, if the point is in the prime-order group.
    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotAPoint)?;
        let point = key.to_edwards();
        if point.compress().as_bytes() != bytes {
            return Err(KeyError::NotAPoint);
        }
        if point.is_small_order() || !point.is_torsion_free() {
            return Err(KeyError::WeakPoint);
        }
        Ok(Self(key))
    }

    /// Creates a key from any encoding of a point that does not have small order.
    pub(crate) fn from_stored_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotAPoint)?;
        if key.is_weak() { Err(KeyError::WeakPoint) } else { Ok(Self(key)) }
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Returns whether `verify_strict` accepts the signature.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = Signature::from_bytes(signature);
        if BY_LIBRARY_ALONE.load(Ordering::Relaxed) {
            return self.0.verify_strict(message, &signature).is_ok();
        }
        // `verify` checks S < L and compares the encoding of R′ with R.
        !SMALL_ORDER.contains(signature.r_bytes()) && self.0.verify(message, &signature).is_ok()
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
