//! `keyward keys rotate`: a key file gets a new key.

mod files;

use api::{ApiKey, KeyState, Me, ProofChallenge, RotateApiKey, Rotation, codes};
use client::{Clock as _, PrivateKey, SystemClock, SystemRandom, generate_key_pair};
use domain::{ApiKeyId, rotation::Overlap};
use serde::Serialize;

use self::files::{KeyFiles, Suffix};
use crate::{
    api_client::ApiClient,
    connection::ConnectionArguments,
    expiry::Span,
    failure::{Failure, Kind, Outcome},
    output::{self, shell_word},
    proof::sign_proof,
};

/// Replace the key in a file by a new one, which the old key registers
///
/// The key file (`--key`, KEYWARD_KEY_FILE or the profile's) gets a new Ed25519 key with the same title and limits and, if
/// the old key expires, the same lifetime. During the overlap, both keys are accepted, so that running programs keep
/// working until they read the file again. The new private key is stored in FILE.new and registered by a request that the
/// old key signs. After a request with the new key was accepted, it becomes FILE, in one step. The old key stays in
/// FILE.old during the overlap, and a later run removes it.
///
/// After an interruption, run the command again: it finishes the rotation. It works without a terminal, so that cron or a
/// systemd timer can run it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 rotated, undone or not due; 1 failed; 2 invalid usage; 3 the server accepts none of the keys; 4 not allowed;
5 the server cannot be reached. FILE always holds a complete key. After a failure, run the command again.

Examples:
  keyward keys rotate --key ci.key
  keyward keys rotate --key ci.key --overlap 7d --if-older-than 30d      from a daily timer
  keyward keys rotate --key ci.key --undo                                the old key is back in FILE")]
pub(crate) struct Rotate {
    /// How long the old key is still accepted: a span such as 30s, 12h or 7d, up to 30d; with 0, it is revoked at once
    #[arg(long, value_name = "SPAN", default_value = "24h")]
    overlap: Span,
    /// Do nothing unless the key was registered this long ago: a span such as 30d
    #[arg(long, value_name = "SPAN")]
    if_older_than: Option<Span>,
    /// Undo the last rotation during its overlap: revoke the new key, and restore the old one from FILE.old
    #[arg(long, conflicts_with_all = ["overlap", "if_older_than", "no_backup"])]
    undo: bool,
    /// Keep no copy of the old key in FILE.old
    #[arg(long)]
    no_backup: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// The output as JSON.
#[derive(Serialize)]
struct Report<'a> {
    /// `rotated`, `not_due` or `undone`.
    result: &'static str,
    key_file: String,
    /// The fingerprint of the key in the file.
    fingerprint: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation: Option<&'a Rotation>,
}

/// A key file, and the server.
struct Rotator {
    files: KeyFiles,
    overlap_seconds: u32,
    arguments: Rotate,
}

/// A key of the file, as the server knows it.
struct KnownKey {
    api: ApiClient,
    me: Me,
    key: ApiKey,
}

impl Rotate {
    pub(crate) async fn run(self) -> Outcome {
        let seconds = u32::try_from(self.overlap.duration().as_secs()).ok();
        let overlap_seconds = seconds
            .filter(|seconds| Overlap::from_seconds(*seconds).is_ok())
            .ok_or_else(|| Failure::usage("the overlap is too long: choose at most 30d with `--overlap`"))?;
        let files = KeyFiles::open(&self.connection.key_file()?)?;
        // Held until the end, so that a timer and a person do not rotate the same file at the same time.
        let _lock = files.lock()?;
        files.clean()?;
        let rotator = Rotator { files, overlap_seconds, arguments: self };
        if rotator.arguments.undo { rotator.undo().await } else { rotator.rotate().await }
    }
}

impl Rotator {
    /// Returns the API for a key.
    fn api(&self, key: &PrivateKey) -> Outcome<ApiClient> {
        self.arguments.connection.api_with(key)
    }

    /// Returns a key as the server knows it. It is a failure if the server refuses the key.
    async fn ask(&self, key: &PrivateKey) -> Outcome<KnownKey> {
        let api = self.api(key)?;
        let me = api.me().await?;
        let id = key_id(&me)?;
        let key = api.get(&path_of(id)).await?;
        Ok(KnownKey { api, me, key })
    }

