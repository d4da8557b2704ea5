//! The strict parser, tested through `SignatureParameters`: accepted and refused forms, and a comparison with `sfv`.

use http_signature::{BareItem, ParametersError, SignatureParameters};
use proptest::prelude::*;
use sfv::FieldType as _;

#[track_caller]
fn assert_serializes(received: &str, canonical: &str) {
    let parsed = SignatureParameters::parse(received).unwrap_or_else(|error| panic!("{received}: {error}"));
    assert_eq!(parsed.serialize(), canonical);
}

#[track_caller]
fn assert_syntax_error(received: &str) {
    let error = SignatureParameters::parse(received).expect_err(received);
    assert!(matches!(error, ParametersError::Syntax(_)), "{received}: {error:?}");
}

#[test]
fn spaces_are_the_only_freedom() {
    assert_serializes("()", "()");
    assert_serializes("(   )", "()");
    assert_serializes(r#"  ( "a"    "b"  );x=1;   y"#, r#"("a" "b");x=1;y"#);
    assert_serializes(
        r#"("a";key="k";   req);b=?0;c=tok/en:1;d=:AAA=:;e=-12;f=1.5"#,
        r#"("a";key="k";req);b=?0;c=tok/en:1;d=:AAA=:;e=-12;f=1.5"#,
    );
    assert_serializes(r#"("a\"b\\c")"#, r#"("a\"b\\c")"#);
}

#[test]
fn spellings_that_other_parsers_accept_are_refused() {
    let refused = [
        "",
        "(",
        ")",
        "a",
        "(a)",
        "(1)",
        "(\"a\"",
        "(\"a)",
        "(\"a\"\"b\")",
        "(\"a\"\t\"b\")",
        "(\"a\", \"b\")",
        "() ",
        "();",
        "();A=1",
        "();1=1",
        "();a=",
        "();a =1",
        "();a= 1",
        "() ;a",
        "();a=01",
        "();a=-0",
        "();a=+1",
        "();a=1000000000000000",
        "();a=1.",
        "();a=1.50",
        "();a=1.0000",
        "();a=.5",
        "();a=-0.0",
        "();a=--1",
        "();a=1234567890123.1",
        "();a=?1",
        "();a=?2",
        "();a=?",
        "();a=\"x",
        "();a=\"\\x\"",
        "();a=\"\u{7f}\"",
        "();a=\"\u{e9}\"",
        "();a=:AA:",
        "();a=:AAB=:",
        "();a=:A A=:",
        "();a=:AA==",
        "();a=@1",
        "();a=%\"x\"",
        "();a=1;a=2",
        "(\"a\";sf;sf)",
        "();a=1x",
        "();a=(1)",
        "()()",
        "();a=1,",
        "();\u{e9}=1",
    ];
    for received in refused {
        assert_syntax_error(received);
    }
}

#[test]
fn components_are_a_set_and_their_parameters_too() {
    let duplicate = Err(ParametersError::DuplicateComponent);
    assert_eq!(SignatureParameters::parse(r#"("a" "b" "a")"#), duplicate);
    assert_eq!(SignatureParameters::parse(r#"("a";key="x";req "a";req;key="x")"#), duplicate);
    assert!(SignatureParameters::parse(r#"("a" "a";req "a";key="x" "a";key="y")"#).is_ok());
}

#[test]
fn sixteen_parameters_are_accepted_and_seventeen_are_not() {
    let member = |count: usize| (0..count).fold("()".to_owned(), |text, number| format!("{text};p{number}"));
    assert_serializes(&member(16), &member(16));
    assert_syntax_error(&member(17));
}

#[test]
fn values_are_read_by_type() {
    let parsed =
        SignatureParameters::parse(r#"();i=-5;s="text";e="a\\b";t=tok;b;n=?0;y=:AQI=:;d=2.5"#).expect("parsed");
    assert_eq!(parsed.parameter("i"), Some(BareItem::Integer(-5)));
    assert_eq!(parsed.parameter("s").and_then(BareItem::as_plain_string), Some("text"));
    assert_eq!(parsed.parameter("e").and_then(BareItem::as_plain_string), None);
    assert_eq!(parsed.parameter("t"), Some(BareItem::Token("tok")));
    assert_eq!(parsed.parameter("t").and_then(BareItem::as_plain_string), None);
    assert_eq!(parsed.parameter("b"), Some(BareItem::Boolean(true)));
    assert_eq!(parsed.parameter("n"), Some(BareItem::Boolean(false)));
    assert_eq!(parsed.parameter("y"), Some(BareItem::ByteSequence("AQI=")));
    assert_eq!(parsed.parameter("d"), Some(BareItem::Decimal("2.5")));
    assert_eq!(parsed.parameter("absent"), None);
}

/// Returns text that is similar to a member of `Signature-Input`.
fn nearly_a_member() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        Just("(".to_owned()),
        Just(")".to_owned()),
        Just(" ".to_owned()),
        Just(";".to_owned()),
        Just("=".to_owned()),
        "\"[@a-c]{0,2}\"",
        "[a-c]{1,2}",
        ";[a-c]{1,2}=-?[0-9]{1,3}(\\.[0-9]{1,2})?",
        ";[a-c]=:[A-D]{0,4}={0,2}:",
        ";[a-c](=\\?[01])?",
        ";[a-c]=\"[a \\\\\"]{0,3}\"",
        "[ -~]",
    ];
    (proptest::collection::vec(fragment, 0..8), any::<bool>()).prop_map(|(fragments, opened)| {
        if opened { format!("(\"a\"){}", fragments.concat()) } else { fragments.concat() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every accepted text is accepted by `sfv` and serialised to the same text.
    #[test]
    fn sfv_agrees_with_everything_that_is_accepted(text in nearly_a_member()) {
        if let Ok(parsed) = SignatureParameters::parse(&text) {
            let canonical = parsed.serialize();
            let list = sfv::Parser::new(&text).parse::<sfv::List>();
            prop_assert!(list.is_ok(), "{text}");
            prop_assert_eq!(list.expect("checked").serialize(), Some(canonical.clone()));
            prop_assert_eq!(SignatureParameters::parse(&canonical), Ok(parsed));
        }
    }

    /// Every inner list of strings with plain parameters that `sfv` serialises is accepted.
    #[test]
    fn canonical_fields_are_accepted(
        names in proptest::collection::btree_set("[a-z@ \"\\\\-]{1,6}", 0..5),
        integers in proptest::collection::btree_map("[a-z*][a-z0-9_.*-]{0,3}", -999_999_999_999_999_i64..=999_999_999_999_999, 0..4),
        bytes in proptest::collection::vec(any::<u8>(), 0..6),
    ) {
        let items = names.iter().map(|name| sfv::Item::new(sfv::String::from_string(name.clone()).expect("ASCII"))).collect();
        let mut list = sfv::InnerList::new(items);
        for (key, value) in &integers {
            let key = sfv::Key::from_string(key.clone()).expect("a key");
            list.params.insert(key, sfv::BareItem::Integer((*value).try_into().expect("in range")));
        }
        list.params.insert(sfv::key_ref("zz-bytes").to_owned(), sfv::BareItem::ByteSequence(bytes));
        let canonical = vec![sfv::ListEntry::InnerList(list)].serialize().expect("not empty");
        prop_assert_eq!(SignatureParameters::parse(&canonical).map(|parsed| parsed.serialize()), Ok(canonical));
    }
}
