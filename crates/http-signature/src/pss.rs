//! RSASSA-PSS with a salt of any length (RFC 8017 §9.1.2), which RFC 9421 does not allow. It detects that a refused
//! signature is correct except for its salt. It uses SHA-512 and MGF1 with SHA-512, like `rsa-pss-sha512`.

use crypto_bigint::{
    Odd, U4096,
    modular::{FixedMontyForm, FixedMontyParams},
};
use sha2::{Digest as _, Sha512};

const HASH_BYTES: usize = 64;
const LARGEST_MODULUS_BYTES: usize = 512;

/// Returns the length of the salt, if this is a signature of this message by the key with this modulus and the exponent
/// 65537. The signature and the modulus have the same length, and the modulus has no leading zeros.
pub(crate) fn salt_length(modulus: &[u8], message: &[u8], signature: &[u8]) -> Option<usize> {
    let encoded = recover(modulus, signature)?;
    let bits = modulus.len() * 8 - usize::try_from(modulus.first()?.leading_zeros()).ok()? - 1;
    let (zeros, encoded) = encoded.split_at_checked(modulus.len() - bits.div_ceil(8))?;
    let unused_bits = encoded.len() * 8 - bits;
    let (block, rest) = encoded.split_at_checked(encoded.len().checked_sub(HASH_BYTES + 1)?)?;
    let (hash, [0xbc]) = rest.split_at_checked(HASH_BYTES)? else { return None };
    let mut block = block.to_vec();
    mask(&mut block, hash);
    let first = block.first_mut()?;
    *first &= 0xff_u8 >> unused_bits;
    let start = block.iter().position(|&byte| byte != 0)?;
    let (1, salt) = block.get(start..)?.split_first().map(|(mark, salt)| (*mark, salt))? else { return None };
    let expected =
        Sha512::new().chain_update([0; 8]).chain_update(Sha512::digest(message)).chain_update(salt).finalize();
    (zeros.iter().all(|&byte| byte == 0) && expected.as_slice() == hash).then_some(salt.len())
}

/// Returns the signature to the power of 65537.
fn recover(modulus: &[u8], signature: &[u8]) -> Option<Vec<u8>> {
    let number = |bytes: &[u8]| {
        let mut padded = [0; LARGEST_MODULUS_BYTES];
        padded.get_mut(LARGEST_MODULUS_BYTES.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
        Some(U4096::from_be_slice(&padded))
    };
    let params = FixedMontyParams::new_vartime(Odd::new(number(modulus)?).into_option()?);
    let base = FixedMontyForm::new(&number(signature)?, &params);
    let mut power = base;
    for _ in 0..16 {
        power = power.square();
    }
    let bytes = power.mul(&base).retrieve().to_be_bytes();
    bytes.as_ref().get(LARGEST_MODULUS_BYTES - modulus.len()..).map(<[u8]>::to_vec)
}

/// Applies MGF1 (RFC 8017 §B.2.1) of a seed to bytes.
fn mask(bytes: &mut [u8], seed: &[u8]) {
    for (counter, chunk) in (0_u32..).zip(bytes.chunks_mut(HASH_BYTES)) {
        let mask = Sha512::new().chain_update(seed).chain_update(counter.to_be_bytes()).finalize();
        for (byte, mask) in chunk.iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
}
