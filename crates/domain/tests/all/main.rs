//! The tests of `domain` that need more than one room, or real tools beside it. One module a feature.

mod proof;
mod public_key;
mod public_key_strength;
mod ssh_keygen;
