//! `axum-httpsig KEYS ADDRESS`: answers signed reads, whose signatures it verifies with httpsig-hyper. KEYS is a file with a line
//! `KEYID PUBLIC-KEY` for each key, the public key as 32 bytes in base64.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, Uri, header::HOST},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::Empty;
use httpsig::prelude::{AlgorithmName, PublicKey};
use httpsig_hyper::MessageSignatureReq as _;
use serde_json::{Value, json};

type Keys = HashMap<String, PublicKey>;
type Error = Box<dyn std::error::Error>;

const COVERED: [&str; 3] = ["\"@method\"", "\"@authority\"", "\"@target-uri\""];

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let (Some(keys), Some(address)) = (arguments.next(), arguments.next()) else {
        return Err("usage: axum-httpsig KEYS ADDRESS".into());
    };
    let keys = read_keys(&std::fs::read_to_string(keys)?)?;
    let router = Router::new().route("/api/v1/me", get(answer)).with_state(Arc::new(keys));
    axum::serve(tokio::net::TcpListener::bind(address).await?, router).await?;
    Ok(())
}

fn read_keys(text: &str) -> Result<Keys, Error> {
    text.lines()
        .map(|line| {
            let (id, key) = line.split_once(' ').ok_or("a line of the keys has no space")?;
            let key = PublicKey::from_bytes(&AlgorithmName::Ed25519, &STANDARD.decode(key)?)?;
            Ok((id.to_owned(), key))
        })
        .collect()
}

async fn answer(State(keys): State<Arc<Keys>>, request: Request) -> Result<Json<Value>, StatusCode> {
    let id = verify(&keys, request).ok_or(StatusCode::UNAUTHORIZED)?;
    Ok(Json(json!({"key": id, "name": "A", "email": "a@example.com"})))
}

/// Returns the key ID of a valid signature.
fn verify(keys: &Keys, request: Request) -> Option<String> {
    // httpsig-hyper reads the authority and the scheme from the URI, and a server receives only a path in it.
    let (mut parts, _) = request.into_parts();
    let host = parts.headers.get(HOST)?.to_str().ok()?;
    let target = parts.uri.path_and_query()?.clone();
    parts.uri = Uri::builder().scheme("http").authority(host).path_and_query(target).build().ok()?;
    // An axum body cannot be shared between threads, as httpsig-hyper requires; a read has none.
    let request = Request::from_parts(parts, Empty::<Bytes>::new());
    let signatures = request.extract_signatures().ok()?;
    let (_, (base, headers)) = signatures.first()?;
    let covers = |name: &str| base.covered_components().iter().any(|component| component.to_string() == name);
    let id = base.keyid()?;
    if headers.signature_params().expires.is_none() || !COVERED.into_iter().all(covers) {
        return None;
    }
    base.verify_signature_headers(keys.get(id)?, headers).ok()?;
    Some(id.to_owned())
}
