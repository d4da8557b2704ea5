//! Envoy's gRPC ext_authz (`envoy.service.auth.v3.Authorization/Check`): a message describes the client's request, and the
//! response contains the changes of that request or a refusal. Requests are verified as in the HTTP dialects, and refusals
//! are the same.

mod message;

use std::{net::IpAddr, sync::Arc};

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use http_body_util::{BodyExt as _, Collected, Full};
use tonic::{Code, Status, server::Grpc};
use tonic_prost::ProstCodec;

use self::message::{
    CheckRequest, CheckResponse, DeniedResponse, HeaderValueOption, HttpRequest, HttpResponse, HttpStatus, OkResponse,
    RpcStatus,
};
use super::{ForwardedRequest, admit_without_credential, authorize, envoy, one, read_request, require_trusted, verify};
use crate::{
    App, AppError,
    http::{
        MAX_BODY, MAX_HEADERS,
        answer::{LoggedPrincipal, LoggedStatus, RefusedWith},
        body::{discard, read_body},
        client_address::{forwarded_for, peer_address},
        encord::refuse_in_form_of_version_1,
    },
};

pub(super) const PATH: &str = "/envoy.service.auth.v3.Authorization/Check";
/// The maximum length of a message, in bytes: the client's body, its headers and other attributes, such as its certificate.
const MAX_MESSAGE: usize = MAX_BODY + 128 * 1024;

/// Answers Envoy's call. Calls that are not gRPC or not from a trusted proxy are refused before the message is read.
pub(super) async fn check(app: Arc<App>, request: Request) -> Response {
    let peer = peer_address(&request);
    let (parts, body) = request.into_parts();
    let is_grpc = parts.headers.get(header::CONTENT_TYPE).is_some_and(|value| is_grpc_type(value.as_bytes()));
    if parts.version != Version::HTTP_2 || !is_grpc {
        discard(&parts, body).await;
        let detail = "This path is for Envoy's gRPC ext_authz: HTTP/2 and Content-Type: application/grpc. Envoy needs \
                      `http2_protocol_options` in its cluster.";
        return AppError::BadRequest(detail.to_owned()).into_response();
    }
    let peer = match require_trusted(app.settings(), peer) {
        Ok(peer) => peer,
        Err(error) => {
            discard(&parts, body).await;
            return refuse_call(&error);
        }
    };
    let message = match read_body(&parts, body, MAX_MESSAGE).await {
        Ok(message) => message,
        Err(error) => {
            if matches!(error, AppError::TooLarge(_)) {
                tracing::warn!("Envoy passed a message that is too large: its `max_request_bytes` may be {MAX_BODY}");
            }
            return refuse_call(&error);
        }
    };
    let service = tower::service_fn(|question: tonic::Request<CheckRequest>| {
        let app = Arc::clone(&app);
        async move { Ok::<_, Status>(answer(&app, peer, question.into_inner()).await) }
    });
    let codec = ProstCodec::<CheckResponse, CheckRequest>::default();
    let call = http::Request::from_parts(parts, Full::new(message));
    let mut response =
        Grpc::new(codec).max_decoding_message_size(MAX_MESSAGE).unary(service, call).await.map(Body::new);
    if let Some(status) = Status::from_header_map(response.headers()).filter(|status| status.code() != Code::Ok) {
        tracing::warn!(reason = status.message(), "Envoy's message cannot be read");
        response.extensions_mut().insert(LoggedStatus(StatusCode::BAD_REQUEST));
    }
    response
}

fn is_grpc_type(value: &[u8]) -> bool {
    value.strip_prefix(b"application/grpc").is_some_and(|rest| matches!(rest, b"" | b"+proto" | [b';', ..]))
}

/// Refuses the call itself. Envoy then answers its client as if Keyward could not be reached.
pub(super) fn refuse_call(error: &AppError) -> Response {
    let problem = error.to_problem();
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let code = match status {
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::PAYLOAD_TOO_LARGE => Code::ResourceExhausted,
        StatusCode::BAD_REQUEST => Code::InvalidArgument,
        StatusCode::REQUEST_TIMEOUT => Code::DeadlineExceeded,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        _ => Code::Internal,
    };
    let mut response = Status::new(code, problem.detail).into_http::<Body>();
    response.extensions_mut().insert(LoggedStatus(status));
    response
}

async fn answer(app: &App, peer: IpAddr, question: CheckRequest) -> tonic::Response<CheckResponse> {
    let response = decide(app, peer, question).await.unwrap_or_else(AppError::into_response);
    let status = response.status();
    let principal = response.extensions().get::<LoggedPrincipal>().cloned();
    let refused = response.extensions().get::<RefusedWith>().cloned();
    let mut response = tonic::Response::new(into_message(response).await);
    let extensions = response.extensions_mut();
    extensions.insert(LoggedStatus(status));
    if let Some(principal) = principal {
        extensions.insert(principal);
    }
    if let Some(refused) = refused {
        extensions.insert(refused);
    }
    response
}

