//! The Merkle tree over the audit log: leaf and node hashes (RFC 9162 §2.1.1) and the compact range that grows by one
//! leaf at a time. `audit` defines the content of a leaf, and `checkpoint` signs roots.

use std::fmt;

use sha2::{Digest, Sha256};

/// A SHA-256 hash of a leaf, a node or a whole tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The root of a tree without leaves: SHA-256 of nothing (RFC 9162 §2.1.1).
    pub const EMPTY_ROOT: Self = Self([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae,
        0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    ]);

    /// Returns the hash of a leaf with the content `data`: SHA-256(0x00 ‖ data), RFC 9162 §2.1.1.
    #[must_use]
    pub fn leaf(data: &[u8]) -> Self {
        Self(Sha256::new().chain_update([0]).chain_update(data).finalize().into())
    }

    /// Returns the hash of an inner node: SHA-256(0x01 ‖ left ‖ right), RFC 9162 §2.1.1.
    #[must_use]
    pub fn node(left: &Self, right: &Self) -> Self {
        Self(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
    }
}

impl fmt::Display for Hash {
    /// Writes 64 lower-case hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A perfect subtree of a [`CompactRange`]: the leaves `first .. first + leaves`, where `leaves` is a power of two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peak {
    /// The index of its first leaf.
    pub first: u64,
    /// The number of its leaves.
    pub leaves: u64,
    /// Its root.
    pub hash: Hash,
}

/// The part of a tree that is needed to add leaves and to compute its root: the roots of its perfect subtrees, the
/// largest first, one for each bit that is set in the number of leaves.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CompactRange {
    size: u64,
    peaks: Vec<Hash>,
}

/// Bytes that are not a compact range of the given size.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a tree of {size} leaves is stored in {expected} bytes, not in {found}")]
pub struct CompactRangeError {
    /// The number of leaves.
    pub size: u64,
    /// The number of bytes for a tree of this size.
    pub expected: usize,
    /// The actual number of bytes.
    pub found: usize,
}

impl CompactRange {
    /// Creates the range of a tree without leaves.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: 0, peaks: Vec::new() }
    }

    /// Returns the number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends the leaf with the hash `leaf`.
    pub fn append(&mut self, leaf: Hash) {
        let mut hash = leaf;
        // Each trailing 1 bit of the old size is a subtree that the new leaf completes, like a carry in addition.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = Hash::node(&left, &hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// Returns the root of the tree (RFC 9162 §2.1.1).
    #[must_use]
    pub fn root(&self) -> Hash {
        self.peaks.iter().rev().copied().reduce(|right, left| Hash::node(&left, &right)).unwrap_or(Hash::EMPTY_ROOT)
    }

    /// Returns the perfect subtrees, the largest first, which is also their order in the log.
    pub fn peaks(&self) -> impl Iterator<Item = Peak> + '_ {
        let mut first = 0;
        let mut rest = self.size;
        self.peaks.iter().map(move |&hash| {
            let leaves = 1 << rest.ilog2();
            let peak = Peak { first, leaves, hash };
            first += leaves;
            rest -= leaves;
            peak
        })
    }

    /// Returns the hashes of the peaks, 32 bytes each, the largest first. The size is stored separately.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.peaks.iter().flat_map(|hash| hash.0).collect()
    }

    /// Parses the result of [`to_bytes`](Self::to_bytes) for a tree of `size` leaves.
    ///
    /// # Errors
    /// The number of bytes does not match `size`.
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Result<Self, CompactRangeError> {
        let expected = 32 * size.count_ones() as usize;
        let (peaks, rest) = bytes.as_chunks::<32>();
        if bytes.len() != expected || !rest.is_empty() {
            return Err(CompactRangeError { size, expected, found: bytes.len() });
        }
        Ok(Self { size, peaks: peaks.iter().map(|&hash| Hash(hash)).collect() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    // Leaves and roots from the tests of certificate-transparency implementations (google/certificate-transparency,
    // cpp/merkletree/merkle_tree_test.cc).
    const LEAVES: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn the_published_roots_of_zero_to_eight_leaves_hold() {
        let mut range = CompactRange::new();
        assert_eq!(range.root().to_string(), ROOTS[0]);
        for (leaf, root) in LEAVES.iter().zip(&ROOTS[1..]) {
            range.append(Hash::leaf(&bytes(leaf)));
            assert_eq!(range.root().to_string(), *root, "{} leaves", range.size());
        }
    }

    #[test]
    fn the_peaks_contain_the_ranges_of_their_leaves() {
        let mut range = CompactRange::new();
        (0..11_u8).for_each(|leaf| range.append(Hash::leaf(&[leaf])));
        let spans: Vec<_> = range.peaks().map(|peak| (peak.first, peak.leaves)).collect();
        assert_eq!(spans, [(0, 8), (8, 2), (10, 1)]);
    }

    #[test]
    fn bytes_of_another_size_are_refused() {
        let mut range = CompactRange::new();
        (0..3_u8).for_each(|leaf| range.append(Hash::leaf(&[leaf])));
        let kept = range.to_bytes();
        assert!(CompactRange::from_bytes(4, &kept).is_err());
        assert!(CompactRange::from_bytes(3, &kept[1..]).is_err());
        assert!(CompactRange::from_bytes(3, &[&kept[..], &[0]].concat()).is_err());
    }

    /// Implements the definition of RFC 9162 §2.1.1 literally.
    fn merkle_tree_hash(leaves: &[Vec<u8>]) -> Hash {
        match leaves {
            [] => Hash::EMPTY_ROOT,
            [leaf] => Hash::leaf(leaf),
            _ => {
                let mut k = 1;
                while k * 2 < leaves.len() {
                    k *= 2;
                }
                Hash::node(&merkle_tree_hash(&leaves[..k]), &merkle_tree_hash(&leaves[k..]))
            }
        }
    }

    proptest! {
        #[test]
        fn the_root_matches_the_definition_of_the_rfc(leaves in prop::collection::vec(any::<Vec<u8>>(), 0..70)) {
            let mut range = CompactRange::new();
            for leaf in &leaves {
                range.append(Hash::leaf(leaf));
            }
            prop_assert_eq!(range.root(), merkle_tree_hash(&leaves));
        }

        #[test]
        fn a_stored_range_continues_where_it_ended(before in 0..70_u64, after in 0..20_u64) {
            let mut straight = CompactRange::new();
            (0..before).for_each(|leaf| straight.append(Hash::leaf(&leaf.to_be_bytes())));
            let mut kept = CompactRange::from_bytes(before, &straight.to_bytes()).unwrap();
            for leaf in before..before + after {
                straight.append(Hash::leaf(&leaf.to_be_bytes()));
                kept.append(Hash::leaf(&leaf.to_be_bytes()));
            }
            prop_assert_eq!(kept.root(), straight.root());
        }
    }
}
