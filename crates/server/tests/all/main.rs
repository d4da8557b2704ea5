//! What users of a server see: the real router, the real store.

#![expect(unreachable_pub, reason = "one binary: its own rooms are all there is to reach")]

mod access;
mod admin;
mod api_key;
mod audit;
mod bearer_token;
mod body_digest;
mod change;
mod encord;
mod forward_auth;
mod forward_auth_routes;
mod grants;
mod invitation;
mod mail;
mod many_nodes;
mod member;
mod model;
mod overload;
mod paging;
mod problem;
mod project;
mod proxied_write;
mod proxies;
mod rate_limit;
mod recent_password;
mod recovery;
mod removal;
mod serve;
mod service_account;
mod start;
mod support;
mod threats_clock;
mod threats_outage;
mod threats_replay;
mod threats_secrets;
mod threats_signature;
mod threats_support;
mod threats_wire;
mod tls;
mod ui_access;
mod ui_pages;
mod ui_session;
mod ui_support;
mod wire;
mod workspace;
