//! Several signatures in one request, labels that do not match, and limits.

use http_signature::{MAX_COMPONENTS, Profile, SignatureError};

use crate::support::{GET_COMPONENTS, NOW, Refused, Request, native_member};

const FOREIGN: &str = "(\"@method\");created=1618884475;keyid=\"proxy\";tag=\"proxy\"";

#[track_caller]
fn assert_refused(request: &Request, error: SignatureError) {
    assert_eq!(request.refusal(), Refused::Parse(error));
}

#[test]
fn the_native_signature_is_found_by_its_tag() {
    let ours = native_member(GET_COMPONENTS);
    let before = Request::get().sign_as("zz", &ours).sign_as("aa", FOREIGN);
    assert_eq!(before.verify().expect("taken").profile(), Profile::Native);
    let after = Request::get().sign_as("aa", FOREIGN).sign_as("zz", &ours);
    assert_eq!(after.verify().expect("taken").profile(), Profile::Native);
    // Also under the other profile's label.
    let relabelled = Request::get().sign_as("encord-sig", &ours);
    assert_eq!(relabelled.verify().expect("taken").profile(), Profile::Native);
}

#[test]
fn labels_may_have_any_order_and_be_on_one_line() {
    let request = Request::get().sign_as("ours", &native_member(GET_COMPONENTS)).sign_as("proxy", FOREIGN);
    let lines =
        |name| request.headers.get_all(name).iter().map(|line| line.to_str().expect("ASCII")).collect::<Vec<_>>();
    let inputs = lines("signature-input").join(",\t ");
    let signatures = lines("signature").into_iter().rev().collect::<Vec<_>>().join(" ,");
    let mut request = request.clone();
    request.set("signature-input", &inputs);
    request.set("signature", &signatures);
    assert!(request.verify().is_ok());
}

#[test]
fn the_verified_key_is_the_one_of_the_chosen_signature() {
    // A signature with another label and a registered key id does not count.
    let other = FOREIGN.replace("proxy\";tag", "SHA256:victim\";tag");
    let request = Request::get().sign_as("a", &other).sign_as("b", &native_member(GET_COMPONENTS));
    assert_eq!(request.parse().expect("parsed").key_id(), crate::support::KEY_ID);
}

#[test]
fn two_signatures_that_a_profile_would_accept_are_refused() {
    let ours = native_member(GET_COMPONENTS);
    assert_refused(&Request::get().sign_as("a", &ours).sign_as("b", &ours), SignatureError::Ambiguous);
    let mut both = Request::get().sign(Profile::Encord);
    let native = Request::get().sign(Profile::Native);
    both.append("signature-input", &native.field("signature-input"));
    both.append("signature", &native.field("signature"));
    assert_refused(&both, SignatureError::Ambiguous);
    // Even if only one of them is valid: the verifier does not choose "any valid one".
    let spoilt = Request::get().sign_as("a", &ours).sign_as("b", &ours.replace("GRzl", "XXXX"));
    assert_refused(&spoilt, SignatureError::Ambiguous);
}

#[test]
fn no_signature_for_us_is_a_failed_one_and_not_none() {
    assert_refused(&Request::get().sign_as("proxy", FOREIGN), SignatureError::NoProfile);
    let other_tag = native_member(GET_COMPONENTS).replace("tag=\"keyward\"", "tag=\"Keyward\"");
    assert_refused(&Request::get().sign_as("sig1", &other_tag), SignatureError::NoProfile);
    let token = native_member(GET_COMPONENTS).replace("tag=\"keyward\"", "tag=keyward");
    assert_refused(&Request::get().sign_as("sig1", &token), SignatureError::NoProfile);
}

#[test]
fn a_label_in_one_header_only_is_refused() {
    for name in ["signature", "signature-input"] {
        let mut request = Request::get().sign(Profile::Native);
        request.headers.remove(name);
        assert_refused(&request, SignatureError::UnmatchedLabel);
    }
    let relabelled = Request::get().sign(Profile::Native).edit("signature", "keyward=", "other=");
    assert_refused(&relabelled, SignatureError::UnmatchedLabel);
    let lone_signature = Request::get().sign(Profile::Native).header("signature", "lone=:AAAA:");
    assert_refused(&lone_signature, SignatureError::UnmatchedLabel);
    let lone_input = Request::get().sign(Profile::Native).header("signature-input", "lone=()");
    assert_refused(&lone_input, SignatureError::UnmatchedLabel);
}

