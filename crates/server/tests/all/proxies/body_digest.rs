//! The code in the documentation with which an API checks bodies, in each language with the same cases.

#[path = "../../../../../examples/body-digest/body_digest.rs"]
mod in_rust;

use std::{path::Path, process::Command};

use http_signature::content_digest;
use serde_json::{Value, json};

fn example(name: &str) -> String {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/body-digest");
    std::fs::read_to_string(examples.join(name)).expect("the example is there")
}

/// Returns cases: a header, a body, and whether they match.
fn cases() -> Vec<(String, &'static str, bool)> {
    let of = |body: &str| content_digest(body.as_bytes());
    let sha512_of_empty =
        "sha-512=:z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==:";
    vec![
        (of("{\"a\":1}"), "{\"a\":1}", true),
        (of("{\"a\":1}"), "{\"a\":2}", false),
        (of("{\"a\":1}"), "", false),
        (of(""), "", true),
        (of("Ä"), "Ä", true),
        (sha512_of_empty.to_owned(), "", true),
        (sha512_of_empty.to_owned(), "x", false),
        (format!("{}, {sha512_of_empty}", of("")), "", true),
        (format!("{}, {sha512_of_empty}", of("x")), "x", false),
        (format!("{}, md5=:AAAA:", of("")), "", false),
        (of("").replace("sha-256", "SHA-256"), "", false),
        (of("").replace(':', ""), "", false),
        (of("") + ",", "", false),
        ("sha-256=::".to_owned(), "", false),
        ("é".to_owned(), "", false),
        (String::new(), "", false),
    ]
}

/// Runs a program that reads the cases and prints its results.
#[track_caller]
fn expect_verdicts(program: &str, arguments: &[&str]) {
    let questions: Vec<Value> = cases().iter().map(|(header, body, _)| json!([header, body])).collect();
    let questions = serde_json::to_string(&questions).expect("JSON");
    let output = Command::new(program).args(arguments).arg(questions).output();
    let output = output.unwrap_or_else(|error| panic!("{program} is missing, install it: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let verdicts: Vec<bool> = serde_json::from_slice(&output.stdout).expect("JSON");
    let expected: Vec<bool> = cases().iter().map(|(.., expected)| *expected).collect();
    assert_eq!(verdicts, expected);
}

#[test]
fn the_example_in_rust_compares_bodies_correctly() {
    for (header, body, expected) in cases() {
        assert_eq!(in_rust::body_matches(&header, body.as_bytes()), expected, "{header} and {body}");
    }
}

#[test]
fn the_example_in_python_compares_bodies_correctly() {
    let ask = "import json, sys\nprint(json.dumps([body_matches(h, b.encode()) for h, b in json.loads(sys.argv[1])]))";
    expect_verdicts("python3", &["-c", &format!("{}\n{ask}", example("body_digest.py"))]);
}

#[test]
fn the_example_in_typescript_compares_bodies_correctly() {
    // Node accepts the code once the types are removed.
    let mut code = example("body_digest.ts");
    for types in [": string | undefined", ": Uint8Array", ": boolean"] {
        assert!(code.contains(types), "{types}");
        code = code.replacen(types, "", 1);
    }
    let ask = "const cases = JSON.parse(process.argv[2]);\n\
               console.log(JSON.stringify(cases.map(([h, b]) => bodyMatches(h, new TextEncoder().encode(b)))));";
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("body_digest.mjs");
    std::fs::write(&file, format!("{code}\n{ask}")).expect("a file");
    expect_verdicts("node", &[file.to_str().expect("UTF-8")]);
}

#[test]
fn the_documentation_shows_the_tested_examples() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/proxies.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    for name in ["body_digest.py", "body_digest.ts", "body_digest.rs", "body_digest.go"] {
        assert!(page.contains(&example(name)), "docs/proxies.md does not show {name}");
    }
}
