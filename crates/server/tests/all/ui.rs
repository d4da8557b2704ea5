//! The pages, without script.

pub mod access;
mod failure;
mod fields;
mod overview;
mod pages;
mod search;
mod session;
