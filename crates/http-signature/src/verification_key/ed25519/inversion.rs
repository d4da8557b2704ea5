//! Inverses modulo 2^255 − 19, in variable time, with the division steps of D. J. Bernstein and B.-Y. Yang, "Fast
//! constant-time gcd computation and modular inversion", 2019, §§8 and 11. It takes about a quarter of the time of the
//! exponentiation by p − 2. Only for public values.
//!
//! The numbers f and g begin with p and the number to invert, and become their greatest common divisor and 0. d and e
//! are such that `f = d · number` and `g = e · number` modulo p. 62 steps at a time depend only on the lowest 62 bits of
//! f and g, so they are combined in a matrix, which is then applied to all four.

/// An integer in five limbs of 62 bits, the lowest first. Only the last one has a sign.
type Limbs = [i64; 5];

/// The bits of a limb, and the number of steps in a matrix.
const BITS: u32 = 62;
const MASK: i64 = (1 << BITS) - 1;
/// p = 2^255 − 19.
const PRIME: Limbs = [MASK - 18, MASK, MASK, MASK, (1 << 7) - 1];
/// The inverse of p modulo 2^62.
const INVERSE_OF_PRIME: i64 = {
    let (mut inverse, mut round) = (1_i64, 0);
    // Each iteration of Newton doubles the number of correct bits.
    while round < 6 {
        inverse = inverse.wrapping_mul(2_i64.wrapping_sub(PRIME[0].wrapping_mul(inverse)));
        round += 1;
    }
    inverse & MASK
};

/// Returns the inverse of a number in little-endian bytes, or 0 for 0. For another multiple of p, which has no inverse, the
/// result has no meaning.
pub(super) fn invert(number: &[u8; 32]) -> [u8; 32] {
    let (mut f, mut g) = (PRIME, to_limbs(number));
    let (mut d, mut e): (Limbs, Limbs) = ([0; 5], [1, 0, 0, 0, 0]);
    let (mut eta, mut length) = (-1, 5);
    loop {
        let matrix = Matrix::of_steps(&mut eta, f[0], g[0]);
        (d, e) = matrix.apply_modulo_prime(&d, &e);
        (f, g) = matrix.apply(&f, &g, length);
        if g == [0; 5] {
            break;
        }
        // f and g become smaller. A last limb that only has the signs is left out.
        let is_sign = |limb: i64| limb == 0 || limb == -1;
        if length > 1 && is_sign(f[length - 1]) && is_sign(g[length - 1]) {
            length -= 1;
            for number in [&mut f, &mut g] {
                number[length - 1] |= number[length] << BITS;
                number[length] = 0;
            }
        }
    }
    // f is 1 or −1. If the number is 0, f is still p, and d is 0.
    let is_negative = f[length - 1] < 0;
    to_bytes(reduce(if is_negative { d.map(|limb| -limb) } else { d }))
}

/// 62 division steps: `(f, g)` become `(ff · f + fg · g, gf · f + gg · g) / 2^62`.
struct Matrix {
    ff: i64,
    fg: i64,
    gf: i64,
    gg: i64,
}

impl Matrix {
    /// Makes the steps with the lowest bits of f and g. `eta` is −δ of the paper, before the steps and after them.
    #[inline]
    fn of_steps(eta: &mut i64, f: i64, g: i64) -> Self {
        let (mut f, mut g) = (f.cast_unsigned(), g.cast_unsigned());
        let (mut ff, mut fg, mut gf, mut gg) = (1_u64, 0_u64, 0_u64, 1_u64);
        let mut left = BITS;
        loop {
            // A step halves an even g.
            let even = (g | (u64::MAX << left)).trailing_zeros();
            g >>= even;
            ff <<= even;
            fg <<= even;
            *eta -= i64::from(even);
            left -= even;
            if left == 0 {
                break;
            }
            if *eta < 0 {
                *eta = -*eta;
                (f, g) = (g, f.wrapping_neg());
                (ff, gf) = (gf, ff.wrapping_neg());
                (fg, gg) = (gg, fg.wrapping_neg());
            }
            // Adds the multiple of f that makes several of the lowest bits of g zero: as many as there are steps until f
            // and g are exchanged again, at most six.
            let bits = u32::try_from(*eta).map_or(6, |eta| (eta + 1).min(left).min(6));
            // f² is 1 modulo 8, so f · (f² − 2) is −1/f modulo 64.
            let negated_inverse = f.wrapping_mul(f.wrapping_mul(f).wrapping_sub(2));
            let multiple = g.wrapping_mul(negated_inverse) & (u64::MAX >> (64 - bits));
            g = g.wrapping_add(f.wrapping_mul(multiple));
            gf = gf.wrapping_add(ff.wrapping_mul(multiple));
            gg = gg.wrapping_add(fg.wrapping_mul(multiple));
        }
        let [ff, fg, gf, gg] = [ff, fg, gf, gg].map(u64::cast_signed);
        Self { ff, fg, gf, gg }
    }

