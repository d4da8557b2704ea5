//! Routes: the permissions that requests to an API require. This module parses the patterns of operators and matches
//! requests. `principal` checks the permissions.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::Deserialize;
use uuid::Uuid;

use crate::{
    ProjectId,
    limits::Scope,
    path::{self, Escape, PathError},
    principal::{Membership, ProjectPermission},
    role::Role,
    secret::quoted,
};

/// The requirement of a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Requirement {
    /// None: a request without a credential is accepted. If there is a credential, it must be accepted.
    Anyone,
    /// An accepted credential.
    Authenticated,
    /// At least this role in the workspace.
    Workspace(Role),
    /// This permission in the project of the path.
    Project(ProjectPermission),
}

/// A text that is not a requirement.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{0}` is not a requirement of a route; write anyone, authenticated, workspace:member, workspace:admin, project:view, \
     project:edit or project:admin"
)]
pub struct RequirementError(String);

impl FromStr for Requirement {
    type Err = RequirementError;

    fn from_str(text: &str) -> Result<Self, RequirementError> {
        Ok(match text {
            "anyone" => Self::Anyone,
            "authenticated" => Self::Authenticated,
            "workspace:member" => Self::Workspace(Role::Member),
            "workspace:admin" => Self::Workspace(Role::Admin),
            "project:view" => Self::Project(ProjectPermission::View),
            "project:edit" => Self::Project(ProjectPermission::Edit),
            // Of the permissions of a project's admin, this one also works with a bearer token.
            "project:admin" => Self::Project(ProjectPermission::Delete),
            _ => return Err(RequirementError(text.to_owned())),
        })
    }
}

/// One segment of a pattern, between two slashes.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Segment {
    /// Exactly this text.
    Literal(String),
    /// Any single segment.
    Any,
    /// A project: `prj_…` or the UUID inside it.
    Project,
    /// A workspace: its slug or `ws_…`.
    Workspace,
}

/// A pattern and its requirement: `GET /v2/projects/{project}/**` requires `project:view`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "RouteText")]
pub struct Route {
    /// `None` for any method.
    method: Option<String>,
    segments: Vec<Segment>,
    /// Whether more segments may follow.
    open_ended: bool,
    require: Requirement,
    /// The scope that a key needs, if it is limited to scopes.
    scope: Option<Scope>,
    /// Escapes that its paths may contain.
    allow_encoded: Vec<Escape>,
}

/// A route in the settings file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteText {
    #[serde(rename = "match")]
    pattern: String,
    require: String,
    #[serde(default)]
    scope: Option<Scope>,
    #[serde(default)]
    allow_encoded: Vec<Escape>,
}

impl TryFrom<RouteText> for Route {
    type Error = RouteError;

    fn try_from(text: RouteText) -> Result<Self, RouteError> {
        Self::parse(&text.pattern, &text.require)?.with_scope(text.scope)?.with_encoded(text.allow_encoded)
    }
}

/// An invalid route.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RouteError {
    /// Not a method, a space and a path.
    #[error(
        "{} is not a pattern; write METHOD PATH or * PATH, such as `GET /v2/projects/{{project}}/**`", quoted(.0)
    )]
    Malformed(String),
    /// An invalid segment.
    #[error(
        "{} is not a valid path segment; write plain text, {{project}}, {{workspace}}, * for one segment, or ** at \
         the end for any number",
        quoted(.0)
    )]
    Segment(String),
    /// A placeholder that occurs twice.
    #[error("{0} appears twice in the pattern; write it once")]
    Twice(&'static str),
    /// A role in a project is required, and the path has no project.
    #[error("{} needs {{project}} in its pattern, to identify the project", quoted(.0))]
    NoProject(String),
    /// The route accepts all clients, so a placeholder has no effect.
    #[error("a route for anyone cannot have {{project}} or {{workspace}} in its pattern; write * for that segment")]
    PlaceForAnyone,
    /// The route accepts all clients, so a scope has no effect.
    #[error(
        "a route for anyone cannot require a scope, because clients without a key pass it; write another `require`"
    )]
    ScopeForAnyone,
    /// The value of a placeholder would depend on how a server splits the segments.
    #[error(
        "a route with `allow_encoded` cannot have {{project}} or {{workspace}} in its pattern, because servers do not agree \
         where the segments of such a path end"
    )]
    PlaceWithEncoded,
    /// The requirement is unknown.
    #[error(transparent)]
    Requirement(#[from] RequirementError),
}

