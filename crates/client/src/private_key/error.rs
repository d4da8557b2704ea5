//! Why a private key is refused, and how to correct it. The errors contain no part of the key.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use domain::{
    private_key::PrivateKeyFormat,
    secret::{describe, shown},
};

/// Why a private key is refused. `Display` contains the file, if there is one, and says what to do next.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKeyError {
    kind: PrivateKeyErrorKind,
    file: Option<PathBuf>,
    is_input: bool,
}

/// The kinds of errors in a private key.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PrivateKeyErrorKind {
    /// The text of a key or another secret was passed instead of a file name.
    TextInPlaceOfFile,
    /// The file does not exist.
    NotFound,
    /// The file cannot be read. Contains the operating system's reason.
    Unreadable(String),
    /// Other users of the machine may read the file.
    Permissions {
        /// The permission bits, such as `0o644`.
        mode: u32,
    },
    /// Only blank characters.
    Empty,
    /// The public key, or another public key.
    PublicKey,
    /// It is protected by a passphrase.
    PassphraseProtected(ProtectedFormat),
    /// The private key and the public key in the file do not match.
    HalvesDiffer,
    /// This file beside it contains another key.
    PublicFileDiffers(PathBuf),
    /// More than one key.
    SeveralKeys,
    /// More than line breaks was lost.
    Damaged,
    /// Base64 of base64 of a key.
    EncodedTwice,
    /// A PKCS#12 file (`.pfx`, `.p12`).
    Pkcs12,
    /// A PuTTY file of a version other than 2 and 3.
    PuttyVersion(String),
    /// A key of an unsupported type, with its name.
    UnsupportedKeyType(String),
    /// A private key in an unsupported format.
    UnsupportedFormat(PrivateKeyFormat),
    /// An X.509 certificate, or a request for one.
    Certificate,
    /// An unknown format.
    NotAPrivateKey,
}

/// The format of a file with a passphrase. It determines the command that removes the passphrase.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ProtectedFormat {
    /// OpenSSH's format.
    OpenSsh,
    /// The PEM of PKCS#1 and SEC 1, with `Proc-Type: 4,ENCRYPTED`.
    Pem,
    /// PKCS#8 in PEM.
    Pkcs8,
    /// PKCS#8 in DER.
    Pkcs8Der,
    /// PuTTY's format.
    Putty,
}

impl PrivateKeyErrorKind {
    /// Returns whether the input is not a private key.
    #[must_use]
    pub fn is_no_private_key(&self) -> bool {
        matches!(self, Self::NotAPrivateKey | Self::Certificate | Self::PublicKey | Self::Empty)
    }

    /// Returns a code for each kind, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TextInPlaceOfFile => "text_in_place_of_file",
            Self::NotFound => "not_found",
            Self::Unreadable(_) => "unreadable",
            Self::Permissions { .. } => "permissions",
            Self::Empty => "empty",
            Self::PublicKey => "public",
            Self::PassphraseProtected(_) => "passphrase",
            Self::HalvesDiffer => "halves",
            Self::PublicFileDiffers(_) => "public_file_differs",
            Self::SeveralKeys => "several",
            Self::Damaged => "damaged",
            Self::EncodedTwice => "base64-twice",
            Self::PuttyVersion(_) | Self::UnsupportedKeyType(_) | Self::UnsupportedFormat(_) => "unsupported",
            Self::Pkcs12 | Self::Certificate | Self::NotAPrivateKey => "no-key",
        }
    }
}

impl PrivateKeyError {
    pub(crate) fn in_file(kind: PrivateKeyErrorKind, file: &Path) -> Self {
        Self { kind, file: Some(file.to_owned()), is_input: false }
    }

    pub(crate) fn in_text(kind: PrivateKeyErrorKind) -> Self {
        Self { kind, file: None, is_input: false }
    }

    pub(crate) fn in_input(kind: PrivateKeyErrorKind) -> Self {
        Self { kind, file: None, is_input: true }
    }

    /// Returns the kind, for programs.
    #[must_use]
    pub fn kind(&self) -> &PrivateKeyErrorKind {
        &self.kind
    }
}

impl std::error::Error for PrivateKeyError {}

/// The file name may be a secret that was passed instead of it.
impl fmt::Debug for PrivateKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKeyError({self})")
    }
}

