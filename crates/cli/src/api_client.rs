//! The client of the API for commands. It signs requests, reads complete lists, and adds the next step to refusals.

use std::fmt::Display;

use api::{Page, Problem, codes};
use client::{Client, ClientError, Clock as _, SystemClock};
use domain::role::RequiredRole;
use domain::text::percent_encode;
use http::Method;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    failure::{Failure, Outcome},
    output::{self, Column, exact},
    progress::show_progress,
};

/// The maximum length of a page in the API.
const MAX_PAGE: usize = 200;

/// The API of a server, and the signer.
pub(crate) struct ApiClient {
    client: Client,
    url: String,
    key_id: String,
}

/// The length and the format of a list.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct ListArguments {
    /// Maximum number of items [default: all]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    /// Print the JSON of the API
    #[arg(long)]
    pub(crate) json: bool,
}

impl ListArguments {
    /// Prints a list in the requested format. `empty` is the message for an empty list.
    pub(crate) fn print<T: Serialize>(self, list: &Page<T>, columns: &[Column<'_, T>], empty: &str) -> Outcome {
        if self.json { output::json(list) } else { output::list(columns, &list.items, empty) }
    }
}

impl ApiClient {
    /// Creates a client for `url` that signs as `key_id`.
    pub(crate) fn new(client: Client, url: String, key_id: String) -> Self {
        Self { client, url, key_id }
    }

    /// Returns the `keyid` of the signatures: the fingerprint of the key.
    pub(crate) fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Sends GET to `path`.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Outcome<T> {
        self.call(self.client.get(path)).await
    }

    /// Returns the principal of the signer.
    pub(crate) async fn me(&self) -> Outcome<api::Me> {
        self.get("/api/v1/me").await
    }

    /// Sends POST to `path` with a body.
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Outcome<T> {
        self.call(self.client.post(path, body)).await
    }

    /// Sends POST to `path` without a body.
    pub(crate) async fn post_nothing<T: DeserializeOwned>(&self, path: &str) -> Outcome<T> {
        self.call(async { self.client.send(Method::POST, path, None).await?.json() }).await
    }

    /// Sends PATCH to `path`, to change the fields in `body`.
    pub(crate) async fn patch<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Outcome<T> {
        self.call(self.client.patch(path, body)).await
    }

    /// Sends PUT to `path` with `body`.
    pub(crate) async fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Outcome<T> {
        self.call(self.client.put(path, body)).await
    }

    /// Sends DELETE to `path`.
    pub(crate) async fn delete(&self, path: &str) -> Outcome {
        self.call(self.client.delete(path)).await
    }

    /// Reads all pages of a list, or the first `limit` items, and returns them as one page.
    pub(crate) async fn list<T: DeserializeOwned>(&self, path: &str, limit: Option<u32>) -> Outcome<Page<T>> {
        let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let mut all: Page<T> = Page { items: Vec::new(), next: None };
        loop {
            let wanted = (limit - all.items.len()).min(MAX_PAGE);
            let mut query = query([("limit", Some(wanted.to_string())), ("after", all.next.take())]);
            if path.contains('?') {
                query.replace_range(..1, "&");
            }
            let page: Page<T> = self.get(&format!("{path}{query}")).await?;
            all.items.extend(page.items);
            all.next = page.next;
            if all.next.is_none() || all.items.len() >= limit {
                return Ok(all);
            }
        }
    }

    async fn call<T>(&self, request: impl Future<Output = Result<T, ClientError>>) -> Outcome<T> {
        let done = show_progress(&format!("waiting for {}", self.url), request).await;
        done.map_err(|error| self.explain(error))
    }

    /// Returns what happened, and what to do next.
    fn explain(&self, error: ClientError) -> Failure {
        let next = match error.problem() {
            Some(problem) if problem.status == 401 => Some(self.after_401(problem)),
            Some(problem) => next_step(problem),
            None => None,
        };
        let failure = Failure::from(error);
        match next {
            Some(next) => {
                let told = format!("{failure}\nnext: {next}");
                failure.retold(told)
            }
            None => failure,
        }
    }

