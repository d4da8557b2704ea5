//! Tests of a server with the real router and the real store. Each subject has one folder.

#![expect(unreachable_pub, reason = "one binary: nothing outside can reach its modules")]

mod api;
mod cluster;
mod model;
mod proxies;
mod serve;
mod support;
mod threats;
mod ui;
