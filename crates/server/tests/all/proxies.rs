//! Requests through a reverse proxy.

mod body_digest;
mod envoy_grpc;
mod examples;
pub mod forward_auth;
mod key_limits;
mod proxied_write;
mod routes;
mod tower_layer;
