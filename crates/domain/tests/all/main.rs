//! The tests of `domain` that need several modules or external programs. Each feature has one module.

mod audit;
mod limits;
mod policy;
mod public_key;
mod public_key_strength;
mod ssh_keygen;
mod ssh_signature;
