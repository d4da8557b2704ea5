//! Proxied requests: their nonces, and changes while a nonce is recorded.

use std::sync::Arc;

use domain::{
    key_use::{RefusalReason, UseCounts},
    principal::Denied,
};
use verifier::{AuthenticationError, RateLimits, RouteError, VerificationError};

use crate::support::{NOW, Test, TestRequest, revoke, run};

const NONCE: &str = "GRzlUfiGwvXsQRr4cSsoYg";

fn authorize(test: &Test, request: &TestRequest) -> Result<(), VerificationError> {
    let headers = test.verifier.verify_proxied_headers(&request.view())?.expect("a credential");
    let authorized = run(test.verifier.authorize_proxied_request(headers, &request.view()))?;
    assert_eq!(authorized.workspace.expect("the only one").slug.as_ref(), "acme");
    Ok(())
}

/// Returns the requests that were counted since the last call.
fn take_counts(test: &Test) -> UseCounts {
    let _uses = test.verifier.uses().take();
    test.verifier.uses().take_counts().into_iter().fold(UseCounts::default(), |mut sum, counted| {
        sum += counted.counts;
        sum
    })
}

fn is_refused(result: &Result<(), VerificationError>, expected: &AuthenticationError) -> bool {
    matches!(result, Err(VerificationError::Unauthenticated(error, _)) if error == expected)
}

#[test]
fn a_write_passes_once_and_a_read_records_no_nonce() {
    let test = Test::new();
    let read = TestRequest::signed("GET", "/v2/x", NOW, NONCE);
    assert_eq!((authorize(&test, &read), authorize(&test, &read), test.nonces.count()), (Ok(()), Ok(()), 0));
    let write = TestRequest::signed("POST", "/v2/x", NOW, NONCE);
    assert_eq!(authorize(&test, &write), Ok(()));
    assert!(is_refused(&authorize(&test, &write), &AuthenticationError::NonceReused));
    let mut expected = UseCounts::accepted(3);
    expected.add_refused(RefusalReason::Replayed, 1);
    assert_eq!(take_counts(&test), expected);
}

#[test]
fn a_key_that_is_revoked_while_the_nonce_is_recorded_is_refused() {
    let test = Test::new();
    let write = TestRequest::signed("POST", "/v2/x", NOW, NONCE);
    let (directory, revoked) = (Arc::clone(&test.directory), test.revoked());
    test.nonces.during_next(move || revoke(&directory, revoked));
    assert!(is_refused(&authorize(&test, &write), &AuthenticationError::KeyRevoked { verified: true }));
    let mut expected = UseCounts::default();
    expected.add_refused(RefusalReason::KeyRevoked, 1);
    assert_eq!(take_counts(&test), expected);
}

#[test]
fn a_lease_that_ends_while_the_nonce_is_recorded_lets_nothing_through() {
    let test = Test::new();
    let write = TestRequest::signed("POST", "/v2/x", NOW, NONCE);
    let lease = Arc::clone(&test.lease);
    test.nonces.during_next(move || lease.end());
    assert_eq!(authorize(&test, &write), Err(VerificationError::NoLease));
    assert!(take_counts(&test).is_empty());
}

#[test]
fn a_request_that_the_routes_refuse_records_no_nonce() {
    let routes = [("GET /v2/x", "authenticated"), ("POST /v2/x", "workspace:admin")];
    let test = Test::with(RateLimits::default(), &routes);
    let refused = authorize(&test, &TestRequest::signed("POST", "/v2/x", NOW, NONCE)).unwrap_err();
    assert!(matches!(refused, VerificationError::Route(RouteError::Denied(Denied::Role(_)))), "{refused:?}");
    let refused = authorize(&test, &TestRequest::signed("POST", "/v2/y", NOW, NONCE)).unwrap_err();
    assert_eq!(refused, VerificationError::Route(RouteError::NoRoute));
    assert_eq!(test.nonces.count(), 0);
    let mut expected = UseCounts::default();
    expected.add_refused(RefusalReason::Forbidden, 2);
    assert_eq!(take_counts(&test), expected);
}

#[test]
fn a_request_without_a_credential_is_refused() {
    let test = Test::new();
    let mut anonymous = TestRequest::signed("GET", "/v2/x", NOW, NONCE);
    anonymous.headers.clear();
    assert!(is_refused(&authorize(&test, &anonymous), &AuthenticationError::Missing));
}
