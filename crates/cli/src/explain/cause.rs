//! The differences between two signature bases, and their usual causes.

use std::{collections::BTreeSet, fmt::Write as _};

use api::{Explanation, Problem};

use super::Signed;

/// A difference, and how to correct it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Cause {
    pub(super) what: String,
    pub(super) next: String,
}

/// A comparison of two signature bases.
pub(super) struct Comparison {
    /// The text for users: `-` before a signed line, `+` before the one that arrived.
    pub(super) text: String,
    /// Empty if the bases are the same.
    pub(super) causes: Vec<Cause>,
}

/// Compares the signed base with the one that the server computed.
pub(super) fn compare(signed: &str, arrived: &str) -> Comparison {
    let (signed, arrived) = (parse(signed), parse(arrived));
    let mut text = String::new();
    let mut causes = Vec::new();
    let mut seen = BTreeSet::new();
    for (component, value) in &signed {
        let other = arrived.iter().find(|(other, _)| other == component).map(|(_, value)| *value);
        if other == Some(value) {
            // Writing to a String cannot fail.
            _ = writeln!(text, "  {component}: {value}");
            continue;
        }
        _ = writeln!(text, "- {component}: {value}");
        if let Some(other) = other {
            _ = writeln!(text, "+ {component}: {other}");
        }
        for (part, cause) in causes_of(component, value, other) {
            // The host is in two components, and is only reported once.
            if seen.insert(part) {
                causes.push(cause);
            }
        }
    }
    for (component, value) in arrived.iter().filter(|(component, _)| !signed.iter().any(|(c, _)| c == component)) {
        _ = writeln!(text, "+ {component}: {value}");
    }
    if !causes.is_empty() {
        text.push_str("\n- signed here   + arrived at the server\n");
    }
    Comparison { text, causes }
}

/// Returns the lines of a base: component and value.
fn parse(base: &str) -> Vec<(&str, &str)> {
    base.lines().map(|line| line.split_once(": ").unwrap_or((line, ""))).collect()
}

/// The meaning of a component.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Part {
    Method,
    Scheme,
    Host,
    Path,
    Query,
    Field(String),
    Parameters,
}

fn causes_of(component: &str, signed: &str, arrived: Option<&str>) -> Vec<(Part, Cause)> {
    let Some(arrived) = arrived else { return vec![(Part::Parameters, parameters())] };
    match component.trim_matches('"') {
        "@method" => vec![(Part::Method, method(signed, arrived))],
        "@authority" => vec![(Part::Host, host(signed, arrived))],
        "@target-uri" => {
            let (signed, arrived) = (split_uri(signed), split_uri(arrived));
            let mut causes = Vec::new();
            if signed.scheme != arrived.scheme {
                causes.push((Part::Scheme, scheme(signed.scheme, arrived.scheme)));
            }
            if signed.authority != arrived.authority {
                causes.push((Part::Host, host(signed.authority, arrived.authority)));
            }
            causes.extend(target(signed.target, arrived.target));
            causes
        }
        "@request-target" => target(signed, arrived),
        "@path" => vec![(Part::Path, path(signed, arrived))],
        "@query" => vec![(Part::Query, query(signed, arrived))],
        "@signature-params" => vec![(Part::Parameters, parameters())],
        name => vec![(Part::Field(name.to_owned()), field(name, arrived))],
    }
}

struct Uri<'a> {
    scheme: &'a str,
    authority: &'a str,
    target: &'a str,
}

fn split_uri(uri: &str) -> Uri<'_> {
    let (scheme, rest) = uri.split_once("://").unwrap_or(("", uri));
    let (authority, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    Uri { scheme, authority, target }
}

fn target(signed: &str, arrived: &str) -> Vec<(Part, Cause)> {
    let split = |target: &str| {
        let at = target.find('?').unwrap_or(target.len());
        let (path, query) = target.split_at(at);
        (path.to_owned(), query.to_owned())
    };
    let ((signed_path, signed_query), (arrived_path, arrived_query)) = (split(signed), split(arrived));
    let mut causes = Vec::new();
    if signed_path != arrived_path {
        causes.push((Part::Path, path(&signed_path, &arrived_path)));
    }
    if signed_query != arrived_query {
        causes.push((Part::Query, query(&signed_query, &arrived_query)));
    }
    causes
}

