//! Key files as users have them: those in `tests/key-files`, which other clients are also tested with, and new ones of
//! the real `puttygen`, `openssl` and `ssh-keygen`. The commands in the errors for refused files are run as printed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use client::{PrivateKey, PrivateKeyErrorKind as Kind};
use proptest::prelude::*;
use serde::Deserialize;
use tempfile::TempDir;

use crate::{
    private_key::verification_key,
    ssh_keygen::{self, KeyPair},
};

const PASSPHRASE: &str = "correct horse";

/// A line of `index.json`.
#[derive(Deserialize)]
pub(crate) struct Entry {
    pub(crate) file: String,
    #[serde(default)]
    pub(crate) fingerprint: String,
    #[serde(default)]
    algorithm: String,
    pub(crate) refused: Option<String>,
}

pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/key-files")
}

pub(crate) fn entries() -> Vec<Entry> {
    let index = fs::read_to_string(directory().join("index.json")).unwrap();
    serde_json::from_str(&index).unwrap()
}

/// Creates a file with this content that only its owner may read, in its own directory.
fn private_file(content: &[u8]) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("k");
    fs::write(&path, content).unwrap();
    #[cfg(unix)]
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    (directory, path)
}

/// Runs a program in a directory and returns its output.
fn run(directory: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(directory).output();
    let output = output.unwrap_or_else(|error| panic!("{program} ({error}): run scripts/setup"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns whether the public key verifies a signature of the key.
fn signs(key: &PrivateKey) -> bool {
    let signing_key = key.signing_key();
    let signature = signing_key.sign(b"a signature base").unwrap();
    verification_key(&key.public_openssh()).verify(signing_key.algorithm(), b"a signature base", &signature).is_ok()
}

#[test]
fn every_file_of_the_index_is_read_or_refused_as_it_says() {
    let entries = entries();
    let mut files: Vec<_> = fs::read_dir(directory()).unwrap().map(|file| file.unwrap().file_name()).collect();
    files.retain(|name| name != "index.json" && name != "make.py");
    assert_eq!(files.len(), entries.len());
    let mut wrong = Vec::new();
    for entry in entries {
        let (_directory, path) = private_file(&fs::read(directory().join(&entry.file)).unwrap());
        match (PrivateKey::from_file(&path), entry.refused) {
            (Ok(key), None) => {
                let algorithm = match key.public_openssh().split(' ').next() {
                    Some("ssh-ed25519") => "ed25519",
                    Some("ssh-rsa") => "rsa",
                    Some("ecdsa-sha2-nistp256") => "ecdsa-p256",
                    _ => "ecdsa-p384",
                };
                assert_eq!((key.fingerprint(), algorithm), (entry.fingerprint, &*entry.algorithm), "{}", entry.file);
                assert!(signs(&key), "{}", entry.file);
            }
            (Err(error), Some(reason)) if error.kind().code() == reason => {}
            (Ok(_), Some(reason)) => wrong.push(format!("{}: read, not refused as {reason}", entry.file)),
            (Err(error), _) => wrong.push(format!("{}: {:?}", entry.file, error.kind())),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_of_puttygen_is_read_whatever_its_comment() {
    let directory = tempfile::tempdir().unwrap();
    for (options, lengths) in [
        (&["-t", "ed25519"][..], 1..=16),
        (&["-t", "ecdsa", "-b", "256"], 1..=16),
        (&["-t", "ecdsa", "-b", "384"], 1..=16),
        // Generating one takes a second.
        (&["-t", "rsa", "-b", "2048"], 7..=8),
    ] {
        for length in lengths {
            let comment = "c".repeat(length);
            let make = [options, &["-q", "--new-passphrase", "/dev/null", "-C", &comment, "-o", "k.ppk"]].concat();
            run(directory.path(), "puttygen", &make);
            let path = directory.path().join("k.ppk");
            let key = PrivateKey::from_file(&path).unwrap();
            assert_eq!(key.public_openssh(), run(directory.path(), "puttygen", &["k.ppk", "-L"]).trim_end());
            for format in ["private-openssh-new", "private-openssh"] {
                run(directory.path(), "puttygen", &["k.ppk", "-O", format, "-o", "k"]);
                let converted = PrivateKey::from_file(&directory.path().join("k")).unwrap();
                assert_eq!(converted.fingerprint(), key.fingerprint(), "{format}, {options:?}, {length}");
            }
            let older = ["k.ppk", "-C", &comment, "-O", "private", "--ppk-param", "version=2", "-o", "k2.ppk"];
            run(directory.path(), "puttygen", &older);
            let older = PrivateKey::from_file(&directory.path().join("k2.ppk")).unwrap();
            assert_eq!((older.fingerprint(), older.comment()), (key.fingerprint(), &*comment));
        }
    }
}

#[test]
fn comments_of_ssh_keygen_have_any_length_and_any_bytes() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("id");
    let comments = (0..=16).map(|length| vec![b'c'; length]);
    for comment in comments.chain([b"J\xf6rg@b\xfcro".to_vec(), b"\xff".to_vec(), "Jörg 🔑".into()]) {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C"])
            .arg(OsStr::from_bytes(&comment))
            .args(["-f", path.to_str().unwrap()])
            .status();
        assert!(made.unwrap().success());
        let key = PrivateKey::from_file(&path).unwrap();
        assert_eq!((key.comment(), key.warning()), (&*String::from_utf8_lossy(&comment), None));
        fs::remove_file(&path).unwrap();
        fs::remove_file(path.with_extension("pub")).unwrap();
    }
}

/// Returns a JWK with the numbers that `openssl` prints for a PEM file.
fn jwk(directory: &Path, file: &str) -> serde_json::Value {
    let script = "
import base64, json, re, subprocess, sys
text = subprocess.run(['openssl', 'pkey', '-in', sys.argv[1], '-noout', '-text'], capture_output=True, check=True).stdout.decode()
fields = {}
for name, value in re.findall(r'^([A-Za-z][\\w -]*):\\s*((?:\\n    [0-9a-f:]+)+)', text, re.M):
    fields[name] = bytes.fromhex(re.sub(r'[\\s:]', '', value))
def encode(number, length=None):
    number = number.lstrip(b'\\0') if length is None else number.lstrip(b'\\0').rjust(length, b'\\0')
    return base64.urlsafe_b64encode(number).decode().rstrip('=')
if 'modulus' in fields:
    names = {'n': 'modulus', 'd': 'privateExponent', 'p': 'prime1', 'q': 'prime2', 'dp': 'exponent1', 'dq': 'exponent2', 'qi': 'coefficient'}
    jwk = {'kty': 'RSA', 'e': 'AQAB', **{name: encode(fields[field]) for name, field in names.items()}}
elif 'NIST CURVE' in text:
    point = fields['pub']
    length = len(point) // 2
    jwk = {'kty': 'EC', 'crv': f'P-{length * 8}', 'x': encode(point[1 : 1 + length], length), 'y': encode(point[1 + length :], length), 'd': encode(fields['priv'], length)}
else:
    jwk = {'kty': 'OKP', 'crv': 'Ed25519', 'x': encode(fields['pub'], 32), 'd': encode(fields['priv'], 32)}
print(json.dumps(jwk))
";
    serde_json::from_str(&run(directory, "python3", &["-c", script, file])).unwrap()
}

#[test]
fn a_jwk_of_each_kind_is_read() {
    for kind in ["ed25519", "rsa", "p256", "p384"] {
        let name = format!("pkcs8-{kind}.pem");
        let expected = PrivateKey::from_text(&fs::read_to_string(directory().join(&name)).unwrap()).unwrap();
        let jwk = jwk(&directory(), &name);
        let set = serde_json::json!({"keys": [jwk]});
        let string = serde_json::Value::String(jwk.to_string());
        for text in
            [jwk.to_string(), format!("{jwk:#}"), set.to_string(), string.to_string(), STANDARD.encode(jwk.to_string())]
        {
            let key = PrivateKey::from_text(&text).unwrap_or_else(|error| panic!("{kind}: {error}"));
            assert_eq!(key.fingerprint(), expected.fingerprint());
            assert!(signs(&key));
        }
        let refusal = |text: &str| PrivateKey::from_text(text).unwrap_err().kind().clone();
        assert_eq!(refusal(&serde_json::json!({"keys": [jwk, jwk]}).to_string()), Kind::SeveralKeys);
        let mut public = jwk.clone();
        public.as_object_mut().unwrap().remove("d");
        assert_eq!(refusal(&public.to_string()), Kind::PublicKey);
        // Another public key.
        let mut other = jwk.clone();
        let member = if kind == "rsa" { "n" } else { "x" };
        let mut bytes = URL_SAFE_NO_PAD.decode(jwk[member].as_str().unwrap()).unwrap();
        bytes[20] ^= 1;
        other[member] = URL_SAFE_NO_PAD.encode(bytes).into();
        assert_eq!(refusal(&other.to_string()), Kind::HalvesDiffer);
    }
}

#[test]
fn a_pkcs12_file_is_reported_and_its_key_is_extracted_as_advised() {
    let (directory, path) = private_file(b"");
    let request =
        ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=me", "-keyout", "plain", "-out", "certificate"];
    run(directory.path(), "openssl", &request);
    let export = ["pkcs12", "-export", "-inkey", "plain", "-in", "certificate", "-out", "k", "-passout", "pass:"];
    run(directory.path(), "openssl", &export);
    let error = PrivateKey::from_file(&path).unwrap_err();
    assert_eq!(error.kind(), &Kind::Pkcs12);
    let told = error.to_string();
    let command = advised(&told, "openssl pkcs12").replace("NEW_FILE", "new");
    let words: Vec<&str> = command.split(' ').chain(["-passin", "pass:"]).collect();
    run(directory.path(), words[0], &words[1..]);
    let read = |name: &str| PrivateKey::from_file(&directory.path().join(name)).unwrap().fingerprint();
    assert_eq!(read("new"), read("plain"));
}

/// Returns the command in an error, without its backticks.
fn advised<'a>(error: &'a str, start: &str) -> &'a str {
    let command = error.split('`').find(|part| part.starts_with(start));
    command.unwrap_or_else(|| panic!("{start} is not in {error}"))
}

#[test]
fn the_advice_for_passphrases_works_as_it_is_printed() {
    let refused = |path: &Path| {
        let error = PrivateKey::from_file(path).unwrap_err();
        assert!(matches!(error.kind(), Kind::PassphraseProtected(_)), "{error}");
        error.to_string()
    };
    // With ssh-keygen, which asks for the passphrases.
    for options in [&["-t", "ed25519"][..], &["-t", "rsa", "-b", "2048", "-m", "PEM"], &["-t", "ecdsa", "-m", "PEM"]] {
        let pair = KeyPair::generate(&[options, &["-N", PASSPHRASE]].concat());
        let path = pair.path();
        let told = refused(&path);
        assert_eq!(advised(&told, "ssh-keygen"), format!("ssh-keygen -p -f {}", path.display()));
        ssh_keygen::run(&["-q", "-p", "-f", path.to_str().unwrap(), "-P", PASSPHRASE, "-N", ""]);
        assert_eq!(PrivateKey::from_file(&path).unwrap().fingerprint(), pair.fingerprint());
    }
    // With openssl and puttygen, which read the passphrase from a file.
    let (directory, path) = private_file(b"");
    fs::write(directory.path().join("passphrase"), PASSPHRASE).unwrap();
    let from_file = "file:passphrase";
    let follow = |start: &str, more: &[&str]| {
        let told = refused(&path);
        let command = advised(&told, start).replace("NEW_FILE", "new");
        let words: Vec<&str> = command.split(' ').chain(more.iter().copied()).collect();
        run(directory.path(), words[0], &words[1..]);
        let key = PrivateKey::from_file(&directory.path().join("new")).unwrap();
        fs::remove_file(directory.path().join("new")).unwrap();
        key.fingerprint()
    };
    for (make, form) in [
        (&["genpkey", "-algorithm", "ED25519"][..], "PEM"),
        (&["genpkey", "-algorithm", "ED25519"], "DER"),
        (&["genpkey", "-algorithm", "RSA"], "PEM"),
        (&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"], "DER"),
    ] {
        run(directory.path(), "openssl", &[make, &["-out", "plain"]].concat());
        let protect =
            ["pkcs8", "-topk8", "-in", "plain", "-out", "k", "-outform", form, "-passout", from_file, "-v2", "aes256"];
        run(directory.path(), "openssl", &protect);
        let plain = PrivateKey::from_file(&directory.path().join("plain")).unwrap();
        assert_eq!(follow("openssl", &["-passin", from_file]), plain.fingerprint());
    }
    for version in ["version=2", "version=3"] {
        let make = ["-q", "-t", "ed25519", "-O", "private", "-o", "k", "--new-passphrase", "passphrase"];
        run(directory.path(), "puttygen", &[&make[..], &["--ppk-param", version]].concat());
        let listed = run(directory.path(), "puttygen", &["k", "-l"]);
        assert!(listed.contains(&follow("puttygen", &["--old-passphrase", "passphrase"])), "{listed}");
    }
}

/// The content of accepted files.
static READ: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let read = entries().into_iter().filter(|entry| entry.refused.is_none() && !entry.file.contains("rsa"));
    read.map(|entry| fs::read(directory().join(entry.file)).unwrap()).collect()
});

proptest! {
    #[test]
    fn no_change_to_a_file_makes_a_reader_panic_or_a_key_of_two_halves(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        is_within in any::<bool>(),
    ) {
        let mut file = which.get(&READ).clone();
        // Inside the base64 of an OpenSSH file, so that the content is changed and not only the text.
        let lines: Vec<u8> = file.split(|&byte| byte == b'\n').filter(|line| !line.starts_with(b"-")).flatten().copied().collect();
        let body = STANDARD.decode(lines).ok().filter(|body| body.starts_with(b"openssh-key-v1") && is_within);
        let changed = match body {
            Some(mut body) => {
                for (at, byte) in changes {
                    *at.get_mut(&mut body) = byte;
                }
                format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n", STANDARD.encode(body)).into_bytes()
            }
            None => {
                for (at, byte) in changes {
                    *at.get_mut(&mut file) = byte;
                }
                file
            }
        };
        if let Ok(key) = PrivateKey::from_input(&*changed) {
            prop_assert!(signs(&key));
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic(
        start in prop::sample::select(vec![&b""[..], b"\x30\x2e\x02\x01\x00", b"PuTTY-User-Key-File-3: ssh-rsa\n", b"-----BEGIN EC PRIVATE KEY-----\n", b"openssh-key-v1\0", b"\xff\xfe"]),
        rest in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let file = [start, &rest].concat();
        prop_assert!(PrivateKey::from_input(&*file).is_err());
        let armoured = format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n", STANDARD.encode(&file));
        prop_assert!(PrivateKey::from_input(armoured.as_bytes()).is_err());
        prop_assert!(PrivateKey::from_input(STANDARD.encode(&file).as_bytes()).is_err());
    }
}