impl fmt::Display for PrivateKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use PrivateKeyErrorKind as Kind;
        let name = self.file.as_ref().map(|file| file.display().to_string());
        match &name {
            Some(name) => write!(f, "{}: ", shown(name))?,
            None if self.is_input => f.write_str("the private key on standard input: ")?,
            None => f.write_str("the private key: ")?,
        }
        // A command that users copy contains a file name or nothing.
        let file = name.filter(|name| describe(name).is_none()).map_or_else(|| "FILE".to_owned(), |name| word(&name));
        match &self.kind {
            Kind::TextInPlaceOfFile => f.write_str(
                "its text, or another secret, was given in place of the name of its file, and is not shown: name the \
                 file, or put the text into KEYWARD_KEY",
            ),
            Kind::NotFound => write!(f, "there is no such file: make a key with `keyward keygen -f {file}`"),
            Kind::Unreadable(reason) => write!(f, "cannot be read ({reason}): check the path and its permissions"),
            Kind::Permissions { mode } => write!(
                f,
                "other users of this machine can read it (mode {mode:03o}): run `chmod 600 {file}`, and make a new \
                 key if they should not be trusted; if its mode cannot be changed, pass it on standard input with \
                 `--key -`, or put its text into KEYWARD_KEY"
            ),
            Kind::Empty => f.write_str("it is empty: check that the file or secret was filled"),
            Kind::PublicKey => match self.file.as_deref().and_then(private_file_beside) {
                Some(private) => {
                    write!(f, "this is the public key: the private key is in {}", shown(&private.to_string_lossy()))
                }
                None => f.write_str(
                    "this is the public key: the private key is in another file, often of the same name without `.pub` \
                     or with `.pem`",
                ),
            },
            Kind::PassphraseProtected(format) => fmt_protected(f, *format, &file),
            Kind::HalvesDiffer => f.write_str(
                "its public key does not match its private key, and signing with it could disclose the private key: \
                 restore it from a copy, or make a new key with `keyward keygen`",
            ),
            Kind::PublicFileDiffers(public) => write!(
                f,
                "{0} next to it contains another key: if {file} is the right one, delete {0}",
                shown(&public.to_string_lossy())
            ),
            Kind::SeveralKeys => f.write_str("there is more than one key: keep one"),
            Kind::Damaged => f.write_str(
                "it is damaged: lost line breaks are restored, but more is missing or changed; store it again from \
                 the original file, or pass the file itself (`--key`, `KEYWARD_KEY_FILE`)",
            ),
            Kind::EncodedTwice => {
                f.write_str("it is encoded in base64 twice: store the text of the file, or encode it once")
            }
            Kind::Pkcs12 => write!(
                f,
                "this is a PKCS#12 file: take the key out of it with `openssl pkcs12 -in {file} -nodes -nocerts -out NEW_FILE` \
                 (on Windows in Git Bash), and use the new file"
            ),
            Kind::PuttyVersion(version) => write!(
                f,
                "this is a PuTTY file of version {version}, but only versions 2 and 3 are supported: save it again \
                 with `puttygen {file} -O private-openssh-new -o NEW_FILE`, or in PuTTYgen for Windows with Load and \
                 Save private key, and use the new file"
            ),
            Kind::UnsupportedKeyType(name) => write!(
                f,
                "keys of this type ({name}) are not supported; Ed25519, RSA of 2048 to 4096 bits and ECDSA on P-256 \
                 or P-384 are: make a new key with `keyward keygen`",
            ),
            Kind::UnsupportedFormat(format) => write!(
                f,
                "its format is not supported ({format}): export it as PEM or in the OpenSSH format, or make a new key \
                 with `keyward keygen`",
            ),
            Kind::Certificate => f.write_str(
                "this is a certificate, which contains a public key: the private key is in another file, often with \
                 `.key` at the end of its name",
            ),
            Kind::NotAPrivateKey => {
                f.write_str(
                    "this is not a private key: its file begins with `-----BEGIN OPENSSH PRIVATE KEY-----`, another BEGIN \
                     line of a private key, or `PuTTY-User-Key-File`",
                )?;
                match self.file {
                    Some(_) => Ok(()),
                    None => f.write_str("; a file name belongs in `--key` or `KEYWARD_KEY_FILE`"),
                }
            }
        }
    }
}

/// Returns the file that the private key of a public key file is usually in, if it exists.
fn private_file_beside(public: &Path) -> Option<PathBuf> {
    let has_public_name = public.extension().is_some_and(|extension| extension == "pub");
    let names = has_public_name.then(|| [public.with_extension(""), public.with_extension("pem")]);
    names.into_iter().flatten().find(|file| file.is_file())
}

/// Quotes a file name for a command, so that shells of Unix and Windows accept it.
fn word(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "._-/\\:~+@%,=".contains(c);
    if name.chars().all(is_plain) {
        name.to_owned()
    } else if name.contains(['"', '$', '`', '!']) {
        format!("'{}'", name.replace('\'', r"'\''"))
    } else {
        format!("\"{name}\"")
    }
}

/// The command depends on the format, because no program reads all of them.
fn fmt_protected(f: &mut fmt::Formatter<'_>, format: ProtectedFormat, file: &str) -> fmt::Result {
    match format {
        ProtectedFormat::OpenSsh | ProtectedFormat::Pem => write!(
            f,
            "it is protected by a passphrase: add it to ssh-agent with `ssh-add {file}` and pass `--agent`, or remove \
             the passphrase with `ssh-keygen -p -f {file}` (leave the new one empty)"
        )?,
        ProtectedFormat::Pkcs8 | ProtectedFormat::Pkcs8Der => {
            let der = if format == ProtectedFormat::Pkcs8Der { "-inform DER " } else { "" };
            write!(
                f,
                "it is protected by a passphrase (PKCS#8): remove the passphrase with `openssl pkcs8 -topk8 -nocrypt \
                 {der}-in {file} -out NEW_FILE` (on Windows in Git Bash) and use the new file"
            )?;
        }
        ProtectedFormat::Putty => write!(
            f,
            "it is protected by a passphrase (PuTTY): remove the passphrase with `puttygen {file} -O \
             private-openssh-new -o NEW_FILE --new-passphrase /dev/null`, or in PuTTYgen for Windows with Load, both \
             fields for the passphrase emptied, and Save private key, and use the new file"
        )?,
    }
    f.write_str("; or make a key for this program with `keyward keygen`")
}
