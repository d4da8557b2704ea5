// -*- mode: rust; -*-
//
// This file is not part of the published curve25519-dalek.

//! Double-base scalar multiplication for points that are used repeatedly.

use alloc::boxed::Box;

use crate::backend;
use crate::edwards::EdwardsPoint;
use crate::scalar::Scalar;

/// Precomputed multiples of the Ed25519 basepoint \\(B\\), for [`VartimeSplitTable`]. It takes 40 KiB.
#[derive(Clone)]
pub struct VartimeSplitBasepointTable(Box<backend::BasepointTable>);

impl VartimeSplitBasepointTable {
    /// Compute the multiples.
    #[must_use]
    pub fn new() -> Self {
        Self(Box::new(backend::BasepointTable::new()))
    }
}

impl Default for VartimeSplitBasepointTable {
    fn default() -> Self {
        Self::new()
    }
}

/// Precomputed multiples of a point \\(A\\), so that \\(aA + bB\\) needs 64 doublings instead of 253. It takes 5 KiB.
#[derive(Clone)]
pub struct VartimeSplitTable(Box<backend::PointTable>);

impl VartimeSplitTable {
    /// Compute the multiples. This takes longer than one multiplication without them.
    #[must_use]
    pub fn new(point: &EdwardsPoint) -> Self {
        Self(Box::new(backend::PointTable::new(point)))
    }

    /// Compute \\(aA + bB\\) in variable time.
    #[must_use]
    pub fn vartime_double_scalar_mul_basepoint(
        &self,
        a: &Scalar,
        b: &Scalar,
        basepoint: &VartimeSplitBasepointTable,
    ) -> EdwardsPoint {
        backend::split_double_base_mul(a, &self.0, b, &basepoint.0)
    }
}
