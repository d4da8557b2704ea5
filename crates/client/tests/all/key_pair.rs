//! New key pairs equal those of `ssh-keygen`, and existing files are not overwritten.

use std::{fs, path::Path};

use client::{PrivateKey, SystemRandom, WriteKeyPairError, generate_key_pair};

use crate::{ssh_keygen, still::CountingRandom};

#[test]
fn ssh_keygen_reads_written_key_pairs() {
    for comment in ["", "a", "build robot", "seven..", "eight...", "me@example.com", "Zoë"] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("id.robot");
        let pair = generate_key_pair(&SystemRandom, comment);
        pair.write_key_pair(&file).unwrap();

        let from_private = ssh_keygen::run(&["-y", "-f", file.to_str().unwrap()]);
        assert_eq!(from_private.trim_end(), pair.public_openssh);
        let public_file = directory.path().join("id.robot.pub");
        assert_eq!(fs::read_to_string(&public_file).unwrap(), format!("{}\n", pair.public_openssh));
        let listed = ssh_keygen::run(&["-l", "-f", public_file.to_str().unwrap()]);
        assert!(listed.contains(&pair.fingerprint), "{listed}");

        let key = PrivateKey::from_file(&file).unwrap();
        assert_eq!(key.fingerprint(), pair.fingerprint);
        assert_eq!(key.comment(), comment);
    }
}

#[test]
fn the_bytes_are_those_that_an_independent_writer_makes() {
    for comment in ["", "me", "build robot"] {
        let ours = generate_key_pair(&CountingRandom::default(), comment).private_openssh;
        let theirs = ssh_key::PrivateKey::from_openssh(&*ours).unwrap().to_openssh(ssh_key::LineEnding::LF).unwrap();
        assert_eq!(ours, theirs);
        assert_eq!(ours.lines().nth(1).unwrap().len(), 70);
    }
}

#[test]
fn control_characters_do_not_get_into_a_comment() {
    let pair = generate_key_pair(&SystemRandom, " me\nssh-ed25519 AAAA\0 ");
    assert!(pair.public_openssh.ends_with(" me ssh-ed25519 AAAA"), "{}", pair.public_openssh);
    assert!(!format!("{pair:?}").contains("PRIVATE"));
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_the_private_file() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("id");
    generate_key_pair(&SystemRandom, "").write_key_pair(&file).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(&file.with_extension("pub")) & 0o200, 0o200);
}

#[test]
fn nothing_is_overwritten_and_nothing_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("id");
    let public_file = directory.path().join("id.pub");
    let pair = generate_key_pair(&SystemRandom, "");
    for existing in [&file, &public_file] {
        fs::write(existing, "precious").unwrap();
        let error = pair.write_key_pair(&file).unwrap_err();
        assert!(matches!(&error, WriteKeyPairError::Exists(path) if path == existing), "{error}");
        assert_eq!(fs::read_to_string(existing).unwrap(), "precious");
        fs::remove_file(existing).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
    let nowhere = directory.path().join("missing").join("id");
    assert!(matches!(pair.write_key_pair(&nowhere), Err(WriteKeyPairError::Io { .. })));
}
