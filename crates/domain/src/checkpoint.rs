//! Checkpoints of the audit log: size and root in the C2SP tlog-checkpoint format, inside a C2SP signed note. The store
//! reads and writes the file of the key.
//!
//! <https://c2sp.org/tlog-checkpoint>, <https://c2sp.org/signed-note>

use std::{fmt, str::FromStr};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::{clock::Random, merkle::Hash};

/// The signature type of Ed25519 in signed notes.
const ED25519: u8 = 0x01;

/// The maximum number of signatures. Witnesses may add signatures, but no real note has so many.
const SIGNATURES_MAX: usize = 100;

/// The Ed25519 key of one installation. It is stored outside the database, so that a party that can rewrite the log
/// cannot sign for it.
#[derive(Clone)]
pub struct InstallationKey(SigningKey);

impl InstallationKey {
    /// Generates a key.
    #[must_use]
    pub fn generate(random: &dyn Random) -> Self {
        let mut seed = [0; 32];
        random.fill(&mut seed);
        Self::from_seed(&seed)
    }

    /// Creates the key of a 32-byte seed (RFC 8032 §5.1.5).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Returns the secret seed. It must be stored in the key's file only.
    #[must_use]
    pub fn seed(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Returns the public key (RFC 8032 §5.1.5), which the database stores to recognise the key.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Returns the key that verifies this key's checkpoints of the log `origin`.
    ///
    /// # Errors
    /// `origin` is not a valid name of a key.
    pub fn verifier_key(&self, origin: &str) -> Result<VerifierKey, CheckpointError> {
        VerifierKey::new(origin, self.0.verifying_key())
    }
}

impl fmt::Debug for InstallationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstallationKey(…)")
    }
}

/// Why a checkpoint, or the key that verifies it, is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The name of a log or key is empty or contains a space, a `+` or a control character.
    #[error("`{0}` cannot name a log: a name is not empty and contains no space, no `+` and no control character")]
    Name(String),
    /// The text does not follow the format.
    #[error("this is not a checkpoint: {0}; pass the complete file that `keyward` printed, with its last line break")]
    Malformed(&'static str),
    /// The text is not a verifier key.
    #[error("this is not a verifier key: {0}; it has the form NAME+8 HEX DIGITS+BASE64")]
    VerifierKey(&'static str),
    /// The checkpoint belongs to another log.
    #[error("this checkpoint is of the log `{found}`, not of `{expected}`: pass the one of this installation")]
    Origin {
        /// The expected log.
        expected: String,
        /// The log in the checkpoint.
        found: String,
    },
    /// The note has no signature by this key.
    #[error(
        "the checkpoint is not signed by the key `{0}`: it comes from another installation or its key was replaced"
    )]
    NotSigned(String),
    /// A signature has the id of this key, but is invalid.
    #[error("the checkpoint's signature by `{0}` is wrong: the file was changed after it was signed")]
    WrongSignature(String),
}

/// The size and root of a log at a time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The name of the log, such as `keyward/INSTALLATION_ID`.
    pub origin: String,
    /// The number of events.
    pub size: u64,
    /// The root of the Merkle tree over them.
    pub root: Hash,
    /// The number of the event of the latest restore in the log, from an extension line `restore NUMBER`. Checkpoints
    /// of events that the restore lost do not contain it.
    pub restored_at: Option<u64>,
}

/// The keyword of the extension line.
const RESTORE: &str = "restore ";

impl Checkpoint {
    /// Returns the signed note: three lines, after a restore a fourth, an empty line, and the signature.
    ///
    /// # Errors
    /// The origin is not a valid name of a log.
    pub fn sign(&self, key: &InstallationKey) -> Result<String, CheckpointError> {
        let verifier = key.verifier_key(&self.origin)?;
        let mut body = format!("{}\n{}\n{}\n", self.origin, self.size, BASE64_STANDARD.encode(self.root.0));
        if let Some(number) = self.restored_at {
            body = format!("{body}{RESTORE}{number}\n");
        }
        let mut signature = verifier.key_id().to_vec();
        signature.extend(key.0.sign(body.as_bytes()).to_bytes());
        Ok(format!("{body}\n— {} {}\n", self.origin, BASE64_STANDARD.encode(signature)))
    }

    /// Parses the text above the signatures. Lines after the third are extensions, and unknown extensions are ignored.
    fn parse_body(body: &str) -> Result<Self, CheckpointError> {
        let mut lines = body.split_terminator('\n');
        let origin = lines
            .next()
            .filter(|line| !line.is_empty())
            .ok_or(CheckpointError::Malformed("the name of its log is missing"))?;
        let size = lines
            .next()
            .and_then(|line| line.parse().ok().filter(|size: &u64| size.to_string() == line))
            .ok_or(CheckpointError::Malformed("its second line is not a size"))?;
        let root = lines
            .next()
            .and_then(|line| BASE64_STANDARD.decode(line).ok()?.try_into().ok())
            .ok_or(CheckpointError::Malformed("its third line is not a root hash"))?;
        let mut restored_at = None;
        for line in lines {
            if line.is_empty() {
                return Err(CheckpointError::Malformed("an extension line is empty"));
            }
            if let Some(number) = line.strip_prefix(RESTORE) {
                let number =
                    number.parse().map_err(|_| CheckpointError::Malformed("its restore line has no number"))?;
                restored_at = Some(number);
            }
        }
        Ok(Self { origin: origin.to_owned(), size, root: Hash(root), restored_at })
    }
}

