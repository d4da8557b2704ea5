//! The pages, without script.

pub mod access;
mod activity_search;
mod api_key;
mod failure;
mod fields;
mod overview;
mod pages;
mod search;
mod session;
mod voice;
