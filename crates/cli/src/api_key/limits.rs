//! `keyward keys limit`, and the limits of a key in the other commands.

use std::fmt;

use api::{ApiKey, KeyLimits, UpdateApiKey};
use domain::{ProjectId, Timestamp, WorkspaceId, route::parse_project};

use super::Which;
use crate::{
    api_client::ApiClient,
    expiry::Expiry,
    failure::{Failure, Outcome},
    output,
    workspace::WorkspaceArguments,
};

/// The value of an argument that allows nothing.
const NOTHING: &str = "none";

/// The limits of a key.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct LimitArguments {
    /// Limit the key to this scope: `keyward:read` is every read, `keyward:write` adds projects, `keyward:manage` the rest;
    /// others are declared by the operator. Repeat it for several; `none` allows nothing
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// Limit the key to this project, and to nothing else of a workspace. Repeat it for several; `none` allows nothing
    #[arg(long, value_name = "ID")]
    project: Vec<Project>,
    /// Limit the key to requests from this network, such as 10.1.0.0/16, or IP address. Repeat it for several; `none`
    /// allows nothing
    #[arg(long, value_name = "CIDR")]
    cidr: Vec<String>,
    /// When the key begins to be accepted: a time such as 2027-01-31T12:00:00Z, or a span such as 12h from now
    #[arg(long, value_name = "WHEN")]
    not_before: Option<Expiry>,
}

/// A project by its id or UUID, or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Project {
    None,
    One(ProjectId),
}

impl std::str::FromStr for Project {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == NOTHING {
            return Ok(Self::None);
        }
        let malformed = || {
            format!("`{text}` is not a project: write its id, prj_…, or its UUID; `keyward projects list` shows them")
        };
        parse_project(text).map(Self::One).ok_or_else(malformed)
    }
}

/// Returns the values of a repeated argument, or `None` without one.
fn values(name: &str, given: &[String]) -> Outcome<Option<Vec<String>>> {
    match given {
        [] => Ok(None),
        [only] if only == NOTHING => Ok(Some(Vec::new())),
        all if all.iter().any(|value| value == NOTHING) => {
            Err(Failure::usage(format!("`--{name} {NOTHING}` allows nothing, so it is the only `--{name}`")))
        }
        all => Ok(Some(all.to_vec())),
    }
}

impl LimitArguments {
    fn is_empty(&self) -> bool {
        let Self { scope, project, cidr, not_before } = self;
        scope.is_empty() && project.is_empty() && cidr.is_empty() && not_before.is_none()
    }

    /// Returns `limits` with what these arguments set, or `None` if there is no limit.
    pub(super) fn set(&self, limits: KeyLimits, workspaces: Option<Vec<WorkspaceId>>) -> Outcome<Option<KeyLimits>> {
        let projects: Vec<ProjectId> = self
            .project
            .iter()
            .filter_map(|project| match project {
                Project::None => None,
                Project::One(id) => Some(*id),
            })
            .collect();
        if self.project.contains(&Project::None) && self.project.len() > 1 {
            return Err(Failure::usage("`--project none` allows nothing, so it is the only `--project`"));
        }
        let set = KeyLimits {
            scopes: values("scope", &self.scope)?.or(limits.scopes),
            projects: if self.project.is_empty() { limits.projects } else { Some(projects) },
            workspaces: workspaces.or(limits.workspaces),
            cidrs: values("cidr", &self.cidr)?.or(limits.cidrs),
            not_before: match self.not_before {
                None => limits.not_before,
                Some(start) => start.end(),
            },
        };
        Ok((set != KeyLimits::default()).then_some(set))
    }
}

/// Returns the workspaces that limit a key, by their slug or id.
pub(super) async fn find_workspaces(api: &ApiClient, names: &[String]) -> Outcome<Option<Vec<WorkspaceId>>> {
    let Some(names) = values("workspace", names)? else { return Ok(None) };
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        found.push(WorkspaceArguments { workspace: Some(name) }.find(api).await?.id);
    }
    Ok(Some(found))
}

/// A limit that is removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Removed {
    /// Every limit.
    All,
    /// The scopes.
    Scopes,
    /// The projects.
    Projects,
    /// The workspaces.
    Workspaces,
    /// The networks.
    Cidrs,
    /// The time from which it is accepted.
    NotBefore,
}

/// Limit what a key may do, where, from which networks and from when
///
/// A limit takes away from what the owner of the key may do. A limit that is not named stays as it is. Once the command
/// returns, every server applies the new limits.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward keys limit laptop --scope keyward:read
  keyward keys limit runner -s ci-bot --scope keyward:write --cidr 10.1.0.0/16
  keyward keys limit laptop --workspace acme --not-before 2027-01-31T12:00:00Z
  keyward keys limit laptop --remove cidrs
  keyward keys limit laptop --remove all                   the key may do what its owner may")]
