//! The time until a page is complete, on the embedded database and without the network. `cargo bench -p server --bench
//! pages`

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, body::Body, extract::ConnectInfo};
use divan::{Bencher, black_box};
use http::{Request, header};
use http_body_util::BodyExt as _;
use server::{
    App, Settings,
    app::{AppConfig, Caller},
};
use tower::ServiceExt as _;

const HOST: &str = "127.0.0.1:8080";
const PASSWORD: &str = "tidal oboe lantern fig";
const PAGES: [&str; 6] = [
    "/sign-in",
    "/w/acme/projects",
    "/w/acme/members",
    "/w/acme/service-accounts",
    "/w/acme/activity",
    "/profile/api-keys",
];

fn main() {
    divan::main();
}

/// A workspace with 50 projects and 10 service accounts, and the browser of its admin.
struct Served {
    _directory: tempfile::TempDir,
    app: Arc<App>,
    router: Router,
    cookie: String,
}

impl Served {
    async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut settings = Settings::new(format!("http://{HOST}"));
        settings.rate_limits.per_address = 0;
        let app = App::open_for_serving(AppConfig::embedded(directory.path(), settings)).await.expect("a fresh store");
        let host = Caller::host();
        let email = "ada@example.com".to_owned();
        let create = api::CreateUser {
            email: email.clone(),
            name: "Ada".to_owned(),
            password: Some(PASSWORD.to_owned()),
            operator: false,
        };
        app.create_user(&host, create).await.expect("a user");
        let create =
            api::CreateWorkspace { name: "Acme".to_owned(), slug: "acme".to_owned(), admin_email: Some(email) };
        let workspace = app.create_workspace(&host, create).await.expect("a workspace").workspace.id;
        let quotas = api::UpdateQuotas { service_accounts: Some(100), ..api::UpdateQuotas::default() };
        app.update_quotas(&host, workspace, quotas).await.expect("quotas");
        for number in 0..10 {
            let create = api::CreateServiceAccount { name: Some(format!("bot-{number}")), ..Default::default() };
            app.create_service_account(&host, workspace, &create).await.expect("a service account");
        }
        let (router, _) = server::build_router(Arc::clone(&app));
        let mut served = Self { _directory: directory, app, router, cookie: String::new() };
        let form = format!("email=ada%40example.com&password={}", PASSWORD.replace(' ', "+"));
        let sign_in = served.request("POST", "/sign-in", form);
        let answer = served.router.clone().oneshot(sign_in).await.expect("an answer");
        let cookies = answer.headers().get_all(header::SET_COOKIE).iter();
        let cookie = cookies.filter_map(|cookie| cookie.to_str().ok()).find(|cookie| cookie.starts_with("keyward="));
        served.cookie = cookie.and_then(|cookie| cookie.split(';').next()).expect("a session").to_owned();
        let session = served.cookie.trim_start_matches("keyward=");
        let session = served.app.verify_session(session, None).await.expect("a session").expect("a session");
        for number in 0..50 {
            let create = api::CreateProject { title: format!("Project {number}"), description: String::new() };
            served.app.create_project(&session.caller, workspace, &create).await.expect("a project");
        }
        served
    }

    fn request(&self, method: &str, path: &str, body: String) -> Request<Body> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, HOST)
            .header(header::ORIGIN, format!("http://{HOST}"))
            .header(header::COOKIE, &self.cookie)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 40_000))));
        request.body(Body::from(body)).expect("a request")
    }

    async fn open(&self, path: &str) -> usize {
        let answer = self.router.clone().oneshot(self.request("GET", path, String::new())).await.expect("an answer");
        assert!(answer.status().as_u16() < 400, "{path}: {}", answer.status());
        answer.into_body().collect().await.expect("a body").to_bytes().len()
    }
}

#[divan::bench(args = PAGES)]
fn page(bencher: Bencher<'_, '_>, path: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let served = runtime.block_on(Served::start());
    bencher.bench_local(|| black_box(runtime.block_on(served.open(path))));
    runtime.block_on(served.app.close());
}
