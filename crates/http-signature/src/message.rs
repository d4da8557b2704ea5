//! A message in the terms of RFC 9421. `component` reads component values from it.

use http::HeaderMap;

/// A request, exactly as received.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// The method, with its case unchanged.
    pub method: &'a str,
    /// `http` or `https`: the scheme of the connection, or the one that a trusted proxy reports.
    pub scheme: &'a str,
    /// The `Host` field or `:authority`, with the port if one was sent.
    pub authority: &'a str,
    /// The raw request target in origin-form (RFC 9112 §3.2.1): path and query, not decoded.
    pub target: &'a str,
    /// All field lines. Repeated ones are in their original order.
    pub headers: &'a HeaderMap,
}

/// A response. No profile has signatures over responses.
#[derive(Clone, Copy, Debug)]
pub struct ResponseView<'a> {
    /// The status code.
    pub status: u16,
    /// All field lines. Repeated ones are in their original order.
    pub headers: &'a HeaderMap,
    /// The request that it answers, for components with `;req` (RFC 9421 §2.4).
    pub request: Option<RequestView<'a>>,
}

/// The type of a structured field, which `;sf` needs (RFC 9421 §2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StructuredFieldType {
    /// A dictionary (RFC 8941 §3.2).
    Dictionary,
    /// A list (RFC 8941 §3.1).
    List,
    /// An item (RFC 8941 §3.3).
    Item,
}

/// The message that is signed.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub(crate) head: Head<'a>,
    pub(crate) trailers: Option<&'a HeaderMap>,
    pub(crate) field_types: &'a [(&'a str, StructuredFieldType)],
    /// A field that is about to be added and replaces one with the same name.
    pub(crate) added_field: Option<(&'a str, &'a str)>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Head<'a> {
    Request(RequestView<'a>),
    Response(ResponseView<'a>),
}

impl<'a> Message<'a> {
    /// Creates a message from a request.
    #[must_use]
    pub fn request(request: RequestView<'a>) -> Self {
        Self { head: Head::Request(request), trailers: None, field_types: &[], added_field: None }
    }

    /// Creates a message from a response.
    #[must_use]
    pub fn response(response: ResponseView<'a>) -> Self {
        Self { head: Head::Response(response), trailers: None, field_types: &[], added_field: None }
    }

    /// Adds trailer fields, for components with `;tr` (RFC 9421 §2.1.4).
    #[must_use]
    pub fn with_trailers(self, trailers: &'a HeaderMap) -> Self {
        Self { trailers: Some(trailers), ..self }
    }

    /// Adds types of structured fields to those that the crate knows.
    #[must_use]
    pub fn with_field_types(self, field_types: &'a [(&'a str, StructuredFieldType)]) -> Self {
        Self { field_types, ..self }
    }

    pub(crate) fn with_added_field(self, name: &'a str, value: &'a str) -> Self {
        Self { added_field: Some((name, value)), ..self }
    }

    pub(crate) fn headers(&self) -> &'a HeaderMap {
        match self.head {
            Head::Request(request) => request.headers,
            Head::Response(response) => response.headers,
        }
    }

    pub(crate) fn field_type(&self, name: &str) -> Option<StructuredFieldType> {
        let declared = self.field_types.iter().find(|(known, _)| *known == name);
        declared.map(|(_, field_type)| *field_type).or_else(|| registered_field_type(name))
    }
}

/// Returns the type of structured fields that signatures are likely to cover. [`Message::with_field_types`] adds
/// others.
fn registered_field_type(name: &str) -> Option<StructuredFieldType> {
    match name {
        "accept-signature"
        | "content-digest"
        | "priority"
        | "repr-digest"
        | "signature"
        | "signature-input"
        | "want-content-digest"
        | "want-repr-digest" => Some(StructuredFieldType::Dictionary),
        "accept-ch" | "cache-status" | "client-cert-chain" | "proxy-status" => Some(StructuredFieldType::List),
        "client-cert" => Some(StructuredFieldType::Item),
        _ => None,
    }
}
