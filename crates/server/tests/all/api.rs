//! The API: every operation, as clients use it.

pub mod access;
mod admin;
mod api_key;
mod audit;
mod bearer_token;
mod change;
mod encord;
mod explain;
mod grants;
mod invitation;
pub mod key_limits;
mod key_proof;
mod key_use;
mod leaked_key;
mod mail;
mod member;
mod paging;
mod problem;
mod project;
mod reads;
mod recent_password;
mod recovery;
mod removal;
mod rotation;
mod service_account;
mod start;
mod workspace;