    /// Applies the matrix to numbers of `length` limbs. The division is exact.
    #[inline]
    fn apply(&self, f: &Limbs, g: &Limbs, length: usize) -> (Limbs, Limbs) {
        let row = |of_f: i64, of_g: i64| {
            let product = |at: usize| i128::from(of_f) * i128::from(f[at]) + i128::from(of_g) * i128::from(g[at]);
            let (mut result, mut carry) = ([0; 5], product(0) >> BITS);
            for at in 1..length {
                carry += product(at);
                result[at - 1] = low_bits(carry) & MASK;
                carry >>= BITS;
            }
            result[length - 1] = low_bits(carry);
            result
        };
        (row(self.ff, self.fg), row(self.gf, self.gg))
    }

    /// Applies the matrix modulo p, to numbers between −2p and p. The results are between −2p and p.
    #[inline]
    fn apply_modulo_prime(&self, d: &Limbs, e: &Limbs) -> (Limbs, Limbs) {
        let row = |of_d: i64, of_e: i64| {
            let product = |at: usize| i128::from(of_d) * i128::from(d[at]) + i128::from(of_e) * i128::from(e[at]);
            // Adds p once for each negative number, so that the sum stays between the bounds.
            let if_negative = |factor: i64, number: &Limbs| if number[4] < 0 { factor } else { 0 };
            let lifted = if_negative(of_d, d) + if_negative(of_e, e);
            let lowest = product(0);
            // The multiple of p that makes the lowest 62 bits of the sum zero.
            let times = lifted - (INVERSE_OF_PRIME.wrapping_mul(low_bits(lowest)).wrapping_add(lifted) & MASK);
            let of_prime = |at: usize| i128::from(times) * i128::from(PRIME[at]);
            let (mut result, mut carry) = ([0; 5], (lowest + of_prime(0)) >> BITS);
            for at in 1..5 {
                carry += product(at) + of_prime(at);
                result[at - 1] = low_bits(carry) & MASK;
                carry >>= BITS;
            }
            result[4] = low_bits(carry);
            result
        };
        (row(self.ff, self.fg), row(self.gf, self.gg))
    }
}

/// Returns the lowest 64 bits.
#[expect(clippy::cast_possible_truncation, reason = "the lowest bits are wanted")]
const fn low_bits(number: i128) -> i64 {
    number as i64
}

/// Returns the number from 0 to p − 1 that is equal to one between −2p and 2p modulo p.
fn reduce(mut number: Limbs) -> Limbs {
    let add = |number: &Limbs, times: i64| {
        let mut sum = *number;
        for at in 0..5 {
            sum[at] += times * PRIME[at];
        }
        carry(sum)
    };
    number = carry(number);
    while number[4] < 0 {
        number = add(&number, 1);
    }
    loop {
        let less = add(&number, -1);
        if less[4] < 0 {
            return number;
        }
        number = less;
    }
}

/// Brings all limbs but the last one between 0 and 2^62.
fn carry(mut number: Limbs) -> Limbs {
    for at in 0..4 {
        number[at + 1] += number[at] >> BITS;
        number[at] &= MASK;
    }
    number
}

fn to_limbs(bytes: &[u8; 32]) -> Limbs {
    let (words, _) = bytes.as_chunks::<8>();
    let word = |at: usize| words.get(at).map_or(0, |word| u128::from(u64::from_le_bytes(*word)));
    std::array::from_fn(|at| {
        let bit = at * 62;
        let pair = word(bit / 64) | word(bit / 64 + 1) << 64;
        low_bits((pair >> (bit % 64)).cast_signed()) & MASK
    })
}

