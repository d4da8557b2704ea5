//! What every engine must do, run on each engine: a conformance test is a function over a `Backend`, which the macro
//! `on_every_engine` runs. What only one engine does is in `sqlite` and `postgres`.

mod support;

mod api_key;
mod audit;
mod audit_tampering;
mod change;
mod connection;
mod installation;
mod invitation;
mod migrations;
mod node;
mod postgres;
mod project;
mod replay;
mod schema;
mod service_account;
mod session;
mod sqlite;
mod transfer;
mod user;
mod workspace;
