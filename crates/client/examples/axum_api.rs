//! An API that asks Keyward who sent each request.
//!
//! ```console
//! $ keyward serve      # with trusted_proxies = ["127.0.0.1"] and proxied_hosts = ["127.0.0.1:9000"]
//! $ cargo run -p client --features tower --example axum_api
//! $ keyward request GET http://127.0.0.1:9000/hello
//! ```

use std::net::{IpAddr, SocketAddr};

use axum::{
    Extension, Router,
    extract::ConnectInfo,
    http::request::Parts,
    routing::{get, post},
};
use client::{
    ClientError,
    forward_auth::{Identity, KeywardLayer},
};

/// Who sent the request.
async fn hello(Extension(identity): Extension<Identity>) -> String {
    format!("Hello {}, key {:?}\n", identity.name, identity.key.map(|key| key.to_string()))
}

/// A signed body arrives only if it is the one that was signed.
async fn echo(Extension(identity): Extension<Identity>, body: String) -> String {
    format!("{body} (verified: {})\n", identity.body_verified)
}

/// Open to all, if a route of Keyward requires `anyone` for it.
async fn status(identity: Option<Extension<Identity>>) -> &'static str {
    if identity.is_some() { "signed\n" } else { "unsigned\n" }
}

/// Where a request came from. Behind another server, this would be its own address.
fn client_address(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|client| client.0.ip())
}

/// The API behind the Keyward at `keyward`, for clients that sign `origin`.
pub fn api(keyward: &str, origin: &str) -> Result<Router, ClientError> {
    let layer = KeywardLayer::new(keyward, [origin])?.with_client_address(client_address);
    let api = Router::new().route("/hello", get(hello)).route("/echo", post(echo)).route("/status", get(status));
    Ok(api.layer(layer))
}

#[tokio::main]
#[allow(dead_code, reason = "the tests include this file, and start the API themselves")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let api = api("http://127.0.0.1:8080", "http://127.0.0.1:9000")?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:9000").await?;
    axum::serve(listener, api.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
