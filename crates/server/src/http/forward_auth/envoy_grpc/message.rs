//! The messages of Envoy's ext_authz, as far as Keyward reads and writes them. The crates that have all of Envoy's messages
//! take minutes to compile.
//!
//! Values that come from clients are read as bytes, even if Envoy's definition has a string. The encoding is the same, and
//! a body or header that is not UTF-8 does not make the message unreadable.

use std::collections::BTreeMap;

use prost::{Message, Oneof};
use tonic::Code;

/// The request of the call: a description of the client's request.
#[derive(Clone, PartialEq, Message)]
pub(super) struct CheckRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) attributes: Option<Attributes>,
}

/// The attributes of the client's request.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Attributes {
    #[prost(message, optional, tag = "4")]
    pub(super) request: Option<AnyRequest>,
}

/// A client's request in any protocol.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AnyRequest {
    #[prost(message, optional, tag = "2")]
    pub(super) http: Option<HttpRequest>,
}

/// A client's HTTP request.
#[derive(Clone, PartialEq, Message)]
pub(super) struct HttpRequest {
    #[prost(string, tag = "2")]
    pub(super) method: String,
    /// The headers, with repeated ones merged into one value. Empty if `header_map` is used.
    #[prost(btree_map = "string, bytes", tag = "3")]
    pub(super) headers: BTreeMap<String, Vec<u8>>,
    /// The target: path and query.
    #[prost(string, tag = "4")]
    pub(super) path: String,
    #[prost(string, tag = "5")]
    pub(super) host: String,
    /// The body. Empty if `raw_body` is used.
    #[prost(bytes = "vec", tag = "11")]
    pub(super) body: Vec<u8>,
    /// The body with `pack_as_bytes`.
    #[prost(bytes = "vec", tag = "12")]
    pub(super) raw_body: Vec<u8>,
    /// The headers with `encode_raw_headers`.
    #[prost(message, optional, tag = "13")]
    pub(super) header_map: Option<RawHeaders>,
}

/// Headers that are not merged.
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

/// The response of the call: whether Envoy lets the client's request pass.
#[derive(Clone, PartialEq, Message)]
pub(super) struct CheckResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<RpcStatus>,
    #[prost(oneof = "HttpResponse", tags = "2, 3")]
    pub(super) http_response: Option<HttpResponse>,
}

/// The changes of the request, or the response to the client.
#[derive(Clone, PartialEq, Oneof)]
pub(super) enum HttpResponse {
    #[prost(message, tag = "2")]
    Denied(DeniedResponse),
    #[prost(message, tag = "3")]
    Ok(OkResponse),
}

/// The request passes only with the code `Ok`.
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

/// The response to the client.
#[derive(Clone, PartialEq, Message)]
pub(super) struct DeniedResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<HttpStatus>,
    #[prost(message, repeated, tag = "2")]
    pub(super) headers: Vec<HeaderValueOption>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) body: Vec<u8>,
}

/// The changes of the request before it passes. Envoy first sets headers and then removes headers.
#[derive(Clone, PartialEq, Message)]
pub(super) struct OkResponse {
    #[prost(message, repeated, tag = "2")]
    pub(super) headers: Vec<HeaderValueOption>,
    #[prost(string, repeated, tag = "5")]
    pub(super) headers_to_remove: Vec<String>,
}

/// An HTTP status code.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct HttpStatus {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
}

/// A header, and whether it replaces others with its name.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct HeaderValueOption {
    #[prost(message, optional, tag = "1")]
    pub(super) header: Option<RawHeader>,
    /// If this is present and false, the header replaces all others with its name.
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
