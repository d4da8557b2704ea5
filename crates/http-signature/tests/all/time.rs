//! Clock windows, one second inside and outside of each boundary.

use http_signature::{Profile, VerifyError};

use crate::support::{GET_COMPONENTS, NOW, Refused, Request, native_member_at};

fn native(created: i64, expires: i64) -> Request {
    Request::get().sign_as("sig1", &native_member_at(GET_COMPONENTS, created, expires))
}

#[track_caller]
fn assert_refused(request: &Request, now: i64, error: VerifyError) {
    assert_eq!(request.verify_at(now).expect_err("refused"), Refused::Verify(error));
}

#[test]
fn native_created_may_lie_30_s_ahead() {
    let request = native(NOW, NOW + 60);
    assert!(request.verify_at(NOW - 29).is_ok());
    assert!(request.verify_at(NOW - 30).is_ok());
    assert_refused(&request, NOW - 31, VerifyError::Early { seconds: 31 });
}

#[test]
fn native_ends_with_its_expiry() {
    let request = native(NOW, NOW + 60);
    assert!(request.verify_at(NOW + 59).is_ok());
    assert_refused(&request, NOW + 60, VerifyError::Expired { seconds_ago: 0 });
    assert_refused(&request, NOW + 61, VerifyError::Stale { seconds_late: 61 });
    let short = native(NOW, NOW + 10);
    assert!(short.verify_at(NOW + 9).is_ok());
    assert_refused(&short, NOW + 10, VerifyError::Expired { seconds_ago: 0 });
    assert_refused(&short, NOW + 11, VerifyError::Expired { seconds_ago: 1 });
}

#[test]
fn native_expiry_lies_at_most_60_s_after_created_and_not_before_it() {
    assert!(native(NOW, NOW + 59).verify_at(NOW).is_ok());
    assert!(native(NOW, NOW + 60).verify_at(NOW).is_ok());
    assert_refused(&native(NOW, NOW + 61), NOW, VerifyError::BadExpiry { lifetime_seconds: 61 });
    assert_refused(&native(NOW, NOW - 1), NOW, VerifyError::BadExpiry { lifetime_seconds: -1 });
    // No lifetime at all: taken only by a clock that is behind.
    assert_refused(&native(NOW, NOW), NOW, VerifyError::Expired { seconds_ago: 0 });
    assert!(native(NOW, NOW).verify_at(NOW - 1).is_ok());
}

#[test]
fn encord_is_valid_from_60_s_before_to_300_s_after() {
    let request = Request::get().sign(Profile::Encord);
    assert!(request.verify_at(NOW - 60).is_ok());
    assert_refused(&request, NOW - 61, VerifyError::Early { seconds: 61 });
    assert!(request.verify_at(NOW + 299).is_ok());
    assert!(request.verify_at(NOW + 300).is_ok());
    assert_refused(&request, NOW + 301, VerifyError::Stale { seconds_late: 301 });
}

#[test]
fn the_ends_of_time_are_no_trouble() {
    let last = 999_999_999_999_999;
    for now in [i64::MIN, -1, 0, 1, i64::MAX] {
        assert!(native(last, last).verify_at(now).is_err(), "{now}");
        assert!(Request::get().sign(Profile::Encord).verify_at(now).is_err(), "{now}");
        assert_eq!(native(0, 60).verify_at(now).is_ok(), (-30..60).contains(&now), "{now}");
    }
}
