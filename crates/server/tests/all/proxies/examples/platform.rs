//! A small platform with the interface that the Encord SDK expects, behind a proxy. It lists, creates and accepts
//! uploads, for the sender in Keyward's headers. Files go to a separate bucket, which clients reach by signed URLs
//! without the proxy.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post, put},
};
use http::StatusCode;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

const FOLDER: &str = "0190a8e4-0000-7000-8000-00000000f01d";
const JOB: &str = "0190a8e4-0000-7000-8000-00000000010b";
const TIME: &str = "2026-01-02T03:04:05.000000+00:00";

/// The requests and files that the platform received.
#[derive(Default)]
pub struct Platform {
    /// Each request, with its kind of credential and its sender.
    calls: Vec<String>,
    projects: Vec<String>,
    datasets: Vec<String>,
    files: BTreeMap<String, Vec<u8>>,
    bucket: String,
}

type Shared = Arc<Mutex<Platform>>;

impl Platform {
    pub fn new(address: SocketAddr) -> Shared {
        Arc::new(Mutex::new(Self { bucket: format!("http://{address}/bucket"), ..Self::default() }))
    }

    /// Returns the requests since the last call, in order.
    pub fn take_calls(&mut self) -> Vec<String> {
        std::mem::take(&mut self.calls)
    }

    /// Returns the uploaded files, by name.
    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    fn signed_urls(&self) -> Value {
        let number = self.files.len();
        let item = format!("0190a8e4-0000-7000-8000-{number:012x}");
        json!({"results": [{"item_uuid": item, "object_key": format!("key-{number}"),
                            "signed_url": format!("{}/file-{number}?signature=s", self.bucket)}]})
    }

    /// Handles version 1, which has the operation in the body.
    fn version_1(&mut self, what: (&str, &str), payload: &Value, resource: &str) -> Value {
        match what {
            ("projectwithuserrole", "GET") => {
                json!(
                    self.projects
                        .iter()
                        .map(|title| json!({"user_role": 0, "project": project(title)}))
                        .collect::<Vec<_>>()
                )
            }
            ("project", "POST") => {
                let title = payload["title"].as_str().expect("a title").to_owned();
                self.projects.push(title.clone());
                json!(id_of(&title))
            }
            ("dataset", "GET") => {
                let title = self.datasets.iter().find(|title| id_of(title) == resource).expect("a dataset");
                json!({"title": title, "description": "", "dataset_type": "CORD_STORAGE", "dataset_hash": resource})
            }
            ("datasetdatalongpolling", "POST") => {
                assert!(payload.to_string().contains("key-"), "{payload}");
                json!({"process_hash": JOB})
            }
            ("datasetdatalongpolling", "GET") => json!({
                "status": "DONE", "data_hashes_with_titles": [{"data_hash": JOB, "title": "cat.png", "backing_item_uuid": JOB}], "errors": [],
                "data_unit_errors": [], "units_pending_count": 0, "units_done_count": 1, "units_error_count": 0,
                "units_cancelled_count": 0}),
            ("labelrowmetadata", "GET") => json!([]),
            other => panic!("{other:?} is not built"),
        }
    }
}

/// Returns an id that is derived from a title.
fn id_of(title: &str) -> String {
    let digits = title.bytes().fold(String::new(), |digits, byte| digits + &format!("{byte:x}"));
    format!("0190a8e4-0000-7000-8000-{digits:0>12}")
}

fn project(title: &str) -> Value {
    json!({"project_hash": id_of(title), "project_type": "manual_qa", "status": "inProgress", "title": title,
           "description": "", "created_at": TIME, "last_edited_at": TIME, "creator_email": "ada@example.com",
           "ontology_hash": "", "editor_ontology": {}, "user_role": 0})
}

