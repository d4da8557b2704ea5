//! Attacks (the tables of docs/security.md).

mod clock;
mod keys;
mod outage;
mod replay;
mod secrets;
mod signature;
mod wire;
