//! The real `ssh-keygen` verifies signatures of messages.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use client::PrivateKey;

use crate::ssh_keygen::KeyPair;

/// Returns whether `ssh-keygen -Y verify` accepts a signature of a message by this public key.
fn verifies(public_line: &str, namespace: &str, message: &[u8], signature: &str) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let (signers, file) = (directory.path().join("signers"), directory.path().join("message.sig"));
    std::fs::write(&signers, format!("me {public_line}\n")).unwrap();
    std::fs::write(&file, signature).unwrap();
    let mut verifier = Command::new("ssh-keygen");
    verifier.args(["-Y", "verify", "-I", "me", "-n", namespace, "-f"]).arg(&signers).arg("-s").arg(&file);
    let mut verifier = verifier.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    verifier.stdin.take().unwrap().write_all(message).unwrap();
    verifier.wait().unwrap().success()
}

#[test]
fn ssh_keygen_verifies_signatures_of_each_type_of_key() {
    for arguments in [
        &["-t", "ed25519"][..],
        &["-t", "rsa", "-b", "2048"],
        &["-t", "ecdsa", "-b", "256"],
        &["-t", "ecdsa", "-b", "384"],
    ] {
        let pair = KeyPair::generate(arguments);
        let key = PrivateKey::from_file(&pair.path()).unwrap();
        // About one in 128 ECDSA signatures has a number that begins with a zero byte.
        for message in 0..if arguments[1] == "ecdsa" { 40_u8 } else { 2 } {
            let signature = key.sign_message("keyward-proof", &[message]).unwrap();
            assert!(verifies(&pair.public_line(), "keyward-proof", &[message], &signature), "{arguments:?}");
            assert!(!verifies(&pair.public_line(), "another", &[message], &signature), "{arguments:?}");
            assert!(!verifies(&pair.public_line(), "keyward-proof", b"another", &signature), "{arguments:?}");
        }
    }
}
