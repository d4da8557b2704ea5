//! Request verification through the public interface of the crate, with a directory that the tests fill.

mod dependencies;
mod proxied_write;
mod sample;
mod support;
mod verification;
