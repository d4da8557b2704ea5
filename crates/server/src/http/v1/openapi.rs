//! The OpenAPI document. The common parts of operations are added here to the descriptions of the handlers.

use api::{Problem, schema};
use domain::list::{
    Choice as _, InvitationFilter, InvitationOrder, MemberFilter, MemberOrder, ProjectFilter, ProjectOrder,
    ServiceAccountFilter, ServiceAccountOrder, UserFilter, UserOrder, WorkspaceFilter, WorkspaceOrder,
};
use http::StatusCode;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, ContentBuilder, HeaderBuilder, ObjectBuilder, OpenApi, Ref, RefOr, ResponseBuilder, Schema,
        ServerBuilder, Type,
        path::{Operation, ParameterIn, PathItem},
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
        tag::TagBuilder,
    },
};

/// Operations that do not accept bearer tokens: those that change keys, roles, memberships, invitations or an enabled
/// state. The operations of operators do not accept them either.
const SIGNED_ONLY: [&str; 31] = [
    "get_bearer_token",
    "create_proof_challenge",
    "create_my_key",
    "update_my_key",
    "revoke_my_key",
    "list_my_key_cascade",
    "disable_my_key",
    "enable_my_key",
    "prove_my_key",
    "rotate_my_key",
    "undo_my_key_rotation",
    "create_service_account_key",
    "update_service_account_key",
    "revoke_service_account_key",
    "list_service_account_key_cascade",
    "disable_service_account_key",
    "enable_service_account_key",
    "prove_service_account_key",
    "rotate_service_account_key",
    "undo_service_account_key_rotation",
    "delete_workspace",
    "set_workspace_policy",
    "update_member",
    "remove_member",
    "create_invitations",
    "revoke_invitation",
    "resend_invitation",
    "accept_invitation",
    "delete_service_account",
    "set_project_member",
    "remove_project_member",
];

/// Operations that need no credential in the headers.
const OPEN: [&str; 3] = ["accept_invitation", "find_leaked_key", "revoke_leaked_key"];
type MakeSchema = fn() -> RefOr<Schema>;

/// The type of `after` in each list: the id of the last item of the previous page, in sorted lists with the value that
/// it is sorted by, or the position of an event in the log.
const CURSORS: [(&str, MakeSchema); 13] = [
    ("list_my_keys", reference::<schema::ApiKeyId>),
    ("list_service_account_keys", reference::<schema::ApiKeyId>),
    ("list_workspaces", sorted::<schema::WorkspaceId>),
    ("list_all_workspaces", sorted::<schema::WorkspaceId>),
    ("list_members", sorted::<schema::UserId>),
    ("list_invitations", sorted::<schema::InvitationId>),
    ("list_service_accounts", sorted::<schema::ServiceAccountId>),
    ("list_projects", sorted::<schema::ProjectId>),
    ("list_project_members", reference::<schema::PrincipalId>),
    ("review_workspace_keys", reference::<schema::ApiKeyId>),
    ("review_all_keys", reference::<schema::ApiKeyId>),
    ("list_users", sorted::<schema::UserId>),
    ("list_audit_events", || {
        ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[0-9]{1,18}$")).build().into()
    }),
];

/// The names of the orders and of the filters of each list that is searched.
const SEARCHES: [(&str, &[&str], &[&str]); 7] = [
    ("list_workspaces", WorkspaceOrder::NAMES, WorkspaceFilter::NAMES),
    ("list_all_workspaces", WorkspaceOrder::NAMES, WorkspaceFilter::NAMES),
    ("list_members", MemberOrder::NAMES, MemberFilter::NAMES),
    ("list_invitations", InvitationOrder::NAMES, InvitationFilter::NAMES),
    ("list_service_accounts", ServiceAccountOrder::NAMES, ServiceAccountFilter::NAMES),
    ("list_projects", ProjectOrder::NAMES, ProjectFilter::NAMES),
    ("list_users", UserOrder::NAMES, UserFilter::NAMES),
];

/// The tag of the operations of operators.
const OPERATORS: &str = "operators";

