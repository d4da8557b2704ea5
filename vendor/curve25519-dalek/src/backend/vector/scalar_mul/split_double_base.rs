// -*- mode: rust; -*-
//
// This file is not part of the published curve25519-dalek.

//! Double-base scalar multiplication with tables for each part of the scalars.

#![allow(non_snake_case)]

#[curve25519_dalek_derive::unsafe_target_feature_specialize(
    "avx2",
    conditional("avx512ifma,avx512vl", curve25519_dalek_backend = "avx512")
)]
pub mod spec {

    use crate::backend::split::{Base, Digits, PARTS, PART_BITS};

    #[for_target_feature("avx2")]
    use crate::backend::vector::avx2::{CachedPoint, ExtendedPoint};

    #[for_target_feature("avx512ifma")]
    use crate::backend::vector::ifma::{CachedPoint, ExtendedPoint};

    use crate::edwards::EdwardsPoint;
    use crate::scalar::Scalar;
    use crate::traits::Identity;
    use crate::window::{NafLookupTable5, NafLookupTable8};

    /// Odd multiples of \\(2^{64 i} A\\) for a point \\(A\\).
    #[derive(Clone)]
    pub struct PointTable([NafLookupTable5<CachedPoint>; PARTS]);

    /// Odd multiples of \\(2^{64 i} B\\) for the basepoint \\(B\\).
    #[derive(Clone)]
    pub struct BasepointTable([NafLookupTable8<CachedPoint>; PARTS]);

    pub fn new_point_table(A: &EdwardsPoint) -> PointTable {
        let mut tables = [NafLookupTable5::<CachedPoint>::from(A); PARTS];
        let mut part = ExtendedPoint::from(*A);
        for i in 1..PARTS {
            part = part.mul_by_pow_2(PART_BITS as u32);
            tables[i] = NafLookupTable5::<CachedPoint>::from(&EdwardsPoint::from(part));
        }
        PointTable(tables)
    }

    pub fn new_basepoint_table() -> BasepointTable {
        let B = &crate::constants::ED25519_BASEPOINT_POINT;
        let mut tables = [NafLookupTable8::<CachedPoint>::from(B); PARTS];
        let mut part = ExtendedPoint::from(*B);
        for i in 1..PARTS {
            part = part.mul_by_pow_2(PART_BITS as u32);
            tables[i] = NafLookupTable8::<CachedPoint>::from(&EdwardsPoint::from(part));
        }
        BasepointTable(tables)
    }

    /// Compute \\(aA + bB\\) in variable time, where \\(B\\) is the Ed25519 basepoint.
    pub fn mul(a: &Scalar, table_A: &PointTable, b: &Scalar, table_B: &BasepointTable) -> EdwardsPoint {
        let digits = Digits::new(a, b);
        let mut Q = ExtendedPoint::identity();
        for bit in (0..PART_BITS).rev() {
            Q = Q.double();
            for digit in digits.at(bit) {
                let multiple = match digit.base {
                    Base::A => &table_A.0[digit.part].0[digit.index],
                    Base::B => &table_B.0[digit.part].0[digit.index],
                };
                Q = if digit.is_negative { &Q - multiple } else { &Q + multiple };
            }
        }
        Q.into()
    }
}
