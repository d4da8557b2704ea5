//! The principal of a request, while the lease is held.

use std::{collections::BTreeSet, time::Duration};

use domain::{
    Clock as _, Timestamp,
    key_use::{RefusalReason, UseCounts},
};
use http_signature::Profile;
use verifier::{
    AuthenticationError, RateLimits, VerificationError,
    outside::{CredentialType, Outcome},
    rate_limit::RetryAfter,
    use_records::{CountedUse, Use},
};

use crate::support::{NOW, Test, TestRequest, revoke};

const NONCE: &str = "GRzlUfiGwvXsQRr4cSsoYg";

#[test]
fn a_signed_request_is_verified_while_the_lease_is_held_and_unavailable_after() {
    let test = Test::new();
    let request = TestRequest::signed("GET", "/v1/projects", NOW, NONCE);
    let verified = test.verifier.verify_request(&request.view()).unwrap().expect("a credential");
    assert_eq!(verified.principal.credential().key(), Some(test.key.id));
    assert_eq!(verified.signed_at, Some(test.world.now()));
    assert_eq!((verified.body_verified, verified.replay), (true, None));
    let native = CredentialType::Signature(Profile::Native);
    assert_eq!(test.observations.take(), [(native, Outcome::Accepted)]);

    test.lease.end();
    assert_eq!(test.verifier.verify_request(&request.view()).unwrap_err(), VerificationError::NoLease);
    assert_eq!(test.observations.take(), [(native, Outcome::Unavailable)]);
}

#[test]
fn a_refusal_without_a_lease_is_unavailable_and_not_recorded() {
    let test = Test::new();
    let late = TestRequest::signed("GET", "/v1/projects", NOW - 600, NONCE);
    let refused = test.verifier.verify_request(&late.view()).unwrap_err();
    let is_stale = matches!(refused, VerificationError::Unauthenticated(AuthenticationError::Stale(_), _));
    assert!(is_stale, "{refused:?}");
    let rows = test.verifier.due_refusals(test.world.now(), true);
    assert_eq!(rows.len(), 1);
    test.verifier.refusals().mark_written(&rows, test.world.now());

    test.lease.end();
    assert_eq!(test.verifier.verify_request(&late.view()).unwrap_err(), VerificationError::NoLease);
    assert!(test.verifier.due_refusals(test.world.now(), true).is_empty());
}

#[test]
fn a_key_that_is_revoked_while_the_body_is_received_is_refused() {
    let test = Test::new();
    let request = TestRequest::signed("POST", "/v1/projects", NOW, NONCE);
    let headers = test.verifier.verify_headers(&request.view()).unwrap().expect("a credential");
    revoke(&test.directory, test.revoked());
    let refused = test.verifier.verify_body(headers, &request.view()).unwrap_err();
    let expected = AuthenticationError::KeyRevoked { verified: true };
    assert!(matches!(&refused, VerificationError::Unauthenticated(error, _) if *error == expected), "{refused:?}");
}

#[test]
fn a_bearer_token_ends_with_its_key_and_an_hour_after_the_signature() {
    let test = Test::new();
    let (token, expires_at) = test.verifier.create_bearer_token(test.key.id, test.world.now()).unwrap();
    assert_eq!(expires_at, test.world.now() + Duration::from_hours(1));
    let request = TestRequest::with_token("/v1/projects", &token);
    let refusal = |test: &Test| match test.verifier.verify_request(&request.view()) {
        Ok(verified) => {
            assert_eq!(verified.expect("a credential").principal.credential().key(), Some(test.key.id));
            None
        }
        Err(VerificationError::Unauthenticated(error, _)) => Some(error),
        Err(other) => panic!("{other}"),
    };
    assert_eq!(refusal(&test), None);
    test.world.advance(Duration::from_secs(3599));
    assert_eq!(refusal(&test), None);
    test.world.advance(Duration::from_secs(1));
    assert_eq!(refusal(&test), Some(AuthenticationError::TokenExpired));

    let test = Test::new();
    revoke(&test.directory, test.revoked());
    assert_eq!(refusal(&test), Some(AuthenticationError::KeyRevoked { verified: true }));
}

#[test]
fn a_key_is_limited_to_its_rate() {
    let test = Test::with(RateLimits { per_key: 1, ..RateLimits::default() }, &[]);
    let request = TestRequest::signed("GET", "/v1/projects", NOW, NONCE);
    for _ in 0..10 {
        assert!(test.verifier.verify_request(&request.view()).is_ok());
    }
    let refused = test.verifier.verify_request(&request.view()).unwrap_err();
    assert_eq!(refused, VerificationError::RateLimited(RetryAfter(1)));
}

