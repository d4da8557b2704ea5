//! A private key as it lies in a file or a variable, and all that may be wrong with one. Making keys is in `key_pair`.

mod armour;
mod error;
mod openssh;
mod pkcs8;

use std::{
    ffi::OsString,
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use domain::secret::{Secret, recognise, shown};
use http_signature::{SigningKey, SigningKeyError};
use zeroize::Zeroizing;

use self::armour::Armoured;
pub use self::error::{PrivateKeyError, PrivateKeyErrorKind};
use crate::{ssh_signature::sign_message, ssh_wire};

/// More than an RSA 4096 file has, by far.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// A private key that can sign, with its public half.
#[derive(Clone)]
pub struct PrivateKey {
    signing_key: Arc<dyn SigningKey>,
    /// The same key with the padding that SSH signatures have, which matters for RSA.
    ssh_signing_key: Arc<dyn SigningKey>,
    public_blob: Vec<u8>,
    ed25519: Option<[u8; 32]>,
    comment: String,
}

/// Where a program was told to take its private key from.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file.
    File(PathBuf),
    /// The text itself, as CI secrets are passed.
    Text(Zeroizing<String>),
}

impl KeySource {
    /// The first that is given: the file of the `--key` option, that of `KEYWARD_KEY_FILE`, the text in `KEYWARD_KEY`.
    /// Empty variables count as absent, since CI systems set those of missing secrets so.
    #[must_use]
    pub fn choose(
        option: Option<PathBuf>,
        file_variable: Option<OsString>,
        text_variable: Option<String>,
    ) -> Option<Self> {
        let file = option.or_else(|| file_variable.filter(|file| !file.is_empty()).map(PathBuf::from));
        let text = || text_variable.filter(|text| !text.trim().is_empty());
        file.map(Self::File).or_else(|| text().map(|text| Self::Text(Zeroizing::new(text))))
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({})", shown(&path.to_string_lossy())),
            Self::Text(_) => f.write_str("Text(…)"),
        }
    }
}

impl PrivateKey {
    /// Reads the key from where it is.
    ///
    /// # Errors
    /// As [`PrivateKey::from_file`] and [`PrivateKey::from_text`].
    pub fn load(source: &KeySource) -> Result<Self, PrivateKeyError> {
        match source {
            KeySource::File(path) => Self::from_file(path),
            KeySource::Text(text) => Self::from_text(text),
        }
    }

    /// Reads a key file, in the formats of [`PrivateKey::from_text`]. A leading `~/` is the home directory, for paths
    /// that no shell has seen.
    ///
    /// # Errors
    /// [`PrivateKeyError`], which tells what to do; among others for a file that other users of the machine may read
    /// (on Unix), and for one that has another key in the `.pub` file beside it. No error repeats the text of a key that was
    /// given in place of the file's name.
    pub fn from_file(path: &Path) -> Result<Self, PrivateKeyError> {
        if recognise(&path.to_string_lossy()).is_some_and(Secret::is_certain) {
            return Err(PrivateKeyError::in_text(PrivateKeyErrorKind::TextInPlaceOfFile));
        }
        let path = expand_home(path);
        let fail = |kind| PrivateKeyError::in_file(kind, &path);
        let bytes = read_private_file(&path).map_err(|kind| match kind {
            // A public key is not secret, but it is the wrong file.
            PrivateKeyErrorKind::Permissions { .. } if is_public_file(&path) => fail(PrivateKeyErrorKind::PublicKey),
            kind => fail(kind),
        })?;
        let text = std::str::from_utf8(&bytes).map_err(|_| fail(PrivateKeyErrorKind::NotAPrivateKey))?;
        let key = Self::read(text).map_err(fail)?;
        key.check_public_file(&path).map_err(fail)?;
        Ok(key)
    }

    /// Reads a key's text: the OpenSSH format (Ed25519, RSA of 2048 to 4096 bits, ECDSA on P-256 and P-384), or
    /// unencrypted PKCS#8 PEM with an Ed25519 key. Line breaks that were lost on the way, or became spaces or a literal
    /// `\n`, are put right.
    ///
    /// # Errors
    /// [`PrivateKeyError`], which tells what to do.
    pub fn from_text(text: &str) -> Result<Self, PrivateKeyError> {
        Self::read(text).map_err(PrivateKeyError::in_text)
    }

