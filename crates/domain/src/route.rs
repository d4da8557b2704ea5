//! Routes: which requests to a platform's own API need what. The patterns an operator writes, and which of them a
//! request falls under. Who may pass is `principal`'s.

use std::{fmt, str::FromStr};

use serde::Deserialize;
use uuid::Uuid;

use crate::{
    ProjectId,
    principal::{Membership, ProjectPermission},
    role::Role,
    secret::quoted,
};

/// What a request that falls under a route needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Requirement {
    /// A credential that is accepted, no more.
    Authenticated,
    /// At least this role in the workspace.
    Workspace(Role),
    /// This in the project of the path.
    Project(ProjectPermission),
}

/// A word that names no requirement.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{0}` is not a requirement of a route; write authenticated, workspace:member, workspace:admin, project:view, \
     project:edit or project:admin"
)]
pub struct RequirementError(String);

impl FromStr for Requirement {
    type Err = RequirementError;

    fn from_str(text: &str) -> Result<Self, RequirementError> {
        Ok(match text {
            "authenticated" => Self::Authenticated,
            "workspace:member" => Self::Workspace(Role::Member),
            "workspace:admin" => Self::Workspace(Role::Admin),
            "project:view" => Self::Project(ProjectPermission::View),
            "project:edit" => Self::Project(ProjectPermission::Edit),
            // Of what only a project's admin may do, the one that a bearer token may do too.
            "project:admin" => Self::Project(ProjectPermission::Delete),
            _ => return Err(RequirementError(text.to_owned())),
        })
    }
}

/// One place between two slashes of a pattern.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Segment {
    /// Exactly this.
    Literal(String),
    /// Anything, but one segment of it.
    Any,
    /// A project: `prj_…` or the UUID inside it.
    Project,
    /// A workspace: its slug or `ws_…`.
    Workspace,
}

/// A pattern and what it requires: `GET /v2/projects/{project}/**` needs `project:view`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "RouteText")]
pub struct Route {
    /// None: any.
    method: Option<String>,
    segments: Vec<Segment>,
    /// Whether more segments may follow.
    open_ended: bool,
    require: Requirement,
}

/// A route as an operator writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteText {
    #[serde(rename = "match")]
    pattern: String,
    require: String,
}

impl TryFrom<RouteText> for Route {
    type Error = RouteError;

    fn try_from(text: RouteText) -> Result<Self, RouteError> {
        Self::parse(&text.pattern, &text.require)
    }
}

/// A route that cannot be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RouteError {
    /// Not a method, a blank and a path.
    #[error(
        "{} is not a pattern; write METHOD PATH or * PATH, such as `GET /v2/projects/{{project}}/**`", quoted(.0)
    )]
    Malformed(String),
    /// A segment that means nothing.
    #[error(
        "{} is not a valid path segment; write plain text, {{project}}, {{workspace}}, * for one segment, or ** at \
         the end for any number",
        quoted(.0)
    )]
    Segment(String),
    /// A place that stands twice.
    #[error("{0} appears twice in the pattern; write it once")]
    Twice(&'static str),
    /// A project's role is required where the path names none.
    #[error("{} needs {{project}} in its pattern, to identify the project", quoted(.0))]
    NoProject(String),
    /// What is required is unknown.
    #[error(transparent)]
    Requirement(#[from] RequirementError),
}

/// The values of the placeholders of a pattern in a path, unchanged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Places<'a> {
    /// In the place of `{project}`.
    pub project: Option<&'a str>,
    /// In the place of `{workspace}`.
    pub workspace: Option<&'a str>,
}

impl Route {
    /// A route from its pattern and the name of what it requires.
    ///
    /// # Errors
    /// One of them means nothing, or they contradict each other.
    pub fn parse(pattern: &str, require: &str) -> Result<Self, RouteError> {
        let malformed = || RouteError::Malformed(pattern.to_owned());
        let (method, path) = pattern.split_once(' ').ok_or_else(malformed)?;
        let is_method =
            method == "*" || (!method.is_empty() && method.bytes().all(|c| c.is_ascii_uppercase() || c == b'-'));
        let path = path.strip_prefix('/').filter(|_| is_method).ok_or_else(malformed)?;
        let (path, open_ended) = match path.strip_suffix("**") {
            Some("") => ("", true),
            Some(front) => (front.strip_suffix('/').ok_or_else(|| RouteError::Segment(last(path)))?, true),
            None => (path.strip_suffix('/').unwrap_or(path), false),
        };
        let segments =
            if path.is_empty() { Vec::new() } else { path.split('/').map(segment).collect::<Result<_, _>>()? };
        for (place, name) in [(Segment::Project, "{project}"), (Segment::Workspace, "{workspace}")] {
            if segments.iter().filter(|segment| **segment == place).count() > 1 {
                return Err(RouteError::Twice(name));
            }
        }
        let require = require.parse()?;
        if matches!(require, Requirement::Project(_)) && !segments.contains(&Segment::Project) {
            return Err(RouteError::NoProject(pattern.to_owned()));
        }
        Ok(Self { method: (method != "*").then(|| method.to_owned()), segments, open_ended, require })
    }