pub(crate) struct Limit {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    limits: LimitArguments,
    /// Remove this limit. Repeat it for several
    #[arg(long, value_name = "LIMIT")]
    remove: Vec<Removed>,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
}

impl Limit {
    pub(super) async fn run(self) -> Outcome {
        let ring = self.which.owner.ring_with_limits().await?;
        if self.limits.is_empty() && self.remove.is_empty() && ring.workspaces.is_none() {
            return Err(Failure::usage(
                "name a limit: `--scope`, `--project`, `--workspace`, `--cidr` or `--not-before`, or one to `--remove`",
            ));
        }
        let key = ring.find(&self.which.name).await?;
        let mut limits = key.limits.unwrap_or_default();
        for removed in &self.remove {
            match removed {
                Removed::All => limits = KeyLimits::default(),
                Removed::Scopes => limits.scopes = None,
                Removed::Projects => limits.projects = None,
                Removed::Workspaces => limits.workspaces = None,
                Removed::Cidrs => limits.cidrs = None,
                Removed::NotBefore => limits.not_before = None,
            }
        }
        let limits = self.limits.set(limits, ring.workspaces.clone())?;
        let update = UpdateApiKey { limits: Some(limits), ..UpdateApiKey::default() };
        let updated: ApiKey = ring.api.patch(&ring.of(key.id), &update).await?;
        if self.json {
            return output::json(&updated);
        }
        output::line(format!("{} ({}): {}", updated.title, updated.fingerprint, Shown(updated.limits.as_ref())))
    }
}

/// The limits of a key, for people.
pub(super) struct Shown<'a>(pub(super) Option<&'a KeyLimits>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(limits) = self.0 else { return f.write_str("none") };
        let KeyLimits { scopes, projects, workspaces, cidrs, not_before } = limits;
        let list = |name: &str, items: Vec<String>| {
            format!("{name} {}", if items.is_empty() { NOTHING.to_owned() } else { items.join(", ") })
        };
        let texts = |items: &Vec<String>| items.clone();
        let parts = [
            scopes.as_ref().map(|items| list("scopes", texts(items))),
            projects.as_ref().map(|items| list("projects", items.iter().map(ToString::to_string).collect())),
            workspaces.as_ref().map(|items| list("workspaces", items.iter().map(ToString::to_string).collect())),
            cidrs.as_ref().map(|items| list("from", texts(items))),
            not_before.map(|start: Timestamp| format!("not before {}", output::full_moment(start))),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join("; "))
    }
}

/// The names of the limits that a key has, for a list.
pub(super) fn names(limits: Option<&KeyLimits>) -> String {
    let Some(KeyLimits { scopes, projects, workspaces, cidrs, not_before }) = limits else { return "none".to_owned() };
    let named = [
        (scopes.is_some(), "scopes"),
        (projects.is_some(), "projects"),
        (workspaces.is_some(), "workspaces"),
        (cidrs.is_some(), "cidrs"),
        (not_before.is_some(), "not before"),
    ];
    named.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_shown_in_one_line() {
        let limits = KeyLimits {
            scopes: Some(vec!["keyward:read".to_owned(), "invoices:read".to_owned()]),
            projects: Some(Vec::new()),
            cidrs: Some(vec!["10.0.0.0/8".to_owned()]),
            ..KeyLimits::default()
        };
        let shown = Shown(Some(&limits)).to_string();
        assert_eq!(shown, "scopes keyward:read, invoices:read; projects none; from 10.0.0.0/8");
        assert_eq!(names(Some(&limits)), "scopes, projects, cidrs");
        assert_eq!((Shown(None).to_string().as_str(), names(None).as_str()), ("none", "none"));
    }

    #[test]
    fn arguments_replace_only_the_limits_that_they_name() {
        let before = KeyLimits { cidrs: Some(vec!["10.0.0.0/8".to_owned()]), ..KeyLimits::default() };
        let arguments = LimitArguments { scope: vec!["keyward:read".to_owned()], ..LimitArguments::default() };
        let set = arguments.set(before.clone(), None).expect("limits").expect("some");
        assert_eq!((set.scopes, set.cidrs), (Some(vec!["keyward:read".to_owned()]), before.cidrs));
        let nothing = LimitArguments { scope: vec![NOTHING.to_owned()], ..LimitArguments::default() };
        let set = nothing.set(KeyLimits::default(), None).expect("limits").expect("some");
        assert_eq!(set.scopes, Some(Vec::new()));
        assert!(LimitArguments::default().set(KeyLimits::default(), None).expect("limits").is_none());
        let both = LimitArguments { scope: vec![NOTHING.to_owned(), "a".to_owned()], ..LimitArguments::default() };
        assert!(both.set(KeyLimits::default(), None).is_err());
    }
}