    fn read(text: &str) -> Result<Self, PrivateKeyErrorKind> {
        match armour::read(text)? {
            Armoured::OpenSsh(bytes) => openssh::read(&bytes),
            Armoured::Pkcs8(der) => pkcs8::read(&der),
        }
    }

    /// What signs.
    #[must_use]
    pub fn signing_key(&self) -> Arc<dyn SigningKey> {
        Arc::clone(&self.signing_key)
    }

    /// Signs a message for a purpose, as `ssh-keygen -Y sign -n NAMESPACE` does; answers the armoured signature. What is signed
    /// for one namespace is good for no other, and never for a request.
    ///
    /// # Errors
    /// The key does not sign.
    pub fn sign_message(&self, namespace: &str, message: &[u8]) -> Result<String, SigningKeyError> {
        sign_message(self.ssh_signing_key.as_ref(), &self.public_blob, namespace, message)
    }

    /// The fingerprint of the public half: `SHA256:` and unpadded base64, as `ssh-keygen -l` prints it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        ssh_wire::fingerprint(&self.public_blob)
    }

    /// The public half as an OpenSSH line with the comment, without line end.
    #[must_use]
    pub fn public_openssh(&self) -> String {
        ssh_wire::public_openssh(&self.public_blob, &self.comment)
    }

    /// The raw public key, if this is an Ed25519 key.
    #[must_use]
    pub fn ed25519_public_key(&self) -> Option<&[u8; 32]> {
        self.ed25519.as_ref()
    }

    /// The comment in the file, often empty.
    #[must_use]
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// A `FILE.pub` that holds another key would lead to registering one key and signing with the other.
    fn check_public_file(&self, path: &Path) -> Result<(), PrivateKeyErrorKind> {
        let public_path = public_path(path);
        let text = match std::fs::read_to_string(&public_path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(_) => return Err(PrivateKeyErrorKind::PublicFileDiffers(public_path)),
        };
        let blob = text.split_ascii_whitespace().nth(1).and_then(|encoded| STANDARD.decode(encoded).ok());
        if blob.is_some_and(|blob| blob == self.public_blob) {
            Ok(())
        } else {
            Err(PrivateKeyErrorKind::PublicFileDiffers(public_path))
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.fingerprint())
    }
}

/// `FILE.pub`, whatever dots are in `FILE`.
pub(crate) fn public_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}

fn expand_home(path: &Path) -> PathBuf {
    let home = path.strip_prefix("~").ok().and_then(|rest| Some(std::env::home_dir()?.join(rest)));
    home.unwrap_or_else(|| path.to_owned())
}

fn is_public_file(path: &Path) -> bool {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text));
    read.is_ok() && matches!(armour::read(&text), Err(PrivateKeyErrorKind::PublicKey))
}

fn read_private_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, PrivateKeyErrorKind> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => PrivateKeyErrorKind::NotFound,
        _ => PrivateKeyErrorKind::Unreadable(error.to_string()),
    };
    let file = File::open(path).map_err(unreadable)?;
    check_permissions(&file).map_err(unreadable)??;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES { Err(PrivateKeyErrorKind::NotAPrivateKey) } else { Ok(bytes) }
}

/// Of regular files only: a pipe's mode says nothing.
#[cfg(unix)]
fn check_permissions(file: &File) -> io::Result<Result<(), PrivateKeyErrorKind>> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = file.metadata()?;
    let mode = metadata.permissions().mode() & 0o777;
    let is_open = metadata.is_file() && mode & 0o077 != 0;
    Ok(if is_open { Err(PrivateKeyErrorKind::Permissions { mode }) } else { Ok(()) })
}

#[cfg(not(unix))]
fn check_permissions(_: &File) -> io::Result<Result<(), PrivateKeyErrorKind>> {
    Ok(Ok(()))
}