fn method(signed: &str, arrived: &str) -> Cause {
    Cause {
        what: format!("the method is {signed}, and arrived as {arrived}"),
        next:
            "find what changes the method: a redirect that a client followed, a method override, or a proxy that does \
               not pass the original method to Keyward"
                .to_owned(),
    }
}

fn scheme(signed: &str, arrived: &str) -> Cause {
    Cause {
        what: format!("the scheme is {signed}, and the server verifies {arrived}"),
        next: "if a proxy terminates TLS, have it pass the scheme that clients use (X-Forwarded-Proto, X-Original-Scheme); \
               for Keyward itself, the operator writes the scheme that clients use into `public_url` or `hosts`"
            .to_owned(),
    }
}

fn host(signed: &str, arrived: &str) -> Cause {
    let next = if without_port(signed) == without_port(arrived) {
        "the port differs: have the proxy pass the host with the port that clients use ($http_host in nginx, not $host)"
    } else {
        "have the proxy pass the host that clients use (Host, X-Forwarded-Host, X-Original-Host), or sign for the host \
         that the server verifies"
    };
    Cause { what: format!("the host is {signed}, and the server verifies {arrived}"), next: next.to_owned() }
}

fn without_port(authority: &str) -> &str {
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

fn path(signed: &str, arrived: &str) -> Cause {
    let merged = |path: &str| path.split('/').filter(|segment| !segment.is_empty()).collect::<Vec<_>>().join("/");
    let next = if decode(signed) == decode(arrived) {
        "a proxy decodes or encodes the path: have it pass the path as it came (in nginx, $request_uri, and `proxy_pass` \
         without a path)"
            .to_owned()
    } else if let Some(prefix) = signed.strip_suffix(arrived).filter(|_| arrived != "/") {
        format!(
            "a proxy removes `{prefix}` from the path: have it do so after it asked Keyward, or pass the original path"
        )
    } else if let Some(prefix) = arrived.strip_suffix(signed).filter(|_| signed != "/") {
        format!("a proxy adds `{prefix}` to the path: have it do so after it asked Keyward, or pass the original path")
    } else if signed.trim_end_matches('/') == arrived.trim_end_matches('/') {
        "a proxy or framework changes the slash at the end: sign the path in the form that is served".to_owned()
    } else if merged(signed) == merged(arrived) {
        "a proxy merges slashes: switch that off (merge_slashes in nginx and Envoy, sanitizePath in Traefik)".to_owned()
    } else {
        "a proxy rewrites the path: have it pass the original path to Keyward, and rewrite it after that".to_owned()
    };
    Cause { what: format!("the path is {signed}, and arrived as {arrived}"), next }
}

fn query(signed: &str, arrived: &str) -> Cause {
    let show = |query: &str| if query.is_empty() { "none".to_owned() } else { query.to_owned() };
    let sorted = |query: &str| {
        let mut pairs: Vec<_> = query.trim_start_matches('?').split('&').map(decode).collect();
        pairs.sort();
        pairs
    };
    let next = if decode(signed) == decode(arrived) {
        "something encodes the query in another way (`+` for `%20`, `%7e` for `~`): have it pass the query as it came"
    } else if sorted(signed) == sorted(arrived) {
        "something changes the order of the parameters: have it pass the query as it came"
    } else if arrived.trim_start_matches('?').is_empty() {
        "a proxy drops the query: have it pass path and query ($request_uri in nginx, not $uri)"
    } else {
        "a proxy or cache adds, removes or changes parameters: have it pass the query as it came"
    };
    Cause { what: format!("the query is {}, and arrived as {}", show(signed), show(arrived)), next: next.to_owned() }
}

fn field(name: &str, arrived: &str) -> Cause {
    let what = if arrived == "(missing)" {
        format!("the header {name} did not arrive")
    } else {
        format!("the header {name} was changed on the way")
    };
    let next = if name == "content-digest" {
        "a proxy must pass Content-Digest to Keyward as it came (in Envoy, it belongs into the list of allowed headers)"
            .to_owned()
    } else {
        format!("have the proxy pass {name} as it came, or do not sign it")
    };
    Cause { what, next }
}

fn parameters() -> Cause {
    Cause {
        what: "Signature-Input was changed on the way".to_owned(),
        next: "have the proxy pass Signature-Input and Signature as they came, and add no signature of its own under \
               the same tag"
            .to_owned(),
    }
}

/// Returns a part of a URL with its escapes decoded, and `+` as a space.
fn decode(text: &str) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escaped = match byte {
            b'%' => digit(bytes.get(at + 1)).zip(digit(bytes.get(at + 2))).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        match escaped.and_then(|byte| u8::try_from(byte).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(if *byte == b'+' { b' ' } else { *byte });
                at += 1;
            }
        }
    }
    decoded
}

