//! The messages of Envoy's ext_authz, as far as Keyward reads and writes them. The crates that have all of Envoy's messages
//! take minutes to compile.
//!
//! What a client writes is read as bytes also where Envoy's definition has a string, which is the same on the wire: a body
//! or header that is not UTF-8 must not make the message unreadable.

use std::collections::BTreeMap;

use prost::{Message, Oneof};
use tonic::Code;

/// A question about a request.
#[derive(Clone, PartialEq, Message)]
pub(super) struct CheckRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) attributes: Option<Attributes>,
}

/// What is known of it.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Attributes {
    #[prost(message, optional, tag = "4")]
    pub(super) request: Option<AnyRequest>,
}

/// A request of any protocol.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AnyRequest {
    #[prost(message, optional, tag = "2")]
    pub(super) http: Option<HttpRequest>,
}

/// A request of HTTP.
#[derive(Clone, PartialEq, Message)]
pub(super) struct HttpRequest {
    #[prost(string, tag = "2")]
    pub(super) method: String,
    /// The headers, those of one name in one value; or else `header_map`.
    #[prost(btree_map = "string, bytes", tag = "3")]
    pub(super) headers: BTreeMap<String, Vec<u8>>,
    /// The target: path and query.
    #[prost(string, tag = "4")]
    pub(super) path: String,
    #[prost(string, tag = "5")]
    pub(super) host: String,
    /// The body, or else `raw_body`.
    #[prost(bytes = "vec", tag = "11")]
    pub(super) body: Vec<u8>,
    /// The body with `pack_as_bytes`.
    #[prost(bytes = "vec", tag = "12")]
    pub(super) raw_body: Vec<u8>,
    /// The headers with `encode_raw_headers`.
    #[prost(message, optional, tag = "13")]
    pub(super) header_map: Option<RawHeaders>,
}

/// Headers one by one.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RawHeaders {
    #[prost(message, repeated, tag = "1")]
    pub(super) headers: Vec<RawHeader>,
}

/// A header.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct RawHeader {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) raw_value: Vec<u8>,
}

/// What becomes of the request.
#[derive(Clone, PartialEq, Message)]
pub(super) struct CheckResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<RpcStatus>,
    #[prost(oneof = "HttpResponse", tags = "2, 3")]
    pub(super) http_response: Option<HttpResponse>,
}

/// What Envoy does beside.
#[derive(Clone, PartialEq, Oneof)]
pub(super) enum HttpResponse {
    #[prost(message, tag = "2")]
    Denied(DeniedResponse),
    #[prost(message, tag = "3")]
    Ok(OkResponse),
}

/// Whether the request passes: only with the code of success.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
}

impl RpcStatus {
    pub(super) fn of(code: Code) -> Self {
        Self { code: code.into() }
    }
}

/// What the client is answered.
#[derive(Clone, PartialEq, Message)]
pub(super) struct DeniedResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<HttpStatus>,
    #[prost(message, repeated, tag = "2")]
    pub(super) headers: Vec<HeaderValueOption>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) body: Vec<u8>,
}

/// What is changed about the request before it passes. Envoy removes after it has set.
#[derive(Clone, PartialEq, Message)]
pub(super) struct OkResponse {
    #[prost(message, repeated, tag = "2")]
    pub(super) headers: Vec<HeaderValueOption>,
    #[prost(string, repeated, tag = "5")]
    pub(super) headers_to_remove: Vec<String>,
}

/// A status of HTTP.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct HttpStatus {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
}

/// A header, and what becomes of one of its name.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct HeaderValueOption {
    #[prost(message, optional, tag = "1")]
    pub(super) header: Option<RawHeader>,
    /// Set and false: the header replaces all of its name.
    #[prost(message, optional, tag = "2")]
    pub(super) append: Option<bool>,
}

impl HeaderValueOption {
    /// A header that replaces all of its name.
    pub(super) fn overwriting(name: &str, value: &[u8]) -> Self {
        let header = RawHeader { key: name.to_owned(), value: value.to_owned(), raw_value: Vec::new() };
        Self { header: Some(header), append: Some(false) }
    }
}
