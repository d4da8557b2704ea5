//! Passwords: which ones are allowed, how they are stored (Argon2id, RFC 9106 §4, second recommendation, with the
//! memory that OWASP recommends), and how they are compared.

use std::{num::NonZero, sync::Arc, thread::available_parallelism};

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use domain::user::PASSWORD_LENGTH;
use tokio::sync::{Semaphore, oneshot};
use zxcvbn::{Score, zxcvbn};

use super::App;
use crate::error::AppError;

/// The minimum number of characters of a password that are not part of its owner's name or email address.
const UNKNOWN: usize = 8;
/// The hash of an unknown password, so that a check for an unknown account takes as long as one for an existing
/// account.
const DUMMY_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$a2V5d2FyZC1ubyB1c2VyIQ$\
                          Zk1hL0E1c2hQb1h3b0R5R0x2c0p4N3Q5Y0U2bTJrUWE";

/// The maximum number of concurrent password hashes. Each takes 19 MiB and a thread.
const MAX_AT_WORK: usize = 2;
/// The maximum number of password hashes that are computed or pending. Further requests are refused.
const MAX_WAITING: usize = 64;

/// How far the priority of threads that hash passwords is below that of others, as a nice value. They get a tenth of the
/// time of a processor that others need, so that sign-ins by the thousand do not delay the verification of requests.
const NICENESS: i32 = 10;

/// Hashing of passwords, which is slow and needs much memory by design. Only a few run at a time, on separate threads.
pub(super) struct PasswordWork {
    at_work: Arc<Semaphore>,
    waiting: Semaphore,
}

impl PasswordWork {
    /// Leaves one of the machine's processors to other work, if there are several.
    pub(super) fn new() -> Self {
        let processors = available_parallelism().map_or(1, NonZero::get);
        Self::with_at_work(processors.saturating_sub(1).clamp(1, MAX_AT_WORK))
    }

    fn with_at_work(at_work: usize) -> Self {
        Self { at_work: Arc::new(Semaphore::new(at_work)), waiting: Semaphore::new(MAX_WAITING) }
    }

    /// Waits for its turn and runs the work.
    ///
    /// # Errors
    /// Too many are pending.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, AppError> {
        let busy = |_| AppError::Unavailable("too many passwords are being checked".to_owned());
        let _waiting = self.waiting.try_acquire().map_err(busy)?;
        let permit = Arc::clone(&self.at_work).acquire_owned().await;
        let permit = permit.map_err(|error| AppError::Internal(error.to_string()))?;
        let (send, done) = oneshot::channel();
        // A thread cannot raise its priority again, so it is not one that other work uses.
        let thread = std::thread::Builder::new().name("password".to_owned()).spawn(move || {
            lower_priority();
            // Held until the work ends, even if the caller no longer waits for it.
            let _permit = permit;
            // It fails if the caller no longer waits.
            let _ = send.send(work());
        });
        thread.map_err(|error| AppError::Unavailable(format!("no thread for a password: {error}")))?;
        done.await.map_err(|_| AppError::Internal("the work on a password panicked".to_owned()))
    }
}

/// Lowers the priority of this thread. Only on Linux does a thread have its own.
fn lower_priority() {
    if cfg!(target_os = "linux")
        && let Err(error) = rustix::process::nice(NICENESS)
    {
        tracing::debug!(%error, "a thread that hashes passwords has the usual priority");
    }
}

fn argon2() -> Result<Argon2<'static>, String> {
    let params = Params::new(19 * 1024, 2, 1, None).map_err(|e| e.to_string())?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Refuses a password that is short or easy to guess: breached passwords, words, dates, keyboard rows, and data of the