/// Returns the platform's routes.
pub fn routes(platform: &Shared) -> Router {
    let folder = "/v2/public/storage/folders/{folder}";
    let behind_keyward = Router::new()
        .route("/v2/public/projects", get(list_projects))
        .route("/v2/public/datasets", post(create_dataset))
        .route("/v2/public/datasets/list", get(list_datasets))
        .route("/v2/public/storage/folders", post(create_folder))
        .route(&format!("{folder}/upload-signed-urls"), post(sign_urls))
        .route("/v2/public/presigned-urls", get(sign_urls))
        .route(&format!("{folder}/data-upload-jobs"), post(async || Json(JOB)))
        .route(&format!("{folder}/data-upload-jobs/{{job}}"), get(job))
        .route("/public", post(version_1))
        .route("/public/user", post(version_1))
        .layer(middleware::from_fn_with_state(Arc::clone(platform), identify));
    behind_keyward.route("/bucket/{file}", put(keep_file)).with_state(Arc::clone(platform))
}

/// Implements the guide for APIs: reads the sender from Keyward's headers, and compares the body with its digest.
async fn identify(State(platform): State<Shared>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let header = |name: &str| parts.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"));
    let (user, digest) = (header("remote-user").to_owned(), header("content-digest"));
    assert!(!parts.headers.contains_key("authorization"), "tokens and signatures are not for the platform");
    if user.is_empty() || !(digest.is_empty() || digest == http_signature::content_digest(&body)) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let how = if digest.is_empty() { "token" } else { "signed" };
    let call = format!("{} {} {how} {user}", parts.method, parts.uri.path());
    platform.lock().expect("no panic").calls.push(call);
    next.run(Request::from_parts(parts, body.into())).await
}

async fn list_projects(State(platform): State<Shared>) -> Json<Value> {
    let platform = platform.lock().expect("no panic");
    Json(json!({"results": platform.projects.iter().map(|title| project(title)).collect::<Vec<_>>()}))
}

async fn list_datasets(State(platform): State<Shared>) -> Json<Value> {
    let platform = platform.lock().expect("no panic");
    let datasets = platform.datasets.iter().map(|title| {
        json!({"dataset_uuid": id_of(title), "title": title, "description": "", "created_at": TIME,
               "last_edited_at": TIME, "user_role": "admin", "storage_location": 0})
    });
    Json(json!({"result": datasets.collect::<Vec<_>>()}))
}

async fn create_dataset(State(platform): State<Shared>, Json(create): Json<Value>) -> Json<Value> {
    let title = create["title"].as_str().expect("a title").to_owned();
    let id = id_of(&title);
    platform.lock().expect("no panic").datasets.push(title);
    Json(json!({"dataset_uuid": id}))
}

async fn create_folder(Json(create): Json<Value>) -> Json<Value> {
    Json(json!({"uuid": FOLDER, "parent": null, "name": create["name"], "description": "", "client_metadata": null,
                "owner": "ada@example.com", "created_at": TIME, "last_edited_at": TIME, "user_role": "admin",
                "synced_dataset_hash": null, "path_to_root": []}))
}

async fn sign_urls(State(platform): State<Shared>) -> Json<Value> {
    Json(platform.lock().expect("no panic").signed_urls())
}

async fn job() -> Json<Value> {
    Json(json!({"status": "DONE", "items_with_names": [{"item_uuid": JOB, "name": "cat.png"}], "errors": [],
                "units_pending_count": 0, "units_done_count": 1, "units_error_count": 0, "units_cancelled_count": 0,
                "unit_errors": []}))
}

async fn version_1(State(platform): State<Shared>, request: Request) -> Json<Value> {
    let (parts, body) = request.into_parts();
    let resource = parts.headers["resourceid"].to_str().expect("ASCII");
    let call: Value = serde_json::from_slice(&body.collect().await.expect("a body").to_bytes()).expect("JSON");
    let text = |name: &str| call[name].as_str().expect("a text");
    let what = (text("query_type"), text("query_method"));
    let response = platform.lock().expect("no panic").version_1(what, &call["values"]["payload"], resource);
    Json(json!({"status": 200, "response": response}))
}

async fn keep_file(State(platform): State<Shared>, Path(file): Path<String>, body: Bytes) -> StatusCode {
    platform.lock().expect("no panic").files.insert(file, body.to_vec());
    StatusCode::OK
}
