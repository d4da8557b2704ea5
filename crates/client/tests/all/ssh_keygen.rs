//! Key pairs of the real `ssh-keygen`, in a temporary directory.

use std::{fs, path::PathBuf, process::Command};

use tempfile::TempDir;

/// A key pair on disk: `id` and `id.pub`.
pub(crate) struct KeyPair {
    directory: TempDir,
}

impl KeyPair {
    /// Runs `ssh-keygen` with these arguments, as in `["-t", "rsa", "-b", "2048"]`.
    pub(crate) fn generate(arguments: &[&str]) -> Self {
        let pair = Self { directory: tempfile::tempdir().unwrap() };
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

    pub(crate) fn private_text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    /// Returns the public key, without line ending.
    pub(crate) fn public_line(&self) -> String {
        fs::read_to_string(self.path().with_extension("pub")).unwrap().trim_end().to_owned()
    }

    /// Returns the fingerprint, as `ssh-keygen -l` prints it.
    pub(crate) fn fingerprint(&self) -> String {
        let listed = run(&["-l", "-f", self.path().to_str().unwrap()]);
        listed.split(' ').nth(1).unwrap().to_owned()
    }
}

/// Runs `ssh-keygen` and returns its output.
pub(crate) fn run(arguments: &[&str]) -> String {
    let output = Command::new("ssh-keygen").args(arguments).output().expect("ssh-keygen (OpenSSH) is installed");
    assert!(output.status.success(), "ssh-keygen {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
