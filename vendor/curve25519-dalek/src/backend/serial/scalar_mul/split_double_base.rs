// -*- mode: rust; -*-
//
// This file is not part of the published curve25519-dalek.

//! Double-base scalar multiplication with tables for each part of the scalars.

#![allow(non_snake_case)]

use crate::backend::serial::curve_models::{AffineNielsPoint, ProjectiveNielsPoint, ProjectivePoint};
use crate::backend::split::{Base, Digits, PARTS, PART_BITS};
use crate::edwards::EdwardsPoint;
use crate::scalar::Scalar;
use crate::traits::Identity;
use crate::window::{NafLookupTable5, NafLookupTable8};

/// Odd multiples of \\(2^{64 i} A\\) for a point \\(A\\).
#[derive(Clone)]
pub struct PointTable([NafLookupTable5<ProjectiveNielsPoint>; PARTS]);

/// Odd multiples of \\(2^{64 i} B\\) for the basepoint \\(B\\).
#[derive(Clone)]
pub struct BasepointTable([NafLookupTable8<AffineNielsPoint>; PARTS]);

pub fn new_point_table(A: &EdwardsPoint) -> PointTable {
    let mut tables = [NafLookupTable5::<ProjectiveNielsPoint>::from(A); PARTS];
    let mut part = *A;
    for table in &mut tables[1..] {
        part = part.mul_by_pow_2(PART_BITS as u32);
        *table = NafLookupTable5::<ProjectiveNielsPoint>::from(&part);
    }
    PointTable(tables)
}

pub fn new_basepoint_table() -> BasepointTable {
    let B = &crate::constants::ED25519_BASEPOINT_POINT;
    let mut tables = [NafLookupTable8::<AffineNielsPoint>::from(B); PARTS];
    let mut part = *B;
    for table in &mut tables[1..] {
        part = part.mul_by_pow_2(PART_BITS as u32);
        *table = NafLookupTable8::<AffineNielsPoint>::from(&part);
    }
    BasepointTable(tables)
}

/// Compute \\(aA + bB\\) in variable time, where \\(B\\) is the Ed25519 basepoint.
pub fn mul(a: &Scalar, table_A: &PointTable, b: &Scalar, table_B: &BasepointTable) -> EdwardsPoint {
    let digits = Digits::new(a, b);
    let mut r = ProjectivePoint::identity();
    for bit in (0..PART_BITS).rev() {
        let mut t = r.double();
        for digit in digits.at(bit) {
            let q = t.as_extended();
            t = match (digit.base, digit.is_negative) {
                (Base::A, false) => &q + &table_A.0[digit.part].0[digit.index],
                (Base::A, true) => &q - &table_A.0[digit.part].0[digit.index],
                (Base::B, false) => &q + &table_B.0[digit.part].0[digit.index],
                (Base::B, true) => &q - &table_B.0[digit.part].0[digit.index],
            };
        }
        if bit == 0 {
            return t.as_extended();
        }
        r = t.as_projective();
    }
    unreachable!("a part has bits")
}
