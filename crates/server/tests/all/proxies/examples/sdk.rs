//! The unmodified Encord SDK, nginx, Keyward and a platform.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use server::Settings;
use tokio::net::TcpListener;

use super::{
    platform::{Platform, routes},
    stack::{ANY_PORT, Kind, Stack},
};
use crate::support::sdk::{generate_key_file, register_key, run_sdk};

struct Behind {
    stack: Stack,
    platform: Arc<Mutex<Platform>>,
    directory: tempfile::TempDir,
    key: PathBuf,
    /// A file to upload.
    image: Vec<u8>,
}

impl Behind {
    /// Starts all servers, with a key of the admin `ada@example.com`.
    async fn nginx() -> Self {
        let listener = TcpListener::bind(ANY_PORT).await.expect("a free port");
        let platform = Platform::new(listener.local_addr().expect("an address"));
        let settings = |address: SocketAddr, settings: &mut Settings| {
            settings.hosts = vec![format!("http://{address}")];
            settings.encord_hosts = vec![address.to_string()];
        };
        let stack = Stack::start_before(Kind::Nginx, str::to_owned, settings, listener, routes(&platform)).await;
        let directory = tempfile::tempdir().expect("a directory");
        let (key, public_key) = generate_key_file(directory.path(), "sdk");
        register_key(&stack.test, &stack.workspace, &stack.admin, "sdk", public_key).await;
        // More than nginx keeps in memory, with every byte value.
        let image: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        std::fs::write(directory.path().join("cat.png"), &image).expect("a file");
        Self { stack, platform, directory, key, image }
    }

    async fn run(&self, script: &str) -> Value {
        let (stranger, image) = (self.directory.path().join("stranger"), self.directory.path().join("cat.png"));
        let variables: [(&str, &Path); 3] = [("KEY", &self.key), ("STRANGER", &stranger), ("IMAGE", &image)];
        run_sdk(&self.stack.test, &format!("http://{}", self.stack.host()), &variables, script).await
    }

    /// Returns the requests to the platform since the last call.
    fn take_calls(&self) -> Vec<String> {
        self.platform.lock().expect("no panic").take_calls()
    }

    fn uploaded(&self, file: &str) -> Vec<u8> {
        self.platform.lock().expect("no panic").files()[file].clone()
    }
}

#[tokio::test]
async fn the_encord_sdk_lists_creates_and_uploads_by_signature() {
    let behind = Behind::nginx().await;
    let answer = behind
        .run(
            r#"
from encord.orm.dataset import StorageLocation
c = client()
dataset = c.create_dataset("Cats", StorageLocation.CORD_STORAGE, create_backing_folder=False)
folder = c.create_storage_folder("Pictures")
item = folder.upload_image(os.environ["IMAGE"])
answer({
    "dataset": dataset.dataset_hash,
    "datasets": [row["dataset"].title for row in c.get_datasets()],
    "projects": titles(c.list_projects()),
    "folder": folder.name,
    "item": str(item),
})
"#,
        )
        .await;
    assert_eq!((&answer["datasets"], &answer["projects"]), (&json!(["Cats"]), &json!([])));
    assert_eq!(answer["folder"], "Pictures");
    let folder = "/v2/public/storage/folders";
    let calls = behind.take_calls();
    let calls: Vec<String> = calls.iter().map(|call| call.replace("/0190a8e4-0000-7000-8000-00000000", "/")).collect();
    assert_eq!(
        calls,
        [
            "POST /v2/public/datasets signed ada@example.com".to_owned(),
            format!("POST {folder} signed ada@example.com"),
            format!("POST {folder}/f01d/upload-signed-urls signed ada@example.com"),
            format!("POST {folder}/f01d/data-upload-jobs signed ada@example.com"),
            format!("GET {folder}/f01d/data-upload-jobs/010b signed ada@example.com"),
            "GET /v2/public/datasets/list signed ada@example.com".to_owned(),
            "GET /v2/public/projects signed ada@example.com".to_owned(),
        ]
    );
    assert_eq!(behind.uploaded("file-0"), behind.image);
}

/// Requests that the SDK signs with version 1 are refused. They are accepted with a token that the same client got.
#[tokio::test]
async fn the_encord_sdk_lists_creates_and_uploads_by_bearer_token_where_it_signs_with_version_1() {
    let behind = Behind::nginx().await;
    generate_key_file(behind.directory.path(), "stranger");
    let answer = behind.run(r#"
from encord.orm.dataset import StorageLocation
c = client()
dataset = c.create_dataset("Cats", StorageLocation.CORD_STORAGE, create_backing_folder=False).dataset_hash
calls = {
    "get_projects": lambda c: c.get_projects(),
    "create_project": lambda c: c.create_project("Zoo", [dataset]),
    "get_dataset": lambda c: c.get_dataset(dataset).title,
    "upload_image": lambda c: c.get_dataset(dataset, include_data_rows=False).upload_image(os.environ["IMAGE"])["title"],
    "list_label_rows_v2": lambda c: next(iter(c.list_projects())).list_label_rows_v2(),
}
refused = {name: refusal(lambda: calls[name](c)) for name in list(calls)[:4]}
bearer = EncordUserClient.create_with_bearer_token(c.get_bearer_token(), domain=DOMAIN, requests_settings=SETTINGS)
answer({
    "refused": refused,
    "by token": {name: call(bearer) for name, call in calls.items()},
    "projects": titles(bearer.list_projects()),
    "stranger": refusal(lambda: list(client("STRANGER").list_projects())),
    "forged": refusal(EncordUserClient.create_with_bearer_token(
        "kwt_forged", domain=DOMAIN, requests_settings=SETTINGS).get_projects),
})
"#)
    .await;
    let refused = answer["refused"].as_object().expect("exceptions");
    assert_eq!(refused.len(), 4);
    for (name, refused) in refused {
        assert_eq!(refused[0], "AuthenticationError", "{name}: {refused}");
    }
    for client in ["stranger", "forged"] {
        assert_eq!(answer[client][0], "AuthenticationError", "{client}: {answer}");
    }
    let by_token = &answer["by token"];
    assert_eq!((&by_token["get_projects"], &by_token["get_dataset"]), (&json!([]), &json!("Cats")));
    assert_eq!((&by_token["upload_image"], &by_token["list_label_rows_v2"]), (&json!("cat.png"), &json!([])));
    assert_eq!(answer["projects"], json!(["Zoo"]));
    assert_eq!(behind.uploaded("file-0"), behind.image);
    let (public, public_user) = ("POST /public token ada@example.com", "POST /public/user token ada@example.com");
    assert_eq!(
        behind.take_calls(),
        [
            "POST /v2/public/datasets signed ada@example.com",
            public_user,
            public_user,
            public,
            public,
            "GET /v2/public/presigned-urls token ada@example.com",
            public,
            public,
            "GET /v2/public/projects token ada@example.com",
            public,
            "GET /v2/public/projects token ada@example.com",
        ],
        "what was refused did not arrive"
    );
}