    /// What it requires.
    #[must_use]
    pub const fn requirement(&self) -> Requirement {
        self.require
    }

    /// What the path of a request says in the places of this pattern; none where the request does not fall under it.
    ///
    /// Escapes (`%61` for `a`) are decoded, since the API that serves the path decodes them too, and one slash at the
    /// end is ignored. The path must have been checked for parts that two parsers could read differently.
    #[must_use]
    pub fn match_request<'a>(&self, method: &str, path: &'a str) -> Option<Places<'a>> {
        if self.method.as_deref().is_some_and(|own| own != method) {
            return None;
        }
        let path = path.strip_prefix('/')?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut theirs = path.split('/').filter(|_| !path.is_empty());
        let mut places = Places::default();
        for own in &self.segments {
            let their = theirs.next()?;
            match own {
                Segment::Literal(text) if !unescape(their).eq(text.bytes()) => return None,
                Segment::Literal(_) | Segment::Any => {}
                Segment::Project => places.project = Some(their),
                Segment::Workspace => places.workspace = Some(their),
            }
        }
        (self.open_ended || theirs.next().is_none()).then_some(places)
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authenticated => "authenticated",
            Self::Workspace(Role::Member) => "workspace:member",
            Self::Workspace(Role::Admin) => "workspace:admin",
            Self::Project(ProjectPermission::View) => "project:view",
            Self::Project(ProjectPermission::Edit) => "project:edit",
            Self::Project(_) => "project:admin",
        })
    }
}

/// As an operator writes it: `GET /v2/projects/{project}/** project:view`.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.method.as_deref().unwrap_or("*"))?;
        for segment in &self.segments {
            let text = match segment {
                Segment::Literal(text) => text.as_str(),
                Segment::Any => "*",
                Segment::Project => "{project}",
                Segment::Workspace => "{workspace}",
            };
            write!(f, "/{text}")?;
        }
        let end = match (self.open_ended, self.segments.is_empty()) {
            (true, _) => "/**",
            (false, true) => "/",
            (false, false) => "",
        };
        write!(f, "{end} {}", self.require)
    }
}

/// The first route that a request falls under.
#[must_use]
pub fn find_route<'r, 'a>(routes: &'r [Route], method: &str, path: &'a str) -> Option<(&'r Route, Places<'a>)> {
    routes.iter().find_map(|route| Some((route, route.match_request(method, path)?)))
}

/// A project as paths name it: `prj_…`, or the UUID inside it.
#[must_use]
pub fn parse_project(text: &str) -> Option<ProjectId> {
    match text.parse::<Uuid>() {
        Ok(uuid) if text.len() == 36 => Some(ProjectId::from_uuid(uuid)),
        _ => text.parse().ok(),
    }
}

/// Whether a path or a header means this workspace: by its slug, or by `ws_…`.
#[must_use]
pub fn names_workspace(text: &str, membership: &Membership) -> bool {
    *membership.slug == *text || text.parse() == Ok(membership.workspace)
}

fn segment(text: &str) -> Result<Segment, RouteError> {
    let is_plain = |c: char| !c.is_control() && !c.is_whitespace() && !"{}*%?#;\\".contains(c);
    match text {
        "{project}" => Ok(Segment::Project),
        "{workspace}" => Ok(Segment::Workspace),
        "*" => Ok(Segment::Any),
        "" | "." | ".." => Err(RouteError::Segment(text.to_owned())),
        _ if text.chars().all(is_plain) => Ok(Segment::Literal(text.to_owned())),
        _ => Err(RouteError::Segment(text.to_owned())),
    }
}

