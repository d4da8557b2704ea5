//! The public interface of the crate: published vectors, the expected result of each attack, other implementations.

mod arbitrary;
mod ed25519_verdicts;
mod encord;
mod explanation;
mod interop;
mod keys;
mod labels;
mod native;
mod native_vectors;
mod rfc9421_components;
mod rfc9421_examples;
mod rfc9530;
mod signing;
mod structured_fields;
mod support;
mod tampering;
mod time;
