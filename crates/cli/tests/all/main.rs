//! The real binary in temporary directories, as a person at a shell uses it.

mod admin;
mod audit;
mod backup;
mod crash;
mod demo;
mod faults;
mod help;
mod keygen;
mod request;
mod serve;
mod support;
mod tls;