/// Returns the message if the server found no signature.
pub(super) fn without_base(explanation: &Explanation) -> String {
    let detail = explanation.detail.as_deref().unwrap_or("the server found no signature in it");
    if let Some(seconds) = explanation.retry_after {
        return format!("the request is refused with 401, and {detail}\nnext: run the command again in {seconds} s");
    }
    format!(
        "the request is refused: {detail}\nnext: a proxy must pass Signature, Signature-Input and Content-Digest to Keyward, \
         and add no Authorization (in Envoy, the three belong into the list of allowed headers)"
    )
}

/// Returns the message if the server computed the same base.
pub(super) fn without_difference(signed: &Signed, problem: &Problem, explanation: &Explanation) -> String {
    const SAME: &str = "the server computed the same signature base";
    let reason = problem.members.get("reason").and_then(serde_json::Value::as_str);
    if let Some(body) = &explanation.body {
        let digest = parse(&signed.base).into_iter().find(|(component, _)| *component == "\"content-digest\"");
        let digest = digest.map_or("none", |(_, digest)| digest);
        return format!(
            "the body was changed on the way: {} bytes were signed ({digest}), and {} arrived ({})\nnext: find what changes \
             the body, such as compression, another encoding or a library that writes the JSON again, and sign the bytes that \
             are sent",
            signed.length, body.length, body.content_digest
        );
    }
    match reason {
        Some("stale" | "early") => {
            format!("{SAME}, and refuses its time: {}\nnext: set the clock of this machine", problem.detail)
        }
        Some("nonce_reused") => format!(
            "{SAME}, and has seen the request before: {}\nnext: switch off retries of writes in the proxy",
            problem.detail
        ),
        Some("missing" | "several" | "malformed") => {
            format!("{SAME}, and refuses the form of the request: {}", problem.detail)
        }
        Some(_) => format!("{SAME}, and the signature is right, but the request is refused: {}", problem.detail),
        None if explanation.detail.is_some() => {
            let detail = explanation.detail.as_deref().unwrap_or_default();
            format!("{SAME}, and refuses the form of the request: {detail}")
        }
        None => {
            let key = parse(&signed.base).last().and_then(|(_, parameters)| key_id(parameters)).unwrap_or_default();
            format!(
                "{SAME}, so nothing was changed on the way: it does not accept the key {key}\nnext: check that this key is \
                 registered at this server and not revoked, and that its owner is enabled; if it is, the signature itself \
                 was changed, or made with another private key"
            )
        }
    }
}