/// The values of a pattern's placeholders in a path, unchanged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Places<'a> {
    /// The value of `{project}`.
    pub project: Option<&'a str>,
    /// The value of `{workspace}`.
    pub workspace: Option<&'a str>,
}

impl Route {
    /// Creates a route from its pattern and the name of its requirement.
    ///
    /// # Errors
    /// One of them is invalid, or they contradict each other.
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
        let method = (method != "*").then(|| method.to_owned());
        let route = Self { method, segments, open_ended, require, scope: None, allow_encoded: Vec::new() };
        if require == Requirement::Anyone && route.names_place() {
            return Err(RouteError::PlaceForAnyone);
        }
        Ok(route)
    }

    /// Requires a scope of keys that are limited to scopes. Other keys do not need it.
    ///
    /// # Errors
    /// The route accepts requests without a credential.
    pub fn with_scope(self, scope: Option<Scope>) -> Result<Self, RouteError> {
        if scope.is_some() && self.require == Requirement::Anyone {
            return Err(RouteError::ScopeForAnyone);
        }
        Ok(Self { scope, ..self })
    }

    /// Returns the scope that it requires of keys that are limited to scopes.
    #[must_use]
    pub const fn scope(&self) -> Option<&Scope> {
        self.scope.as_ref()
    }

    /// Allows these escapes in the paths of the route.
    ///
    /// # Errors
    /// Its pattern contains a project or workspace.
    pub fn with_encoded(self, allow_encoded: Vec<Escape>) -> Result<Self, RouteError> {
        if !allow_encoded.is_empty() && self.names_place() {
            return Err(RouteError::PlaceWithEncoded);
        }
        Ok(Self { allow_encoded, ..self })
    }

    /// Returns whether a request that this route accepts is also accepted by the other one.
    fn is_as_strict_as(&self, other: &Self) -> bool {
        let rank = |requirement| match requirement {
            Requirement::Anyone => Some(0),
            Requirement::Authenticated => Some(1),
            Requirement::Workspace(Role::Member) => Some(2),
            Requirement::Workspace(Role::Admin) => Some(3),
            Requirement::Project(_) => None,
        };
        match (rank(self.require), rank(other.require)) {
            // Of two scopes, a key may have either one only.
            (Some(own), Some(their)) => {
                own >= their && !other.names_place() && (self.scope == other.scope || self.scope.is_none())
            }
            _ => false,
        }
    }

    /// Returns whether its pattern contains a project or workspace.
    fn names_place(&self) -> bool {
        self.segments.iter().any(|segment| matches!(segment, Segment::Project | Segment::Workspace))
    }

    /// Returns its requirement.
    #[must_use]
    pub const fn requirement(&self) -> Requirement {
        self.require
    }

    /// Matches a request, and returns the values of the placeholders in its path, or `None` if it does not match.
    ///
    /// Escapes (`%61` for `a`) are decoded, because the API that serves the path decodes them too. One slash at the end
    /// is ignored. The caller must have refused paths that servers interpret differently, as [`find_route`] does.
    #[must_use]
    fn match_request<'a>(&self, method: &str, path: &'a str) -> Option<Places<'a>> {
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
            Self::Anyone => "anyone",
            Self::Authenticated => "authenticated",
            Self::Workspace(Role::Member) => "workspace:member",
            Self::Workspace(Role::Admin) => "workspace:admin",
            Self::Project(ProjectPermission::View) => "project:view",
            Self::Project(ProjectPermission::Edit) => "project:edit",
            Self::Project(_) => "project:admin",
        })
    }
}

/// Writes the route as in the settings, one field after the other: `GET /v2/projects/{project}/** project:view`.
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
        write!(f, "{end} {}", self.require)?;
        if let Some(scope) = &self.scope {
            write!(f, " scope={scope}")?;
        }
        self.allow_encoded.iter().try_for_each(|escape| write!(f, " {escape}"))
    }
}