    /// Returns a key as the server knows it, or `None` if the server refuses the key.
    async fn ask_if_accepted(&self, key: &PrivateKey) -> Outcome<Option<KnownKey>> {
        match self.ask(key).await {
            Ok(known) => Ok(Some(known)),
            Err(failure) if failure.kind() == Kind::NotAuthenticated => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn rotate(&self) -> Outcome {
        self.finish_undo().await?;
        if let Some(new) = self.files.load_if_there(Suffix::New)? {
            return self.resume(&new).await;
        }
        let current = self.files.load()?;
        let known = self.ask(&current).await?;
        self.remove_ended_backup(&known.key)?;
        if let Some(age) = self.arguments.if_older_than
            && SystemClock.now().duration_since(known.key.created_at).unsigned_abs() < age.duration()
        {
            if self.arguments.json {
                return self.report("not_due", &known.key.fingerprint, None);
            }
            let since = output::full_moment(known.key.created_at);
            return output::line(format!("not due: {} was registered {since}", known.key.fingerprint));
        }
        let mut own = vec![known.key.fingerprint.clone()];
        own.extend(known.key.predecessor.as_ref().map(|predecessor| predecessor.fingerprint.clone()));
        self.require_own_backup(&own)?;
        let pair = generate_key_pair(&SystemRandom, current.comment());
        // Stored before it is registered, because a registered key without its file is useless.
        self.files.write_new(&pair)?;
        let new = self.files.load_suffixed(Suffix::New)?;
        self.register(&known, &new).await?;
        self.complete(&new).await
    }

    /// Continues after an interruption with the key in FILE.new.
    async fn resume(&self, new: &PrivateKey) -> Outcome {
        let current = self.files.load()?;
        let Some(known) = self.ask_if_accepted(&current).await? else {
            // The overlap has ended, or there was none.
            return self.complete(new).await;
        };
        match known.key.successor.as_ref().filter(|successor| successor.fingerprint == new.fingerprint()) {
            Some(successor) if successor.state == KeyState::Revoked => {
                self.files.remove(Suffix::New)?;
                Err(Failure::new(format!(
                    "the new key in {} was revoked, and is removed; {} was not changed\nnext: run the command again to \
                     rotate the key",
                    self.files.show(Suffix::New),
                    self.files.show_current()
                )))
            }
            Some(_) => self.complete(new).await,
            None => {
                self.register(&known, new).await?;
                self.complete(new).await
            }
        }
    }

    /// Registers the new key by a request that the current one signs. If the server refuses it, the new key is removed.
    async fn register(&self, current: &KnownKey, new: &PrivateKey) -> Outcome {
        let refused = match self.send_rotation(current, new).await {
            Ok(()) => return Ok(()),
            Err(failure) if failure.is_refusal() => failure,
            Err(failure) => return Err(self.told_to_run_again(failure)),
        };
        // The server may have processed an earlier attempt, whose response was lost.
        let codes = [codes::ROTATION_PENDING, codes::DUPLICATE_KEY, codes::UNAUTHENTICATED];
        let may_be_registered = refused.code().is_some_and(|code| codes.contains(&code));
        if may_be_registered && self.ask_if_accepted(new).await?.is_some() {
            return Ok(());
        }
        self.files.remove(Suffix::New)?;
        Err(refused)
    }

    async fn send_rotation(&self, current: &KnownKey, new: &PrivateKey) -> Outcome {
        let challenge: ProofChallenge = current.api.post_nothing("/api/v1/me/proof-challenges").await?;
        let rotate = RotateApiKey {
            public_key: new.public_openssh(),
            overlap_seconds: self.overlap_seconds,
            proof: Some(sign_proof(new, &current.me.principal.id, &challenge)?),
        };
        let _: Rotation = current.api.post(&format!("{}/rotate", path_of(current.key.id)), &rotate).await?;
        Ok(())
    }

    fn told_to_run_again(&self, failure: Failure) -> Failure {
        let told = format!(
            "{failure}\nnext: {} was not changed; run the command again to finish the rotation, or with `--undo` to undo it",
            self.files.show_current()
        );
        failure.retold(told)
    }

    /// Tries the new key with a request, and makes it the key of the file.
    async fn complete(&self, new: &PrivateKey) -> Outcome {
        let tried = async {
            let known = self.ask(new).await?;
            known.api.get::<Rotation>(&format!("{}/rotate", path_of(known.key.id))).await
        };
        let rotation = tried.await.map_err(|failure| self.told_to_run_again(failure))?;
        let chain: Vec<String> = rotation.chain.iter().map(|key| key.fingerprint.clone()).collect();
        self.require_own_backup(&chain)?;
        if self.arguments.no_backup {
            self.files.remove(Suffix::Old)?;
        } else {
            self.files.back_up()?;
        }
        self.files.swap(Suffix::New, new)?;
        self.told_rotated(&rotation)
    }

    /// Refuses to replace a FILE.old that is not of a rotation of this file.
    fn require_own_backup(&self, own: &[String]) -> Outcome {
        match self.files.load_if_there(Suffix::Old)? {
            Some(old) if !own.contains(&old.fingerprint()) => Err(Failure::new(format!(
                "{} holds another key, {}, which would be replaced\nnext: move the file away, and run the command again",
                self.files.show(Suffix::Old),
                old.fingerprint()
            ))),
            Some(_) | None => Ok(()),
        }
    }

    fn told_rotated(&self, rotation: &Rotation) -> Outcome {
        if self.arguments.json {
            return self.report("rotated", &rotation.successor.fingerprint, Some(rotation));
        }
        let (file, end) = (self.files.show_current(), output::full_moment(rotation.ends_at));
        output::line(format!(
            "rotated {file}: {} replaces {}",
            rotation.successor.fingerprint, rotation.predecessor.fingerprint
        ))?;
        if !rotation.pending {
            return output::line("the old key is not accepted any more");
        }
        output::line(format!("the old key is accepted until {end}"))?;
        if self.arguments.no_backup {
            return Ok(());
        }
        let command = format!("keyward keys rotate --undo --key {}", shell_word(&file));
        output::line(format!("it is in {}; until then, `{command}` restores it", self.files.show(Suffix::Old)))
    }

    fn report(&self, result: &'static str, fingerprint: &str, rotation: Option<&Rotation>) -> Outcome {
        output::json(&Report { result, key_file: self.files.show_current(), fingerprint, rotation })
    }

    /// Removes FILE.old if the key in it is the predecessor of the current key, and has ended.
    fn remove_ended_backup(&self, current: &ApiKey) -> Outcome {
        let Some(predecessor) = &current.predecessor else { return Ok(()) };
        if predecessor.pending {
            return Ok(());
        }
        match self.files.load_if_there(Suffix::Old)? {
            Some(old) if old.fingerprint() == predecessor.fingerprint => self.files.remove(Suffix::Old),
            Some(_) | None => Ok(()),
        }
    }

    async fn undo(&self) -> Outcome {
        if self.finish_undo().await? {
            return self.told_undone();
        }
        if let Some(new) = self.files.load_if_there(Suffix::New)? {
            return self.undo_unfinished(&new).await;
        }
        let current = self.files.load()?;
        let known = self.ask(&current).await?;
        let predecessor =
            known.key.predecessor.as_ref().filter(|predecessor| predecessor.pending).ok_or_else(|| {
                Failure::new(format!(
                    "there is no rotation of {} to undo: its key was not rotated, or the overlap has ended",
                    self.files.show_current()
                ))
            })?;
        let old = self.files.load_if_there(Suffix::Old)?;
        let old = old.filter(|old| old.fingerprint() == predecessor.fingerprint).ok_or_else(|| {
            Failure::new(format!(
                "the old key, {}, is not in {}, so the rotation cannot be undone here\nnext: an admin can undo it, for a \
                 program that still has the old key",
                predecessor.fingerprint,
                self.files.show(Suffix::Old)
            ))
        })?;
        self.ask(&old).await?;
        // From here on, FILE holds the old key. The new one signs the request that revokes it.
        self.files.keep_for_undo()?;
        self.files.swap(Suffix::Old, &old)?;
        self.finish_undo().await?;
        self.told_undone()
    }

    /// Undoes a rotation whose new key did not become the key of the file.
    async fn undo_unfinished(&self, new: &PrivateKey) -> Outcome {
        if let Some(known) = self.ask_if_accepted(new).await? {
            undo_on_server(&known).await?;
        }
        self.files.remove(Suffix::New)?;
        self.told_undone()
    }

    /// Continues to undo a rotation, with the new key in FILE.undo. Returns whether there was one.
    async fn finish_undo(&self) -> Outcome<bool> {
        let Some(undone) = self.files.load_if_there(Suffix::Undo)? else { return Ok(false) };
        let current = self.files.load()?;
        if undone.fingerprint() == current.fingerprint() {
            // It was interrupted before it began.
            self.files.remove(Suffix::Undo)?;
            return Ok(false);
        }
        if let Some(known) = self.ask_if_accepted(&undone).await? {
            let ended = |failure: &Failure| failure.code() == Some(codes::ROTATION_ENDED);
            match undo_on_server(&known).await {
                Ok(()) => {}
                Err(failure) if ended(&failure) && self.ask_if_accepted(&current).await?.is_none() => {
                    self.files.swap(Suffix::Undo, &undone)?;
                    return Err(Failure::new(format!(
                        "the overlap ended before the rotation was undone, so {} holds the new key again",
                        self.files.show_current()
                    )));
                }
                Err(failure) => return Err(failure),
            }
        }
        self.files.remove(Suffix::Undo)?;
        Ok(true)
    }

    fn told_undone(&self) -> Outcome {
        let current = self.files.load()?;
        if self.arguments.json {
            return self.report("undone", &current.fingerprint(), None);
        }
        let file = self.files.show_current();
        output::line(format!(
            "undid the rotation of {file}: it holds {}, and the new key is revoked",
            current.fingerprint()
        ))
    }
}

/// Undoes the rotation that registered the key.
async fn undo_on_server(successor: &KnownKey) -> Outcome {
    match &successor.key.predecessor {
        Some(predecessor) => successor.api.delete(&format!("{}/rotate", path_of(predecessor.id))).await,
        None => Ok(()),
    }
}

fn path_of(key: ApiKeyId) -> String {
    format!("/api/v1/me/keys/{key}")
}

fn key_id(me: &Me) -> Outcome<ApiKeyId> {
    me.key.as_ref().map(|key| key.id).ok_or_else(|| Failure::new("the server did not say which key signed the request"))
}
