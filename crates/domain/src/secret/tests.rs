use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::*;

/// Letters of a private key that must not be printed. Their base64 does not contain them.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

fn wrapped(text: &str, width: usize) -> String {
    let lines: Vec<&str> = (0..text.len()).step_by(width).map(|at| &text[at..text.len().min(at + width)]).collect();
    lines.join("\n")
}

/// Returns private keys in every format, with a part of each that must not be shown.
fn private_keys() -> Vec<(&'static str, String, String)> {
    let body = STANDARD.encode([b"openssh-key-v1\0\0\0\0\x04none".as_slice(), &noise(260)].concat());
    let pem =
        |label: &str, body: &str| format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", wrapped(body, 70));
    let openssh = pem("OPENSSH PRIVATE KEY", &body);
    let der = [&[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20][..], &noise(32)].concat();
    let pkcs8_body = STANDARD.encode(der);
    let pkcs8 = pem("PRIVATE KEY", &pkcs8_body);
    let secret = URL_SAFE_NO_PAD.encode(noise(32));
    let jwk = format!("{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\",\"d\":\"{secret}\"}}");
    let putty = format!(
        "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: a\nPublic-Lines: 1\nAAAA\nPrivate-Lines: 1\n{}\n\
         Private-MAC: {}\n",
        STANDARD.encode(noise(36)),
        "5f".repeat(32)
    );
    let (from, to) = (100, 130);
    let piece = |text: &str| text[from..to].to_owned();
    let encoded = STANDARD.encode(&openssh);
    vec![
        ("OpenSSH", openssh.clone(), body[80..110].to_owned()),
        ("OpenSSH in one line", openssh.replace('\n', " "), body[80..110].to_owned()),
        ("OpenSSH with escaped line breaks", openssh.replace('\n', "\\n"), body[80..110].to_owned()),
        ("OpenSSH with escaped CRLF", openssh.replace('\n', "\\r\\n"), body[80..110].to_owned()),
        ("OpenSSH without its END", openssh[..200].to_owned(), body[80..110].to_owned()),
        ("OpenSSH without BEGIN and END", wrapped(&body, 70), body[80..110].to_owned()),
        ("base64 of OpenSSH", encoded.clone(), piece(&encoded)),
        ("base64 of OpenSSH in lines", wrapped(&encoded, 76), encoded[160..190].to_owned()),
        ("base64 of OpenSSH, for a URL", URL_SAFE_NO_PAD.encode(&openssh), piece(&encoded)),
        ("base64 of OpenSSH with CRLF", STANDARD.encode(openssh.replace('\n', "\r\n")), String::new()),
        ("PKCS#8", pkcs8, pkcs8_body[30..60].to_owned()),
        ("PKCS#8 without BEGIN and END", pkcs8_body.clone(), pkcs8_body[30..60].to_owned()),
        ("PKCS#1", pem("RSA PRIVATE KEY", &body), body[80..110].to_owned()),
        ("JWK", jwk.clone(), secret[5..35].to_owned()),
        ("JWK, escaped", jwk.replace('"', "\\\""), secret[5..35].to_owned()),
        ("base64 of a JWK", STANDARD.encode(&jwk), STANDARD.encode(&jwk)[90..120].to_owned()),
        ("PuTTY", putty.clone(), STANDARD.encode(noise(36))[10..40].to_owned()),
        ("base64 of PuTTY", STANDARD.encode(&putty), STANDARD.encode(&putty)[190..220].to_owned()),
    ]
}

/// Returns other secrets, with the part of each that must not be shown.
fn others() -> Vec<(&'static str, Secret, String, &'static str)> {
    vec![
        ("token", Secret::BearerToken, format!("kwt_{}", URL_SAFE_NO_PAD.encode(noise(56))), ""),
        ("URL", Secret::Password, "postgres://keyward:hunter2secret@db/keyward".to_owned(), "hunter2secret"),
        ("badly escaped", Secret::Password, "postgres://keyward:p#ss/w?rd%@127.0.0.1/keyward".to_owned(), "ss/w"),
        ("SMTP", Secret::Password, "smtps://user:hunter2secret@mail.example.com".to_owned(), "hunter2secret"),
        ("user of a web address", Secret::Password, "https://hunter2secret@example.com/".to_owned(), "hunter2secret"),
    ]
}

#[test]
fn a_secret_is_recognised_in_every_form() {
    for (name, key, _) in private_keys() {
        for text in [key.clone(), format!("KEY={key}"), format!("the key: {key} (mine)")] {
            assert_eq!(recognise(&text), Some(Secret::PrivateKey), "{name}: {text}");
        }
    }
    for (name, kind, text, _) in others() {
        assert_eq!(recognise(&text), Some(kind), "{name}");
        assert_eq!(recognise(&format!("at {text}, twice")), Some(kind), "{name}");
    }
    assert_eq!(recognise("host=db user=keyward password=hunter2"), Some(Secret::Password));
    assert_eq!(recognise(&URL_SAFE_NO_PAD.encode(noise(32))), Some(Secret::Random));
    assert_eq!(recognise(&"5f".repeat(32)), Some(Secret::Random));
}