/// user.
fn check_choice(password: &str, known_of_them: &[impl AsRef<str>]) -> Result<(), AppError> {
    let length = password.chars().count();
    if !PASSWORD_LENGTH.contains(&length) {
        let (least, most) = PASSWORD_LENGTH.into_inner();
        let detail = format!("choose {least} to {most} characters; this password has {length}");
        return Err(AppError::field("password", "length", detail));
    }
    let mut known = vec!["keyward"];
    known.extend(known_of_them.iter().flat_map(|text| text.as_ref().split(['@', '.', ' '])));
    let mut unknown = password.to_lowercase();
    for text in known.iter().filter(|text| text.chars().count() >= 3) {
        unknown = unknown.replace(&text.to_lowercase(), "");
    }
    if unknown.chars().count() < UNKNOWN {
        let detail = "this password is too similar to your name or email address; choose another, such as four \
                      unrelated words";
        return Err(AppError::field("password", "guessable", detail));
    }
    // The search is quadratic, and the first hundred characters are sufficient.
    let start: String = password.chars().take(100).collect();
    if zxcvbn(&start, &known).score() < Score::Three {
        let detail = "this password is common, or too similar to a common one; choose another, such as four unrelated \
                      words";
        return Err(AppError::field("password", "guessable", detail));
    }
    Ok(())
}

impl App {
    /// Returns the hash of a password, if the password is allowed.
    pub(super) async fn hash_password(&self, password: String, known_of_them: &[&str]) -> Result<String, AppError> {
        let known: Vec<String> = known_of_them.iter().map(|&text| text.to_owned()).collect();
        let mut salt = [0; 16];
        self.random.fill(&mut salt);
        let hash = self.password_work.run(move || {
            check_choice(&password, &known)?;
            let hash = argon2().and_then(|argon2| {
                argon2.hash_password_with_salt(password.as_bytes(), &salt).map_err(|error| error.to_string())
            });
            hash.map(|hash| hash.to_string()).map_err(AppError::Internal)
        });
        hash.await?
    }

    /// Returns whether a password matches this hash. Without a hash, it does the same work and returns false.
    pub(super) async fn verify_password(&self, password: String, hash: Option<String>) -> Result<bool, AppError> {
        let is_there = hash.is_some();
        let hash = hash.unwrap_or_else(|| DUMMY_HASH.to_owned());
        self.metrics.count_password_check();
        let verified = self
            .password_work
            .run(move || argon2().map(|argon2| argon2.verify_password(password.as_bytes(), hash.as_str()).is_ok()));
        Ok(verified.await?.map_err(AppError::Internal)? && is_there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_passwords_are_refused() {
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

    #[tokio::test]
    async fn two_passwords_are_worked_on_at_a_time_and_a_bounded_number_waits() {
        use std::sync::atomic::{AtomicUsize, Ordering};

        use futures_util::{FutureExt as _, future::join_all};

        let work = PasswordWork::with_at_work(MAX_AT_WORK);
        let (at_work, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (release, released) = std::sync::mpsc::channel::<()>();
        let released = Arc::new(std::sync::Mutex::new(released));
        let (start, mut started) = tokio::sync::mpsc::unbounded_channel();
        let run = || {
            let (at_work, most) = (Arc::clone(&at_work), Arc::clone(&most));
            let (start, released) = (start.clone(), Arc::clone(&released));
            work.run(move || {
                most.fetch_max(at_work.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                start.send(()).unwrap();
                released.lock().unwrap().recv().unwrap();
                at_work.fetch_sub(1, Ordering::SeqCst);
            })
        };
        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| Box::pin(run())).collect();
        for work in &mut waiting {
            assert!(work.now_or_never().is_none());
        }
        assert!(matches!(run().await, Err(AppError::Unavailable(_))), "one more does not wait");
        for _ in 0..MAX_AT_WORK {
            started.recv().await.unwrap();
        }
        // A client that disconnects leaves the queue. A check that has started continues and counts.
        drop(waiting.split_off(MAX_WAITING - 10));
        drop(waiting.remove(0));
        assert_eq!(work.at_work.available_permits(), 0);
        for _ in 0..MAX_WAITING {
            release.send(()).unwrap();
        }
        assert!(join_all(waiting).await.iter().all(Result::is_ok));
        assert_eq!(most.load(Ordering::SeqCst), MAX_AT_WORK);
    }
}