const TAGS: [(&str, &str); 10] = [
    ("me", "The caller, and a user's own keys."),
    ("workspaces", "Workspaces of an installation. Each has its own members, service accounts and projects."),
    ("members", "People in a workspace."),
    ("invitations", "Invitations into a workspace."),
    ("service accounts", "Service accounts of a workspace, and their keys."),
    ("projects", "Projects of a workspace, and their members."),
    ("leaked keys", "For the finder of a private key. A statement that the key signed is the only credential."),
    ("audit", "The audit log of a workspace."),
    (OPERATORS, "For operators of the installation only."),
    ("tokens", "Bearer tokens, for programs that cannot sign every request."),
];

/// The problems for refused requests: the status, the name of the response, and its description.
const PROBLEMS: [(StatusCode, &str, &str); 13] = [
    (StatusCode::BAD_REQUEST, "InvalidRequest", "The request is invalid. `errors` names the fields."),
    (StatusCode::UNAUTHORIZED, "Unauthenticated", "The credential is missing or not accepted."),
    (StatusCode::FORBIDDEN, "Forbidden", "The caller is authenticated, but not allowed."),
    (StatusCode::NOT_FOUND, "NotFound", "It does not exist, or the caller may not know that it does."),
    (StatusCode::REQUEST_TIMEOUT, "RequestTimeout", "The body arrived too slowly."),
    (StatusCode::CONFLICT, "Conflict", "It conflicts with the current state. `code` names the conflict."),
    (StatusCode::PAYLOAD_TOO_LARGE, "TooLarge", "The body is too large."),
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", "The body is not JSON."),
    (StatusCode::MISDIRECTED_REQUEST, "HostNotListed", "The installation does not answer for this host."),
    (StatusCode::TOO_MANY_REQUESTS, "RateLimited", "Too many requests. Try again after `Retry-After` seconds."),
    (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "HeadersTooLarge", "The headers are too large."),
    (StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "Internal error. Give the operator the `X-Request-Id`."),
    (StatusCode::SERVICE_UNAVAILABLE, "Unavailable", "Temporarily unavailable. Try again after `Retry-After` seconds."),
];

/// Adds the common parts of operations: the server, the credentials, the problems, the ids in paths.
pub(in crate::http) fn complete(mut document: OpenApi, public_url: &str) -> OpenApi {
    env!("CARGO_PKG_VERSION").clone_into(&mut document.info.version);
    document.servers = Some(vec![ServerBuilder::new().url(public_url).build()]);
    let tag = |(name, description)| TagBuilder::new().name(name).description(Some(description)).build();
    document.tags = Some(TAGS.into_iter().map(tag).collect());
    add_components(document.components.get_or_insert_default());
    for (path, item) in &mut document.paths.paths {
        let has_ids = path.contains('{');
        for (is_read, operation) in operations(item) {
            complete_operation(operation, is_read, has_ids);
        }
    }
    document
}

/// Returns the operations of a path, and whether each only reads.
pub(super) fn operations(item: &mut PathItem) -> impl Iterator<Item = (bool, &mut Operation)> {
    let writes = [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
    let writes = writes.into_iter().flatten().map(|operation| (false, operation));
    item.get.as_mut().map(|operation| (true, operation)).into_iter().chain(writes)
}

fn add_components(components: &mut Components) {
    for (status, name, description) in PROBLEMS {
        let problem = Ref::from_schema_name(Problem::name());
        let mut response = ResponseBuilder::new()
            .description(description)
            .content("application/problem+json", ContentBuilder::new().schema(Some(problem)).build());
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            let header = HeaderBuilder::new().description(Some("Seconds to wait.")).build();
            response = response.header("Retry-After", header);
        }
        components.responses.insert(name.to_owned(), RefOr::T(response.build()));
    }
    let mut schemas = schema::list_schemas();
    schemas.push((Problem::name().into_owned(), Problem::schema()));
    Problem::schemas(&mut schemas);
    components.schemas.extend(schemas);
    let header = |name: &str, description: &str| {
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(name, description)))
    };
    let signature = "The signature (RFC 9421) that covers `@method`, `@authority`, `@target-uri` and, except for GET, \
                     `content-digest` (RFC 9530), with the tag `keyward`. A library makes it: see the documentation of \
                     Keyward.";
    let input = "The components and parameters of the signature (RFC 9421).";
    components.security_schemes.extend([
        ("signature".to_owned(), header("Signature", signature).into()),
        ("signatureInput".to_owned(), header("Signature-Input", input).into()),
        ("bearer".to_owned(), SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)).into()),
    ]);
}

