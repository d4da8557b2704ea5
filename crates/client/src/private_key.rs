//! Private keys in files and variables, and the errors in them. `key_pair` generates keys.

mod armour;
mod der;
mod error;
mod find;
mod jwk;
mod openssh;
mod parts;
mod permissions;
mod putty;

use std::{
    ffi::OsString,
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::{
    PublicKey,
    public_key::{PublicKeyError, UnsupportedKeyType},
    secret::{Secret, recognise, shown},
    text_encoding::to_utf8,
};
use http_signature::{SigningKey, SigningKeyError};
use zeroize::Zeroizing;

use self::armour::Armoured;
pub use self::{
    error::{PrivateKeyError, PrivateKeyErrorKind, ProtectedFormat},
    find::{FoundContent, FoundKey, find_private_keys, is_binary},
};
use crate::{ssh_signature::sign_message, ssh_wire};

/// Much more than the file of an RSA 4096 key has.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// A private key that can sign, with its public key.
#[derive(Clone)]
pub struct PrivateKey {
    signing_key: Arc<dyn SigningKey>,
    /// The same key with the padding of SSH signatures. The difference matters for RSA.
    ssh_signing_key: Arc<dyn SigningKey>,
    public_blob: Vec<u8>,
    ed25519: Option<[u8; 32]>,
    comment: String,
    warning: Option<String>,
}

/// The source of a private key.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file.
    File(PathBuf),
    /// The text itself, which is how CI systems pass secrets.
    Text(Zeroizing<String>),
    /// Standard input.
    Input,
}

impl KeySource {
    /// Chooses the first of these that is present: the file in the `--key` option, the file in `KEYWARD_KEY_FILE`, the
    /// text in `KEYWARD_KEY`. The name `-` means standard input. Empty variables count as absent, because CI systems
    /// set variables of missing secrets to an empty text.
    #[must_use]
    pub fn choose(
        option: Option<PathBuf>,
        file_variable: Option<OsString>,
        text_variable: Option<String>,
    ) -> Option<Self> {
        let file = option.or_else(|| file_variable.filter(|file| !file.is_empty()).map(PathBuf::from));
        let text = || text_variable.filter(|text| !text.trim().is_empty());
        let of_name = |file: PathBuf| if file.as_os_str() == "-" { Self::Input } else { Self::File(file) };
        file.map(of_name).or_else(|| text().map(|text| Self::Text(Zeroizing::new(text))))
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({})", shown(&path.to_string_lossy())),
            Self::Text(_) => f.write_str("Text(…)"),
            Self::Input => f.write_str("Input"),
        }
    }
}

impl PrivateKey {
    /// Reads the key from a source.
    ///
    /// # Errors
    /// As [`PrivateKey::from_file`], [`PrivateKey::from_text`] and [`PrivateKey::from_input`].
    pub fn load(source: &KeySource) -> Result<Self, PrivateKeyError> {
        match source {
            KeySource::File(path) => Self::from_file(path),
            KeySource::Text(text) => Self::from_text(text),
            KeySource::Input => Self::from_input(io::stdin().lock()),
        }
    }