#[test]
fn a_label_twice_is_refused_on_one_line_or_two() {
    let request = Request::get().sign(Profile::Native);
    let (input, signature) = (request.field("signature-input"), request.field("signature"));
    let inputs_twice = request.clone().header("signature-input", &input);
    assert_refused(&inputs_twice, SignatureError::DuplicateLabel { field: "Signature-Input" });
    let signature_twice = request.clone().header("signature", &signature);
    assert_refused(&signature_twice, SignatureError::DuplicateLabel { field: "Signature" });
    let mut one_line = request;
    one_line.set("signature", &format!("{signature}, {signature}"));
    assert_refused(&one_line, SignatureError::DuplicateLabel { field: "Signature" });
}

#[test]
fn four_labels_are_accepted_and_five_are_not() {
    let mut request = Request::get().sign_as("ours", &native_member(GET_COMPONENTS));
    for label in ["b", "c", "d"] {
        request = request.sign_as(label, FOREIGN);
    }
    assert!(request.verify().is_ok());
    assert_refused(&request.sign_as("e", FOREIGN), SignatureError::TooManyLabels);
}

#[test]
fn thirty_two_components_are_accepted_and_thirty_three_are_not() {
    let with_components = |count: usize| {
        let mut request = Request::get();
        let mut components = vec![GET_COMPONENTS.to_owned()];
        for number in 3..count {
            request.append(&format!("x-{number}"), "value");
            components.push(format!("\"x-{number}\""));
        }
        (request, native_member(&components.join(" ")))
    };
    let (request, member) = with_components(MAX_COMPONENTS);
    assert!(request.sign_as("sig1", &member).verify().is_ok());
    let (mut request, member) = with_components(MAX_COMPONENTS + 1);
    request.append("signature-input", &format!("sig1={member}"));
    request.append("signature", "sig1=:AAAA:");
    assert_refused(&request, SignatureError::TooManyComponents);
    // Also in other signatures, because the limit is on the work.
    let mut request = Request::get().sign_as("ours", &native_member(GET_COMPONENTS));
    request.append("signature-input", &format!("foreign={}", member.replace("keyward", "other")));
    request.append("signature", "foreign=:AAAA:");
    assert_refused(&request, SignatureError::TooManyComponents);
}

#[test]
fn request_lines_that_cannot_be_signed_are_refused() {
    let spoil = |change: fn(&mut Request)| {
        let mut request = Request::get().sign(Profile::Native);
        change(&mut request);
        request
    };
    for target in ["*", "https://keyward.example/", "", "//\nx", "/a b", "/a#b", "/caf\u{e9}", "/a\0"] {
        let mut request = Request::get().sign(Profile::Native);
        request.target = target.to_owned();
        assert_refused(&request, SignatureError::BadRequest("target"));
    }
    for authority in ["", "a b", "user@host", "a/b", "a,b", "a\r\nb"] {
        let mut request = Request::get().sign(Profile::Native);
        request.authority = authority.to_owned();
        assert_refused(&request, SignatureError::BadRequest("authority"));
    }
    assert_refused(&spoil(|request| request.method = "GET\n".to_owned()), SignatureError::BadRequest("method"));
    assert_refused(&spoil(|request| request.method = String::new()), SignatureError::BadRequest("method"));
    assert_refused(&spoil(|request| request.scheme = "ftp".to_owned()), SignatureError::BadRequest("scheme"));
}

#[test]
fn fields_outside_of_ascii_are_refused() {
    for (name, field) in [("signature", "Signature"), ("signature-input", "Signature-Input")] {
        let mut request = Request::get().sign(Profile::Native);
        request.headers.insert(name, http::HeaderValue::from_bytes(b"sig=\xff").expect("obs-text"));
        assert_refused(&request, SignatureError::NotAscii { field });
    }
}

#[test]
fn the_clock_is_checked_after_the_key() {
    let unverified = Request::get().sign(Profile::Native).parse().expect("parsed");
    assert_eq!((unverified.created(), unverified.profile()), (NOW, Profile::Native));
}
