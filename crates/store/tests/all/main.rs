//! Conformance tests for all engines. A test is a function over a `Backend`, which the macro `on_every_engine` runs.
//! `sqlite` and `postgres` test the differences.

mod support;

mod api_key;
mod audit;
mod audit_tampering;
mod change;
mod connection;
mod identity;
mod installation;
mod invitation;
mod key_use;
mod list;
mod migrations;
mod node;
mod policy;
mod postgres;
mod project;
mod replay;
mod rotation;
mod schema;
mod service_account;
mod session;
mod shared_commit;
mod sqlite;
mod transfer;
mod user;
mod workspace;
