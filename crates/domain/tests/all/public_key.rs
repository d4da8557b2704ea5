//! The accepted texts of public keys, compared with the real `ssh-keygen`, and the error for each other text.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use domain::{
    Fingerprint, KeyAlgorithm, KeyMaterial, PublicKey,
    private_key::PrivateKeyFormat,
    public_key::{PublicKeyError, UnsupportedKeyType},
};
use proptest::prelude::*;

use crate::ssh_keygen::{self, KeyPair};

/// RFC 8032 §7.1, test 1.
const POINT: [u8; 32] = [
    0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1, 0x72,
    0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
];

pub(crate) fn ssh_string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

pub(crate) fn blob(fields: &[&[u8]]) -> Vec<u8> {
    fields.iter().flat_map(|field| ssh_string(field)).collect()
}

fn line(name: &str, blob: &[u8]) -> String {
    format!("{name} {}", STANDARD.encode(blob))
}

fn ed25519_line() -> String {
    line("ssh-ed25519", &blob(&[b"ssh-ed25519", &POINT]))
}

fn refusal(text: &str) -> PublicKeyError {
    PublicKey::parse(text).expect_err(text)
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn jwk(key: &PublicKey) -> String {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let ec = |crv: &str, point: &[u8]| {
        let (x, y) = point[1..].split_at(point.len() / 2);
        format!(r#"{{"kty":"EC","crv":"{crv}","x":"{}","y":"{}","kid":"any"}}"#, encode(x), encode(y))
    };
    match key.material() {
        KeyMaterial::Ed25519(x) => format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}","use":"sig"}}"#, encode(x)),
        KeyMaterial::EcdsaP256(point) => ec("P-256", point),
        KeyMaterial::EcdsaP384(point) => ec("P-384", point),
        KeyMaterial::Rsa { n, e } => format!(r#"{{"kty":"RSA","n":"{}","e":"{}"}}"#, encode(n), encode(e)),
    }
}

#[test]
fn one_key_in_four_formats_is_one_key() {
    for (arguments, algorithm) in [
        (&["-t", "ed25519"][..], KeyAlgorithm::Ed25519),
        (&["-t", "rsa", "-b", "2048"], KeyAlgorithm::Rsa { bits: 2048 }),
        (&["-t", "rsa", "-b", "3072"], KeyAlgorithm::Rsa { bits: 3072 }),
        (&["-t", "rsa", "-b", "4096"], KeyAlgorithm::Rsa { bits: 4096 }),
        (&["-t", "ecdsa", "-b", "256"], KeyAlgorithm::EcdsaP256),
        (&["-t", "ecdsa", "-b", "384"], KeyAlgorithm::EcdsaP384),
    ] {
        let pair = KeyPair::generate(arguments);
        let parsed = PublicKey::parse(&pair.public_line()).unwrap();
        let key = parsed.key;
        assert_eq!(key.algorithm(), algorithm);
        assert_eq!(parsed.comment.as_deref(), Some("build robot"));
        assert_eq!(key.fingerprint().to_string(), pair.fingerprint());
        assert_eq!(format!("{} build robot\n", key.to_openssh()), pair.public_line());

        let rfc4716 = PublicKey::parse(&pair.export("RFC4716")).unwrap();
        assert_eq!(rfc4716.key, key);
        assert!(rfc4716.comment.unwrap().contains("converted by"));
        // This ssh-keygen does not export Ed25519 as PEM.
        let spki = match key.material() {
            KeyMaterial::Ed25519(point) => {
                pem("PUBLIC KEY", &[&hex("302a300506032b6570032100")[..], &point[..]].concat())
            }
            _ => pair.export("PKCS8"),
        };
        assert_eq!(PublicKey::parse(&spki).unwrap().key, key);
        assert_eq!(PublicKey::parse(&jwk(&key)).unwrap().key, key);
        assert_eq!(PublicKey::from_stored_blob(key.blob()), Ok(key.clone()));
        assert_eq!(PublicKey::from_blob(key.blob()), Ok(key));
    }
}

#[test]
fn a_compressed_point_in_pem_is_the_same_key() {
    let pair = KeyPair::generate(&["-t", "ecdsa", "-b", "256"]);
    let key = PublicKey::parse(&pair.public_line()).unwrap().key;
    let KeyMaterial::EcdsaP256(point) = key.material() else { panic!("{key:?}") };
    let compressed = [&[2 + (point[64] & 1)], &point[1..33]].concat();
    let header = hex("3039301306072a8648ce3d020106082a8648ce3d030107032200");
    let text = pem("PUBLIC KEY", &[header, compressed.clone()].concat());
    assert_eq!(PublicKey::parse(&text).unwrap().key, key);

    let on_the_wire = blob(&[b"ecdsa-sha2-nistp256", b"nistp256", &compressed]);
    assert_eq!(PublicKey::from_blob(&on_the_wire), Err(PublicKeyError::PointEncoding));
}

#[test]
fn windows_line_ends_and_blank_lines_around_a_key_are_accepted() {
    let key = PublicKey::parse(&ed25519_line()).unwrap().key;
    let spki = pem("PUBLIC KEY", &[&hex("302a300506032b6570032100")[..], &POINT[..]].concat());
    for text in [ed25519_line(), spki, jwk(&key)] {
        let windows = format!("\r\n \r\n{}\r\n\r\n", text.replace('\n', "\r\n"));
        assert_eq!(PublicKey::parse(&windows).unwrap().key, key, "{windows:?}");
    }
    let spaced = format!("{}  my laptop ", ed25519_line().replace(' ', "  "));
    assert_eq!(PublicKey::parse(&spaced).unwrap().comment.as_deref(), Some("my laptop"));
}

#[test]
fn a_key_is_parsed_in_all_common_forms() {
    let key = PublicKey::parse(&ed25519_line()).unwrap().key;
    let spki = [&hex("302a300506032b6570032100")[..], &POINT[..]].concat();
    let block = pem("PUBLIC KEY", &spki);
    let rfc4716 = format!(
        "---- BEGIN SSH2 PUBLIC KEY ----\nComment: \"my laptop\"\n{}\n---- END SSH2 PUBLIC KEY ----\n",
        STANDARD.encode(key.blob())
    );
    let line = ed25519_line();
    let encoded = &line["ssh-ed25519 ".len()..];
    for (text, comment) in [
        // Characters that pages, chats and word processors insert.
        (format!("ssh-ed25519\u{a0}{encoded}\u{a0}my laptop"), Some("my laptop")),
        (format!("ssh-ed25519 {encoded}\u{200b} my laptop\u{200b}"), Some("my laptop")),
        (format!("ssh-ed25519\t{encoded}\tmy laptop"), Some("my laptop")),
        (format!("ssh-ed25519 {encoded} my\tlaptop"), Some("my laptop")),
        (format!("\u{2003}ssh-\u{ad}ed25519\u{202f}{}\u{2060}{}", &encoded[..30], &encoded[30..]), None),
        (format!("\u{feff}{line}"), None),
        (
            format!("ssh-ed25519 {encoded} caf\u{e9} \u{1f469}\u{200d}\u{1f4bb}"),
            Some("café \u{1f469}\u{200d}\u{1f4bb}"),
        ),
        (block.replace('A', "\u{200b}A"), None),
        (block.replace('\n', "\n\u{a0}\u{a0}"), None),
        (jwk(&key).replace(',', ",\u{a0}"), None),
        (rfc4716.replace('\n', "\u{a0}\n\t"), Some("my laptop")),
        // Remarks, as in an authorized_keys file.
        (format!("# laptop\r\n\r\n  # of 2026\n{line}\n# end\n"), None),
        (format!("# laptop\n{block}"), None),
        (format!("#\n{rfc4716}\n#\n"), Some("my laptop")),
        (format!("# laptop\n{}", jwk(&key)), None),
        // Quotes of JSON, YAML and shells.
        (format!("\"{line}\""), None),
        (format!("'{line} my laptop'\n"), Some("my laptop")),
        (format!("{line} my laptop\\r\\n"), Some("my laptop")),
        (format!("{line}\\n"), None),
        (format!("\"{}\"", block.replace('\n', "\\n")), None),
        (serde_json::to_string(&jwk(&key)).unwrap(), None),
        // A set of one key, and blocks that lost their line breaks or have text around them.
        (format!(r#"{{"keys":[{}]}}"#, jwk(&key)), None),
        (block.replace('\n', " "), None),
        (block.replace('\n', ""), None),
        (block.replace('\n', "\\n"), None),
        (format!("Public-Key:\n    pub: d7:5a\n{block}and more"), None),
    ] {
        let parsed = PublicKey::parse(&text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!((&parsed.key, parsed.comment.as_deref()), (&key, comment), "{text:?}");
    }
    let rsa = KeyPair::generate(&["-t", "rsa", "-b", "2048"]);
    let of_line = PublicKey::parse(&rsa.public_line()).unwrap().key;
    let pkcs1 = rsa.export("PEM");
    assert!(pkcs1.starts_with("-----BEGIN RSA PUBLIC KEY-----"), "{pkcs1}");
    assert_eq!(PublicKey::parse(&pkcs1).unwrap().key, of_line);
}

#[test]
fn a_file_is_read_in_every_encoding() {
    let line = format!("{} Jörg\r\n", ed25519_line());
    let key = PublicKey::parse(&ed25519_line()).unwrap().key;
    let utf16 = |text: &str, unit: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(unit).collect::<Vec<u8>>();
    let marked = format!("\u{feff}{line}");
    for bytes in [
        line.clone().into_bytes(),
        marked.clone().into_bytes(),
        utf16(&marked, u16::to_le_bytes),
        utf16(&marked, u16::to_be_bytes),
        utf16(&line, u16::to_le_bytes),
    ] {
        let parsed = PublicKey::parse_file(&bytes).unwrap();
        assert_eq!((&parsed.key, parsed.comment.as_deref()), (&key, Some("Jörg")));
    }
    let latin1 = [ed25519_line().as_bytes(), b" J\xf6rg@b\xfcro\n"].concat();
    let parsed = PublicKey::parse_file(&latin1).unwrap();
    assert_eq!((&parsed.key, parsed.comment.as_deref()), (&key, Some("J\u{fffd}rg@b\u{fffd}ro")));
    let der = [&hex("302a300506032b6570032100")[..], &POINT[..]].concat();
    assert_eq!(PublicKey::parse_file(&der).unwrap().key, key);

    let private = hex("302e020100300506032b657004220420");
    let refused = PublicKey::parse_file(&[&private[..], &POINT[..]].concat());
    assert_eq!(refused, Err(PublicKeyError::PrivateKey(PrivateKeyFormat::Pkcs8)));
    let openssh = KeyPair::generate(&["-t", "ed25519"]).private_text();
    let refused = PublicKey::parse_file(&utf16(&openssh, u16::to_le_bytes));
    assert_eq!(refused, Err(PublicKeyError::PrivateKey(PrivateKeyFormat::OpenSsh)));
    assert_eq!(PublicKey::parse_file(&vec![0; 40_000]), Err(PublicKeyError::TooLong { bytes: 40_000 }));
}

#[test]
fn a_private_key_with_invisible_characters_is_still_one() {
    let text = KeyPair::generate(&["-t", "ed25519"]).private_text();
    for hidden in [text.replace("PRIVATE", "PRI\u{200b}VATE"), text.replace("b3Bl", "b3\u{2060}Bl")] {
        assert_eq!(refusal(&hidden), PublicKeyError::PrivateKey(PrivateKeyFormat::OpenSsh));
    }
    let set = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qY","\u0064":"nWGxne_9"}]}"#;
    assert_eq!(refusal(set), PublicKeyError::PrivateKey(PrivateKeyFormat::Jwk));
}

#[test]
fn an_rfc_4716_header_may_continue_on_the_next_line() {
    let body = STANDARD.encode(blob(&[b"ssh-ed25519", &POINT]));
    let text = format!(
        "---- BEGIN SSH2 PUBLIC KEY ----\nSubject: me\nx-command: /home/me/bin/\\\nlock.sh\nCOMMENT: \"the long \
         \\\nway\"\n{body}\n---- END SSH2 PUBLIC KEY ----\n"
    );
    assert_eq!(PublicKey::parse(&text).unwrap().comment.as_deref(), Some("the long way"));
    assert_eq!(refusal(&text.replace("---- END", "---- ENDE")), PublicKeyError::BrokenBlock);
    assert_eq!(refusal(&format!("{text}{text}")), PublicKeyError::SeveralKeys);
}

#[test]
fn a_private_key_is_refused_by_its_format_and_never_echoed() {
    use PrivateKeyFormat as Format;
    let rsa = ["-t", "rsa", "-b", "2048"];
    let generated = [
        (Format::OpenSsh, KeyPair::generate(&["-t", "ed25519"])),
        (Format::OpenSsh, KeyPair::generate(&["-t", "ed25519", "-N", "a passphrase"])),
        (Format::Pkcs1, KeyPair::generate(&[&rsa[..], &["-m", "PEM"]].concat())),
        (Format::Pkcs1, KeyPair::generate(&[&rsa[..], &["-m", "PEM", "-N", "a passphrase"]].concat())),
        (Format::Pkcs8, KeyPair::generate(&[&rsa[..], &["-m", "PKCS8"]].concat())),
        (Format::EncryptedPkcs8, KeyPair::generate(&[&rsa[..], &["-m", "PKCS8", "-N", "a passphrase"]].concat())),
        (Format::Sec1, KeyPair::generate(&["-t", "ecdsa", "-m", "PEM"])),
        (Format::Dsa, KeyPair::generate(&["-t", "dsa", "-m", "PEM"])),
    ];
    for (format, pair) in &generated {
        let text = pair.private_text();
        let one_line = text.replace('\n', " ");
        let escaped = text.replace('\n', "\\n");
        let after_its_public_half = format!("{}{text}", ed25519_line());
        let windows = text.replace('\n', "\r\n");
        for text in [&text, &one_line, &escaped, &after_its_public_half, &windows, &text.to_lowercase()] {
            let error = refusal(text);
            assert_eq!(error, PublicKeyError::PrivateKey(*format));
            assert_eq!(error.code(), "private_key_pasted");
            let body = text.lines().nth(3).map_or("", |line| line.trim());
            assert!(body.is_empty() || !error.to_string().contains(body));
            assert!(!format!("{error:?}").contains(&text[40..60]));
        }
    }
    let body = |format| {
        let (_, pair) = generated.iter().find(|(other, _)| *other == format).unwrap();
        let text = pair.private_text();
        text.lines().filter(|line| !line.starts_with('-')).collect::<Vec<_>>().join("\n")
    };
    for (format, text) in [
        // Without their armour, or in the wrong one.
        (Format::OpenSsh, body(Format::OpenSsh)),
        (Format::Pkcs8, body(Format::Pkcs8)),
        (Format::Pkcs8, body(Format::Sec1)),
        (Format::Pkcs8, format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", body(Format::Pkcs8))),
        (Format::OpenSsh, format!("ssh-ed25519 {}", body(Format::OpenSsh).replace('\n', ""))),
        (Format::Putty, "PuTTY-User-Key-File-3: ssh-ed25519\r\nEncryption: none\r\nComment: me\r\n".to_owned()),
        (Format::Ssh2, "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nP2/56wAA".to_owned()),
        (Format::Pgp, "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQOYBF".to_owned()),
        (Format::Ssh1, "SSH PRIVATE KEY FILE FORMAT 1.1\n".to_owned()),
        (Format::Other, "-----BEGIN ANY OTHER PRIVATE KEY-----\n".to_owned()),
        (Format::Jwk, r#"{"kty":"OKP","crv":"Ed25519","x":"11qY","d":"nWGxne_9WmC6hEr0"}"#.to_owned()),
        (Format::Jwk, r#"{"kty":"RSA","n":"AQAB","e":"AQAB","dp" : "AQAB"}"#.to_owned()),
        (Format::Jwk, r#"{"kty":"OKP","crv":"Ed25519","x":"11qY","\u0064":"nWGxne_9WmC6hEr0"}"#.to_owned()),
        (Format::Jwk, r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qY","d":"nWGxne_9"}]}"#.to_owned()),
        (Format::Jwk, r#"{"kty":"OKP","d":"nWGxne_9WmC6hEr0 cut"#.to_owned()),
        (Format::Jwk, r#"{"kty":"oct"}"#.to_owned()),
    ] {
        assert_eq!(refusal(&text), PublicKeyError::PrivateKey(format));
    }
}

#[test]
fn a_comment_about_private_keys_is_accepted() {
    let text = format!("{} begin here: my private key", ed25519_line());
    assert!(PublicKey::parse(&text).is_ok());
}

#[test]
fn unsupported_keys_are_refused_by_name() {
    use UnsupportedKeyType as Type;
    let authority = KeyPair::generate(&["-t", "ed25519"]);
    let certified = KeyPair::generate(&["-t", "ed25519"]);
    let (authority_file, certified_file) = (authority.path(), certified.public_path());
    ssh_keygen::run(&["-q", "-s", authority_file.to_str().unwrap(), "-I", "me", certified_file.to_str().unwrap()]);
    let certificate = std::fs::read_to_string(certified.path().with_file_name("id-cert.pub")).unwrap();

    let dsa = KeyPair::generate(&["-t", "dsa"]);
    let p521 = KeyPair::generate(&["-t", "ecdsa", "-b", "521"]);
    let security_key = blob(&[b"sk-ssh-ed25519@openssh.com", &POINT, b"ssh:"]);
    let ed448 = [hex("3043300506032b6571033a00"), vec![7; 57]].concat();
    let x25519 = [hex("302a300506032b656e032100"), vec![7; 32]].concat();
    let secp256k1 = [hex("3056301006072a8648ce3d020106052b8104000a03420004"), vec![7; 64]].concat();
    for (unsupported, text) in [
        (Type::OpenSshCertificate, certificate),
        (Type::Dsa, dsa.public_line()),
        (Type::Dsa, dsa.export("PKCS8")),
        (Type::Dsa, dsa.export("RFC4716")),
        (Type::EcdsaP521, p521.public_line()),
        (Type::EcdsaP521, p521.export("PKCS8")),
        (Type::EcdsaP521, p521.export("RFC4716")),
        (Type::EcdsaP521, r#"{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}"#.to_owned()),
        (Type::SecurityKey, line("sk-ssh-ed25519@openssh.com", &security_key)),
        (Type::SecurityKey, line("sk-ecdsa-sha2-nistp256@openssh.com", b"any")),
        (Type::Ed448, line("ssh-ed448", &blob(&[b"ssh-ed448", &[7; 57]]))),
        (Type::Ed448, pem("PUBLIC KEY", &ed448)),
        (Type::Ed448, r#"{"kty":"OKP","crv":"Ed448","x":"AA"}"#.to_owned()),
        (Type::KeyAgreement, pem("PUBLIC KEY", &x25519)),
        (Type::KeyAgreement, r#"{"kty":"OKP","crv":"X25519","x":"AA"}"#.to_owned()),
        (Type::OtherCurve, pem("PUBLIC KEY", &secp256k1)),
        (Type::OtherCurve, r#"{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}"#.to_owned()),
        (Type::X509Certificate, pem("CERTIFICATE", &[0x30, 0])),
        (Type::CertificateRequest, pem("CERTIFICATE REQUEST", &[0x30, 0])),
        (Type::Pgp, "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEY".to_owned()),
        (Type::Ssh1, "1024 65537 123456789 me@host".to_owned()),
        (Type::SignatureAlgorithm, format!("rsa-sha2-256 {}", STANDARD.encode([0; 9]))),
        (Type::Other, line("ssh-xmss@openssh.com", b"any")),
    ] {
        let error = refusal(&text);
        assert_eq!(error, PublicKeyError::UnsupportedKeyType(unsupported), "{text}");
        assert_eq!(error.code(), "unsupported_key_type");
    }
}

#[test]
fn what_is_not_exactly_one_key_is_refused() {
    use PublicKeyError as Error;
    let key = ed25519_line();
    let encoded = &key["ssh-ed25519 ".len()..];
    let whole = blob(&[b"ssh-ed25519", &POINT]);
    let spki = [&hex("302a300506032b6570032100")[..], &POINT[..]].concat();
    let block = pem("PUBLIC KEY", &spki);
    let control = |character, line, column| Error::ControlCharacter { character, line, column };
    for (expected, text) in [
        (Error::Empty, String::new()),
        (Error::Empty, " \r\n\t\n".to_owned()),
        (Error::TooLong { bytes: 1 << 20 }, "a".repeat(1 << 20)),
        (Error::TooLong { bytes: 16 * 1024 + 1 }, format!("{key}{}", " ".repeat(16 * 1024 + 1 - key.len()))),
        (Error::KeyOptions, format!("command=\"rm -rf /\" {key}")),
        (Error::KeyOptions, format!("command=\"echo \\\"hi there\\\"\",no-pty {key}")),
        (Error::KeyOptions, format!("restrict {key}")),
        (Error::KeyOptions, format!("cert-authority,principals=\"a\" {key}")),
        (Error::KeyOptions, format!("github.com,140.82.121.3 {key}")),
        (Error::SeveralKeys, format!("{key}\n{key}")),
        (Error::SeveralKeys, format!("{key} {key}")),
        (Error::SeveralKeys, format!("{key} comment\r\n\r\nrestrict {key}\r\n")),
        (Error::SeveralKeys, format!("{block}{block}")),
        (Error::SeveralKeys, format!("{key}\n{block}")),
        (Error::SeveralKeys, r#"{"keys":[{"kty":"OKP"},{"kty":"OKP"}]}"#.to_owned()),
        (control('\0', 1, 83), format!("{key} a\0b")),
        (control('\x1b', 1, 83), format!("{key} a\x1b[31mb")),
        (control('\r', 1, 81), format!("{key}\rssh-ed25519 AAAA")),
        (control('\u{202e}', 1, 83), format!("{key} a\u{202e}b")),
        (control('\u{85}', 1, 83), format!("{key} a\u{85}b")),
        (control('\u{200f}', 3, 2), format!("# mine\r\n\r\n \u{200f}{key}")),
        (Error::BrokenLine, format!("ssh-ed25519 {}\n{}", &encoded[..40], &encoded[40..])),
        (Error::BrokenLine, format!("{key} comment\nand more")),
        (Error::Truncated, "ssh-ed25519".to_owned()),
        (Error::Truncated, format!("ssh-ed25519 {}", STANDARD.encode(&whole[..40]))),
        (Error::Truncated, format!("ssh-ed25519 {}", STANDARD.encode([0xff; 30]))),
        (Error::Base64, format!("ssh-ed25519 {}", &encoded[..30])),
        (Error::Base64, format!("ssh-ed25519 {}", encoded.replace('A', "-"))),
        (Error::TrailingBytes, line("ssh-ed25519", &[&whole[..], &[0]].concat())),
        (Error::AlgorithmMismatch, format!("ssh-rsa {encoded}")),
        (Error::AlgorithmMismatch, line("ecdsa-sha2-nistp256", &blob(&[b"ecdsa-sha2-nistp256", b"nistp384", &[4]]))),
        (Error::Length, line("ssh-ed25519", &blob(&[b"ssh-ed25519", &POINT[..31]]))),
        (Error::Length, line("ssh-ed25519", &blob(&[b"ssh-ed25519", &[&POINT[..], &[0]].concat()]))),
        (Error::NotAPublicKey, key.to_uppercase()),
        (Error::NotAPublicKey, encoded.to_owned()),
        (Error::NotAPublicKey, "SHA256:ngGFWmdTuy0Wfv2NSg4ulCcHzqFGt5rFUN33OWDX1sk".to_owned()),
        (Error::NotAPublicKey, pem("EC PARAMETERS", &[6, 0])),
        (Error::BrokenBlock, block.replace("-----END PUBLIC", "-----END ANY")),
        (Error::BrokenBlock, block.replace("-----END PUBLIC KEY-----\n", "")),
        (Error::Base64, block.replace("MCow", "MC-w")),
        (Error::Der, pem("PUBLIC KEY", &[&spki[..], &[0]].concat())),
        (Error::Der, pem("PUBLIC KEY", &[&hex("30812a300506032b6570032100")[..], &POINT[..]].concat())),
        (Error::Der, pem("PUBLIC KEY", &[&hex("302c300706032b65700500032100")[..], &POINT[..]].concat())),
        (Error::Jwk, "{}".to_owned()),
        (Error::Jwk, "[1]".to_owned()),
        (Error::Jwk, r#"{"kty":"OKP","crv":"Ed25519"}"#.to_owned()),
        (Error::Jwk, r#"{"kty":"OKP","crv":"Ed25519","x":"AA","x":"AA"}"#.to_owned()),
        (Error::Jwk, r#"{"kty":"OKP","crv":"Ed25519","x":"AA"} {}"#.to_owned()),
        (Error::Base64, r#"{"kty":"OKP","crv":"Ed25519","x":"AB=="}"#.to_owned()),
        (Error::Length, r#"{"kty":"OKP","crv":"Ed25519","x":"AA"}"#.to_owned()),
        (Error::Length, r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#.to_owned()),
    ] {
        let error = refusal(&text);
        assert_eq!(error, expected, "{text}");
        assert!(error.to_string().contains(": "), "says what to do next: {error}");
    }
}

#[test]
fn only_one_spelling_of_the_base64_is_accepted() {
    // 104 bytes end with two unused bits and one character of padding.
    let text = KeyPair::generate(&["-t", "ecdsa", "-b", "256"]).public_line();
    let encoded = text.split(' ').nth(1).unwrap();
    let (body, last) = encoded.strip_suffix('=').unwrap().split_at(encoded.len() - 2);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let stray_bit = &alphabet[alphabet.find(last).unwrap() + 1..][..1];
    for other in [format!("{body}{last}"), format!("{body}{last}=="), format!("{body}{stray_bit}=")] {
        assert_eq!(refusal(&format!("ecdsa-sha2-nistp256 {other}")), PublicKeyError::Base64);
    }
}

#[test]
fn numbers_are_written_in_their_shortest_form() {
    let pair = KeyPair::generate(&["-t", "rsa", "-b", "2048"]);
    let key = PublicKey::parse(&pair.public_line()).unwrap().key;
    let KeyMaterial::Rsa { n, e } = key.material() else { panic!("{key:?}") };
    let padded = |zeros: usize| [&vec![0; zeros][..], n].concat();
    assert_eq!(PublicKey::from_blob(&blob(&[b"ssh-rsa", e, &padded(1)])), Ok(key.clone()));
    for (expected, e, n) in [
        (PublicKeyError::NonMinimalInteger, e, padded(2)),
        (PublicKeyError::NonMinimalInteger, &[0, 1, 0, 1], padded(1)),
        (PublicKeyError::NonMinimalInteger, &[0], padded(1)),
        (PublicKeyError::NotPositive, e, padded(0)),
        (PublicKeyError::NotPositive, &[], padded(1)),
    ] {
        assert_eq!(PublicKey::from_blob(&blob(&[b"ssh-rsa", e, &n])), Err(expected));
    }
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let zero_padded = format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, encode(&padded(1)));
    assert_eq!(refusal(&zero_padded), PublicKeyError::NonMinimalInteger);
}

#[test]
fn accepted_keys_have_the_fingerprint_of_ssh_keygen() {
    let directory = tempfile::tempdir().unwrap();
    let mut taken = Vec::new();
    for arguments in [&["-t", "ed25519"][..], &["-t", "ecdsa"], &["-t", "rsa", "-b", "2048"]] {
        let whole = PublicKey::parse(&KeyPair::generate(arguments).public_line()).unwrap().key.blob().to_vec();
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            taken.extend(PublicKey::from_blob(&flipped));
        }
    }
    assert!(!taken.is_empty());
    let file = directory.path().join("taken.pub");
    std::fs::write(&file, taken.iter().map(|key| key.to_openssh() + "\n").collect::<String>()).unwrap();
    let ours: Vec<_> = taken.iter().map(|key| key.fingerprint().to_string()).collect();
    assert_eq!(ssh_keygen::fingerprints(&file), ours);
}

#[test]
fn a_fingerprint_has_one_spelling() {
    let fingerprint = Fingerprint::of_ed25519(&POINT);
    assert_eq!(fingerprint, PublicKey::parse(&ed25519_line()).unwrap().key.fingerprint());
    let text = fingerprint.to_string();
    assert_eq!(text.parse(), Ok(fingerprint));
    assert_eq!(serde_json::to_string(&fingerprint).unwrap(), format!("\"{text}\""));
    assert_eq!(serde_json::from_str::<Fingerprint>(&format!("\"{text}\"")).unwrap(), fingerprint);

    let digest = &text["SHA256:".len()..];
    let stray_bits = STANDARD_NO_PAD.encode([0; 32]).replace(&"A".repeat(43), &format!("{}B", "A".repeat(42)));
    for other in [
        digest.to_owned(),
        format!("sha256:{digest}"),
        format!("SHA256:{digest}="),
        format!(" {text}"),
        format!("{text}\n"),
        format!("SHA256:{}", &digest[1..]),
        format!("SHA256:{}", URL_SAFE_NO_PAD.encode([0xff; 32])),
        format!("SHA256:{stray_bits}"),
        text.replace("SHA256", "MD5"),
    ] {
        assert!(other.parse::<Fingerprint>().is_err(), "{other:?}");
    }
    let swapped: String = digest
        .chars()
        .map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
        .collect();
    assert_ne!(format!("SHA256:{swapped}").parse(), Ok(fingerprint));
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "(ssh-(rsa|ed25519) |---- BEGIN SSH2 PUBLIC KEY ----\n|-----BEGIN PUBLIC KEY-----\n|\\{\"kty\":\"|)\\PC{0,200}(\n-----END PUBLIC KEY-----)?") {
        prop_assert!(PublicKey::parse(&text).is_err());
    }

    #[test]
    fn no_file_makes_the_parser_panic(
        mark in "(\u{feff}|# |\"|-----BEGIN PUBLIC KEY-----|ssh-ed25519 )?",
        rest in prop::collection::vec(any::<u8>(), 0..200),
        wide in any::<bool>(),
    ) {
        let file = [mark.as_bytes(), &rest].concat();
        let file = if wide { file.iter().flat_map(|&byte| [byte, 0]).collect() } else { file };
        prop_assert!(PublicKey::parse_file(&file).is_err());
    }

    #[test]
    fn no_blob_makes_the_parser_panic(name in "ssh-rsa|ssh-ed25519|ecdsa-sha2-nistp256", rest in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(key) = PublicKey::from_blob(&[ssh_string(name.as_bytes()), rest].concat()) {
            prop_assert_eq!(PublicKey::from_blob(key.blob()), Ok(key));
        }
    }

    #[test]
    fn every_ed25519_key_reads_back_from_every_form(seed in any::<[u8; 32]>()) {
        let point = ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key().to_bytes();
        let key = PublicKey::from_blob(&blob(&[b"ssh-ed25519", &point])).unwrap();
        prop_assert_eq!(key.material(), KeyMaterial::Ed25519(&point));
        prop_assert_eq!(&PublicKey::parse(&key.to_openssh()).unwrap().key, &key);
        prop_assert_eq!(&PublicKey::parse(&jwk(&key)).unwrap().key, &key);
        prop_assert_eq!(PublicKey::from_blob(key.blob()), Ok(key));
    }
}
