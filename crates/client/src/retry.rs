//! Which responses are retried, and the wait before a retry.

use std::time::Duration;

use http::{
    HeaderMap, StatusCode,
    header::{DATE, HeaderName, RETRY_AFTER},
};
use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};

/// The caller handles longer waits.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Returns how long to wait before a retry, or `None` to return the response. `Retry-After` is obeyed. Without it, the
/// wait doubles with each attempt. `jitter` reduces it by up to half, so that clients do not retry at the same time.
pub(crate) fn wait_before_retry(
    status: StatusCode,
    headers: &HeaderMap,
    attempt: u32,
    jitter: u8,
    now: Timestamp,
) -> Option<Duration> {
    let is_passing = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    );
    let wait = match retry_after(headers, now) {
        _ if !is_passing => return None,
        Some(wait) => wait,
        None => FIRST_WAIT * 2_u32.saturating_pow(attempt.min(10)) * (512 - u32::from(jitter)) / 512,
    };
    (wait <= LONGEST_WAIT).then_some(wait)
}

/// RFC 9110 §10.2.3: seconds, or a date.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = date(headers, &RETRY_AFTER)?.duration_since(date(headers, &DATE).unwrap_or(now));
    Some(Duration::try_from(until).unwrap_or_default())
}

/// Parses the time in a field of this response (RFC 9110 §5.6.7).
pub(crate) fn date(headers: &HeaderMap, name: &HeaderName) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(headers.get(name)?.to_str().ok()?.trim()).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn wait(status: u16, fields: &[(HeaderName, &'static str)], attempt: u32) -> Option<Duration> {
        let fields = fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        let status = StatusCode::from_u16(status).unwrap();
        wait_before_retry(status, &fields.collect(), attempt, 0, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn only_temporary_errors_are_retried() {
        for status in [429, 502, 503, 504] {
            assert_eq!(wait(status, &[], 0), Some(Duration::from_millis(250)));
        }
        for status in [200, 400, 401, 403, 404, 409, 413, 500, 501] {
            assert_eq!(wait(status, &[(RETRY_AFTER, "1")], 0), None);
        }
    }

    #[test]
    fn waits_double_and_stop_at_half_a_minute() {
        let waits: Vec<_> = (0..9).map(|attempt| wait(503, &[], attempt).map(|wait| wait.as_millis())).collect();
        let expected = [250, 500, 1000, 2000, 4000, 8000, 16000].map(Some);
        assert_eq!(waits[..7], expected);
        assert_eq!(waits[7..], [None, None]);
        let with_jitter =
            wait_before_retry(StatusCode::BAD_GATEWAY, &HeaderMap::new(), 0, 255, Timestamp::UNIX_EPOCH).unwrap();
        assert!((125..126).contains(&with_jitter.as_millis()), "{with_jitter:?}");
    }

    #[test]
    fn the_server_says_how_long() {
        assert_eq!(wait(429, &[(RETRY_AFTER, "7")], 3), Some(Duration::from_secs(7)));
        assert_eq!(wait(429, &[(RETRY_AFTER, "0")], 3), Some(Duration::ZERO));
        assert_eq!(wait(429, &[(RETRY_AFTER, "31")], 0), None);
        let now = (DATE, "Thu, 01 Jan 2026 00:00:00 GMT");
        let later = (RETRY_AFTER, "Thu, 01 Jan 2026 00:00:05 GMT");
        let earlier = (RETRY_AFTER, "Wed, 31 Dec 2025 23:00:00 GMT");
        assert_eq!(wait(503, &[now.clone(), later], 0), Some(Duration::from_secs(5)));
        assert_eq!(wait(503, &[now, earlier], 0), Some(Duration::ZERO));
        assert_eq!(wait(503, &[(RETRY_AFTER, "soon")], 0), Some(Duration::from_millis(250)));
    }
}
