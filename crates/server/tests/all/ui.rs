//! The pages, without script.

pub mod access;
mod failure;
mod pages;
mod session;