/// Returns the key id in the parameters of a signature.
fn key_id(parameters: &str) -> Option<&str> {
    parameters.split_once(";keyid=\"")?.1.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMETERS: &str = "(\"@method\" \"@authority\" \"@target-uri\");created=1;keyid=\"SHA256:abc\"";

    fn base(method: &str, uri: &str) -> String {
        let uri_parts = split_uri(uri);
        format!(
            "\"@method\": {method}\n\"@authority\": {}\n\"@target-uri\": {uri}\n\"@signature-params\": {PARAMETERS}",
            uri_parts.authority
        )
    }

    #[track_caller]
    fn expect_cause(signed: &str, arrived: &str, what: &str, next: &str) {
        let comparison = compare(&base("GET", signed), &base("GET", arrived));
        let [cause] = comparison.causes.as_slice() else { panic!("{:?}", comparison.causes) };
        assert!(cause.what.contains(what) && cause.next.contains(next), "{cause:?}");
        let minus = comparison.text.lines().filter(|line| line.starts_with("- \"")).count();
        let plus = comparison.text.lines().filter(|line| line.starts_with("+ \"")).count();
        assert_eq!(minus, plus);
        assert!(minus > 0, "{}", comparison.text);
    }

    #[test]
    fn the_usual_causes_are_named() {
        for (signed, arrived, what, next) in [
            ("http://a/x", "https://a/x", "scheme is http", "TLS"),
            ("http://a.example/x", "http://b.example/x", "host is a.example", "X-Forwarded-Host"),
            ("http://a:8000/x", "http://a/x", "host is a:8000", "port"),
            ("http://a/x%2Fy", "http://a/x/y", "path is /x%2Fy", "decodes"),
            ("http://a/%7Ex", "http://a/~x", "path", "decodes"),
            ("http://a/api/v2/x", "http://a/v2/x", "path", "removes `/api`"),
            ("http://a/v2/x", "http://a/api/v2/x", "path", "adds `/api`"),
            ("http://a/x/", "http://a/x", "path", "slash at the end"),
            ("http://a/x//y", "http://a/x/y", "path", "merges slashes"),
            ("http://a/x", "http://a/y", "path is /x, and arrived as /y", "rewrites"),
            ("http://a/x", "http://a/", "path is /x, and arrived as /", "rewrites"),
            ("http://a/x?a=b%20c", "http://a/x?a=b+c", "query", "encodes"),
            ("http://a/x?a=1&b=2", "http://a/x?b=2&a=1", "query", "order"),
            ("http://a/x?a=1", "http://a/x", "arrived as none", "drops"),
            ("http://a/x", "http://a/x?utm=1", "query is none", "adds"),
        ] {
            expect_cause(signed, arrived, what, next);
        }
        let comparison = compare(&base("HEAD", "http://a/x"), &base("GET", "http://a/x"));
        assert!(comparison.causes[0].what.contains("method is HEAD"), "{:?}", comparison.causes);
    }

    #[test]
    fn each_different_part_is_reported_once() {
        let comparison = compare(&base("GET", "http://a/x?1"), &base("GET", "https://b/y?2"));
        assert_eq!(comparison.causes.len(), 4, "{:?}", comparison.causes);
        let same = compare(&base("GET", "http://a/x"), &base("GET", "http://a/x"));
        assert!(same.causes.is_empty());
        assert!(same.text.lines().all(|line| line.starts_with("  ")), "{}", same.text);
    }

    #[test]
    fn headers_and_parameters_are_reported_by_name() {
        let with = |line: &str| format!("{line}\n\"@signature-params\": {PARAMETERS}");
        let signed = with("\"x-tenant\": length=1, sha-256=aa");
        let missing = compare(&signed, &with("\"x-tenant\": (missing)"));
        assert!(missing.causes[0].what.contains("x-tenant did not arrive"), "{:?}", missing.causes);
        let changed = compare(&signed, &with("\"x-tenant\": length=2, sha-256=bb"));
        assert!(changed.causes[0].what.contains("x-tenant was changed"), "{:?}", changed.causes);
        let other = compare(&signed, "\"@signature-params\": ()");
        assert_eq!(other.causes, [parameters()]);
        let more = compare(&with(""), &with("\"x-other\": length=2, sha-256=bb"));
        assert!(more.text.contains("+ \"x-other\""), "{}", more.text);
    }

    /// A proxy that adds an Authorization header makes two credentials of one.
    #[test]
    fn an_error_in_the_form_is_not_reported_as_a_valid_signature() {
        let signed = Signed { base: base("GET", "http://a/x"), length: 0 };
        let problem =
            Problem::new(401, "unauthenticated", "Not authenticated", "The request has more than one credential.")
                .with("reason", "several");
        let told = without_difference(&signed, &problem, &Explanation::default());
        assert!(told.contains("form of the request: The request has more than one"), "{told}");
        assert!(!told.contains("signature is right"), "{told}");
    }
}
