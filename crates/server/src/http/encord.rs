//! `/v2/public`: the requests of the unmodified Encord Python SDK. The operations are the same as in the API.

use std::sync::Arc;

use api::Problem;
use axum::{
    Json,
    extract::{RawQuery, Request, State},
    response::Response,
    routing::{get, post},
};
use domain::{ProjectId, Timestamp, role::ProjectRole};
use http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};
use verifier::is_encord_version_1;

use super::{
    answer::change_problem,
    extract::{Authenticated, Path, ProjectRef, Query},
};
use crate::{
    App, AppError,
    app::{ListedProject, Paging, ProjectQuery},
};

/// The names that version 1 of the SDK's protocol has for the statuses of a refusal.
const VERSION_1_NAMES: [(u16, &str); 6] = [
    (400, "INVALID_ARGUMENTS_ERROR"),
    (401, "AUTHENTICATION_ERROR"),
    (403, "AUTHORISATION_ERROR"),
    (404, "RESOURCE_NOT_FOUND_ERROR"),
    (405, "METHOD_NOT_ALLOWED_ERROR"),
    (429, "RATE_LIMIT_ERROR"),
];

/// Returns the routes. The OpenAPI document describes the route for all clients. The others are only for the SDK.
pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(bearer_token))
        .route("/v2/public/projects", get(list_projects))
        .route("/v2/public/projects/{project}", get(find_project))
        .route("/v2/public/user/current-organisation/groups", get(list_groups))
        .route("/public", post(refuse_version_1))
        .route("/public/user", post(refuse_version_1))
}

/// The fields that `encord.orm.project.ProjectDTO` requires. Fields without an equivalent in Keyward are empty.
#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the names on the wire")]
struct Project {
    project_hash: uuid::Uuid,
    project_type: &'static str,
    status: &'static str,
    title: String,
    description: String,
    created_at: Timestamp,
    creator_email: String,
    last_edited_at: Timestamp,
    ontology_hash: String,
    editor_ontology: Value,
    user_role: Option<u8>,
}

impl From<ListedProject> for Project {
    fn from(listed: ListedProject) -> Self {
        let ListedProject { project, creator_email } = listed;
        Self {
            project_hash: project.id.uuid(),
            project_type: "manual_qa",
            status: "inProgress",
            title: project.title,
            description: project.description,
            created_at: project.created_at,
            creator_email: creator_email.unwrap_or(project.created_by),
            last_edited_at: project.updated_at,
            ontology_hash: String::new(),
            editor_ontology: json!({}),
            // `encord.orm.project.ProjectUserRole`: ADMIN, ANNOTATOR_REVIEWER, REVIEWER.
            user_role: project.role.map(|role| match role {
                ProjectRole::Admin => 0,
                ProjectRole::Editor => 3,
                ProjectRole::Viewer => 2,
            }),
        }
    }
}

#[derive(Serialize)]
struct Page<T> {
    results: Vec<T>,
    next_page_token: Option<String>,
}

/// `encord.orm.project.ProjectFilterParams`, which the SDK sends in camel case. Unknown parameters are ignored, because
/// newer SDKs send more.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ProjectFilter {
    #[serde(alias = "title_eq")]
    title_eq: Option<String>,
    #[serde(alias = "title_like")]
    title_like: Option<String>,
    #[serde(alias = "desc_eq")]
    desc_eq: Option<String>,
    #[serde(alias = "desc_like")]
    desc_like: Option<String>,
    #[serde(alias = "created_before")]
    created_before: Option<PythonTime>,
    #[serde(alias = "created_after")]
    created_after: Option<PythonTime>,
    #[serde(alias = "edited_before")]
    edited_before: Option<PythonTime>,
    #[serde(alias = "edited_after")]
    edited_after: Option<PythonTime>,
    #[serde(alias = "include_org_access", deserialize_with = "python_bool")]
    include_org_access: bool,
    #[serde(alias = "page_token")]
    page_token: Option<String>,
    #[serde(alias = "page_size")]
    page_size: Option<i64>,
}

/// `datetime.isoformat()`. Without an offset, it is interpreted as UTC.
#[derive(Clone, Copy, Debug)]
struct PythonTime(Timestamp);

