//! Keys in an ssh-agent (draft-ietf-sshm-ssh-agent). The agent signs and keeps the private key. The protocol has four
//! messages, and existing crates for it depend on a second implementation of cryptography.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::secret::{quoted, shown};
use http_signature::{Algorithm, SigningKey, SigningKeyError};

use crate::{
    ssh_signature::sign_message,
    ssh_wire::{self, Malformed, Reader, put_string},
};

const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
/// SSH_AGENT_RSA_SHA2_256. Without it, an agent signs with SHA-1.
const RSA_SHA2_256: u32 = 2;
/// The limit of OpenSSH's own client.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// An ssh-agent, identified by its socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agent {
    socket: PathBuf,
}

/// A key in an agent of a supported type: Ed25519, ECDSA on P-256 or P-384, or RSA.
#[derive(Clone)]
pub struct AgentKey {
    agent: Agent,
    kind: Kind,
    blob: Vec<u8>,
    comment: String,
}

/// Why an agent has no key to sign with. `Display` says what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// `SSH_AUTH_SOCK` is not set.
    #[error(
        "no ssh-agent was found (SSH_AUTH_SOCK is not set): start one with `eval \"$(ssh-agent)\"`, then add the key \
         with `ssh-add FILE`"
    )]
    NotRunning,
    /// It does not answer, or violates the protocol.
    #[error(
        "the ssh-agent at {} cannot be reached ({reason}): check that it is running, and that SSH_AUTH_SOCK is its socket",
        shown(&socket.to_string_lossy())
    )]
    Unreachable {
        /// Its socket.
        socket: PathBuf,
        /// The reason.
        reason: String,
    },
    /// It has no key of a supported type.
    #[error(
        "the ssh-agent holds no key that Keyward supports: add one with `ssh-add FILE` (`ssh-add -l` lists what it \
         holds)"
    )]
    NoKey,
    /// It has several keys, and the caller did not choose one.
    #[error("the ssh-agent holds several keys: choose one by its fingerprint or comment{}", list(known))]
    Several {
        /// The fingerprint and comment of each.
        known: Vec<String>,
    },
    /// It has no key with that name, or several.
    #[error(
        "there is not exactly one key called {name} in the ssh-agent: choose one by its fingerprint{}",
        list(known)
    )]
    NotFound {
        /// The requested name in backticks, or a description of it if it may be a secret.
        name: String,
        /// The fingerprint and comment of each key.
        known: Vec<String>,
    },
}

/// The content of a key's blob.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ed25519([u8; 32]),
    /// The algorithm, and the length of a coordinate.
    Ecdsa(Algorithm, usize),
    Rsa,
}