#[test]
fn a_key_has_one_use_a_second_and_unwritten_uses_are_returned_again() {
    let test = Test::new();
    let request = TestRequest::signed("GET", "/v1/projects", NOW, NONCE);
    for _ in 0..3 {
        assert!(test.verifier.verify_request(&request.view()).is_ok());
    }
    let taken = test.verifier.uses().take();
    let [used] = taken.as_slice() else { panic!("one use: {taken:?}") };
    assert_eq!((used.key, used.at, used.accepted), (test.key.id, test.world.now(), true));
    assert!(test.verifier.verify_request(&request.view()).is_ok());
    assert!(test.verifier.uses().take().is_empty(), "it was in the same second");

    test.verifier.uses().put_back(taken.clone());
    assert_eq!(test.verifier.uses().take(), taken);
    test.verifier.uses().put_back(taken);
    test.world.advance(Duration::from_secs(1));
    assert!(test.verifier.verify_request(&request.view()).is_ok());
    let later = test.verifier.uses().take();
    let [used] = later.as_slice() else { panic!("the latest use of the key: {later:?}") };
    assert_eq!(used.at, test.world.now());
}

/// Uses of this many other keys.
fn uses_of_others(test: &Test, keys: u128) -> Vec<Use> {
    let key = |number: u128| format!("key_{number:026}").parse().expect("an id");
    let used = |number| Use { key: key(number), at: test.world.now(), ip_address: None, accepted: true };
    (1_000_000..1_000_000 + keys).map(used).collect()
}

/// Sends a request, and returns whether the use of its key is recorded. Takes all uses.
fn is_recorded(test: &Test) -> bool {
    let request = TestRequest::signed("GET", "/v1/projects", test.world.now().as_second(), NONCE);
    assert!(test.verifier.verify_request(&request.view()).is_ok());
    test.verifier.uses().take().iter().any(|used| used.key == test.key.id && used.at == test.world.now())
}

#[test]
fn while_many_keys_are_used_each_has_one_use_a_minute() {
    let test = Test::new();
    let many = || test.verifier.uses().put_back(uses_of_others(&test, 5000));
    many();
    assert!(is_recorded(&test), "the first use");
    many();
    test.world.advance(Duration::from_secs(59));
    assert!(!is_recorded(&test), "the last recorded use is right to the minute");
    many();
    test.world.advance(Duration::from_secs(1));
    assert!(is_recorded(&test));
    test.world.advance(Duration::from_secs(1));
    assert!(is_recorded(&test), "one a second again");
}

#[test]
fn parts_of_the_uses_and_counters_can_be_taken() {
    let test = Test::new();
    let records = test.verifier.uses();
    let uses = uses_of_others(&test, 100);
    records.put_back(uses.clone());
    assert_eq!(records.queued(), 100);
    let keys = |uses: &[Use]| uses.iter().map(|used| used.key).collect::<BTreeSet<_>>();
    assert_eq!(keys(&records.take_first(64)), keys(&uses[..64]), "the oldest first");
    assert_eq!(keys(&records.take_first(64)), keys(&uses[64..]));
    assert_eq!(records.queued(), 0);

    let counted = |used: &Use| CountedUse { key: used.key, hour: hour_of(&test), counts: UseCounts::accepted(1) };
    records.put_back_counts(uses.iter().map(counted).collect());
    let mut taken = records.take_some_counts(64);
    assert_eq!((taken.len(), records.counters()), (64, 36));
    taken.extend(records.take_some_counts(64));
    assert_eq!(taken.iter().map(|counted| counted.key).collect::<BTreeSet<_>>(), keys(&uses));
    assert_eq!(records.counters(), 0);
}

#[test]
fn a_use_for_which_there_is_no_room_is_recorded_by_the_next_request() {
    let test = Test::new();
    let full = uses_of_others(&test, 65_536);
    test.verifier.uses().put_back(full.clone());
    assert!(!is_recorded(&test));
    assert!(is_recorded(&test), "in the same second");
}

#[test]
fn a_request_that_verified_and_was_refused_is_a_use_that_was_not_accepted() {
    let test = Test::new();
    let late = TestRequest::signed("GET", "/v1/projects", NOW - 600, NONCE);
    assert!(test.verifier.verify_request(&late.view()).is_err());
    let taken = test.verifier.uses().take();
    let [used] = taken.as_slice() else { panic!("one use: {taken:?}") };
    assert_eq!((used.key, used.accepted), (test.key.id, false));
}

/// Takes what a batch writes, and returns the counters in the order of their hours.
fn take_counts(test: &Test) -> Vec<(Timestamp, UseCounts)> {
    let _uses = test.verifier.uses().take();
    let mut counts: Vec<_> = test.verifier.uses().take_counts().into_iter().map(|c| (c.hour, c.counts)).collect();
    counts.sort_by_key(|(hour, _)| *hour);
    counts
}

fn hour_of(test: &Test) -> Timestamp {
    domain::key_use::UseSpan::Hour.start(test.world.now(), 0)
}

#[test]
fn every_accepted_request_is_counted_once_in_its_hour() {
    let test = Test::new();
    let accept = || {
        let request = TestRequest::signed("GET", "/v1/projects", test.world.now().as_second(), NONCE);
        assert!(test.verifier.verify_request(&request.view()).is_ok());
    };
    for _ in 0..1000 {
        accept();
    }
    assert_eq!(take_counts(&test), [(hour_of(&test), UseCounts::accepted(1000))]);
    assert_eq!(take_counts(&test), []);
    // In the same second as the last batch, so that no further use is recorded.
    accept();
    assert_eq!(take_counts(&test), [(hour_of(&test), UseCounts::accepted(1))]);
    accept();
    let before = hour_of(&test);
    test.world.advance(Duration::from_hours(1));
    assert_eq!(take_counts(&test), [(before, UseCounts::accepted(1))], "it was used in the hour before");
}