/// The public key of an [`InstallationKey`] with the name of its log, printed as `NAME+HASH+KEY`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifierKey {
    name: String,
    key: VerifyingKey,
}

impl VerifierKey {
    fn new(name: &str, key: VerifyingKey) -> Result<Self, CheckpointError> {
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+') {
            return Err(CheckpointError::Name(name.to_owned()));
        }
        Ok(Self { name: name.to_owned(), key })
    }

    /// Returns the name of the log.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the first four bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key).
    fn key_id(&self) -> [u8; 4] {
        let digest = Sha256::new()
            .chain_update(&self.name)
            .chain_update([b'\n', ED25519])
            .chain_update(self.key.as_bytes())
            .finalize();
        [digest[0], digest[1], digest[2], digest[3]]
    }

    /// Parses a checkpoint of this key's log. It must have a valid signature by this key. Signatures by others
    /// (witnesses) are ignored.
    ///
    /// # Errors
    /// The note does not follow the format, is of another log, or is not signed by this key.
    pub fn open(&self, note: &str) -> Result<Checkpoint, CheckpointError> {
        // The body of a checkpoint has no empty line, so the first one ends it. Other signed notes may have several.
        let (body, signatures) = note
            .split_once("\n\n")
            .ok_or(CheckpointError::Malformed("there is no empty line before the signatures"))?;
        if !signatures.ends_with('\n') || note.chars().any(|c| c.is_control() && c != '\n') {
            return Err(CheckpointError::Malformed("it is truncated, or its lines do not end with a single line feed"));
        }
        let body = &note[..=body.len()];
        let checkpoint = Checkpoint::parse_body(body)?;
        if checkpoint.origin != self.name {
            return Err(CheckpointError::Origin { expected: self.name.clone(), found: checkpoint.origin });
        }
        self.verify_signatures(body, signatures)?;
        Ok(checkpoint)
    }

    fn verify_signatures(&self, body: &str, signatures: &str) -> Result<(), CheckpointError> {
        let mut signed = false;
        for (number, line) in signatures.split_terminator('\n').enumerate() {
            if number == SIGNATURES_MAX {
                return Err(CheckpointError::Malformed("it has more than 100 signatures"));
            }
            let (name, bytes) = line
                .strip_prefix("— ")
                .and_then(|line| line.split_once(' '))
                .and_then(|(name, text)| Some((name, BASE64_STANDARD.decode(text).ok()?)))
                .ok_or(CheckpointError::Malformed("a signature line does not have the form `— NAME BASE64`"))?;
            let Some((key_id, signature)) = bytes.split_first_chunk::<4>().filter(|(_, rest)| !rest.is_empty()) else {
                return Err(CheckpointError::Malformed("a signature is too short"));
            };
            if name != self.name || *key_id != self.key_id() {
                continue;
            }
            Signature::from_slice(signature)
                .and_then(|signature| self.key.verify_strict(body.as_bytes(), &signature))
                .map_err(|_| CheckpointError::WrongSignature(self.name.clone()))?;
            signed = true;
        }
        if signed { Ok(()) } else { Err(CheckpointError::NotSigned(self.name.clone())) }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519];
        key.extend(self.key.as_bytes());
        write!(f, "{}+{:08x}+{}", self.name, u32::from_be_bytes(self.key_id()), BASE64_STANDARD.encode(key))
    }
}

