//! Generates Ed25519 key pairs as `ssh-keygen -t ed25519 -N ""` does, and writes them into two files.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use domain::secret::shown;
use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use crate::{private_key::public_path, ssh_wire, ssh_wire::put_string, system::Random};

/// A new key pair in OpenSSH's formats.
#[derive(Clone)]
pub struct KeyPair {
    /// The private key file, which begins with `-----BEGIN OPENSSH PRIVATE KEY-----` and ends with a line feed. It has
    /// no passphrase.
    pub private_openssh: Zeroizing<String>,
    /// The line of the `.pub` file, without line ending.
    pub public_openssh: String,
    /// The fingerprint, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
}

/// Generates an Ed25519 key pair. Control characters in the comment become spaces.
#[must_use]
pub fn generate_key_pair(random: &dyn Random, comment: &str) -> KeyPair {
    let comment = comment.replace(char::is_control, " ");
    let comment = comment.trim();
    let mut seed = Zeroizing::new([0; 32]);
    random.fill(&mut *seed);
    let mut check = [0; 4];
    random.fill(&mut check);
    let signing_key = SigningKey::from_bytes(&seed);
    let point = signing_key.verifying_key().to_bytes();
    let blob = ssh_wire::ed25519_blob(&point);
    let body = Zeroizing::new(STANDARD.encode(private_bytes(&signing_key, &blob, check, comment)));
    let mut private_openssh = Zeroizing::new(String::with_capacity(512 + 2 * comment.len()));
    private_openssh.push_str("-----BEGIN OPENSSH PRIVATE KEY-----\n");
    for (at, character) in body.char_indices() {
        if at > 0 && at % 70 == 0 {
            private_openssh.push('\n');
        }
        private_openssh.push(character);
    }
    private_openssh.push_str("\n-----END OPENSSH PRIVATE KEY-----\n");
    let public_openssh = format!("ssh-ed25519 {} {comment}", STANDARD.encode(&blob)).trim_end().to_owned();
    KeyPair { private_openssh, public_openssh, fingerprint: ssh_wire::fingerprint(&blob) }
}

/// OpenSSH's PROTOCOL.key with cipher and kdf `none`.
fn private_bytes(key: &SigningKey, blob: &[u8], check: [u8; 4], comment: &str) -> Zeroizing<Vec<u8>> {
    let mut section = Zeroizing::new(Vec::with_capacity(256 + comment.len()));
    section.extend_from_slice(&check);
    section.extend_from_slice(&check);
    // A blob consists of type and point. The private section begins in the same way.
    section.extend_from_slice(blob);
    put_string(&mut section, &*Zeroizing::new(key.to_keypair_bytes()));
    put_string(&mut section, comment.as_bytes());
    let padding = section.len().next_multiple_of(8) - section.len();
    section.extend((1_u8..).take(padding));

    let mut bytes = Zeroizing::new(Vec::with_capacity(512 + 2 * comment.len()));
    bytes.extend_from_slice(b"openssh-key-v1\0");
    put_string(&mut bytes, b"none");
    put_string(&mut bytes, b"none");
    put_string(&mut bytes, b"");
    bytes.extend_from_slice(&1_u32.to_be_bytes());
    put_string(&mut bytes, blob);
    put_string(&mut bytes, &section);
    bytes
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({})", self.fingerprint)
    }
}

/// Why a key pair was not written. No file is left in that case.
#[derive(Debug, thiserror::Error)]
pub enum WriteKeyPairError {
    /// A file with this name exists.
    #[error("{} already exists and was not changed: choose another name, or move the file away first", shown(&.0.to_string_lossy()))]
    Exists(PathBuf),
    /// The operating system reported an error.
    #[error(
        "{} cannot be written ({source}): check that the directory exists and is yours",
        shown(&path.to_string_lossy())
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
}

impl KeyPair {
    /// Writes the private key to `path`, readable by its owner only, and the public key to `path` with the suffix
    /// `.pub`.
    ///
    /// # Errors
    /// [`WriteKeyPairError`] if either file exists or cannot be written. In that case, neither file is left.
    pub fn write_key_pair(&self, path: &Path) -> Result<(), WriteKeyPairError> {
        let public_path = public_path(path);
        if fs::symlink_metadata(&public_path).is_ok() {
            return Err(WriteKeyPairError::Exists(public_path));
        }
        write_new(path, &self.private_openssh, true)?;
        let line = format!("{}\n", self.public_openssh);
        // If the removal fails as well, the first error is returned, here and below.
        write_new(&public_path, &line, false).inspect_err(|_| drop(fs::remove_file(path)))
    }
}

fn write_new(path: &Path, text: &str, private: bool) -> Result<(), WriteKeyPairError> {
    let fail = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => WriteKeyPairError::Exists(path.to_owned()),
        _ => WriteKeyPairError::Io { path: path.to_owned(), source },
    };
    let mut file = create_new(path, private).map_err(fail)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(fail)
        .inspect_err(|_| drop(fs::remove_file(path)))
}

fn create_new(path: &Path, private: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if private { 0o600 } else { 0o644 });
    #[cfg(not(unix))]
    let _ = private;
    options.open(path)
}
