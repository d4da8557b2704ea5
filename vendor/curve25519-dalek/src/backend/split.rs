// -*- mode: rust; -*-
//
// This file is not part of the published curve25519-dalek.

//! The digits of two scalars, each split into parts of [`PART_BITS`] bits, so that their multiples need as many doublings
//! as one part has bits.

use crate::scalar::Scalar;

/// The number of parts of a scalar.
pub(crate) const PARTS: usize = 8;
/// The number of bits of a part.
pub(crate) const PART_BITS: usize = 256 / PARTS;

/// For each bit of a part, from the lowest, the digits of the parts of `a` (width 5), then of `b` (width 8).
pub(crate) struct Digits([[i8; 2 * PARTS]; PART_BITS]);

/// Which scalar a digit belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Base {
    A,
    B,
}

/// A digit that is not zero.
#[derive(Clone, Copy)]
pub(crate) struct Digit {
    pub(crate) base: Base,
    pub(crate) part: usize,
    /// Half of the absolute value of the digit, which is odd: its place in a table of odd multiples.
    pub(crate) index: usize,
    pub(crate) is_negative: bool,
}

impl Digits {
    // The digits are signed, so a part of the non-adjacent form stands for itself: no part carries into the next one.
    pub(crate) fn new(a: &Scalar, b: &Scalar) -> Self {
        let (a, b) = (a.non_adjacent_form(5), b.non_adjacent_form(8));
        let mut rows = [[0; 2 * PARTS]; PART_BITS];
        for (bit, row) in rows.iter_mut().enumerate() {
            for part in 0..PARTS {
                row[part] = a[part * PART_BITS + bit];
                row[PARTS + part] = b[part * PART_BITS + bit];
            }
        }
        Self(rows)
    }

    /// The digits at this bit of their part that are not zero.
    #[inline(always)]
    pub(crate) fn at(&self, bit: usize) -> NonZero {
        NonZero(u128::from_le_bytes(self.0[bit].map(|digit| digit as u8)))
    }
}

/// An iterator over the digits of a row that are not zero.
pub(crate) struct NonZero(u128);

impl Iterator for NonZero {
    type Item = Digit;

    #[inline(always)]
    fn next(&mut self) -> Option<Digit> {
        if self.0 == 0 {
            return None;
        }
        let place = (self.0.trailing_zeros() / 8) as usize;
        let digit = (self.0 >> (8 * place)) as u8 as i8;
        self.0 &= !(0xff << (8 * place));
        let base = if place < PARTS { Base::A } else { Base::B };
        Some(Digit {
            base,
            part: place % PARTS,
            index: usize::from(digit.unsigned_abs() / 2),
            is_negative: digit < 0,
        })
    }
}
