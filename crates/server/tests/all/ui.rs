//! The pages, without script.

pub mod access;
mod pages;
mod session;
