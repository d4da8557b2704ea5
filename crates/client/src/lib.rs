//! Keyward's client library: private key files, and requests signed with them (RFC 9421). The command line uses it, and
//! so can other programs.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use client::{Client, ClientOptions, PrivateKey, Profile, Signer};
//!
//! let key = PrivateKey::from_file("id_ed25519".as_ref())?;
//! let client = Client::new(ClientOptions::new("https://keys.example.com", Signer::new(&key, Profile::Native)?))?;
//! let me: api::Me = client.get("/api/v1/me").await?;
//! println!("signed in as {}", me.principal.name);
//! # Ok(())
//! # }
//! ```
#![doc = ""]
#![doc = include_str!("../../../docs/client.md")]

mod agent;
mod client;
mod error;
#[cfg(feature = "tower")]
pub mod forward_auth;
mod key_pair;
mod private_key;
mod resolver;
mod retry;
mod signer;
mod ssh_signature;
mod ssh_wire;
mod system;

pub use http_signature::{Algorithm, Profile, SigningKey, SigningKeyError, mask_signature_base};

pub use crate::{
    agent::{Agent, AgentError, AgentKey},
    client::{Client, ClientOptions, Response},
    error::{ClientError, ClockSkew, ConnectCause},
    key_pair::{KeyPair, WriteKeyPairError, generate_key_pair},
    private_key::{
        FoundContent, FoundKey, KeySource, PrivateKey, PrivateKeyError, PrivateKeyErrorKind, ProtectedFormat,
        find_private_keys, is_binary,
    },
    signer::{SignError, SignedHeaders, Signer},
    system::{Clock, Random, SystemClock, SystemRandom},
};
