//! `keyward keys import`: registers the keys of an `authorized_keys` file.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use api::{ApiKey, CreateApiKey, KeyCount, KeyState, ServiceAccount, codes};
use client::{Agent, AgentKey, KeySource, PrivateKey};
use domain::{
    Timestamp,
    authorized_keys::{self, AuthorizedKey},
    text::parse_title,
};
use serde::Serialize;

use super::{Owner, Ring};
use crate::{
    connection::load_key,
    expiry::Expiry,
    failure::{Failure, Outcome},
    input::{read_bytes, to_text},
    output::{self, Column},
};

/// Register the keys of an authorized_keys file
///
/// All lines are checked before a key is registered: if a line is invalid, nothing is registered. Keys that you already
/// have are skipped, so the command can be repeated. The comment of a line is the title of its key, and the option `expiry-time`
/// its expiry. A key is registered with a proof if its private key is given, and without one otherwise.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward keys import ~/.ssh/authorized_keys
  keyward keys import keys.txt --service-account ci-bot --expires-at 90d --dry-run
  keyward keys import keys.txt --prove-with ~/.ssh/id_ed25519 --prove-with-agent")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Import {
    /// The file; `-` is standard input
    file: PathBuf,
    /// Expiry of the keys, where the file has no earlier one: a time or a span such as 90d [default: never]
    #[arg(long, value_name = "WHEN")]
    expires_at: Option<Expiry>,
    /// A private key, with which its own line is proven; may be repeated
    #[arg(long, value_name = "FILE")]
    prove_with: Vec<PathBuf>,
    /// Prove the keys that ssh-agent holds (SSH_AUTH_SOCK)
    #[arg(long)]
    prove_with_agent: bool,
    /// Also register keys whose options restrict them (`from`, `command`, `principals`), without the restriction
    #[arg(long)]
    ignore_options: bool,
    /// Only check the lines, and show what would be registered
    #[arg(long)]
    dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    owner: Owner,
}

/// A key to register.
struct Planned {
    line: usize,
    title: String,
    public_key: String,
    fingerprint: String,
    expires_at: Option<Timestamp>,
}

/// What signs a proof.
enum Prover {
    File(PrivateKey),
    Agent(AgentKey),
}

/// What became of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum ImportResult {
    /// It was registered with a proof.
    Proven,
    /// It was registered without a proof.
    Unproven,
    /// It would be registered.
    New,
    /// The owner already has the key.
    Known,
    /// An earlier line has the same key.
    Repeated,
    /// The server refused it.
    Refused,
}

#[derive(Serialize)]
struct Imported {
    line: usize,
    title: String,
    fingerprint: String,
    result: ImportResult,
    /// Its registration.
    key: Option<ApiKey>,
    /// Why the server refused it.
    reason: Option<String>,
}

#[derive(Serialize)]
struct Report {
    keys: Vec<Imported>,
}

const COLUMNS: &[Column<'_, Imported>] = &[
    Column::word("LINE", &|key| key.line.to_string()),
    Column::text("TITLE", &|key| key.title.clone()),
    Column::fingerprint(&|key| key.fingerprint.clone()),
    Column::text("RESULT", &describe),
];

fn describe(key: &Imported) -> String {
    match key.result {
        ImportResult::Proven => "registered with a proof".to_owned(),
        ImportResult::Unproven => "registered without a proof".to_owned(),
        ImportResult::New => "would be registered".to_owned(),
        ImportResult::Known => "already registered".to_owned(),
        ImportResult::Repeated => "same key as an earlier line".to_owned(),
        ImportResult::Refused => format!("refused: {}", key.reason.as_deref().unwrap_or("the server gave no reason")),
    }
}

impl Import {
    pub(crate) async fn run(self) -> Outcome {
        let planned = self.plan()?;
        let provers = self.provers()?;
        let ring = self.owner.ring().await?;
        let existing: Vec<ApiKey> = ring.api.list(&ring.path, None).await?.items;
        let live: BTreeMap<&str, &ApiKey> = existing
            .iter()
            .filter(|key| key.state != KeyState::Revoked)
            .map(|key| (key.fingerprint.as_str(), key))
            .collect();
        let is_new = |planned: &&Planned| !live.contains_key(planned.fingerprint.as_str());
        let new: BTreeSet<&str> = planned.iter().filter(is_new).map(|planned| planned.fingerprint.as_str()).collect();
        require_room(&ring, new.len()).await?;
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut report = Report { keys: Vec::new() };
        let mut stopped = None;
        for planned in planned {
            let is_repeated = seen.insert(planned.fingerprint.clone(), planned.line).is_some();
            let known = live.get(planned.fingerprint.as_str());
            let mut imported = Imported {
                line: planned.line,
                title: planned.title.clone(),
                fingerprint: planned.fingerprint.clone(),
                result: ImportResult::New,
                key: known.map(|key| (*key).clone()),
                reason: None,
            };
            if is_repeated {
                imported.result = ImportResult::Repeated;
            } else if known.is_some() {
                imported.result = ImportResult::Known;
            } else if !self.dry_run {
                let prover = provers.get(&planned.fingerprint);
                match register(&ring, planned, prover).await {
                    Ok(key) => {
                        imported.result =
                            if key.proven_at.is_some() { ImportResult::Proven } else { ImportResult::Unproven };
                        imported.key = Some(key);
                    }
                    // Another owner has the key, or it was revoked. The other lines do not depend on it.
                    Err(failure) if failure.code() == Some(codes::DUPLICATE_KEY) => {
                        imported.result = ImportResult::Refused;
                        imported.reason = failure.to_string().lines().next().map(ToOwned::to_owned);
                    }
                    Err(failure) => {
                        stopped = Some((imported.line, failure));
                        break;
                    }
                }
            }
            report.keys.push(imported);
        }
        self.print(&report)?;
        if let Some((line, failure)) = stopped {
            let told = format!(
                "line {line}: {failure}\nthe keys of the earlier lines are registered; repeat the command for the others"
            );
            return Err(failure.retold(told));
        }
        let refused = report.keys.iter().filter(|key| key.result == ImportResult::Refused).count();
        match refused {
            0 => Ok(()),
            refused => {
                let lines = if refused == 1 { "1 line".to_owned() } else { format!("{refused} lines") };
                Err(Failure::new(format!("the server refused the keys of {lines}; the others are registered")))
            }
        }
    }