impl<'de> Deserialize<'de> for PythonTime {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let utc = || text.parse::<jiff::civil::DateTime>()?.to_zoned(jiff::tz::TimeZone::UTC).map(|z| z.timestamp());
        text.parse().or_else(|_| utc()).map(Self).map_err(serde::de::Error::custom)
    }
}

/// Parses `str(True)`, which has a capital letter.
fn python_bool<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "true" | "True" => Ok(true),
        "false" | "False" => Ok(false),
        other => Err(serde::de::Error::custom(format!("`{other}` is neither true nor false"))),
    }
}

/// A bearer token.
#[derive(Serialize, utoipa::ToSchema)]
struct BearerToken {
    /// The token. It expires one hour after the request was signed, and no later than its key.
    #[schema(pattern = "^kwt_")]
    token: String,
}

/// Creates a bearer token for the key that signed the request.
#[utoipa::path(get, operation_id = "get_bearer_token", path = "/v2/public/user/bearer-token", tag = "tokens",
    responses((status = 200, body = BearerToken)))]
async fn bearer_token(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
) -> Result<Json<BearerToken>, AppError> {
    let (token, _) = app.create_bearer_token(&caller)?;
    Ok(Json(BearerToken { token }))
}

async fn list_projects(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Query(filter): Query<ProjectFilter>,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<Project>>, AppError> {
    // Projects have no tags.
    if query.is_some_and(|query| query.split('&').any(|pair| pair.starts_with("tagsAnyof="))) {
        return Ok(Json(Page { results: Vec::new(), next_page_token: None }));
    }
    let time = |time: Option<PythonTime>| time.map(|time| time.0);
    let query = ProjectQuery {
        title: filter.title_eq,
        title_like: filter.title_like,
        description: filter.desc_eq,
        description_like: filter.desc_like,
        created_before: time(filter.created_before),
        created_after: time(filter.created_after),
        updated_before: time(filter.edited_before),
        updated_after: time(filter.edited_after),
        include_workspace: filter.include_org_access,
    };
    let paging = Paging { after: filter.page_token, limit: filter.page_size };
    let page = app.search_projects(&caller, &query, &paging).await?;
    Ok(Json(Page { results: page.items.into_iter().map(Project::from).collect(), next_page_token: page.next }))
}

async fn find_project(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path(project): Path<ProjectRef>,
) -> Result<Json<Project>, AppError> {
    let id: ProjectId = project.0;
    app.find_project_anywhere(&caller, id).await.map(|listed| Json(listed.into()))
}

/// Returns an empty list, because there are no groups.
async fn list_groups(_: Authenticated) -> Json<Page<Value>> {
    Json(Page { results: Vec::new(), next_page_token: None })
}

/// Version 1 of the SDK's protocol sends every call to two paths. Keyward has no answer to any of them.
async fn refuse_version_1(_: Authenticated) -> AppError {
    AppError::NotServed
}

/// Answers calls by version 1 of the SDK's protocol in a form that the SDK reads, here and through a proxy. It reads `status`,
/// `response` and `payload` in the body, whatever the HTTP status, so a refusal is a problem that has these, too.
pub(crate) async fn answer_version_1<F: Future<Output = Response>>(
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let is_version_1 = is_version_1(request.headers());
    let response = next(request).await;
    if is_version_1 { change_problem(response, with_version_1_members) } else { response }
}

/// A response to a request with these headers. A refusal of one by version 1 is in the form that the SDK reads.
pub(super) fn refuse_in_form_of_version_1(headers: &HeaderMap, response: Response) -> Response {
    if is_version_1(headers) { change_problem(response, with_version_1_members) } else { response }
}

/// Whether a request is one by version 1, by its signature or by a header that the SDK sends with bearer tokens as well.
fn is_version_1(headers: &HeaderMap) -> bool {
    headers.contains_key("resourceid") || headers.get(header::AUTHORIZATION).is_some_and(is_encord_version_1)
}

fn with_version_1_members(problem: Problem) -> Problem {
    let known = VERSION_1_NAMES.iter().find(|(status, _)| *status == problem.status);
    // A name that the SDK does not know is shown together with the payload.
    let name = known.map_or_else(|| problem.code.to_uppercase(), |(_, name)| (*name).to_owned());
    let detail = problem.detail.clone();
    problem.with("response", json!([name])).with("payload", detail)
}