    /// Reads a key file in a format of [`PrivateKey::from_text`]. A leading `~/` is replaced by the home directory,
    /// because the shell does not do this for variables.
    ///
    /// # Errors
    /// [`PrivateKeyError`], which says what to do. This includes a file that other users of the machine may read (on
    /// Unix), and a file with another key in the `.pub` file beside it. If the `.pub` file cannot be read, there is no
    /// error, but a [`PrivateKey::warning`]. Errors do not contain the text of a key that was passed instead of a file
    /// name.
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
        let mut key = Self::read(&bytes).map_err(fail)?;
        key.check_public_file(&path).map_err(fail)?;
        Ok(key)
    }

    /// Reads a key file that was found. As [`PrivateKey::from_file`], but other users of the machine may read it,
    /// and the `.pub` file beside it is ignored.
    ///
    /// # Errors
    /// [`PrivateKeyError`], which says what to do.
    pub fn from_found_file(path: &Path) -> Result<Self, PrivateKeyError> {
        if recognise(&path.to_string_lossy()).is_some_and(Secret::is_certain) {
            return Err(PrivateKeyError::in_text(PrivateKeyErrorKind::TextInPlaceOfFile));
        }
        let bytes = File::open(path).map_err(|error| unreadable(&error)).and_then(read_limited);
        bytes.and_then(|bytes| Self::read(&bytes)).map_err(|kind| PrivateKeyError::in_file(kind, path))
    }

    /// Reads the text of a key without passphrase: Ed25519, RSA of 2048 to 4096 bits, or ECDSA on P-256 and P-384, in
    /// the format of OpenSSH, in PEM or DER (PKCS#8, PKCS#1, SEC 1), as a JWK, or as a PuTTY file of version 2 or 3. It
    /// restores line breaks that were lost or became spaces or a literal `\n`, decodes base64 of the whole file,
    /// accepts UTF-16, and ignores text around the key.
    ///
    /// # Errors
    /// [`PrivateKeyError`], which says what to do.
    pub fn from_text(text: &str) -> Result<Self, PrivateKeyError> {
        Self::read(text.as_bytes()).map_err(PrivateKeyError::in_text)
    }

    /// Reads a key in a format of [`PrivateKey::from_text`] from a stream, such as standard input.
    ///
    /// # Errors
    /// [`PrivateKeyError`], which says what to do.
    pub fn from_input(input: impl Read) -> Result<Self, PrivateKeyError> {
        let bytes = read_limited(input).and_then(|bytes| Self::read(&bytes));
        bytes.map_err(PrivateKeyError::in_input)
    }

    fn read(bytes: &[u8]) -> Result<Self, PrivateKeyErrorKind> {
        match armour::read(bytes)? {
            Armoured::OpenSsh(bytes) => openssh::read(&bytes),
            Armoured::Pkcs1(der) => parts::rsa_key_of_pkcs1(&der, String::new()),
            Armoured::Pkcs8(der) => der::read_pkcs8(&der),
            Armoured::Sec1(der) => der::read_sec1(&der),
            Armoured::Der(der) => der::read_any(&der),
            Armoured::Jwk(jwk) => jwk::read(&jwk),
            Armoured::Putty(file) => putty::read(&file),
        }
    }

    /// Returns the signer of this key.
    #[must_use]
    pub fn signing_key(&self) -> Arc<dyn SigningKey> {
        Arc::clone(&self.signing_key)
    }

    /// Signs a message for a purpose, as `ssh-keygen -Y sign -n NAMESPACE` does, and returns the armoured signature. A
    /// signature for one namespace is not valid for another, and never for a request.
    ///
    /// # Errors
    /// The key failed to sign.
    pub fn sign_message(&self, namespace: &str, message: &[u8]) -> Result<String, SigningKeyError> {
        sign_message(self.ssh_signing_key.as_ref(), &self.public_blob, namespace, message)
    }

    /// Returns the fingerprint of the public key: `SHA256:` and unpadded base64, as `ssh-keygen -l` prints it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        ssh_wire::fingerprint(&self.public_blob)
    }

    /// Returns the public key as an OpenSSH line with the comment, without line ending.
    #[must_use]
    pub fn public_openssh(&self) -> String {
        ssh_wire::public_openssh(&self.public_blob, &self.comment)
    }

    /// Returns the raw public key, if this is an Ed25519 key.
    #[must_use]
    pub fn ed25519_public_key(&self) -> Option<&[u8; 32]> {
        self.ed25519.as_ref()
    }

    /// Returns the comment in the file, which is often empty.
    #[must_use]
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// Returns a warning about a key that was read: its `.pub` file cannot be read.
    #[must_use]
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Refuses a `FILE.pub` with another key. A user could register one key and sign with the other. A `FILE.pub` that
    /// cannot be read is only a warning, because it does not affect signing.
    fn check_public_file(&mut self, path: &Path) -> Result<(), PrivateKeyErrorKind> {
        let public_path = public_path(path);
        let reason = match File::open(&public_path).and_then(read_to_limit) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => error.to_string(),
            Ok(bytes) => match parse_public_file(&bytes) {
                Ok(key) if key.blob() == self.public_blob => return Ok(()),
                Ok(_) => return Err(PrivateKeyErrorKind::PublicFileDiffers(public_path)),
                Err(error) if is_another_key(error) => return Err(PrivateKeyErrorKind::PublicFileDiffers(public_path)),
                Err(error) => error.to_string(),
            },
        };
        self.warning = Some(format!(
            "{} next to the private key cannot be read and was not compared with it: {reason}",
            shown(&public_path.to_string_lossy())
        ));
        Ok(())
    }
}

/// Parses the key in a `.pub` file, or in a line of an `authorized_keys` file, ignoring its options.
fn parse_public_file(bytes: &[u8]) -> Result<PublicKey, PublicKeyError> {
    let parsed = PublicKey::parse_file(bytes);
    if parsed != Err(PublicKeyError::KeyOptions) {
        return parsed.map(|parsed| parsed.key);
    }
    let bytes = to_utf8(bytes);
    let text = String::from_utf8_lossy(&bytes);
    let names = [" ssh-ed25519 ", " ssh-rsa ", " ecdsa-sha2-nistp256 ", " ecdsa-sha2-nistp384 "];
    let start = names.iter().filter_map(|name| text.find(name)).min().ok_or(PublicKeyError::KeyOptions)?;
    PublicKey::parse(&text[start..]).map(|parsed| parsed.key)
}

/// Returns whether the refused text is a public key of a type that Keyward does not support for private keys.
fn is_another_key(error: PublicKeyError) -> bool {
    use UnsupportedKeyType as Type;
    match error {
        PublicKeyError::Weak(_) => true,
        PublicKeyError::UnsupportedKeyType(kind) => !matches!(
            kind,
            Type::OpenSshCertificate | Type::X509Certificate | Type::CertificateRequest | Type::SignatureAlgorithm
        ),
        _ => false,
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.fingerprint())
    }
}

/// Returns `FILE.pub`, also if `FILE` contains dots.
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
    let read = File::open(path).and_then(read_to_limit);
    read.is_ok_and(|bytes| matches!(armour::read(&bytes), Err(PrivateKeyErrorKind::PublicKey)))
}

fn read_private_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, PrivateKeyErrorKind> {
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    permissions::check(&file).map_err(|error| unreadable(&error))??;
    read_limited(file)
}

fn read_limited(input: impl Read) -> Result<Zeroizing<Vec<u8>>, PrivateKeyErrorKind> {
    let bytes = read_to_limit(input).map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > MAX_FILE_BYTES { Err(PrivateKeyErrorKind::NotAPrivateKey) } else { Ok(bytes) }
}

/// Reads one byte more than the limit, to detect a file that is too long.
fn read_to_limit(input: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    input.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(error: &io::Error) -> PrivateKeyErrorKind {
    match error.kind() {
        io::ErrorKind::NotFound => PrivateKeyErrorKind::NotFound,
        _ => PrivateKeyErrorKind::Unreadable(error.to_string()),
    }
}
