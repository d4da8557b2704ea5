//! Reads the bodies of requests. Bytes that have arrived are read immediately. While bytes are still expected, the
//! request holds no slot, and its memory is counted. Bodies of refused requests are read up to a limit and discarded.

use std::{any::Any, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use http::{Extensions, header, request::Parts};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use super::{MAX_BODY, connections::Slot};
use crate::AppError;

/// Returns the slot of a request, which a change keeps until it ends.
pub(crate) fn held_slot(extensions: &Extensions) -> Option<Arc<dyn Any + Send + Sync>> {
    extensions.get::<Arc<Slot>>().map(|slot| Arc::clone(slot) as Arc<dyn Any + Send + Sync>)
}

/// The maximum time for receiving a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The result of reading a body.
enum Read {
    Complete,
    TooLarge,
    Broken,
}

/// Reads a body of at most `most` bytes.
///
/// # Errors
/// It is too large, too slow or incomplete, or too many bytes are already expected.
pub(crate) async fn read_body(parts: &Parts, mut body: Body, most: usize) -> Result<Bytes, AppError> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let length = body.size_hint().exact().and_then(|length| usize::try_from(length).ok());
    if length.is_some_and(|length| length > most) {
        discard(parts, body).await;
        return Err(AppError::TooLarge(most));
    }
    let mut kept = BytesMut::new();
    let read = {
        let mut reading = std::pin::pin!(keep(&mut body, &mut kept, most));
        match reading.as_mut().now_or_never() {
            Some(read) => read,
            None => wait_for_client(&parts.extensions, length.unwrap_or(most), reading).await?,
        }
    };
    match read {
        Read::Complete => Ok(kept.freeze()),
        Read::TooLarge => {
            drop(kept);
            discard(parts, body).await;
            Err(AppError::TooLarge(most))
        }
        Read::Broken => Err(AppError::BadRequest("The body is incomplete or malformed.".to_owned())),
    }
}

/// Copies received data, so that a body of many small frames only keeps its bytes.
async fn keep(body: &mut Body, kept: &mut BytesMut, most: usize) -> Read {
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Read::Broken };
        // Trailers are not used.
        let Ok(data) = frame.into_data() else { continue };
        if kept.len() + data.len() > most {
            return Read::TooLarge;
        }
        kept.extend_from_slice(&data);
    }
    Read::Complete
}

/// Reads and discards the body of a refused request, so that its client can read the response. A body that is too long
/// or too slow ends the connection. So does a request with `Expect: 100-continue`, whose client reads the response
/// before it sends a body.
pub(crate) async fn discard(parts: &Parts, mut body: Body) {
    if body.is_end_stream() || parts.headers.contains_key(header::EXPECT) {
        return;
    }
    let drain = async {
        let mut left = MAX_BODY;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    let mut drain = std::pin::pin!(drain);
    if drain.as_mut().now_or_never().is_none() {
        // The request is refused regardless of whether its body is complete.
        let _ = wait_for_client(&parts.extensions, 0, drain).await;
    }
}

/// Waits for bytes of the client without holding a slot.
async fn wait_for_client<T>(
    extensions: &Extensions,
    bytes: usize,
    reading: impl Future<Output = T>,
) -> Result<T, AppError> {
    let end = Instant::now() + BODY_TIMEOUT;
    let Some(slot) = extensions.get::<Arc<Slot>>() else {
        return Err(AppError::Internal("a body of a request without a slot".to_owned()));
    };
    slot.give_back();
    let unavailable = |what: &str| AppError::Unavailable(what.to_owned());
    let waited = match timeout_at(end, slot.reserve(bytes)).await {
        Ok(Some(_memory)) => timeout_at(end, reading).await.map_err(|_| AppError::Timeout),
        Ok(None) | Err(_) => Err(unavailable("too many requests wait for their clients")),
    };
    if slot.take() { waited } else { Err(unavailable("too many requests at a time")) }
}
