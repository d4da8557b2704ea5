//! The accepted private keys, the accepted variations of their text, and the errors for other files.

use std::{fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use client::{KeySource, PrivateKey, PrivateKeyErrorKind as Kind, ProtectedFormat};
use domain::private_key::PrivateKeyFormat;
use http_signature::{Algorithm, VerificationKey};

use crate::ssh_keygen::{self, KeyPair};

fn refusal(text: &str) -> Kind {
    PrivateKey::from_text(text).expect_err("is refused").kind().clone()
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Returns the verification key of an OpenSSH line, as a server creates it.
pub(crate) fn verification_key(line: &str) -> VerificationKey {
    let blob = STANDARD.decode(line.split(' ').nth(1).unwrap()).unwrap();
    let mut rest = &blob[..];
    let fields: Vec<&[u8]> = std::iter::from_fn(|| {
        let (length, after) = rest.split_first_chunk()?;
        let (field, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        rest = after;
        Some(field)
    })
    .collect();
    match fields[..] {
        [b"ssh-ed25519", point] => VerificationKey::ed25519_from_bytes(point.try_into().unwrap()),
        [b"ssh-rsa", exponent, modulus] => VerificationKey::rsa_from_components(modulus, exponent),
        [_, b"nistp256", point] => VerificationKey::ecdsa_p256_from_sec1(point),
        [_, b"nistp384", point] => VerificationKey::ecdsa_p384_from_sec1(point),
        _ => panic!("{line}"),
    }
    .unwrap()
}

#[test]
fn every_type_that_ssh_keygen_makes_is_read_and_signs() {
    for (arguments, algorithm) in [
        (&["-t", "ed25519"][..], Algorithm::Ed25519),
        (&["-t", "rsa", "-b", "2048"], Algorithm::RsaPssSha512),
        (&["-t", "rsa", "-b", "4096"], Algorithm::RsaPssSha512),
        (&["-t", "ecdsa", "-b", "256"], Algorithm::EcdsaP256Sha256),
        (&["-t", "ecdsa", "-b", "384"], Algorithm::EcdsaP384Sha384),
    ] {
        let pair = KeyPair::generate(arguments);
        let key = PrivateKey::from_file(&pair.path()).unwrap();
        assert_eq!(key.fingerprint(), pair.fingerprint());
        assert_eq!(key.public_openssh(), pair.public_line());
        assert_eq!(key.comment(), "build robot");
        assert_eq!(key.ed25519_public_key().is_some(), algorithm == Algorithm::Ed25519);
        assert_eq!(format!("{key:?}"), format!("PrivateKey({})", pair.fingerprint()));

        let signing_key = key.signing_key();
        assert_eq!(signing_key.algorithm(), algorithm);
        let signature = signing_key.sign(b"a signature base").unwrap();
        let public = verification_key(&pair.public_line());
        assert!(public.verify(algorithm, b"a signature base", &signature).is_ok());
        assert!(public.verify(algorithm, b"another one", &signature).is_err());
    }
}

/// Keys whose number begins with two zero bytes, as `ssh-keygen` writes one in 65536: without them.
const SHORT_P256: &str = "\
-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAaAAAABNlY2RzYS
1zaGEyLW5pc3RwMjU2AAAACG5pc3RwMjU2AAAAQQRXhZhMOQypdYMvvUdVkGu1UmN3bQ3s
1Wymqt9WELO4/2+Aa1PC/KLg2r4wIM6tE/IHe73hu7fmSDCvo3vKDe1tAAAAmGgEM/FoBD
PxAAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBFeFmEw5DKl1gy+9
R1WQa7VSY3dtDezVbKaq31YQs7j/b4BrU8L8ouDavjAgzq0T8gd7veG7t+ZIMK+je8oN7W
0AAAAeQgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABI0VnAAAAAAEC
-----END OPENSSH PRIVATE KEY-----
";
const SHORT_P384: &str = "\
-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAiAAAABNlY2RzYS
1zaGEyLW5pc3RwMzg0AAAACG5pc3RwMzg0AAAAYQRUd4Mo5b9qQAmzrlJWzsA6MBWokdJs
dWbEdoRnO4oFLjGAdJcPE5Zc4KXN0uoK4TusvJRY4jDEKcZw/MDJ03dNHCVm5biXs3tNkS
g47ST+42sRJAjmn5kYLWE4vnSFj50AAADI9KDeXPSg3lwAAAATZWNkc2Etc2hhMi1uaXN0
cDM4NAAAAAhuaXN0cDM4NAAAAGEEVHeDKOW/akAJs65SVs7AOjAVqJHSbHVmxHaEZzuKBS
4xgHSXDxOWXOClzdLqCuE7rLyUWOIwxCnGcPzAydN3TRwlZuW4l7N7TZEoOO0k/uNrESQI
5p+ZGC1hOL50hY+dAAAALncAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
AAAAAAAAEjRWcAAAAAAQI=
-----END OPENSSH PRIVATE KEY-----
";

#[test]
fn ecdsa_keys_whose_numbers_begin_with_zeros_are_read() {
    for (text, algorithm) in [(SHORT_P256, Algorithm::EcdsaP256Sha256), (SHORT_P384, Algorithm::EcdsaP384Sha384)] {
        let key = PrivateKey::from_text(text).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("id");
        fs::write(&file, text).unwrap();
        set_mode(&file, 0o600);
        assert_eq!(key.public_openssh(), ssh_keygen::run(&["-y", "-f", file.to_str().unwrap()]).trim_end());
        let signature = key.signing_key().sign(b"a signature base").unwrap();
        assert!(verification_key(&key.public_openssh()).verify(algorithm, b"a signature base", &signature).is_ok());
    }
}

#[test]
fn line_breaks_that_were_lost_on_the_way_are_put_right() {
    let pair = KeyPair::generate(&["-t", "rsa", "-b", "2048"]);
    let text = pair.private_text();
    for mangled in [
        text.replace('\n', "\r\n"),
        text.replace('\n', " "),
        text.replace('\n', ""),
        text.replace('\n', "\\n"),
        text.replace('\n', "\\r\\n"),
        text.replace('\n', "\n\n"),
        text.replace('\n', "\n    "),
        text.replace([' ', '\n'], ""),
        format!("\"{}\"", text.replace('\n', "\\n")),
        format!("'{}'\n", text.trim()),
        format!("\u{feff}\n{text}\n"),
        text.trim_end().to_owned(),
    ] {
        assert_eq!(PrivateKey::from_text(&mangled).unwrap().fingerprint(), pair.fingerprint(), "{mangled:?}");
    }
}

#[test]
fn damaged_keys_are_refused() {
    let pair = KeyPair::generate(&["-t", "ed25519"]);
    let text = pair.private_text();
    let lines: Vec<&str> = text.lines().collect();
    let end = lines.len() - 1;
    for damaged in [
        lines[..end].join("\n"),
        lines[1..].join("\n"),
        lines[1..end].join("\n"),
        [&lines[..2], &lines[3..]].concat().join("\n"),
        text.replace(lines[2], &lines[2][..40]),
        text.replace(lines[2], &lines[2].replace(char::is_uppercase, "-")),
        text.replace("-----END OPENSSH PRIVATE KEY-----", "-----END PRIVATE KEY-----"),
    ] {
        assert_eq!(refusal(&damaged), Kind::Damaged, "{damaged}");
    }
}

#[test]
fn every_error_contains_the_next_step() {
    let ed25519 = KeyPair::generate(&["-t", "ed25519"]);
    let rsa = ["-t", "rsa", "-b", "2048"];
    let of_rsa = |more: &[&str]| KeyPair::generate(&[&rsa[..], more].concat()).private_text();
    let rfc4716 = ssh_keygen::run(&["-e", "-f", ed25519.path().to_str().unwrap()]);
    let protected = Kind::PassphraseProtected;
    let unsupported = |name: &str| Kind::UnsupportedKeyType(name.to_owned());
    for (kind, way_out, text) in [
        (Kind::Empty, "filled", " \n".to_owned()),
        (
            Kind::PublicKey,
            "in another file, often of the same name without `.pub` or with `.pem`",
            ed25519.public_line(),
        ),
        (Kind::PublicKey, "in another file, often of the same name without `.pub` or with `.pem`", rfc4716),
        (
            Kind::PublicKey,
            "in another file, often of the same name without `.pub` or with `.pem`",
            "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----".to_owned(),
        ),
        (protected(ProtectedFormat::OpenSsh), "ssh-keygen -p", of_rsa(&["-N", "a passphrase"])),
        (protected(ProtectedFormat::Pem), "ssh-agent", of_rsa(&["-N", "a passphrase", "-m", "PEM"])),
        (protected(ProtectedFormat::Pkcs8), "openssl pkcs8", of_rsa(&["-N", "a passphrase", "-m", "PKCS8"])),
        (unsupported("DSA"), "keyward keygen", KeyPair::generate(&["-t", "dsa"]).private_text()),
        (unsupported("DSA"), "keyward keygen", KeyPair::generate(&["-t", "dsa", "-m", "PEM"]).private_text()),
        (unsupported("ECDSA on P-521"), "P-256", KeyPair::generate(&["-t", "ecdsa", "-b", "521"]).private_text()),
        (unsupported("RSA of 1024 bits"), "2048", KeyPair::generate(&["-t", "rsa", "-b", "1024"]).private_text()),
        (Kind::SeveralKeys, "keep one", format!("{0}{0}", ed25519.private_text())),
        (
            Kind::PuttyVersion("1".to_owned()),
            "puttygen",
            "PuTTY-User-Key-File-1: ssh-rsa\nEncryption: none\n".to_owned(),
        ),
        (Kind::Damaged, "original file", "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n".to_owned()),
        (Kind::Certificate, "this is a certificate", certificate()),
        (Kind::NotAPrivateKey, "KEYWARD_KEY_FILE", "/home/me/.ssh/id_ed25519".to_owned()),
        (Kind::NotAPrivateKey, "BEGIN OPENSSH", "not a key".to_owned()),
        (Kind::UnsupportedFormat(PrivateKeyFormat::Jwk), "JWK", r#"{"kty":"OKP","d":"AA" cut"#.to_owned()),
        (
            Kind::UnsupportedFormat(PrivateKeyFormat::Ssh2),
            "SSH2",
            "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nComment: \"me\"\nP2/56wAA\n".to_owned(),
        ),
    ] {
        let error = PrivateKey::from_text(&text).unwrap_err();
        assert_eq!(error.kind(), &kind, "{text}");
        assert!(error.to_string().contains(way_out), "{error}");
        assert!(text.lines().nth(1).is_none_or(|line| line.is_empty() || !error.to_string().contains(line)));
    }
}

/// A certificate by `openssl`.
fn certificate() -> String {
    let directory = tempfile::tempdir().unwrap();
    let request = ["req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=own", "-keyout", "key", "-out", "pem"];
    let output = std::process::Command::new("openssl").args(request).current_dir(&directory).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read_to_string(directory.path().join("pem")).unwrap()
}

#[test]
fn a_certificate_or_another_file_is_not_called_a_file_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tls.pem");
    let pem = certificate();
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(body).unwrap();
    let contents = [pem.as_bytes(), &der, b"any other file"];
    let kinds = [Kind::Certificate, Kind::Certificate, Kind::NotAPrivateKey];
    for (content, kind) in contents.into_iter().zip(kinds) {
        fs::write(&file, content).unwrap();
        set_mode(&file, 0o600);
        let error = PrivateKey::from_file(&file).unwrap_err();
        assert_eq!(error.kind(), &kind);
        assert!(!error.to_string().contains("a file name belongs"), "{error}");
    }
}

#[test]
fn a_public_file_names_the_private_file_only_if_it_exists() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    fs::write(file("key.pub"), KeyPair::generate(&["-t", "ed25519"]).public_line()).unwrap();
    let told = || PrivateKey::from_file(&file("key.pub")).unwrap_err().to_string();
    assert!(told().ends_with("in another file, often of the same name without `.pub` or with `.pem`"), "{}", told());
    for name in ["key.pem", "key"] {
        fs::write(file(name), "any").unwrap();
        let named = format!("the private key is in {}", file(name).display());
        assert!(told().ends_with(&named), "{}", told());
    }
}

// RUSTSEC-2022-0093
#[test]
fn a_file_whose_halves_differ_is_refused() {
    for arguments in [&["-t", "ed25519"][..], &["-t", "ecdsa"], &["-t", "rsa", "-b", "2048"]] {
        let bytes_of = |pair: &KeyPair| {
            let text = pair.private_text();
            STANDARD.decode(text.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap()
        };
        let (one, other) = (KeyPair::generate(arguments), KeyPair::generate(arguments));
        let public = |pair: &KeyPair| STANDARD.decode(pair.public_line().split(' ').nth(1).unwrap()).unwrap();
        // The public key is in the file's head and again in its private section.
        let (ours, theirs) = (&public(&one)[20..], &public(&other)[20..]);
        let swap = |bytes: &mut Vec<u8>, times: usize| {
            for _ in 0..times {
                let at = bytes.windows(ours.len()).rposition(|window| window == ours).unwrap();
                bytes.splice(at..at + ours.len(), theirs.iter().copied());
            }
        };
        let places = if arguments[1] == "rsa" { 1 } else { 2 };
        for times in 1..=places {
            let mut bytes = bytes_of(&one);
            swap(&mut bytes, times);
            let text = format!(
                "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n",
                STANDARD.encode(bytes)
            );
            assert_eq!(refusal(&text), Kind::HalvesDiffer, "{arguments:?}, {times}");
        }
    }
}

#[test]
fn pkcs8_with_an_ed25519_key_is_read() {
    // RFC 8410 §10.3, with and without the public key.
    let without = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END \
                   PRIVATE KEY-----\n";
    let with = "-----BEGIN PRIVATE KEY-----\nMHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\
                \noB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB\nZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END \
                PRIVATE KEY-----\n";
    let key = PrivateKey::from_text(without).unwrap();
    assert_eq!(
        key.public_openssh(),
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBm/RAlphM3+hUG6wWfcO5bIUIaqMLa2ywxcOK1wMWbh"
    );
    assert_eq!(PrivateKey::from_text(with).unwrap().fingerprint(), key.fingerprint());
    let other_half = with.replace("gSEAGb9E", "gSEAGb9F");
    assert_eq!(refusal(&other_half), Kind::HalvesDiffer);
}

#[cfg(unix)]
#[test]
fn a_file_that_others_may_read_is_refused() {
    use std::os::unix::fs::MetadataExt;
    let pair = KeyPair::generate(&["-t", "ed25519"]);
    // In containers the tests run as root, whose files may be readable by their group.
    let is_of_root = fs::metadata(pair.path()).unwrap().uid() == 0;
    for mode in [0o644, 0o444, 0o640, 0o604, 0o620, 0o601] {
        set_mode(&pair.path(), mode);
        if mode == 0o640 && is_of_root {
            assert!(PrivateKey::from_file(&pair.path()).is_ok());
            continue;
        }
        let error = PrivateKey::from_file(&pair.path()).unwrap_err();
        assert_eq!(error.kind(), &Kind::Permissions { mode });
        for way_out in [&format!("chmod 600 {}", pair.path().display()), "`--key -`", "KEYWARD_KEY"] {
            assert!(error.to_string().contains(way_out), "{error}");
        }
    }
    // A name with spaces is quoted in the command.
    let spaced = pair.path().with_file_name("my key");
    fs::copy(pair.path(), &spaced).unwrap();
    set_mode(&spaced, 0o644);
    let error = PrivateKey::from_file(&spaced).unwrap_err().to_string();
    assert!(error.contains(&format!("`chmod 600 \"{}\"`", spaced.display())), "{error}");
    for mode in [0o600, 0o400] {
        set_mode(&pair.path(), mode);
        assert!(PrivateKey::from_file(&pair.path()).is_ok());
    }
}

/// Kubernetes mounts a secret as links to a directory that it replaces as a whole.
#[cfg(unix)]
#[test]
fn links_to_a_key_are_followed() {
    use std::os::unix::fs::symlink;
    let pair = KeyPair::generate(&["-t", "ed25519"]);
    let directory = pair.path().parent().unwrap().to_owned();
    let revision = directory.join("..2026_11_27_04_00_00.1");
    fs::create_dir(&revision).unwrap();
    fs::rename(pair.path(), revision.join("id")).unwrap();
    symlink(revision.file_name().unwrap(), directory.join("..data")).unwrap();
    symlink("..data/id", pair.path()).unwrap();
    assert_eq!(PrivateKey::from_file(&pair.path()).unwrap().fingerprint(), pair.fingerprint());
    // The mode is that of the file, not that of the link.
    set_mode(&revision.join("id"), 0o644);
    assert_eq!(PrivateKey::from_file(&pair.path()).unwrap_err().kind(), &Kind::Permissions { mode: 0o644 });
}

#[test]
fn another_key_in_the_public_file_beside_it_is_an_error() {
    let (one, other) = (KeyPair::generate(&["-t", "ed25519"]), KeyPair::generate(&["-t", "ed25519"]));
    let public_path = one.path().with_extension("pub");
    let rfc4716 = ssh_keygen::run(&["-e", "-f", other.path().to_str().unwrap()]);
    let utf16 = format!("\u{feff}{}", other.public_line()).encode_utf16().flat_map(u16::to_le_bytes).collect();
    for content in [
        other.public_line().into_bytes(),
        rfc4716.into_bytes(),
        utf16,
        format!("restrict {}", other.public_line()).into_bytes(),
        KeyPair::generate(&["-t", "dsa"]).public_line().into_bytes(),
        KeyPair::generate(&["-t", "rsa", "-b", "1024"]).public_line().into_bytes(),
    ] {
        fs::write(&public_path, content).unwrap();
        let error = PrivateKey::from_file(&one.path()).unwrap_err();
        assert_eq!(error.kind(), &Kind::PublicFileDiffers(public_path.clone()));
        assert!(error.to_string().contains(&format!("delete {}", public_path.display())), "{error}");
    }
    fs::remove_file(&public_path).unwrap();
    assert_eq!(PrivateKey::from_file(&one.path()).unwrap().warning(), None);
}

#[test]
fn a_public_file_beside_it_is_compared_in_every_form_and_warned_of_if_it_cannot_be_read() {
    let pair = KeyPair::generate(&["-t", "rsa", "-b", "2048"]);
    let public_path = pair.path().with_extension("pub");
    let export = |format: &str| ssh_keygen::run(&["-e", "-m", format, "-f", pair.path().to_str().unwrap()]);
    let line = pair.public_line();
    let utf16 = |unit: fn(u16) -> [u8; 2]| format!("\u{feff}{line}\r\n").encode_utf16().flat_map(unit).collect();
    for content in [
        export("RFC4716").into_bytes(),
        export("PKCS8").into_bytes(),
        export("PEM").into_bytes(),
        utf16(u16::to_le_bytes),
        utf16(u16::to_be_bytes),
        format!("\u{feff}{line}\r\n").into_bytes(),
        format!("from=\"10.0.0.0/8\",command=\"echo \\\"hi there\\\"\" {line}\n").into_bytes(),
        [line.as_bytes(), b" J\xf6rg\n"].concat(),
    ] {
        fs::write(&public_path, &content).unwrap();
        let key = PrivateKey::from_file(&pair.path()).unwrap();
        assert_eq!((key.fingerprint(), key.warning()), (pair.fingerprint(), None), "{content:?}");
    }
    for content in [&b""[..], b"ssh-rsa !", b"\x80\x81", b"<html>", format!("{line}\n{line}\n").as_bytes()] {
        fs::write(&public_path, content).unwrap();
        let key = PrivateKey::from_file(&pair.path()).unwrap();
        let warning = key.warning().unwrap();
        assert!(warning.starts_with(&public_path.display().to_string()) && warning.contains(": "), "{warning}");
    }
    // A directory instead of the file.
    fs::remove_file(&public_path).unwrap();
    fs::create_dir(&public_path).unwrap();
    assert!(PrivateKey::from_file(&pair.path()).unwrap().warning().is_some());
}

#[test]
fn a_file_that_is_missing_or_no_text_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("id");
    let error = PrivateKey::from_file(&file).unwrap_err();
    assert_eq!(error.kind(), &Kind::NotFound);
    assert!(error.to_string().starts_with(&format!("{}: ", file.display())), "{error}");
    assert!(matches!(PrivateKey::from_file(directory.path()).unwrap_err().kind(), Kind::Unreadable(_)));
    for content in [vec![0x30, 0x80, 0xff], vec![b'a'; 100_000]] {
        fs::write(&file, content).unwrap();
        #[cfg(unix)]
        set_mode(&file, 0o600);
        assert_eq!(PrivateKey::from_file(&file).unwrap_err().kind(), &Kind::NotAPrivateKey);
    }
}

#[test]
fn the_option_overrides_the_variables_and_the_file_overrides_the_text() {
    let choose = |option: Option<&str>, file: Option<&str>, text: Option<&str>| {
        KeySource::choose(option.map(Into::into), file.map(Into::into), text.map(Into::into))
    };
    let file = |path: &str| Some(KeySource::File(path.into()));
    let text = Some(KeySource::Text("text".to_owned().into()));
    assert_eq!(choose(Some("a"), Some("b"), Some("text")), file("a"));
    assert_eq!(choose(None, Some("b"), Some("text")), file("b"));
    assert_eq!(choose(None, None, Some("text")), text);
    assert_eq!(choose(None, Some(""), Some("text")), text);
    assert_eq!(choose(None, Some(""), Some(" \n")), None);
    assert_eq!(choose(None, None, None), None);
    assert_eq!(choose(Some("-"), None, Some("text")), Some(KeySource::Input));
    assert_eq!(choose(Some("./-"), None, None), file("./-"));
    assert_eq!(format!("{text:?}"), "Some(Text(…))");
}

#[test]
fn a_key_is_loaded_from_its_source() {
    let pair = KeyPair::generate(&["-t", "ed25519"]);
    let from_file = PrivateKey::load(&KeySource::File(pair.path())).unwrap();
    let from_text = PrivateKey::load(&KeySource::Text(pair.private_text().into())).unwrap();
    assert_eq!(from_file.fingerprint(), from_text.fingerprint());
    let from_input = PrivateKey::from_input(pair.private_text().as_bytes()).unwrap();
    assert_eq!(from_file.fingerprint(), from_input.fingerprint());
    let error = PrivateKey::from_input(&b" "[..]).unwrap_err();
    assert!(error.to_string().starts_with("the private key on standard input: it is empty"), "{error}");
}
