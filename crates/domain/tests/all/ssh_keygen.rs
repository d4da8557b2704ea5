//! Key pairs of the real `ssh-keygen`, in a temporary directory.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// A key pair on disk.
pub(crate) struct KeyPair {
    directory: TempDir,
}

impl KeyPair {
    /// Runs `ssh-keygen` with these arguments, as in `["-t", "rsa", "-b", "2048"]`.
    pub(crate) fn generate(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let pair = Self { directory };
        let file = pair.path();
        let mut all = vec!["-q", "-C", "build robot", "-f", file.to_str().unwrap()];
        if !arguments.contains(&"-N") {
            all.extend(["-N", ""]);
        }
        all.extend(arguments);
        run(&all);
        pair
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("id")
    }

    pub(crate) fn public_path(&self) -> PathBuf {
        self.directory.path().join("id.pub")
    }

    pub(crate) fn private_text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    /// Returns the line of the `.pub` file, with its line ending.
    pub(crate) fn public_line(&self) -> String {
        fs::read_to_string(self.public_path()).unwrap()
    }

    /// Runs `ssh-keygen -e -m FORMAT`.
    pub(crate) fn export(&self, format: &str) -> String {
        run(&["-e", "-m", format, "-f", self.public_path().to_str().unwrap()])
    }

    /// Returns the fingerprint, as `ssh-keygen -l` prints it.
    pub(crate) fn fingerprint(&self) -> String {
        fingerprints(&self.public_path()).remove(0)
    }

    /// Returns the armoured SSHSIG of `message`.
    pub(crate) fn sign(&self, namespace: &str, options: &[&str], message: &str) -> String {
        let file = self.directory.path().join("message");
        fs::write(&file, message).unwrap();
        let key = self.path();
        let mut arguments = vec!["-q", "-Y", "sign", "-n", namespace, "-f", key.to_str().unwrap()];
        arguments.extend(options);
        arguments.push(file.to_str().unwrap());
        run(&arguments);
        let signature = file.with_extension("sig");
        let text = fs::read_to_string(&signature).unwrap();
        fs::remove_file(signature).unwrap();
        text
    }
}

/// The fingerprint of each line of a file of public keys.
pub(crate) fn fingerprints(file: &Path) -> Vec<String> {
    let listed = run(&["-l", "-f", file.to_str().unwrap()]);
    listed.lines().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect()
}

/// Runs `ssh-keygen` and returns its output.
pub(crate) fn run(arguments: &[&str]) -> String {
    let output = Command::new("ssh-keygen").args(arguments).output().expect("ssh-keygen (OpenSSH) is installed");
    assert!(output.status.success(), "ssh-keygen {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
