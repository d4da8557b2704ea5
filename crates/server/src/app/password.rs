//! Passwords: what is taken, and how it is kept (Argon2id, RFC 9106 §4, second recommendation, at OWASP's memory).

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};

use super::App;
use crate::error::AppError;

/// Characters of a password at the fewest and at the most.
const LENGTH: std::ops::RangeInclusive<usize> = 12..=256;

impl App {
    /// The hash of a password that may be chosen. Few at a time: each takes 19 MiB.
    pub(super) async fn hash_password(&self, password: String) -> Result<String, AppError> {
        let length = password.chars().count();
        if !LENGTH.contains(&length) {
            let (least, most) = LENGTH.into_inner();
            let detail = format!("choose {least} to {most} characters; this has {length}");
            return Err(AppError::field("password", "length", detail));
        }
        let mut salt = [0; 16];
        self.random.fill(&mut salt);
        let _few = self.hashing.acquire().await.map_err(|e| AppError::Internal(e.to_string()))?;
        let hash = tokio::task::spawn_blocking(move || {
            let params = Params::new(19 * 1024, 2, 1, None).map_err(|e| e.to_string())?;
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            argon2.hash_password_with_salt(password.as_bytes(), &salt).map(|h| h.to_string()).map_err(|e| e.to_string())
        });
        hash.await.map_err(|e| AppError::Internal(e.to_string()))?.map_err(AppError::Internal)
    }
}
