//! Passwords: which may be chosen, how they are kept (Argon2id, RFC 9106 §4, second recommendation, at OWASP's memory),
//! and how they are compared.

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use zxcvbn::{Score, zxcvbn};

use super::App;
use crate::error::AppError;

/// Characters of a password at the fewest and at the most.
const LENGTH: std::ops::RangeInclusive<usize> = 12..=256;
/// Characters of a password at the fewest that are no part of its owner's name or email.
const UNKNOWN: usize = 8;
/// The hash of nothing that anybody knows: an account that is not there costs what one that is there costs.
const DUMMY_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$a2V5d2FyZC1ubyB1c2VyIQ$\
                          Zk1hL0E1c2hQb1h3b0R5R0x2c0p4N3Q5Y0U2bTJrUWE";

fn argon2() -> Result<Argon2<'static>, String> {
    let params = Params::new(19 * 1024, 2, 1, None).map_err(|e| e.to_string())?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Refuses a password that is short, or that guessers try early: breached ones, words, dates, keyboard rows, and what
/// they know of the person.
fn check_choice(password: &str, known_of_them: &[&str]) -> Result<(), AppError> {
    let length = password.chars().count();
    if !LENGTH.contains(&length) {
        let (least, most) = LENGTH.into_inner();
        let detail = format!("choose {least} to {most} characters; this has {length}");
        return Err(AppError::field("password", "length", detail));
    }
    let mut known = vec!["keyward"];
    known.extend(known_of_them.iter().flat_map(|text| text.split(['@', '.', ' '])));
    let mut unknown = password.to_lowercase();
    for text in known.iter().filter(|text| text.chars().count() >= 3) {
        unknown = unknown.replace(&text.to_lowercase(), "");
    }
    if unknown.chars().count() < UNKNOWN {
        let detail = "this is little more than your name or email; choose another, such as four words that do not belong \
                      together";
        return Err(AppError::field("password", "guessable", detail));
    }
    // The search is quadratic, and what a hundred characters do not show the rest does not either.
    let start: String = password.chars().take(100).collect();
    if zxcvbn(&start, &known).score() < Score::Three {
        let detail = "this one is on the lists that guessers start with, or too close to one; choose another, such as \
                      four words that do not belong together";
        return Err(AppError::field("password", "guessable", detail));
    }
    Ok(())
}

impl App {
    /// The hash of a password that may be chosen. Few at a time: each takes 19 MiB.
    pub(super) async fn hash_password(&self, password: String, known_of_them: &[&str]) -> Result<String, AppError> {
        check_choice(&password, known_of_them)?;
        let mut salt = [0; 16];
        self.random.fill(&mut salt);
        let _few = self.hashing.acquire().await.map_err(|e| AppError::Internal(e.to_string()))?;
        let hash = tokio::task::spawn_blocking(move || {
            let hash = argon2()?.hash_password_with_salt(password.as_bytes(), &salt);
            hash.map(|h| h.to_string()).map_err(|e| e.to_string())
        });
        hash.await.map_err(|e| AppError::Internal(e.to_string()))?.map_err(AppError::Internal)
    }

    /// Whether a password is the one of this hash. Without a hash it is not, after the same work.
    pub(super) async fn verify_password(&self, password: String, hash: Option<String>) -> Result<bool, AppError> {
        let is_there = hash.is_some();
        let hash = hash.unwrap_or_else(|| DUMMY_HASH.to_owned());
        let _few = self.hashing.acquire().await.map_err(|e| AppError::Internal(e.to_string()))?;
        self.metrics.count_password_check();
        let verified = tokio::task::spawn_blocking(move || {
            argon2().map(|argon2| argon2.verify_password(password.as_bytes(), hash.as_str()).is_ok())
        });
        let verified = verified.await.map_err(|e| AppError::Internal(e.to_string()))?.map_err(AppError::Internal)?;
        Ok(verified && is_there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_guessers_try_first_is_refused() {
        for bad in [
            "short",
            "aaaaaaaaaaaaaaaa",
            "password1234",
            "123456789012",
            "qwertyuiop12",
            "Passw0rd2024",
            "ada.lovelace",
            "keywardkeyward",
            "ada.lovelace@example.com",
            "Ada Lovelace Ada Lovelace",
            "lovelace-2026-example",
        ] {
            assert!(check_choice(bad, &["ada.lovelace@example.com", "Ada Lovelace"]).is_err(), "{bad}");
        }
        for good in ["correct horse battery", "tidal-oboe-lantern-fig", "pK7#vv2!mQz9wL"] {
            assert!(check_choice(good, &["ada@example.com"]).is_ok(), "{good}");
        }
    }

    #[test]
    fn the_dummy_hash_asks_for_the_same_work_as_a_real_one() {
        let real = argon2().unwrap().hash_password_with_salt(b"any", b"0123456789abcdef").unwrap().to_string();
        let work = |hash: &str| hash.rsplitn(3, '$').last().unwrap().to_owned();
        assert_eq!(work(DUMMY_HASH), work(&real));
        assert_eq!(DUMMY_HASH.len(), real.len());
        let error = argon2().unwrap().verify_password(b"any", DUMMY_HASH).unwrap_err();
        assert_eq!(error, argon2::password_hash::Error::PasswordInvalid, "it parses, and matches nothing");
    }
}
