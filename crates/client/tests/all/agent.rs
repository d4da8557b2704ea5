//! Keys in OpenSSH's own agent.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use client::{Agent, AgentError, AgentKey, PrivateKey, Profile, Signer};
use http::{Method, Request};
use http_signature::{RequestView, SigningKey, UnverifiedSignature};

use crate::private_key::verification_key;

/// An `ssh-agent` in its own directory, until this is dropped.
struct RunningAgent {
    directory: tempfile::TempDir,
    process: Child,
}

impl RunningAgent {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // In the foreground, it prints its socket when it is ready.
        let mut process = Command::new("ssh-agent")
            .args(["-D", "-a"])
            .arg(directory.path().join("socket"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = process.stdout.as_mut().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
        assert!(line.starts_with("SSH_AUTH_SOCK="), "{line}");
        Self { directory, process }
    }

    fn agent(&self) -> Agent {
        Agent::at(self.path("socket"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Generates a key in a file with this name. The name is also its comment.
    fn ssh_keygen(&self, name: &str, kind: &[&str], passphrase: &str) {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-C", name, "-N", passphrase, "-f"])
            .arg(self.path(name))
            .args(kind)
            .status();
        assert!(made.unwrap().success());
    }

    fn ssh_add(&self, arguments: &[&str]) -> String {
        let output = Command::new("ssh-add")
            .args(arguments)
            .current_dir(self.directory.path())
            .env("SSH_AUTH_SOCK", self.path("socket"))
            .env("SSH_ASKPASS", self.path("askpass"))
            .env("SSH_ASKPASS_REQUIRE", "force")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Answers the prompt for a passphrase with this one.
    fn answer_askpass(&self, passphrase: &str) {
        use std::os::unix::fs::PermissionsExt;
        let script = self.path("askpass");
        std::fs::write(&script, format!("#!/bin/sh\necho '{passphrase}'\n")).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
}

impl Drop for RunningAgent {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Signs a request with the agent, and verifies it with the public key in `file`.
fn assert_signs(key: &AgentKey, file: &Path) {
    let text = std::fs::read_to_string(file).unwrap();
    let signer = Signer::with_agent(key, Profile::Native).unwrap();
    let mut request = Request::new(b"{}".to_vec());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = "https://keys.example.com/api/v1/me/keys".parse().unwrap();
    let headers = signer.sign(&mut request).unwrap();
    let view = RequestView {
        method: "POST",
        scheme: "https",
        authority: "keys.example.com",
        target: "/api/v1/me/keys",
        headers: request.headers(),
    };
    let unverified = UnverifiedSignature::parse(&view).unwrap().unwrap();
    unverified.verify(&verification_key(&text), headers.created).unwrap();
}

#[test]
fn each_type_of_key_makes_valid_signatures() {
    let running = RunningAgent::start();
    let kinds: [(&str, &[&str]); 4] = [
        ("ed25519", &["-t", "ed25519"]),
        ("p256", &["-t", "ecdsa", "-b", "256"]),
        ("p384", &["-t", "ecdsa", "-b", "384"]),
        ("rsa", &["-t", "rsa", "-b", "2048"]),
    ];
    for (name, kind) in kinds {
        running.ssh_keygen(name, kind, "");
        running.ssh_add(&["-q", name]);
    }
    let listed = running.ssh_add(&["-l"]);
    for (name, _) in kinds {
        let key = running.agent().find_key(Some(name)).unwrap();
        assert!(listed.contains(&format!(" {} {name} ", key.fingerprint())), "{listed}");
        let public = running.path(&format!("{name}.pub"));
        assert_eq!(key.public_openssh(), std::fs::read_to_string(&public).unwrap().trim());
        assert_signs(&key, &public);
        // Also by fingerprint. An ECDSA signature has its full length, even if its numbers are small.
        let key = running.agent().find_key(Some(&key.fingerprint())).unwrap();
        for round in 0..40_u8 {
            let length = key.sign(&[round]).unwrap().len();
            assert_eq!(
                length,
                if name == "p384" {
                    96
                } else if name == "rsa" {
                    256
                } else {
                    64
                }
            );
        }
    }
}

#[test]
fn a_key_with_a_passphrase_is_refused_as_a_file_and_signs_from_the_agent() {
    let running = RunningAgent::start();
    running.ssh_keygen("locked", &["-t", "ed25519"], "a passphrase");
    let refused = PrivateKey::from_file(&running.path("locked")).unwrap_err().to_string();
    assert!(refused.contains("ssh-agent"), "{refused}");
    running.answer_askpass("a passphrase");
    running.ssh_add(&["-q", "locked"]);
    let key = running.agent().find_key(None).unwrap();
    assert_signs(&key, &running.path("locked.pub"));
    // In both profiles, its key id is the same as for a key from a file.
    let encord = Signer::with_agent(&key, Profile::Encord).unwrap();
    assert_eq!(encord.key_id().len(), 64);
}

#[test]
fn ambiguous_keys_are_listed() {
    let running = RunningAgent::start();
    assert!(matches!(running.agent().find_key(None), Err(AgentError::NoKey)));
    // A key of an unsupported type is ignored.
    running.ssh_keygen("p521", &["-t", "ecdsa", "-b", "521"], "");
    running.ssh_add(&["-q", "p521"]);
    assert!(matches!(running.agent().find_key(None), Err(AgentError::NoKey)));
    for name in ["one", "two"] {
        running.ssh_keygen(name, &["-t", "ed25519"], "");
        running.ssh_add(&["-q", name]);
    }
    let several = running.agent().find_key(None).unwrap_err().to_string();
    assert!(several.contains(" one\n  SHA256:") && several.ends_with(" two"), "{several}");
    let unknown = running.agent().find_key(Some("three")).unwrap_err().to_string();
    assert!(unknown.contains("`three`") && unknown.contains(" two"), "{unknown}");
    assert_eq!(running.agent().find_key(Some("two")).unwrap().comment(), "two");
}

#[test]
fn an_agent_that_refuses_or_is_missing_is_reported() {
    let running = RunningAgent::start();
    running.ssh_keygen("id", &["-t", "ed25519"], "");
    running.ssh_add(&["-q", "id"]);
    let key = running.agent().find_key(None).unwrap();
    running.ssh_add(&["-q", "-D"]);
    let gone = key.sign(b"base").unwrap_err().to_string();
    assert!(gone.contains("did not sign with SHA256:") && gone.contains("ssh-add -l"), "{gone}");
    drop(running);
    let gone = key.sign(b"base").unwrap_err().to_string();
    assert!(gone.contains("cannot be reached"), "{gone}");
    let nowhere = Agent::at("/nowhere/socket".into()).list_keys().unwrap_err().to_string();
    assert!(nowhere.contains("/nowhere/socket") && nowhere.contains("SSH_AUTH_SOCK"), "{nowhere}");
}

#[test]
fn an_answer_that_is_none_is_refused_whatever_its_length_claims() {
    use std::io::{Read, Write};
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let answers: [&[u8]; 5] = [
        // Too long; shorter than announced; another message; a list that ends early; one with trailing bytes.
        &[0xff, 0xff, 0xff, 0xff],
        &[0, 0, 0, 9, 12],
        &[0, 0, 0, 1, 5],
        &[0, 0, 0, 5, 12, 0, 0, 0, 2],
        &[0, 0, 0, 6, 12, 0, 0, 0, 0, 0],
    ];
    let server = std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = [0; 5];
            stream.read_exact(&mut question).unwrap();
            assert_eq!(question, [0, 0, 0, 1, 11]);
            stream.write_all(answer).unwrap();
        }
    });
    for answer in answers {
        let refused = Agent::at(path.clone()).list_keys().unwrap_err();
        assert!(matches!(refused, AgentError::Unreachable { .. }), "{answer:?}: {refused}");
    }
    server.join().unwrap();
}