fn to_bytes(number: Limbs) -> [u8; 32] {
    let limb = |at: usize| u128::from(number[at].cast_unsigned());
    let mut bytes = [0; 32];
    let (words, _) = bytes.as_chunks_mut::<8>();
    for (at, word) in words.iter_mut().enumerate() {
        // Bit 64 · at is bit 2 · at of limb `at`.
        let pair = (limb(at) | limb(at + 1) << 62) >> (2 * at);
        *word = low_bits(pair.cast_signed()).to_le_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::{EdwardsPoint, Scalar, constants::ED25519_BASEPOINT_POINT};
    use proptest::prelude::*;

    use super::*;

    /// Returns the product modulo p, computed bit by bit.
    fn multiply(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
        // Doubles and adds, from the highest bit of the left factor.
        let mut product = [0_u64; 4];
        for bit in (0..256).rev() {
            product = add(product, product);
            if left[bit / 8] >> (bit % 8) & 1 == 1 {
                product = add(product, words(right));
            }
        }
        let mut bytes = [0; 32];
        for (bytes, word) in bytes.chunks_mut(8).zip(product) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn words(bytes: &[u8; 32]) -> [u64; 4] {
        let (words, _) = bytes.as_chunks::<8>();
        std::array::from_fn(|at| u64::from_le_bytes(words[at]))
    }

    /// Returns the sum of two numbers below 2^256, reduced below p.
    fn add(left: [u64; 4], right: [u64; 4]) -> [u64; 4] {
        let mut sum: [u64; 4] = [0; 4];
        let mut carry = 0_u128;
        for at in 0..4 {
            carry += u128::from(left[at]) + u128::from(right[at]);
            sum[at] = low_bits(carry.cast_signed()).cast_unsigned();
            carry >>= 64;
        }
        // 2^256 is 38, and 2^255 is 19.
        let mut more = carry * 38;
        for _ in 0..3 {
            more += u128::from(sum[3] >> 63) * 19;
            sum[3] &= u64::MAX >> 1;
            for word in &mut sum {
                more += u128::from(*word);
                *word = low_bits(more.cast_signed()).cast_unsigned();
                more >>= 64;
            }
        }
        let prime = [u64::MAX - 18, u64::MAX, u64::MAX, u64::MAX >> 1];
        if sum.iter().rev().ge(prime.iter().rev()) { [sum[0] - prime[0], 0, 0, 0] } else { sum }
    }

    const ONE: [u8; 32] = {
        let mut one = [0; 32];
        one[0] = 1;
        one
    };

    fn prime_plus(more: u8) -> [u8; 32] {
        let mut bytes = [0xff; 32];
        bytes[0] = 0xed + more;
        bytes[31] = 0x7f;
        bytes
    }

    #[test]
    fn zero_has_no_inverse() {
        assert_eq!(invert(&[0; 32]), [0; 32]);
    }

    #[test]
    fn a_power_of_two_and_its_negative_have_inverses() {
        for bit in 0..255 {
            let mut power = [0_u8; 32];
            power[bit / 8] = 1 << (bit % 8);
            assert_eq!(multiply(&power, &invert(&power)), ONE, "2^{bit}");
            // −2^n, as all ones without that bit, plus 1, minus 19.
            let negative = multiply(&power, &{
                let mut minus_one = prime_plus(0);
                minus_one[0] -= 1;
                minus_one
            });
            assert_eq!(multiply(&negative, &invert(&negative)), ONE, "-2^{bit}");
        }
        assert_eq!(invert(&prime_plus(1)), ONE, "it is not reduced");
    }

    /// Any numbers, and numbers with long runs of equal bits.
    fn number() -> impl Strategy<Value = [u8; 32]> {
        let run = (any::<[u8; 32]>(), 0..32_usize, 0..=32_usize, any::<bool>());
        let with_run = run.prop_map(|(mut bytes, from, length, ones)| {
            bytes.iter_mut().skip(from).take(length).for_each(|byte| *byte = if ones { 0xff } else { 0 });
            bytes
        });
        prop_oneof![any::<[u8; 32]>(), with_run]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_number_times_its_inverse_is_one(number in number()) {
            let inverse = invert(&number);
            let product = multiply(&number, &inverse);
            let is_zero = number == [0; 32] || number == prime_plus(0);
            prop_assert!(product == ONE || is_zero);
        }

        #[test]
        fn a_point_is_compressed_as_by_the_library(scalar in any::<[u8; 32]>()) {
            let point: EdwardsPoint = ED25519_BASEPOINT_POINT * Scalar::from_bytes_mod_order(scalar);
            prop_assert_eq!(point.compress_vartime(invert), point.compress());
            prop_assert_eq!(point.compress_vartime(|_| [7; 32]), point.compress(), "a wrong inverse");
        }
    }
}
