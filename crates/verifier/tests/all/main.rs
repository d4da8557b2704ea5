//! Request verification from outside of the crate, with a directory that is filled by hand.

mod dependencies;
mod proxied_write;
mod sample;
mod support;
mod verification;