/// Returns the first route that matches a request, or `None`.
///
/// # Errors
/// Servers interpret the path differently, and the route does not allow it.
pub fn find_route<'r, 'a>(
    routes: &'r [Route],
    method: &str,
    path: &'a str,
) -> Result<Option<(&'r Route, Places<'a>)>, PathError> {
    let found = routes.iter().find_map(|route| Some((route, route.match_request(method, path)?)));
    path::check(path, found.as_ref().map_or(&[], |(route, _)| &route.allow_encoded))?;
    if let Some((route, _)) = &found
        && let Cow::Owned(decoded) = path::decoded(path)
    {
        // A server that decodes the path serves a path that another route may protect.
        let other = routes.iter().find(|other| other.match_request(method, &decoded).is_some());
        if other.is_some_and(|other| !route.is_as_strict_as(other)) {
            return Err(PathError::OtherRoute);
        }
    }
    Ok(found)
}

/// Parses a project in a path: `prj_…`, or its UUID.
#[must_use]
pub fn parse_project(text: &str) -> Option<ProjectId> {
    match text.parse::<Uuid>() {
        Ok(uuid) if text.len() == 36 => Some(ProjectId::from_uuid(uuid)),
        _ => text.parse().ok(),
    }
}

/// Returns whether a path segment or header value means this workspace: its slug, or `ws_…`.
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

/// Returns the bytes of a segment with its escapes decoded. A `%` that does not begin an escape is kept.
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
        let requirement =
            |method, path| find_route(&routes, method, path).unwrap().map(|(route, _)| route.requirement());
        assert_eq!(requirement("GET", "/v1/public/x"), Some(Requirement::Authenticated));
        assert_eq!(requirement("PUT", "/v1/public/x"), Some(Requirement::Workspace(Role::Admin)));
        assert_eq!(requirement("GET", "/v2"), None);
    }

    #[test]
    fn a_route_allows_escapes_that_fall_under_no_other_route() {
        let encoded = |pattern: &str, require: &str, escapes: &[&str]| {
            let escapes = escapes.iter().map(|escape| escape.parse().unwrap()).collect();
            Route::parse(pattern, require).unwrap().with_encoded(escapes).unwrap()
        };
        let routes = [
            Route::parse("* /packages/*/secret", "workspace:admin").unwrap(),
            encoded("GET /packages/*", "anyone", &["%2F"]),
            encoded("PUT /packages/*", "authenticated", &["%2f", "%25"]),
            Route::parse("* /packages/**", "authenticated").unwrap(),
        ];
        let found =
            |method, path| find_route(&routes, method, path).map(|found| found.map(|(route, _)| route.to_string()));
        assert_eq!(found("GET", "/packages/cli"), Ok(Some("GET /packages/* anyone %2F".to_owned())));
        assert_eq!(found("PUT", "/packages/100%25"), Ok(Some("PUT /packages/* authenticated %2F %25".to_owned())));
        assert_eq!(found("GET", "/packages/100%25"), Err(PathError::Escape(Escape::Percent)));
        assert_eq!(found("DELETE", "/packages/@acme%2Fcli"), Err(PathError::Escape(Escape::Slash)));
        assert_eq!(found("GET", "/packages/x/a%2Fb"), Err(PathError::Escape(Escape::Slash)));
        assert_eq!(found("GET", "/elsewhere/a%2Fb"), Err(PathError::Escape(Escape::Slash)));
        // For a server that decodes first, these paths match the first and the last route.
        assert_eq!(found("GET", "/packages/@acme%2Fsecret"), Err(PathError::OtherRoute));
        assert_eq!(found("PUT", "/packages/@acme%2fsecret"), Err(PathError::OtherRoute));
        assert_eq!(found("GET", "/packages/@acme%2fcli"), Err(PathError::OtherRoute), "the last one is stricter");
        assert_eq!(
            found("PUT", "/packages/@acme%2fcli").unwrap().as_deref(),
            Some("PUT /packages/* authenticated %2F %25")
        );
        let without_last = find_route(&routes[..3], "GET", "/packages/@acme%2Fcli");
        assert!(matches!(without_last, Ok(Some(_))), "no other route matches what such a server reads");
        assert_eq!(find_route(&[], "GET", "/a%2Fb"), Err(PathError::Escape(Escape::Slash)));

        for pattern in ["GET /{project}/*", "GET /{workspace}/*"] {
            let route = route(pattern);
            assert_eq!(route.clone().with_encoded(Vec::new()), Ok(route.clone()));
            assert_eq!(route.with_encoded(vec![Escape::Slash]), Err(RouteError::PlaceWithEncoded));
            assert_eq!(Route::parse(pattern, "anyone"), Err(RouteError::PlaceForAnyone));
        }
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
