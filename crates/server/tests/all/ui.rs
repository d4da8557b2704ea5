//! The pages, without script.

pub mod access;
mod failure;
mod fields;
mod pages;
mod session;