    fn after_401(&self, problem: &Problem) -> String {
        let (key, now) = (&self.key_id, exact(SystemClock.now()));
        let reason = problem.members.get("reason").and_then(|reason| reason.as_str());
        match reason {
            Some("stale" | "early") => {
                format!("this machine's clock says {now}; set it (`timedatectl set-ntp true` on Linux), then try again")
            }
            Some("key_disabled") => {
                format!("enable it with another key: `keyward keys enable {key}`{OF_ACCOUNT}")
            }
            Some("key_expired") => {
                format!(
                    "set a new expiry date with another key: `keyward keys enable {key} --expires-at 90d`{OF_ACCOUNT}"
                )
            }
            Some("owner_without_workspace") => "ask an admin of a workspace to invite its owner".to_owned(),
            Some("owner_disabled") => "ask an admin of its workspace, or the operator, to enable the owner".to_owned(),
            Some(_) => format!("the request was signed by {key} at {now}, by this machine's clock"),
            None => format!(
                "the request was signed by {key} at {now}, by this machine's clock; if that is the right key, \
                 register its public key: on your keys page, by `keyward keys add` with a key that works, or by an \
                 operator with `keyward admin add-key`; if it was registered before, it was revoked"
            ),
        }
    }
}

/// How to name the owner of a key in a command. The refusal does not say whose key it is.
const OF_ACCOUNT: &str = " (for a key of a service account, add `--service-account ADDRESS`)";

/// Returns the next step as a command, if the server's message does not contain it.
fn next_step(problem: &Problem) -> Option<String> {
    let member = |name: &str| problem.members.get(name).and_then(|value| value.as_str());
    match problem.code.as_str() {
        codes::FORBIDDEN => Some(match problem.required_role? {
            RequiredRole::WorkspaceAdmin => {
                "ask an admin of the workspace (`keyward members list` shows them)".to_owned()
            }
            RequiredRole::ProjectViewer | RequiredRole::ProjectEditor | RequiredRole::ProjectAdmin => {
                "ask an admin of the project (`keyward projects members list` shows them)".to_owned()
            }
            RequiredRole::Operator => "ask the operator of this installation".to_owned(),
            RequiredRole::User => "sign with the key of a user".to_owned(),
        }),
        codes::NOT_FOUND => Some("`keyward whoami` shows who you are here, and your workspaces".to_owned()),
        codes::DUPLICATE_KEY => Some(match member("key") {
            Some(key) => format!("it is {key} of {}", member("owner").unwrap_or("another principal")),
            None => "`keyward keys add --generate FILE` makes and registers a new pair; if another principal \
                         registered your key, `keyward keys add FILE` with the private key reclaims it"
                .to_owned(),
        }),
        codes::LAST_ADMIN => Some("`keyward members set-role EMAIL admin` makes another member an admin".to_owned()),
        codes::SUCCESSOR_REQUIRED => {
            let projects = problem.members.get("projects").and_then(|projects| projects.as_array());
            let projects = projects.into_iter().flatten().filter_map(|project| project.as_str());
            let projects = projects.collect::<Vec<_>>().join(", ");
            Some(format!("say who takes over {projects}, with `--successor EMAIL`"))
        }
        _ => None,
    }
}

/// Returns `?name=value&…` for the given parameters, percent-encoded (RFC 3986 §2.3).
pub(crate) fn query<const N: usize>(parameters: [(&str, Option<String>); N]) -> String {
    let mut query = String::new();
    for (name, value) in parameters {
        let Some(value) = value else { continue };
        query.push(if query.is_empty() { '?' } else { '&' });
        query.push_str(name);
        query.push('=');
        query.push_str(&percent_encode(&value, b""));
    }
    query
}

/// Returns the single item of a list that matches `name`.
pub(crate) fn the_one<T>(
    what: &str,
    name: &str,
    all: Vec<T>,
    is_meant: impl Fn(&T) -> bool,
    describe: impl Fn(&T) -> String,
) -> Outcome<T> {
    let (mut meant, others): (Vec<T>, Vec<T>) = all.into_iter().partition(is_meant);
    match (meant.pop(), meant.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            meant.push(last);
            let ids = meant.iter().map(describe).collect::<Vec<_>>().join("\n  ");
            Err(Failure::usage(format!("{} {what}s are called `{name}`: give the id of one\n  {ids}", meant.len())))
        }
        (None, _) => {
            Err(Failure::not_found(format!("there is no {what} `{name}` that you can see{}", known(&others, describe))))
        }
    }
}

/// Returns `: there are …`, to help with a mistyped name.
fn known<T, D: Display>(all: &[T], describe: impl Fn(&T) -> D) -> String {
    const SHOWN: usize = 8;
    if all.is_empty() {
        return ", nor any other".to_owned();
    }
    let mut shown: Vec<String> = all.iter().take(SHOWN).map(|one| format!("\n  {}", describe(one))).collect();
    if all.len() > SHOWN {
        shown.push(format!("\n  and {} more", all.len() - SHOWN));
    }
    format!("; these are there:{}", shown.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_the_given_parameters_percent_encoded() {
        assert_eq!(query([("limit", Some("5".to_owned())), ("after", None)]), "?limit=5");
        assert_eq!(query([("after", None), ("from", Some("a b&c=é".to_owned()))]), "?from=a%20b%26c%3D%C3%A9");
        assert_eq!(query([("after", None)]), "");
    }

    #[test]
    fn a_name_means_one_thing_or_it_is_said_why_not() {
        let find = |name: &'static str| {
            let all = vec![("k1", "laptop"), ("k2", "ci"), ("k3", "ci")];
            the_one("key", name, all, |(_, title)| *title == name, |(id, title)| format!("{id} {title}"))
        };
        assert_eq!(find("laptop").expect("one").0, "k1");
        let several = find("ci").expect_err("two").to_string();
        assert!(several.contains("2 keys are called `ci`") && several.contains("\n  k2 ci\n  k3 ci"), "{several}");
        let none = find("phone").expect_err("none").to_string();
        assert!(none.contains("no key `phone`") && none.contains("k1 laptop"), "{none}");
    }
}