impl FromStr for VerifierKey {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let mut parts = text.trim_end().splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(CheckpointError::VerifierKey("it does not have three parts"));
        };
        let key = BASE64_STANDARD.decode(key).map_err(|_| CheckpointError::VerifierKey("its key is not base64"))?;
        let Some((&ED25519, key)) = key.split_first() else {
            return Err(CheckpointError::VerifierKey("its key is not of the type Ed25519"));
        };
        let key = <&[u8; 32]>::try_from(key)
            .ok()
            .and_then(|key| VerifyingKey::from_bytes(key).ok())
            .ok_or(CheckpointError::VerifierKey("its key is not an Ed25519 key"))?;
        let verifier = Self::new(name, key)?;
        if format!("{:08x}", u32::from_be_bytes(verifier.key_id())) != hash {
            return Err(CheckpointError::VerifierKey("its hash does not match its name and key"));
        }
        Ok(verifier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> InstallationKey {
        InstallationKey::from_seed(&[7; 32])
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: "keyward/test".into(), size: 8, root: Hash::leaf(b"root"), restored_at: None }
    }

    fn verifier() -> VerifierKey {
        key().verifier_key("keyward/test").unwrap()
    }

    // The example of the Go reference implementation, golang.org/x/mod/sumdb/note.
    const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const GO_TEXT: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n";
    const GO_SIGNATURES: &str =
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn the_reference_implementations_note_verifies() {
        let verifier: VerifierKey = GO_KEY.parse().unwrap();
        assert_eq!(verifier.to_string(), GO_KEY);
        assert_eq!(verifier.verify_signatures(GO_TEXT, GO_SIGNATURES), Ok(()));
        assert_eq!(
            verifier.verify_signatures(&GO_TEXT.replace("your", "my"), GO_SIGNATURES),
            Err(CheckpointError::WrongSignature("PeterNeumann".into()))
        );
    }

    #[test]
    fn a_signed_checkpoint_reads_back_with_the_printed_verifier_key() {
        let note = checkpoint().sign(&key()).unwrap();
        assert!(note.starts_with("keyward/test\n8\n") && note.contains("\n\n— keyward/test "), "{note}");
        let printed: VerifierKey = verifier().to_string().parse().unwrap();
        assert_eq!(printed.open(&note), Ok(checkpoint()));
    }

    #[test]
    fn a_checkpoint_after_a_restore_names_it_in_a_line_that_is_signed() {
        let after = Checkpoint { restored_at: Some(5), ..checkpoint() };
        let note = after.sign(&key()).unwrap();
        assert!(note.contains("\nrestore 5\n\n— "), "{note}");
        assert_eq!(verifier().open(&note), Ok(after));
        for changed in [note.replace("restore 5", "restore 4"), note.replace("restore 5\n", "")] {
            assert_eq!(verifier().open(&changed), Err(CheckpointError::WrongSignature("keyward/test".into())));
        }
        let body = format!("keyward/test\n8\n{}\n", BASE64_STANDARD.encode([0; 32]));
        assert!(Checkpoint::parse_body(&format!("{body}restore x\n")).is_err());
        assert_eq!(Checkpoint::parse_body(&format!("{body}others' words\n")).unwrap().restored_at, None);
    }

    #[test]
    fn a_witness_may_sign_too_and_may_not_sign_alone() {
        let note = checkpoint().sign(&key()).unwrap();
        let (body, ours) = note.split_once("\n\n").unwrap();
        let witness = format!("— witness.example/w {}\n", BASE64_STANDARD.encode([9; 76]));
        assert_eq!(verifier().open(&format!("{body}\n\n{witness}{ours}")), Ok(checkpoint()));
        assert_eq!(
            verifier().open(&format!("{body}\n\n{witness}")),
            Err(CheckpointError::NotSigned("keyward/test".into()))
        );
    }

    #[test]
    fn no_byte_of_a_checkpoint_can_be_changed() {
        let note = checkpoint().sign(&key()).unwrap();
        for at in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= 1;
            if let Ok(changed) = String::from_utf8(bytes) {
                assert!(verifier().open(&changed).is_err(), "{changed}");
            }
            assert!(note.get(..at).is_none_or(|cut| verifier().open(cut).is_err()), "cut at {at}");
        }
    }

    #[test]
    fn another_key_or_another_log_is_refused() {
        let other = InstallationKey::from_seed(&[8; 32]);
        let note = checkpoint().sign(&other).unwrap();
        assert_eq!(verifier().open(&note), Err(CheckpointError::NotSigned("keyward/test".into())));
        let note = Checkpoint { origin: "keyward/other".into(), ..checkpoint() }.sign(&key()).unwrap();
        assert!(matches!(verifier().open(&note), Err(CheckpointError::Origin { .. })));
    }

    #[test]
    fn a_size_has_one_spelling() {
        for size in ["08", "+8", "", "-8", "8 "] {
            let body = format!("keyward/test\n{size}\n{}\n", BASE64_STANDARD.encode([0; 32]));
            assert!(Checkpoint::parse_body(&body).is_err(), "{size:?}");
        }
    }

    #[test]
    fn a_name_that_would_break_the_format_is_refused() {
        for name in ["", "a b", "a+b", "a\nb", "a\u{2003}b"] {
            assert_eq!(key().verifier_key(name), Err(CheckpointError::Name(name.into())));
        }
    }

    #[test]
    fn a_verifier_key_with_a_wrong_part_is_refused() {
        let printed = verifier().to_string();
        for wrong in [
            printed.replacen("keyward/test", "keyward/rest", 1),
            printed.replacen('+', "", 1),
            printed[..printed.len() - 4].to_owned(),
            format!("{printed}A"),
        ] {
            assert!(wrong.parse::<VerifierKey>().is_err(), "{wrong}");
        }
    }
}