/// Returns the response that an HTTP dialect would have.
async fn decide(app: &App, peer: IpAddr, question: CheckRequest) -> Result<Response, AppError> {
    let request = question.attributes.and_then(|attributes| attributes.request).and_then(|request| request.http);
    let request = request.ok_or_else(|| AppError::BadRequest("Envoy's message describes no request.".to_owned()))?;
    let headers = read_headers(&request)?;
    let response = decide_request(app, peer, &request, &headers).await.unwrap_or_else(AppError::into_response);
    // The message has the headers by which the other dialects recognise the SDK's version 1.
    Ok(refuse_in_form_of_version_1(&headers, response))
}

async fn decide_request(
    app: &App,
    peer: IpAddr,
    request: &HttpRequest,
    headers: &HeaderMap,
) -> Result<Response, AppError> {
    let is_partial = envoy::is_partial(headers)?;
    let original = read_request(app, headers, |settings| {
        Ok(ForwardedRequest {
            method: &request.method,
            // Envoy's own word. With HTTP/2, the client writes `:scheme`.
            scheme: one(headers, "x-forwarded-proto")?,
            host: &request.host,
            target: &request.path,
            address: forwarded_for(headers, settings, peer),
        })
    })?;
    let body = if request.raw_body.is_empty() { &request.body } else { &request.raw_body };
    if body.len() > MAX_BODY {
        return Err(AppError::TooLarge(MAX_BODY));
    }
    match verify(app, &original) {
        Ok(Some(verified)) => authorize(app, &original, verified, if is_partial { b"" } else { body }).await,
        Ok(None) => admit_without_credential(),
        Err(refusal) => Ok(*refusal),
    }
}

/// Returns the headers of the client's request, which Envoy passes either merged or not.
fn read_headers(request: &HttpRequest) -> Result<HeaderMap, AppError> {
    let refuse = |detail: &str| Err(AppError::BadRequest(detail.to_owned()));
    let raw = request.header_map.as_ref().map_or(&[][..], |map| &map.headers);
    if !raw.is_empty() && !request.headers.is_empty() {
        return refuse("Envoy's message has the headers twice.");
    }
    let raw = raw.iter().map(|header| {
        (header.key.as_str(), if header.raw_value.is_empty() { &header.value } else { &header.raw_value })
    });
    let merged = request.headers.iter().map(|(name, value)| (name.as_str(), value));
    let mut headers = HeaderMap::new();
    let mut length = request.path.len();
    for (name, value) in raw.chain(merged) {
        length += name.len() + value.len();
        // Pseudo-headers. Method, path and host have their own fields.
        if name.starts_with(':') {
            continue;
        }
        match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
            (Ok(name), Ok(value)) => _ = headers.append(name, value),
            _ => return refuse("A header of the request is malformed."),
        }
    }
    if length > MAX_HEADERS {
        return Err(AppError::HeadersTooLarge);
    }
    // HTTP/2 has no Host, and a signature may cover it.
    match headers.get(header::HOST) {
        Some(host) if !host.as_bytes().eq_ignore_ascii_case(request.host.as_bytes()) => {
            refuse(":authority differs from Host.")
        }
        Some(_) => Ok(headers),
        None => match HeaderValue::from_str(&request.host) {
            Ok(host) => {
                headers.insert(header::HOST, host);
                Ok(headers)
            }
            Err(_) => refuse("The request's Host is malformed."),
        },
    }
}

/// Returns a response of an HTTP dialect as Envoy's message.
async fn into_message(response: Response) -> CheckResponse {
    let (parts, body) = response.into_parts();
    // The body is in memory, so reading it cannot fail.
    let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
    let mut headers = Vec::new();
    let mut without_value = Vec::new();
    for (name, value) in &parts.headers {
        if *name == header::CONTENT_LENGTH {
            continue;
        }
        if value.is_empty() {
            // Envoy does not set empty headers, so the client's own header is removed.
            without_value.push(name.as_str().to_owned());
        } else {
            headers.push(HeaderValueOption::overwriting(name.as_str(), value.as_bytes()));
        }
    }
    if parts.status.is_success() {
        let ok = OkResponse { headers, headers_to_remove: without_value };
        return CheckResponse { status: Some(RpcStatus::of(Code::Ok)), http_response: Some(HttpResponse::Ok(ok)) };
    }
    let code = if parts.status == StatusCode::UNAUTHORIZED { Code::Unauthenticated } else { Code::PermissionDenied };
    if !parts.headers.contains_key(header::CACHE_CONTROL) {
        headers.push(HeaderValueOption::overwriting("cache-control", b"no-store"));
    }
    let status = Some(HttpStatus { code: i32::from(parts.status.as_u16()) });
    let denied = DeniedResponse { status, headers, body: body.into() };
    CheckResponse { status: Some(RpcStatus::of(code)), http_response: Some(HttpResponse::Denied(denied)) }
}
