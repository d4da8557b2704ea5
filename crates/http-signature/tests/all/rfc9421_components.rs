//! RFC 9421 §2.1 and §2.2: the value of each component, with the RFC's own examples if it has any.

use http::HeaderMap;
use http_signature::{ComponentError, Message, RequestView, ResponseView, SignatureParameters, StructuredFieldType};

use crate::support::Request;

/// Returns the base of one covered component, without its `@signature-params` line.
fn line(message: &Message<'_>, component: &str) -> Result<String, ComponentError> {
    let member = format!("({component})");
    let parameters = SignatureParameters::parse(&member).expect("a member of Signature-Input");
    let base = parameters.signature_base(message)?;
    Ok(base.rsplit_once('\n').expect("two lines").0.to_owned())
}

fn request_line(request: &Request, component: &str) -> Result<String, ComponentError> {
    line(&Message::request(request.view()), component)
}

#[track_caller]
fn assert_line(request: &Request, component: &str, value: &str) {
    assert_eq!(request_line(request, component), Ok(format!("{component}: {value}")));
}

#[test]
fn field_values_are_trimmed_and_combined() {
    let request = Request::get()
        .header("x-ows-header", "  Leading and trailing whitespace.  \t")
        .header("cache-control", "max-age=60")
        .header("cache-control", "   must-revalidate")
        .header("example-dict", " a=1,    b=2;x=1;y=2,   c=(a   b   c)")
        .header("x-empty-header", " ");
    assert_line(&request, r#""x-ows-header""#, "Leading and trailing whitespace.");
    assert_line(&request, r#""cache-control""#, "max-age=60, must-revalidate");
    assert_line(&request, r#""example-dict""#, "a=1,    b=2;x=1;y=2,   c=(a   b   c)");
    assert_line(&request, r#""x-empty-header""#, "");
}

#[test]
fn structured_fields_are_serialized_strictly() {
    let request = Request::get().header("example-dict", "  a=1,    b=2;x=1;y=2,   c=(a   b   c), d");
    let types = [("example-dict", StructuredFieldType::Dictionary)];
    let message = Message::request(request.view()).with_field_types(&types);
    let expected = r#""example-dict";sf: a=1, b=2;x=1;y=2, c=(a b c), d"#;
    assert_eq!(line(&message, r#""example-dict";sf"#).as_deref(), Ok(expected));
    assert_line(&request, r#""example-dict";key="a""#, "1");
    assert_line(&request, r#""example-dict";key="b""#, "2;x=1;y=2");
    assert_line(&request, r#""example-dict";key="c""#, "(a b c)");
    assert_line(&request, r#""example-dict";key="d""#, "?1");
    assert_eq!(
        request_line(&request, r#""example-dict";key="e""#),
        Err(ComponentError::Missing(r#""example-dict";key="e""#.to_owned()))
    );
    // Strict serialization needs to know the type of the field.
    assert_eq!(
        request_line(&request, r#""example-dict";sf"#),
        Err(ComponentError::Unknown(r#""example-dict";sf"#.to_owned()))
    );
}

#[test]
fn lists_and_items_are_serialized_strictly() {
    let request = Request::get().header("cache-status", "a;hit,   b").header("x-item", " 5;a ");
    assert_line(&request, r#""cache-status";sf"#, "a;hit, b");
    let types = [("x-item", StructuredFieldType::Item)];
    let message = Message::request(request.view()).with_field_types(&types);
    assert_eq!(line(&message, r#""x-item";sf"#).as_deref(), Ok(r#""x-item";sf: 5;a"#));
}

#[test]
fn binary_wrapping_keeps_lines_apart() {
    let two_lines = Request::get().header("example-header", "value, with, lots").header("example-header", "of, commas");
    let one_line = Request::get().header("example-header", "value, with, lots, of, commas");
    let plain = "value, with, lots, of, commas";
    assert_line(&two_lines, r#""example-header""#, plain);
    assert_line(&one_line, r#""example-header""#, plain);
    assert_line(&two_lines, r#""example-header";bs"#, ":dmFsdWUsIHdpdGgsIGxvdHM=:, :b2YsIGNvbW1hcw==:");
    assert_line(&one_line, r#""example-header";bs"#, ":dmFsdWUsIHdpdGgsIGxvdHMsIG9mLCBjb21tYXM=:");
    let both = request_line(&one_line, r#""example-header";bs;sf"#);
    assert_eq!(both, Err(ComponentError::Unknown(r#""example-header";bs;sf"#.to_owned())));
}

#[test]
fn trailers_are_not_headers() {
    let headers = Request::get().header("trailer", "Expires").headers;
    let trailers = Request::get().header("expires", "Wed, 9 Nov 2022 07:28:00 GMT").headers;
    let message =
        Message::response(ResponseView { status: 200, headers: &headers, request: None }).with_trailers(&trailers);
    assert_eq!(line(&message, r#""@status""#).as_deref(), Ok(r#""@status": 200"#));
    assert_eq!(line(&message, r#""trailer""#).as_deref(), Ok(r#""trailer": Expires"#));
    let expected = r#""expires";tr: Wed, 9 Nov 2022 07:28:00 GMT"#;
    assert_eq!(line(&message, r#""expires";tr"#).as_deref(), Ok(expected));
    assert!(line(&message, r#""expires""#).is_err());
    assert!(line(&message, r#""trailer";tr"#).is_err());
}

#[test]
fn derived_components_of_a_request() {
    let mut request = Request::new("POST", "/path?param=value", "");
    request.authority = "www.Example.COM:443".to_owned();
    assert_line(&request, r#""@method""#, "POST");
    assert_line(&request, r#""@target-uri""#, "https://www.example.com/path?param=value");
    assert_line(&request, r#""@authority""#, "www.example.com");
    assert_line(&request, r#""@scheme""#, "https");
    assert_line(&request, r#""@request-target""#, "/path?param=value");
    assert_line(&request, r#""@path""#, "/path");
    assert_line(&request, r#""@query""#, "?param=value");
}

#[test]
fn only_the_default_port_of_the_scheme_is_left_out() {
    let authority = |scheme: &str, authority: &str| {
        let mut request = Request::get();
        (request.scheme, request.authority) = (scheme.to_owned(), authority.to_owned());
        request_line(&request, r#""@authority""#).expect("a value")
    };
    assert_eq!(authority("http", "a.example:80"), r#""@authority": a.example"#);
    assert_eq!(authority("http", "a.example:443"), r#""@authority": a.example:443"#);
    assert_eq!(authority("https", "a.example:80"), r#""@authority": a.example:80"#);
    assert_eq!(authority("https", "[::1]:443"), r#""@authority": [::1]"#);
    assert_eq!(authority("http", "a.example:8080"), r#""@authority": a.example:8080"#);
}

#[test]
fn request_target_is_the_one_that_was_sent() {
    for target in ["https://www.example.com/path?param=value", "www.example.com:80", "*", "/a?"] {
        assert_line(&Request::new("GET", target, ""), r#""@request-target""#, target);
    }
}

#[test]
fn path_and_query_are_not_decoded() {
    let request = Request::new("GET", "/a%2Fb/%7e/../?q=%2B+~&baz=bat%2Dman", "");
    assert_line(&request, r#""@path""#, "/a%2Fb/%7e/../");
    assert_line(&request, r#""@query""#, "?q=%2B+~&baz=bat%2Dman");
    assert_line(&Request::new("GET", "/path?queryString", ""), r#""@query""#, "?queryString");
    assert_line(&Request::new("GET", "/path", ""), r#""@query""#, "?");
    assert_line(&Request::new("GET", "", ""), r#""@path""#, "/");
    assert_line(&Request::new("GET", "?a", ""), r#""@target-uri""#, "https://keyward.example/?a");
}

#[test]
fn query_parameters_are_decoded_and_encoded_again() {
    let request = Request::new("POST", "/path?param=value&foo=bar&baz=batman&qux=&twice=1&twice=2&&flag", "");
    assert_line(&request, r#""@query-param";name="baz""#, "batman");
    assert_line(&request, r#""@query-param";name="qux""#, "");
    assert_line(&request, r#""@query-param";name="param""#, "value");
    assert_line(&request, r#""@query-param";name="flag""#, "");
    assert!(request_line(&request, r#""@query-param";name="twice""#).is_err());
    assert!(request_line(&request, r#""@query-param";name="absent""#).is_err());
    assert!(request_line(&request, r#""@query-param""#).is_err());

    let target = "/parameters?var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace\
        &fa%C3%A7ade%22%3A%20=something&tilde=~%7e&broken=%zz%2";
    let request = Request::new("GET", target, "");
    assert_line(&request, r#""@query-param";name="var""#, "this%20is%20a%20big%0Amultiline%20value");
    assert_line(&request, r#""@query-param";name="bar""#, "with%20plus%20whitespace");
    assert_line(&request, r#""@query-param";name="fa%C3%A7ade%22%3A%20""#, "something");
    assert_line(&request, r#""@query-param";name="tilde""#, "%7E%7E");
    assert_line(&request, r#""@query-param";name="broken""#, "%25zz%252");
}

#[test]
fn components_belong_to_their_message() {
    let request = Request::get().header("accept", "*/*");
    let undefined = [r#""@status""#, r#""@signature-params""#, r#""@body""#, r#""@method";req"#, r#""accept";req"#];
    for component in undefined {
        let expected = Err(ComponentError::Unknown(component.to_owned()));
        assert_eq!(request_line(&request, component), expected);
    }
    let undefined_parameters =
        [r#""accept";sf=?0"#, r#""accept";what"#, r#""accept";key=1"#, r#""@method";sf"#, r#""Accept""#, r#""a b""#];
    for component in undefined_parameters {
        assert!(matches!(request_line(&request, component), Err(ComponentError::Unknown(_))), "{component}");
    }
    let no_fields = HeaderMap::new();
    let response = Message::response(ResponseView { status: 200, headers: &no_fields, request: None });
    assert_eq!(line(&response, r#""@method""#), Err(ComponentError::Unknown(r#""@method""#.to_owned())));
    assert_eq!(line(&response, r#""@method";req"#), Err(ComponentError::Missing(r#""@method";req"#.to_owned())));
}

#[test]
fn a_value_with_a_line_break_never_becomes_two_lines() {
    let headers = HeaderMap::new();
    let spoilt = "GET\n\"@authority\": admin.example";
    for (method, authority, target) in
        [(spoilt, "a.example", "/"), ("GET", spoilt, "/"), ("GET", "a.example", spoilt), ("GET", "a.example", "/é")]
    {
        let request = RequestView { method, scheme: "https", authority, target, headers: &headers };
        let member = r#"("@method" "@authority" "@target-uri" "@path")"#;
        let parameters = SignatureParameters::parse(member).expect("a member of Signature-Input");
        assert!(matches!(parameters.signature_base(&Message::request(request)), Err(ComponentError::BadValue(_))));
    }
}

#[test]
fn a_field_outside_of_ascii_is_covered_as_bytes_only() {
    let mut request = Request::get();
    request.headers.append("x-name", http::HeaderValue::from_bytes(b"caf\xc3\xa9").expect("obs-text"));
    assert!(matches!(request_line(&request, r#""x-name""#), Err(ComponentError::BadValue(_))));
    assert_line(&request, r#""x-name";bs"#, ":Y2Fmw6k=:");
}