fn complete_operation(operation: &mut Operation, is_read: bool, has_ids: bool) {
    let id = operation.operation_id.clone().unwrap_or_default();
    let is_for_operators = operation.tags.iter().flatten().any(|tag| tag == OPERATORS);
    let signed_only = is_for_operators || SIGNED_ONLY.contains(&id.as_str());
    // The token of an invitation, and the statement of a key, are separate credentials.
    let is_open = OPEN.contains(&id.as_str());
    let signature = SecurityRequirement::new("signature", NO_SCOPES).add("signatureInput", NO_SCOPES);
    let mut security = vec![signature];
    if !signed_only {
        security.push(SecurityRequirement::new("bearer", NO_SCOPES));
    }
    if is_open {
        security.insert(0, SecurityRequirement::default());
    }
    operation.security = Some(security);
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            describe(status).clone_into(&mut response.description);
        }
    }
    let has_body = operation.request_body.is_some();
    for (status, name, _) in PROBLEMS {
        let applies = match status {
            StatusCode::NOT_FOUND => has_ids,
            StatusCode::CONFLICT => !is_read,
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::REQUEST_TIMEOUT => {
                has_body
            }
            _ => true,
        };
        if applies {
            let response = RefOr::Ref(Ref::from_response_name(name));
            operation.responses.responses.insert(status.as_str().to_owned(), response);
        }
    }
    for parameter in operation.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        if parameter.parameter_in == ParameterIn::Path
            && let Some((name, RefOr::T(schema))) = schema_of_id(&parameter.name)
        {
            parameter.description = description_of(&schema);
            parameter.schema = Some(Ref::from_schema_name(name).into());
        } else if parameter.name == "after"
            && let Some((_, cursor)) = CURSORS.iter().find(|(list, _)| *list == id)
        {
            parameter.schema = Some(cursor());
        } else if let Some((_, orders, filters)) = SEARCHES.iter().find(|(list, ..)| *list == id) {
            match parameter.name.as_str() {
                "sort" => {
                    let names = orders.iter().flat_map(|name| [(*name).to_owned(), format!("-{name}")]);
                    parameter.schema = Some(words(names, orders));
                }
                "filter" => parameter.schema = Some(words(filters.iter().map(|name| (*name).to_owned()), filters)),
                _ => {}
            }
        }
    }
}

fn reference<T: ToSchema>() -> RefOr<Schema> {
    Ref::from_schema_name(T::name()).into()
}

/// Returns the schema of a position in a sorted list: an id, and in most orders the value that it is sorted by.
fn sorted<T: ToSchema>() -> RefOr<Schema> {
    let mut schema = T::schema();
    if let RefOr::T(Schema::Object(id)) = &mut schema {
        id.description = Some("The position of an item in the list.".to_owned());
        id.pattern = id.pattern.take().and_then(|id| Some(format!("{}(\\.[A-Za-z0-9_-]*)?$", id.strip_suffix('$')?)));
    }
    schema
}

/// Returns the schema of a text that is one of these words. The first of `default` is the default.
fn words(words: impl Iterator<Item = String>, default: &[&str]) -> RefOr<Schema> {
    let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words.collect::<Vec<_>>()));
    schema.default(default.first().map(|word| (*word).into())).build().into()
}

const NO_SCOPES: [&str; 0] = [];

fn describe(status: &str) -> &'static str {
    match status {
        "201" => "Created.",
        "204" => "Done.",
        _ => "The answer.",
    }
}

/// Returns the schema of an id in a path, by its name in the path, with its name among the components.
fn schema_of_id(name: &str) -> Option<(String, RefOr<Schema>)> {
    fn of<T: ToSchema>() -> (String, RefOr<Schema>) {
        (T::name().into_owned(), T::schema())
    }
    Some(match name {
        "ws" => of::<schema::WorkspaceId>(),
        "usr" => of::<schema::UserId>(),
        "sa" => of::<schema::ServiceAccountId>(),
        "key" => of::<schema::ApiKeyId>(),
        "prj" => of::<schema::ProjectReference>(),
        "inv" => of::<schema::InvitationId>(),
        "principal" => of::<schema::PrincipalId>(),
        _ => return None,
    })
}

fn description_of(schema: &Schema) -> Option<String> {
    match schema {
        Schema::Object(object) => object.description.clone(),
        _ => None,
    }
}
