//! Verification of what a private key signed for a purpose.

use std::net::{IpAddr, Ipv4Addr};

use domain::ssh_signature::{SshSignature, SshSignatureAlgorithm};
use http_signature::Algorithm;
use verifier::{directory::verification_key, rate_limit::Rate};

use crate::{app::App, error::AppError};

/// How many statements of one IP address are verified in a second. A burst may contain those of ten seconds.
const STATEMENTS_PER_SECOND: u32 = 10;

/// Returns which of these messages was signed. Returns `None` if it is none of them, or if the key cannot verify.
pub(super) fn find_signed<T>(signature: &SshSignature, candidates: impl IntoIterator<Item = (T, String)>) -> Option<T> {
    let key = verification_key(signature.public_key())?;
    let value = signature.signature();
    let algorithm = match value.algorithm {
        SshSignatureAlgorithm::Ed25519 => Algorithm::Ed25519,
        SshSignatureAlgorithm::EcdsaP256 => Algorithm::EcdsaP256Sha256,
        SshSignatureAlgorithm::EcdsaP384 => Algorithm::EcdsaP384Sha384,
        SshSignatureAlgorithm::RsaSha256 => Algorithm::RsaV1_5Sha256,
        SshSignatureAlgorithm::RsaSha512 => Algorithm::RsaV1_5Sha512,
    };
    let is_signed =
        |message: &str| key.verify(algorithm, &signature.signed_bytes(message.as_bytes()), &value.bytes).is_ok();
    candidates.into_iter().find(|(_, message)| is_signed(message)).map(|(candidate, _)| candidate)
}

impl App {
    /// Parses a statement of a client without a credential, whose signature is the only one. It limits how many an IP
    /// address may send, before any of it is read.
    ///
    /// # Errors
    /// There were too many, or it is malformed.
    pub(super) fn read_statement(
        &self,
        ip_address: Option<IpAddr>,
        statement: &str,
        namespace: &'static str,
    ) -> Result<SshSignature, AppError> {
        // Clients whose IP address is unknown share one allowance.
        let ip_address = ip_address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        if let Some(rate) = Rate::per_second(STATEMENTS_PER_SECOND) {
            let taken = self.statement_allowances.take(ip_address, rate, self.clock.since_boot());
            taken.map_err(|wait| AppError::RateLimited(wait.0))?;
        }
        SshSignature::parse(statement, namespace).map_err(|e| AppError::field("statement", "malformed", e))
    }
}
