//! Why a private key is refused, and what to do instead. No error contains any part of the key.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use domain::secret::{describe, shown};

/// Why a private key is refused. `Display` names the file, if it came from one, and tells what to do next.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKeyError {
    kind: PrivateKeyErrorKind,
    file: Option<PathBuf>,
}

/// What is wrong with a private key.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PrivateKeyErrorKind {
    /// What was given as the file's name is no name, but the text of a key or another secret.
    TextInPlaceOfFile,
    /// There is no such file.
    NotFound,
    /// The file cannot be read; the operating system's reason.
    Unreadable(String),
    /// Other users of the machine may read the file.
    Permissions {
        /// The permission bits, such as `0o644`.
        mode: u32,
    },
    /// Nothing but blanks.
    Empty,
    /// The public half, or another public key.
    PublicKey,
    /// A passphrase protects it.
    PassphraseProtected,
    /// The two halves in the file do not belong together.
    HalvesDiffer,
    /// This file beside it holds another key, or none.
    PublicFileDiffers(PathBuf),
    /// More than one key.
    SeveralKeys,
    /// More was lost than line breaks.
    Damaged,
    /// A PuTTY `.ppk` file.
    Putty,
    /// PEM other than OpenSSH's, with another key than Ed25519.
    Pem,
    /// A key of a type that Keyward does not support.
    UnsupportedKeyType,
    /// An unknown format.
    NotAPrivateKey,
}

impl PrivateKeyError {
    pub(crate) fn in_file(kind: PrivateKeyErrorKind, file: &Path) -> Self {
        Self { kind, file: Some(file.to_owned()) }
    }

    pub(crate) fn in_text(kind: PrivateKeyErrorKind) -> Self {
        Self { kind, file: None }
    }

    /// What is wrong, for programs.
    #[must_use]
    pub fn kind(&self) -> &PrivateKeyErrorKind {
        &self.kind
    }
}

impl std::error::Error for PrivateKeyError {}

/// The name of a file may be a secret that was given in its place.
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
            None => f.write_str("the private key: ")?,
        }
        // In a command that people copy, a name or nothing.
        let file = name.filter(|name| describe(name).is_none()).unwrap_or_else(|| "FILE".to_owned());
        match &self.kind {
            Kind::TextInPlaceOfFile => f.write_str(
                "its text, or another secret, was given where the name of its file belongs, and is not shown: name the file, \
                 or put the text into KEYWARD_KEY",
            ),
            Kind::NotFound => write!(f, "there is no such file: make a key with `keyward keygen -f {file}`"),
            Kind::Unreadable(reason) => write!(f, "cannot be read ({reason}): check the path and its permissions"),
            Kind::Permissions { mode } => write!(
                f,
                "other users of this machine may read it (mode {mode:03o}): run `chmod 600 {file}`, and make a new key \
                 if they should not be trusted"
            ),
            Kind::Empty => f.write_str("it is empty: check that the file or secret was filled"),
            Kind::PublicKey => {
                f.write_str("this is the public key: the private one is in the file of the same name without `.pub`")
            }
            Kind::PassphraseProtected => write!(
                f,
                "it is protected by a passphrase: add it to ssh-agent with `ssh-add {file}` and pass `--agent`, or take the \
                 passphrase off with `ssh-keygen -p -f {file}` (leave the new one empty), or make a key for this program \
                 with `keyward keygen`"
            ),
            Kind::HalvesDiffer => f.write_str(
                "its public and its private half do not belong together, and signing with it could give the key away: \
                 restore it from a copy, or make a new key with `keyward keygen`",
            ),
            Kind::PublicFileDiffers(public) => write!(
                f,
                "{0} beside it holds another key or none: if {file} is the right one, run `ssh-keygen -y -f {file} > {0}`",
                shown(&public.to_string_lossy())
            ),
            Kind::SeveralKeys => f.write_str("there is more than one key: keep one"),
            Kind::Damaged => f.write_str(
                "it is damaged: lost line breaks would have been put right, but more is missing or changed; store it \
                 again from the original file, or pass the file itself (`--key`, `KEYWARD_KEY_FILE`)",
            ),
            Kind::Putty => f.write_str(
                "this is a PuTTY file: convert it with `puttygen FILE -O private-openssh -o NEW_FILE` and use that",
            ),
            Kind::Pem => write!(
                f,
                "this is a PEM key, of which only Ed25519 is read: convert it to the OpenSSH format with `ssh-keygen \
                 -p -N '' -f {file}`, or make a new key with `keyward keygen`"
            ),
            Kind::UnsupportedKeyType => f.write_str(
                "keys of this type are not taken (Ed25519, RSA of 2048 to 4096 bits and ECDSA on P-256 or P-384 are): \
                 make a new key with `keyward keygen`",
            ),
            Kind::NotAPrivateKey => f.write_str(
                "this is no private key: it begins with `-----BEGIN OPENSSH PRIVATE KEY-----`; a file's name belongs \
                 into `--key` or `KEYWARD_KEY_FILE`",
            ),
        }
    }
}