#[test]
fn ordinary_text_is_not_a_secret() {
    for text in [
        "",
        "laptop",
        "/home/Ann.Example/Projects/keyward-2026/crates/server/tests/all/support/Private_Keys/id_ed25519.pub",
        "/tmp/.tmpX1y2Z3/keyward-data/installation.key",
        "https://keys.example.com:8443/@acme/projects",
        "http://127.0.0.1:8080/",
        "postgres://keyward@db.example.com:5432/keyward?sslrootcert=/etc/ssl/ca.pem",
        "ann@example.com",
        "SHA256:uNiVztksCsDhcc0u9e8BrrJXVGDQZ9HBhUUXzRzRwZk",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGN2VuZGVyc3RlbGxlbmRlcldlcnRmdWVyVGVzdHM3 ann@laptop",
        "key_01h455vb4pex5vsknk084sn02q",
        "it begins with `-----BEGIN OPENSSH PRIVATE KEY-----`; a file name belongs in `--key`",
        "write postgres://USER@HOST:PORT/DATABASE",
        "invalid_request_because_of_the_field_that_was_named_last_and_first",
        "018f3c5e-7a1b-7c3d-9e5f-0123456789ab",
        "tokens begin with kwt_",
    ] {
        if !text.contains("BEGIN") {
            assert_eq!(recognise(text), None, "{text}");
            assert_eq!(format!("{}", quoted(text)), format!("`{text}`"));
        }
        assert_eq!(redact(text), text);
    }
}

#[test]
fn a_value_is_shown_where_it_is_short_and_otherwise_described() {
    assert_eq!(shown("./id_ed25519").to_string(), "./id_ed25519");
    assert_eq!(quoted("id").to_string(), "`id`");
    let long = "a/".repeat(101);
    assert_eq!(quoted(&long).to_string(), "a value of 202 characters");
    assert_eq!(shown("one\ntwo").to_string(), "a value of 7 characters in 2 lines");
    assert_eq!(shown("\u{1b}[31m").to_string(), "a value of 5 characters, not all printable");
    let (_, key, _) = &private_keys()[0];
    let said = format!("a value of {} characters that looks like a private key", key.len());
    assert_eq!((quoted(key).to_string(), format!("{:?}", shown(key))), (said.clone(), said));
}

#[test]
fn secrets_in_a_text_are_hidden() {
    for (name, key, piece) in private_keys() {
        let debug = format!("failed on {key:?} at last");
        for text in [key.clone(), format!("no file {key}: check it"), debug, format!("{{\"message\":\"`{key}`\"}}")] {
            let told = redact(&text);
            assert!(told.contains("[hidden]"), "{name}: {told}");
            assert!(piece.is_empty() || !told.contains(&piece), "{name}: {piece} is in {told}");
            let lines = key.split(|c: char| !is_base64(c)).filter(|line| line.len() >= 40);
            assert_eq!(lines.filter(|line| told.contains(*line)).count(), 0, "{name}: {told}");
        }
        let told = redact(&format!("no file `{key}`: check it and see `--key`")).into_owned();
        assert!(told.starts_with("no file `"), "{name}: {told}");
    }
    for (name, _, secret, piece) in others() {
        let told = redact(&format!("cannot reach {secret}: check it")).into_owned();
        let piece = if piece.is_empty() { &secret["kwt_".len()..] } else { piece };
        assert!(!told.contains(piece) && told.contains("[hidden]"), "{name}: {told}");
        assert!(told.starts_with("cannot reach ") && told.ends_with(": check it"), "{name}: {told}");
    }
    assert_eq!(
        redact("postgres://u:a@db/x and smtps://u:b@mail: both"),
        "postgres://[hidden]@db/x and smtps://[hidden]@mail: both"
    );
}

#[test]
fn a_parser_is_repeated_without_the_values_that_it_quotes() {
    for (message, told) in [
        ("unknown field `pubic_url`, expected one of `listen`, `data`", None),
        ("invalid type: integer `7`, expected a string at line 1 column 3", None),
        ("missing field `title` at line 1 column 2", None),
        (
            "invalid type: string \"hunter2\", expected u32 at line 1 column 9",
            Some("invalid type: a string, expected u32 at line 1 column 9"),
        ),
        ("invalid value: string \"a \\\" b\", expected x", Some("invalid value: a string, expected x")),
        (
            "unknown variant `a\u{1b}`, expected `b`",
            Some("unknown variant a value of 2 characters, not all printable, expected `b`"),
        ),
    ] {
        assert_eq!(parser_message(message), told.unwrap_or(message));
    }
    for (name, key, piece) in private_keys() {
        for message in [
            format!("unknown field `{key}`, expected one of `listen`"),
            format!("unknown field `{key}`, there are no fields"),
            format!("invalid type: string {key:?}, expected u32"),
            format!("`{key}` is no network"),
        ] {
            let told = parser_message(&message);
            assert!(piece.is_empty() || !told.contains(&piece), "{name}: {told}");
            assert!(told.len() < 200, "{name}: {told}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic_or_grows_without_bound(
        text in "(\\PC|[A-Za-z0-9+/=]{3}|://|@|PRIVATE KEY|BEGIN |-----|kwt_|\"kty\"|\"d\":|Private-Lines:|string \"|unknown field `|\\\\n){0,60}",
    ) {
        let length = redact(&text).len() + parser_message(&text).len() + shown(&text).to_string().len();
        proptest::prop_assert!(length <= 3 * text.len() + 400);
    }
}