fn last(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

/// The bytes of a segment, escapes read. A `%` that begins none stays as it is.
fn unescape(text: &str) -> impl Iterator<Item = u8> {
    let digit = |c: &u8| char::from(*c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let (&first, after) = rest.split_first()?;
        if let (b'%', [high, low, after @ ..]) = (first, after)
            && let (Some(high), Some(low)) = (digit(high), digit(low))
        {
            rest = after;
            return Some(high << 4 | low);
        }
        rest = after;
        Some(first)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(pattern: &str) -> Route {
        Route::parse(pattern, "authenticated").expect("a good pattern")
    }

    fn places<'a>(pattern: &str, method: &str, path: &'a str) -> Option<(Option<&'a str>, Option<&'a str>)> {
        route(pattern).match_request(method, path).map(|places| (places.project, places.workspace))
    }

    #[test]
    fn a_pattern_names_the_places_of_project_and_workspace() {
        let pattern = "GET /v2/projects/{project}/**";
        assert_eq!(places(pattern, "GET", "/v2/projects/prj_1/labels/7"), Some((Some("prj_1"), None)));
        assert_eq!(places(pattern, "GET", "/v2/projects/prj_1"), Some((Some("prj_1"), None)));
        assert_eq!(places(pattern, "GET", "/v2/projects"), None);
        assert_eq!(places(pattern, "POST", "/v2/projects/prj_1"), None);
        assert_eq!(places(pattern, "get", "/v2/projects/prj_1"), None);
        assert_eq!(places("* /{workspace}/p/{project}", "PURGE", "/acme/p/prj_1"), Some((Some("prj_1"), Some("acme"))));
    }

    #[test]
    fn one_star_is_one_segment_and_two_are_any_number() {
        assert!(places("GET /a/*/c", "GET", "/a/b/c").is_some());
        assert!(places("GET /a/*/c", "GET", "/a/c").is_none());
        assert!(places("GET /a/*/c", "GET", "/a/b/b/c").is_none());
        for path in ["/", "/a", "/a/b/c"] {
            assert!(places("GET /**", "GET", path).is_some(), "{path}");
        }
        assert!(places("GET /", "GET", "/").is_some());
        assert!(places("GET /", "GET", "/a").is_none());
    }

    #[test]
    fn equivalent_paths_match_the_same_route() {
        for path in ["/admin", "/admin/", "/%61dmin", "/%61%64min/"] {
            assert!(places("GET /admin", "GET", path).is_some(), "{path}");
        }
        assert!(places("GET /größe", "GET", "/gr%C3%B6%C3%9fe").is_some());
        for path in ["/Admin", "/admin2", "/admi", "/%2561dmin", "/admin%", "admin", ""] {
            assert!(places("GET /admin", "GET", path).is_none(), "{path}");
        }
    }

    #[test]
    fn the_first_route_that_matches_decides() {
        let routes = [
            Route::parse("GET /v1/public/**", "authenticated").unwrap(),
            Route::parse("* /v1/**", "workspace:admin").unwrap(),
        ];
        let requirement = |method, path| find_route(&routes, method, path).map(|(route, _)| route.requirement());
        assert_eq!(requirement("GET", "/v1/public/x"), Some(Requirement::Authenticated));
        assert_eq!(requirement("PUT", "/v1/public/x"), Some(Requirement::Workspace(Role::Admin)));
        assert_eq!(requirement("GET", "/v2"), None);
    }

    #[test]
    fn meaningless_routes_are_refused_with_advice() {
        for pattern in ["", "/v1", "GET", "GET v1", "get /v1", "GET  /v1", "G T /v1", "/v1 GET"] {
            assert!(matches!(Route::parse(pattern, "authenticated"), Err(RouteError::Malformed(_))), "{pattern:?}");
        }
        for pattern in
            ["GET /a//b", "GET /../b", "GET /a**", "GET /**/a", "GET /{id}", "GET /a?x", "GET /%61", "GET /a b"]
        {
            assert!(matches!(Route::parse(pattern, "authenticated"), Err(RouteError::Segment(_))), "{pattern:?}");
        }
        let twice = Route::parse("GET /{project}/{project}", "project:view");
        assert_eq!(twice, Err(RouteError::Twice("{project}")));
        assert!(matches!(Route::parse("GET /{workspace}", "project:view"), Err(RouteError::NoProject(_))));
        let unknown = Route::parse("GET /a", "project:own").unwrap_err().to_string();
        assert!(unknown.contains("`project:own`") && unknown.contains("project:admin"), "{unknown}");
    }

    #[test]
    fn a_project_is_named_by_its_id_or_its_uuid() {
        let id = ProjectId::from_uuid("01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap());
        assert_eq!(parse_project("01890a5d-ac96-774b-bcce-b302099a8057"), Some(id));
        assert_eq!(parse_project(&id.to_string()), Some(id));
        for text in ["", "prj_", "01890a5dac96774bbcceb302099a8057", "ws_01h455vb4pex5vsknk084sn02q", "%70rj_1"] {
            assert_eq!(parse_project(text), None, "{text}");
        }
    }
}