#[test]
fn accepted_requests_that_are_not_written_yet_are_counted_by_key() {
    let test = Test::new();
    let accept = || {
        let request = TestRequest::signed("GET", "/v1/projects", test.world.now().as_second(), NONCE);
        assert!(test.verifier.verify_request(&request.view()).is_ok());
    };
    let first = hour_of(&test);
    accept();
    let key = test.verifier.uses().take()[0].key;
    test.world.advance(Duration::from_hours(2));
    accept();
    accept();
    let _uses = test.verifier.uses().take();
    let other = "key_01h455vb4pex5vsknk084sn02q".parse().unwrap();
    let count = |key, first| test.verifier.uses().count_untaken(key, first, test.world.now());
    assert_eq!((count(key, first), count(key, hour_of(&test)), count(other, first)), (3, 2, 0));
    assert_eq!(take_counts(&test).len(), 2);
    assert_eq!(count(key, first), 0);
}

#[test]
fn counters_that_could_not_be_written_are_added_to_later_ones() {
    let test = Test::new();
    let accept = || {
        let request = TestRequest::signed("GET", "/v1/projects", NOW, NONCE);
        assert!(test.verifier.verify_request(&request.view()).is_ok());
    };
    accept();
    let uses = test.verifier.uses().take();
    let counts = test.verifier.uses().take_counts();
    accept();
    test.verifier.uses().put_back(uses);
    test.verifier.uses().put_back_counts(counts);
    assert_eq!(take_counts(&test), [(hour_of(&test), UseCounts::accepted(2))]);
}

#[test]
fn the_last_requests_with_a_key_that_is_revoked_are_counted() {
    let test = Test::new();
    let request = TestRequest::signed("GET", "/v1/projects", NOW, NONCE);
    assert!(test.verifier.verify_request(&request.view()).is_ok());
    revoke(&test.directory, test.revoked());
    assert!(test.verifier.verify_request(&request.view()).is_err());
    let mut expected = UseCounts::accepted(1);
    expected.add_refused(RefusalReason::KeyRevoked, 1);
    assert_eq!(take_counts(&test), [(hour_of(&test), expected)]);
}

#[test]
fn a_refused_request_is_counted_by_its_reason_and_not_as_accepted() {
    let refused = |test: &Test, request: &TestRequest, reason| {
        assert!(test.verifier.verify_request(&request.view()).is_err(), "{reason:?}");
        let mut expected = UseCounts::default();
        expected.add_refused(reason, 1);
        assert_eq!(take_counts(test), [(hour_of(test), expected)]);
    };
    let test = Test::new();
    refused(&test, &TestRequest::signed("GET", "/v1/projects", NOW - 600, NONCE), RefusalReason::WrongTime);
    let mut forged = TestRequest::signed("GET", "/v1/projects", NOW, NONCE);
    let other = TestRequest::signed("GET", "/v1/other", NOW, NONCE);
    forged.headers.insert("signature", other.headers["signature"].clone());
    refused(&test, &forged, RefusalReason::BadSignature);
    // Any client can send the fingerprint of a revoked key.
    revoke(&test.directory, test.revoked());
    refused(&test, &forged, RefusalReason::BadSignature);

    let test = Test::with(RateLimits { per_key: 1, ..RateLimits::default() }, &[]);
    let request = TestRequest::signed("GET", "/v1/projects", NOW, NONCE);
    for _ in 0..10 {
        assert!(test.verifier.verify_request(&request.view()).is_ok());
    }
    assert_eq!(take_counts(&test), [(hour_of(&test), UseCounts::accepted(10))]);
    refused(&test, &request, RefusalReason::RateLimited);
}

#[test]
fn a_request_with_an_unknown_key_is_not_counted() {
    let test = Test::new();
    let request = TestRequest::signed("GET", "/v1/projects", NOW, NONCE);
    test.directory.swap(verifier::Snapshot::default());
    assert!(test.verifier.verify_request(&request.view()).is_err());
    let (token, _) = {
        let other = Test::new();
        other.verifier.create_bearer_token(other.key.id, other.world.now()).unwrap()
    };
    assert!(test.verifier.verify_request(&TestRequest::with_token("/v1/projects", &token).view()).is_err());
    assert_eq!(take_counts(&test), []);
}

#[test]
fn a_node_without_a_lease_counts_nothing() {
    let test = Test::new();
    test.lease.end();
    for created in [NOW, NOW - 600] {
        let request = TestRequest::signed("GET", "/v1/projects", created, NONCE);
        assert!(test.verifier.verify_request(&request.view()).is_err());
    }
    assert_eq!(take_counts(&test), []);
}
