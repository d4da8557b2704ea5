//! What pages load: style, scripts, the mark. Part of the binary, and kept by browsers until it changes.

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

const FILES: [(&str, &str, &[u8]); 7] = [
    ("/static/app.css", "text/css; charset=utf-8", include_bytes!("../../static/app.css")),
    ("/static/first-use.js", "text/javascript; charset=utf-8", include_bytes!("../../static/first-use.js")),
    ("/static/keys.js", "text/javascript; charset=utf-8", include_bytes!("../../static/keys.js")),
    ("/static/openssh.js", "text/javascript; charset=utf-8", include_bytes!("../../static/openssh.js")),
    ("/static/pages.js", "text/javascript; charset=utf-8", include_bytes!("../../static/pages.js")),
    ("/static/mark.svg", "image/svg+xml", include_bytes!("../../static/mark.svg")),
    ("/favicon.ico", "image/svg+xml", include_bytes!("../../static/mark.svg")),
];

pub(super) fn router() -> Router {
    FILES.into_iter().fold(Router::new(), |router, (path, content_type, bytes)| {
        let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&Sha256::digest(bytes)[..12]));
        router.route(
            path,
            get(move |request: Request| {
                let answer = serve(&request, &tag, content_type, bytes);
                async { answer }
            }),
        )
    })
}

fn serve(request: &Request, tag: &str, content_type: &'static str, bytes: &'static [u8]) -> Response {
    let is_known = request
        .headers()
        .get(header::IF_NONE_MATCH)
        .and_then(|tags| tags.to_str().ok())
        .is_some_and(|tags| tags.split(',').any(|known| known.trim().trim_start_matches("W/") == tag));
    let mut response = if is_known { StatusCode::NOT_MODIFIED.into_response() } else { bytes.into_response() };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Asked for each time, so that a page never meets the script of another release.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    headers.insert(
        header::HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    response
}
