//! The findings as a SARIF 2.1.0 log (OASIS Standard), for GitHub code scanning and other viewers.

use domain::text::percent_encode;
use serde_json::{Value, json};

use super::finding::{Finding, Scanned, Severity};

/// Each rule: its id, what it finds, and a longer description.
const RULES: [(&str, &str, &str); 5] = [
    (
        "registered-private-key",
        "A private key that is registered at the server",
        "The server accepts requests that are signed with this private key, or did before it was revoked. Revoke it with `keyward keys revoke-leaked`.",
    ),
    (
        "private-key",
        "A private key",
        "The private key is not registered at the server, or the server was not asked. Other systems may accept it: replace it there, and remove it.",
    ),
    (
        "protected-private-key",
        "A private key with a passphrase",
        "A passphrase protects the private key. Passphrases can be guessed: replace the key, and remove it.",
    ),
    (
        "unsupported-private-key",
        "A private key of a kind that Keyward does not support",
        "The server cannot accept this private key. Other systems may: replace it there, and remove it.",
    ),
    (
        "damaged-private-key",
        "Parts of a private key",
        "The private key cannot be read. Check whether the rest of it is elsewhere.",
    ),
];

/// Returns the log.
pub(super) fn to_log(scanned: &Scanned) -> Value {
    let rules = RULES.map(|(id, short, full)| {
        json!({
            "id": id,
            "shortDescription": {"text": short},
            "fullDescription": {"text": full},
            "help": {"text": full},
            "properties": {"tags": ["security"]},
        })
    });
    let notifications = scanned.errors.iter().map(|error| json!({"level": "error", "message": {"text": error}}));
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "keyward scan",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": scanned.errors.is_empty(),
                "toolExecutionNotifications": notifications.collect::<Vec<_>>(),
            }],
            "results": scanned.findings.iter().map(to_result).collect::<Vec<_>>(),
        }],
    })
}

fn to_result(finding: &Finding) -> Value {
    let rule = finding.rule();
    let found = &finding.found;
    let level = match finding.severity() {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    let sentence = finding.sentence();
    let place = match (&finding.commit, &finding.blob) {
        (Some(commit), _) => format!(" In the history: commit {commit}."),
        (None, Some(blob)) => format!(" In the history: blob {blob}."),
        (None, None) => String::new(),
    };
    let mut capital = sentence.chars();
    let first = capital.next().map(|first| first.to_ascii_uppercase());
    let text = format!("{}{}.{place}", first.map(String::from).unwrap_or_default(), capital.as_str());
    let mut result = json!({
        "ruleId": rule,
        "ruleIndex": RULES.iter().position(|(id, ..)| *id == rule),
        "level": level,
        "message": {"text": text},
        "locations": [{"physicalLocation": {
            "artifactLocation": to_location(&finding.path),
            "region": {"startLine": found.line, "startColumn": found.column, "endLine": found.end_line},
        }}],
    });
    if let Some(fingerprint) = finding.fingerprint() {
        // The same key in the same file is the same finding, also after it was moved.
        let identity = format!("{rule} {fingerprint} {}", finding.blob.as_deref().unwrap_or("files"));
        result["partialFingerprints"] = json!({"keyFingerprint/v1": identity});
    }
    let properties: serde_json::Map<String, Value> = [("commit", &finding.commit), ("blob", &finding.blob)]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?))))
        .collect();
    if !properties.is_empty() {
        result["properties"] = Value::Object(properties);
    }
    result
}

/// Returns the location of a file: relative to the root of the sources, or absolute.
fn to_location(path: &str) -> Value {
    let uri = percent_encode(path, b"/");
    if path.starts_with('/') {
        json!({"uri": format!("file://{uri}")})
    } else {
        json!({"uri": uri, "uriBaseId": "%SRCROOT%"})
    }
}
