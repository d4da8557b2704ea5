//! The pages, without script.

pub mod access;
mod activity;
mod activity_search;
mod api_key;
mod failure;
mod fields;
mod key_limits;
mod keys;
mod operator;
mod overview;
mod pages;
mod people;
mod rotation;
mod search;
mod session;
mod voice;
