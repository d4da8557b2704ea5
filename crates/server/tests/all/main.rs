//! What users of a server see: the real router, the real store.

#![expect(unreachable_pub, reason = "one binary: its own rooms are all there is to reach")]

mod access;
mod recovery;
mod start;
mod support;
