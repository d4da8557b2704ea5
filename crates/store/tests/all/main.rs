//! What every engine must do, run on each engine: a conformance test is a function over a `Backend`, which the macro
//! `on_every_engine` runs. What only SQLite does is in `sqlite`.

mod support;

mod audit;
mod audit_tampering;
mod change;
mod connection;
mod installation;
mod migrations;
mod node;
mod replay;
mod sqlite;
