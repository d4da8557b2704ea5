//! Private keys in other texts: every file of `tests/key-files` as it is, and embedded as in source code, settings and diffs.

use std::fs;

use base64::{Engine, engine::general_purpose::STANDARD};
use client::{FoundContent, FoundKey, find_private_keys, is_binary};
use proptest::prelude::*;

use crate::key_files::{directory, entries};

fn describe(found: &FoundKey) -> &str {
    match &found.content {
        FoundContent::Key(_) => "key",
        FoundContent::Protected => "passphrase",
        FoundContent::Unsupported(_) => "unsupported",
        FoundContent::Damaged => "damaged",
    }
}

fn fingerprints(content: &[u8]) -> Vec<String> {
    let found = find_private_keys(content);
    found.into_iter().filter_map(|found| found.fingerprint).collect()
}

fn read(name: &str) -> Vec<u8> {
    fs::read(directory().join(name)).unwrap()
}

#[test]
fn every_key_file_is_found_for_what_it_is() {
    let mut wrong = Vec::new();
    for entry in entries() {
        let found = find_private_keys(&read(&entry.file));
        let described: Vec<&str> = found.iter().map(describe).collect();
        let expected: &[&str] = match entry.refused.as_deref() {
            None | Some("base64-twice") => &["key"],
            Some("passphrase") => &["passphrase"],
            Some("unsupported") => &["unsupported"],
            Some("halves" | "damaged") => &["damaged"],
            Some("several") => &["key", "key"],
            Some("public" | "no-key" | "empty") => &[],
            Some(other) => panic!("{other}"),
        };
        let is_same = entry.refused.is_some()
            || found.iter().map(|found| found.fingerprint.as_deref()).eq([Some(entry.fingerprint.as_str())]);
        if described != expected || !is_same {
            wrong.push(format!("{}: {described:?}, not {expected:?}: {found:?}", entry.file));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_public_key_of_a_protected_key_is_known_where_it_is_not_encrypted() {
    for (file, is_known) in [
        ("openssh-protected", true),
        ("putty-v2-protected.ppk", true),
        ("putty-v3-protected.ppk", true),
        ("pkcs1-rsa-protected.pem", false),
        ("pkcs8-ed25519-protected.pem", false),
    ] {
        let found = find_private_keys(&read(file));
        let known = found[0].fingerprint.as_deref().is_some_and(|fingerprint| fingerprint.starts_with("SHA256:"));
        assert_eq!(known, is_known, "{file}: {found:?}");
    }
}

/// Writes a text before and after each line.
fn wrap_lines(text: &str, before: &str, after: &str) -> String {
    text.lines().flat_map(|line| [before, line, after, "\n"]).collect()
}

/// The ways in which a program, a setting or a log contains a file.
fn embeddings(text: &str) -> Vec<(&'static str, String)> {
    let lines = |before: &str, after: &str| wrap_lines(text, before, after);
    let escaped = serde_json::to_string(text).unwrap();
    let base64 = STANDARD.encode(text);
    let wrapped: Vec<&str> = base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    vec![
        ("as it is", format!("first line\n{text}\nlast line\n")),
        ("JSON", format!("{{\"user\": \"bot\", \"private_key\": {escaped}, \"port\": 22}}\n")),
        ("JSON in JSON", serde_json::to_string(&format!("{{\"key\": {escaped}}}")).unwrap()),
        ("YAML", format!("deploy:\n  key: |\n{}  user: bot\n", lines("    ", ""))),
        ("environment", format!("USER=bot\nDEPLOY_KEY=\"{}\"\nPORT=22\n", text.replace('\n', "\\n"))),
        ("environment over lines", format!("DEPLOY_KEY=\"{text}\"\nPORT=22\n")),
        ("base64", format!("DEPLOY_KEY={base64}\nPORT=22\n")),
        ("base64 in YAML", format!("data:\n  id_key: {base64}\n  other: {}\n", STANDARD.encode("something else"))),
        ("base64 in JSON", format!("{{\"key\":\"{base64}\"}}")),
        ("base64 over lines", format!("data: |\n    {}\nname: x\n", wrapped.join("\n    "))),
        ("base64 of settings", STANDARD.encode(format!("a=1\nkey: |\n{}", lines("  ", "")))),
        ("Windows", format!("key:\r\n{}", text.replace('\n', "\r\n"))),
        ("diff", format!("@@ -0,0 +1,9 @@\n{}+\n", lines("+", ""))),
        ("comments", lines("# ", "")),
        ("Rust comments", lines("    // ", "")),
        ("mail", lines("> ", "")),
    ]
}

#[test]
fn keys_in_other_texts_are_found() {
    for (name, file) in [
        ("OpenSSH", "openssh-ed25519"),
        ("OpenSSH", "openssh-rsa"),
        ("PKCS#8", "pkcs8-ed25519.pem"),
        ("PKCS#8", "pkcs8-p256.pem"),
        ("PKCS#1", "pkcs1-rsa.pem"),
        ("SEC 1", "sec1-p384.pem"),
        ("PuTTY", "putty-v3-ed25519.ppk"),
        ("PuTTY", "putty-v2-rsa.ppk"),
    ] {
        let text = String::from_utf8(read(file)).unwrap();
        let entry = entries().into_iter().find(|entry| entry.file == file).unwrap();
        for (how, content) in embeddings(&text) {
            // A PuTTY file is not quoted by lines: its MAC would not show which lines belong to it.
            if name == "PuTTY" && matches!(how, "diff" | "comments" | "Rust comments" | "mail" | "JSON in JSON") {
                continue;
            }
            let found = find_private_keys(content.as_bytes());
            let found: Vec<_> = found.iter().map(|found| (describe(found), found.fingerprint.as_deref())).collect();
            assert_eq!(found, [("key", Some(entry.fingerprint.as_str()))], "{file} {how}:\n{content}");
        }
    }
}

#[test]
fn strings_that_a_program_joins_are_found() {
    let text = String::from_utf8(read("openssh-ed25519")).unwrap();
    let entry = entries().into_iter().find(|entry| entry.file == "openssh-ed25519").unwrap();
    for (before, after) in [("    \"", "\\n\" +"), ("  '", "\\n',"), ("  \"", "\\n\" \\"), ("echo \"", "\"")] {
        let program = wrap_lines(&text, before, after);
        let found = fingerprints(format!("key = (\n{program});\n").as_bytes());
        assert_eq!(found, [entry.fingerprint.as_str()], "{program}");
    }
}

#[test]
fn the_position_is_that_of_the_first_character() {
    let text = String::from_utf8(read("openssh-ed25519")).unwrap();
    let lines = text.trim_end().lines().count();
    let content = format!("# ä€𝄞\nkey: \u{e4} {text}\nother: [{}]\n", STANDARD.encode(&text));
    let found = find_private_keys(content.as_bytes());
    let places: Vec<_> =
        found.iter().map(|found| (found.line, found.column, found.end_line, found.is_encoded)).collect();
    assert_eq!(places, [(2, 8, 1 + lines, false), (3 + lines, 9, 3 + lines, true)]);
}

#[test]
fn what_only_looks_like_a_key_is_not_found() {
    let public = fs::read(directory().join("public.pub")).unwrap();
    for content in [
        "-----BEGIN OPENSSH PRIVATE KEY-----\n...\n-----END OPENSSH PRIVATE KEY-----\n",
        "begins with `-----BEGIN PRIVATE KEY-----`, and ends with `-----END PRIVATE KEY-----`",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA…\n-----END RSA PRIVATE KEY-----",
        "const BEGIN: &str = \"-----BEGIN\"; const LABEL: &str = \"RSA PRIVATE KEY\";",
        "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIU\n-----END CERTIFICATE-----",
        "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n",
        "{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"x\": \"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
        "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==",
        "------------------------------------------------------------------------------------------",
        std::str::from_utf8(&public).unwrap(),
    ] {
        let found = find_private_keys(content.as_bytes());
        assert!(found.is_empty(), "{content}: {found:?}");
    }
}

#[test]
fn binary_files_are_skipped_and_keys_in_der_are_not() {
    let key = read("openssh-ed25519");
    let binary = [b"\x7fELF\0\0", key.as_slice()].concat();
    assert!(is_binary(&binary) && find_private_keys(&binary).is_empty());
    assert!(!is_binary(&read("pkcs8-rsa.der")) && !is_binary(&key) && !is_binary(&read("openssh-ed25519-utf16le")));
}

#[test]
fn the_debug_output_of_a_finding_contains_no_part_of_the_key() {
    let text = String::from_utf8(read("openssh-ed25519")).unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let shown = format!("{:?}", find_private_keys(text.as_bytes()));
    assert!(shown.contains("SHA256:") && !shown.contains(&body[150..190]), "{shown}");
}

proptest! {
    #[test]
    fn no_text_makes_the_search_panic(
        parts in prop::collection::vec(
            prop_oneof![
                Just("-----BEGIN".to_owned()),
                Just("-----END".to_owned()),
                Just(" PRIVATE KEY-----".to_owned()),
                Just("\n".to_owned()),
                Just("\\n".to_owned()),
                Just("PuTTY-User-Key-File-3: ssh-rsa\n".to_owned()),
                Just("Private-MAC: 00".to_owned()),
                Just("{\"kty\": \"".to_owned()),
                Just("LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t".to_owned()),
                Just("ä€𝄞".to_owned()),
                "[A-Za-z0-9+/=_-]{0,90}",
                ".{0,20}",
            ],
            0..30,
        ),
    ) {
        let text = parts.concat();
        for found in find_private_keys(text.as_bytes()) {
            prop_assert!(found.line >= 1 && found.end_line >= found.line);
        }
    }
}