impl Agent {
    /// Returns the agent at the socket in `SSH_AUTH_SOCK`.
    ///
    /// # Errors
    /// [`AgentError::NotRunning`] if the variable is not set.
    pub fn from_environment() -> Result<Self, AgentError> {
        let socket = std::env::var_os("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty());
        socket.map(|socket| Self::at(PathBuf::from(socket))).ok_or(AgentError::NotRunning)
    }

    /// Returns the agent with this socket.
    #[must_use]
    pub fn at(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Returns its keys of supported types.
    ///
    /// # Errors
    /// [`AgentError::Unreachable`] if it does not answer.
    pub fn list_keys(&self) -> Result<Vec<AgentKey>, AgentError> {
        let answer = self.ask(&[REQUEST_IDENTITIES]).map_err(|reason| self.unreachable(reason))?;
        self.read_keys(&answer).map_err(|Malformed| self.unreachable("its answer is malformed"))
    }

    /// Returns the key with this fingerprint or comment, or the only key.
    ///
    /// # Errors
    /// [`AgentError`], with the keys to choose from.
    pub fn find_key(&self, name: Option<&str>) -> Result<AgentKey, AgentError> {
        let mut keys = self.list_keys()?;
        let known = keys.iter().map(AgentKey::to_string).collect();
        if let Some(name) = name {
            keys.retain(|key| key.fingerprint() == name || key.comment == name);
        }
        match (keys.pop(), keys.is_empty(), name) {
            (Some(only), true, _) => Ok(only),
            (None, _, None) => Err(AgentError::NoKey),
            (_, _, None) => Err(AgentError::Several { known }),
            (_, _, Some(name)) => Err(AgentError::NotFound { name: quoted(name).to_string(), known }),
        }
    }

    fn read_keys(&self, answer: &[u8]) -> Result<Vec<AgentKey>, Malformed> {
        let mut reader = Reader::new(answer);
        if reader.byte()? != IDENTITIES_ANSWER {
            return Err(Malformed);
        }
        let mut keys = Vec::new();
        for _ in 0..reader.u32()? {
            let (blob, comment) = (reader.string()?, reader.string()?);
            // Certificates, security keys and unknown types are ignored.
            if let Some(kind) = Kind::of(blob) {
                let comment = String::from_utf8_lossy(comment).replace(char::is_control, " ");
                keys.push(AgentKey { agent: self.clone(), kind, blob: blob.to_vec(), comment });
            }
        }
        reader.end()?;
        Ok(keys)
    }

    /// Sends a message on its own connection, and reads the response.
    fn ask(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        exchange(&self.socket, message).map_err(|error| error.to_string())
    }

    fn unreachable(&self, reason: impl Into<String>) -> AgentError {
        AgentError::Unreachable { socket: self.socket.clone(), reason: reason.into() }
    }
}

impl AgentKey {
    /// Returns the signer of this key.
    #[must_use]
    pub fn signing_key(&self) -> Arc<dyn SigningKey> {
        Arc::new(self.clone())
    }

    /// Signs a message for a purpose, as `ssh-keygen -Y sign -n NAMESPACE` does, and returns the armoured signature.
    ///
    /// # Errors
    /// The agent refuses to sign.
    pub fn sign_message(&self, namespace: &str, message: &[u8]) -> Result<String, SigningKeyError> {
        sign_message(self, &self.blob, namespace, message)
    }

    /// Returns the fingerprint: `SHA256:` and unpadded base64, as `ssh-add -l` prints it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        ssh_wire::fingerprint(&self.blob)
    }

    /// Returns the public key as an OpenSSH line with the comment, without line ending.
    #[must_use]
    pub fn public_openssh(&self) -> String {
        ssh_wire::public_openssh(&self.blob, &self.comment)
    }

    /// Returns the raw public key, if this is an Ed25519 key.
    #[must_use]
    pub fn ed25519_public_key(&self) -> Option<&[u8; 32]> {
        match &self.kind {
            Kind::Ed25519(point) => Some(point),
            Kind::Ecdsa(..) | Kind::Rsa => None,
        }
    }

    /// Returns the comment that it was added with, often a file name.
    #[must_use]
    pub fn comment(&self) -> &str {
        &self.comment
    }

    fn read_signature(&self, answer: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut reader = Reader::new(answer);
        if reader.byte()? != SIGN_RESPONSE {
            return Err(Malformed);
        }
        let signature = reader.string()?;
        reader.end()?;
        let mut reader = Reader::new(signature);
        let (name, bytes) = (reader.string()?, reader.string()?);
        reader.end()?;
        match self.kind {
            Kind::Ed25519(_) if name == b"ssh-ed25519" && bytes.len() == 64 => Ok(bytes.to_vec()),
            Kind::Rsa if name == b"rsa-sha2-256" => Ok(bytes.to_vec()),
            Kind::Ecdsa(_, length) if name.starts_with(b"ecdsa-sha2-nistp") => {
                // RFC 5656 §3.1.2: r and s are mpints. RFC 9421 §3.3.4 uses their full length.
                let mut numbers = Reader::new(bytes);
                let mut fixed = numbers.positive_of(length)?;
                fixed.extend(numbers.positive_of(length)?);
                numbers.end()?;
                Ok(fixed)
            }
            _ => Err(Malformed),
        }
    }
}

impl SigningKey for AgentKey {
    fn algorithm(&self) -> Algorithm {
        match self.kind {
            Kind::Ed25519(_) => Algorithm::Ed25519,
            Kind::Ecdsa(algorithm, _) => algorithm,
            Kind::Rsa => Algorithm::RsaV1_5Sha256,
        }
    }

    fn sign(&self, base: &[u8]) -> Result<Vec<u8>, SigningKeyError> {
        let mut message = vec![SIGN_REQUEST];
        put_string(&mut message, &self.blob);
        put_string(&mut message, base);
        let flags = if self.kind == Kind::Rsa { RSA_SHA2_256 } else { 0 };
        message.extend_from_slice(&flags.to_be_bytes());
        let answer = self.agent.ask(&message).map_err(|reason| {
            let told = self.agent.unreachable(reason);
            SigningKeyError::new(told.to_string())
        })?;
        self.read_signature(&answer).map_err(|Malformed| {
            SigningKeyError::new(format!(
                "the ssh-agent did not sign with {self}: it may be locked (`ssh-add -X`), the key may have been \
                 removed or have expired (`ssh-add -l`), or the agent's prompt was declined"
            ))
        })
    }
}

impl fmt::Display for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.fingerprint(), self.comment)
    }
}

impl fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentKey({self})")
    }
}

impl Kind {
    fn of(blob: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(blob);
        match reader.string().ok()? {
            b"ssh-ed25519" => reader.string().ok()?.try_into().ok().map(Self::Ed25519),
            b"ecdsa-sha2-nistp256" => Some(Self::Ecdsa(Algorithm::EcdsaP256Sha256, 32)),
            b"ecdsa-sha2-nistp384" => Some(Self::Ecdsa(Algorithm::EcdsaP384Sha384, 48)),
            b"ssh-rsa" => Some(Self::Rsa),
            _ => None,
        }
    }
}

fn list(known: &[String]) -> String {
    known.iter().flat_map(|key| ["\n  ", key]).collect()
}

#[cfg(unix)]
fn exchange(socket: &Path, message: &[u8]) -> io::Result<Vec<u8>> {
    use std::{
        io::{Read, Write},
        os::unix::net::UnixStream,
        time::Duration,
    };
    /// An agent may ask its user for confirmation before it signs.
    const PATIENCE: Duration = Duration::from_mins(5);

    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut framed = Vec::with_capacity(4 + message.len());
    put_string(&mut framed, message);
    stream.write_all(&framed)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_ANSWER_BYTES {
        return Err(io::Error::other(format!("its answer claims to have {length} bytes")));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

#[cfg(not(unix))]
fn exchange(_: &Path, _: &[u8]) -> io::Result<Vec<u8>> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "ssh-agents need Unix sockets, which this system does not have"))
}
