//! What users of a server see: the real router, the real store. One folder a subject.

#![expect(unreachable_pub, reason = "one binary: nothing outside can reach its modules")]

mod api;
mod cluster;
mod model;
mod proxies;
mod serve;
mod support;
mod threats;
mod ui;