    fn print(&self, report: &Report) -> Outcome {
        if self.json {
            output::json(report)
        } else {
            output::list(COLUMNS, &report.keys, "there is no key in the file")
        }
    }

    /// Reads the file, and returns what to register.
    fn plan(&self) -> Outcome<Vec<Planned>> {
        let (bytes, place) = read_bytes(&self.file, "the authorized_keys lines")?;
        let text = to_text(&bytes)
            .map_err(|()| Failure::new(format!("{place} is neither in UTF-8 nor in UTF-16: save it as UTF-8")))?;
        let mut invalid = Vec::new();
        let keys = authorized_keys::parse(&text).unwrap_or_else(|errors| {
            invalid.extend(errors.iter().map(ToString::to_string));
            Vec::new()
        });
        let planned: Vec<_> = keys.into_iter().filter_map(|key| self.plan_key(key, &mut invalid)).collect();
        if invalid.is_empty() {
            return Ok(planned);
        }
        let lines = if invalid.len() == 1 { "a line of" } else { "lines of" };
        Err(Failure::new(format!(
            "nothing was registered, because {lines} {place} cannot be:\n  {}",
            invalid.join("\n  ")
        )))
    }

    fn plan_key(&self, key: AuthorizedKey, invalid: &mut Vec<String>) -> Option<Planned> {
        let line = key.line;
        if !key.restrictions.is_empty() && !self.ignore_options {
            let names = key.restrictions.join("`, `");
            invalid.push(format!(
                "line {line}: the option `{names}` restricts the key, and would be lost: pass `--ignore-options` to register \
                 it without"
            ));
            return None;
        }
        let fingerprint = key.key.fingerprint().to_string();
        let comment = key.comment.filter(|comment| !comment.trim().is_empty());
        let title = match parse_title(comment.as_deref().unwrap_or(&fingerprint)) {
            Ok(title) => title,
            Err(error) => {
                invalid.push(format!("line {line}: its comment cannot be a title: {error}"));
                return None;
            }
        };
        let given = self.expires_at.and_then(Expiry::end);
        let expires_at = [key.expires_at, given].into_iter().flatten().min();
        if expires_at.is_some_and(|end| end <= now()) {
            invalid.push(format!("line {line}: the key has expired: remove the line"));
            return None;
        }
        Some(Planned { line, title, public_key: key.key.to_openssh(), fingerprint, expires_at })
    }

    /// Returns what can prove a key, by its fingerprint.
    fn provers(&self) -> Outcome<BTreeMap<String, Prover>> {
        let mut provers = BTreeMap::new();
        if self.prove_with_agent {
            let keys = Agent::from_environment()?.list_keys()?;
            provers.extend(keys.into_iter().map(|key| (key.fingerprint(), Prover::Agent(key))));
        }
        for file in &self.prove_with {
            let key = load_key(&KeySource::File(file.clone()))?;
            provers.insert(key.fingerprint(), Prover::File(key));
        }
        Ok(provers)
    }
}

fn now() -> Timestamp {
    use client::Clock as _;
    client::SystemClock.now()
}

/// Refuses more keys than the quota of a service account allows, before the first of them is registered. The server does
/// not tell users how many keys they may have.
async fn require_room(ring: &Ring, new: usize) -> Outcome {
    let Some(account) = ring.account.as_ref().and(ring.path.strip_suffix("/keys")) else { return Ok(()) };
    let KeyCount { live, limit } = ring.api.get::<ServiceAccount>(account).await?.keys;
    let room = u64::from(limit).saturating_sub(live);
    if u64::try_from(new).unwrap_or(u64::MAX) <= room {
        return Ok(());
    }
    Err(Failure::new(format!(
        "nothing was registered: the file has {new} new keys, and the service account has {live} of {limit}\nnext: revoke keys, \
         or ask the operator to raise the quota `keys_per_service_account`"
    )))
}

async fn register(ring: &Ring, planned: Planned, prover: Option<&Prover>) -> Outcome<ApiKey> {
    let proof = match prover {
        Some(Prover::File(key)) => Some(ring.prove(key).await?),
        Some(Prover::Agent(key)) => Some(ring.prove(key).await?),
        None => None,
    };
    let Planned { title, public_key, expires_at, .. } = planned;
    ring.api.post(&ring.path, &CreateApiKey { title, public_key, expires_at, proof, limits: None }).await
}
