//! The processing of every request, from its connection to its route. It uses `http` and `ui`, which do not know each
//! other's routes.
//!
//! The steps that every request passes are plain functions, each with the next one as its argument. A router with them as
//! layers would allocate several futures and services for each request. Health checks and forward authentication are not
//! routed at all.

use std::{convert::Infallible, panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse as _, Response},
};
use futures_util::FutureExt as _;
use tower::ServiceExt as _;
use utoipa::openapi::OpenApi;

use crate::{
    App, AppError,
    http::{self, Connections},
    ui,
};

/// Returns a router that answers every request, and the OpenAPI document that is generated from the routes of the API.
pub fn build_router(app: Arc<App>) -> (Router, OpenApi) {
    let (api, document) = http::api_router(&app);
    let endpoints = Arc::new(Endpoints::compose(app, api, Arc::default()));
    let answer = move |request: Request| {
        let endpoints = Arc::clone(&endpoints);
        async move { Ok::<_, Infallible>(endpoints.answer(request).await) }
    };
    (Router::new().fallback_service(tower::service_fn(answer)), document)
}

/// Returns the method and path of every page, and of every form.
#[must_use]
pub fn list_page_routes() -> Vec<(::http::Method, String)> {
    ui::list_page_routes()
}

/// All that a server answers.
pub(crate) struct Endpoints {
    app: Arc<App>,
    connections: Arc<Connections>,
    api: Router,
    pages: Router,
}

impl Endpoints {
    /// Returns the endpoints for requests on these connections.
    pub(crate) fn new(app: Arc<App>, connections: Arc<Connections>) -> Self {
        let (api, _) = http::api_router(&app);
        Self::compose(app, api, connections)
    }

    fn compose(app: Arc<App>, api: Router, connections: Arc<Connections>) -> Self {
        let (unknown, unknown_page) = (http::unknown_route(&app), ui::unknown_pages(&app));
        let pages = ui::router(&app).fallback(move |request: Request| {
            let router = if ui::is_for_page(&request) { unknown_page.clone() } else { unknown.clone() };
            router.oneshot(request)
        });
        Self { app, connections, api, pages }
    }

    /// Answers a request.
    pub(crate) async fn answer(&self, request: Request) -> Response {
        if let Some(refusal) = http::find_overload(&self.app, &self.connections, &request) {
            let refuse = |request| http::refuse_unread(&self.connections, request, refusal);
            return http::finish_overloaded(&self.app, request, |request| in_form_of_client(request, refuse)).await;
        }
        let limited = |request| http::limit(&self.connections, request, |request| self.answer_without_panic(request));
        let response = http::finish(&self.app, request, |request| in_form_of_client(request, limited)).await;
        // Requests that have arrived meanwhile are processed before this response is sent. Responses are then sent one
        // after the other, which wakes their clients less often. If many requests wait, clients do not sleep.
        if !self.connections.queue_delay().is_long() {
            tokio::task::yield_now().await;
        }
        response
    }

    async fn answer_without_panic(&self, request: Request) -> Response {
        // The functions around it move their futures, so this large one is on the heap.
        let answer = AssertUnwindSafe(Box::pin(self.route(request))).catch_unwind().await;
        answer.unwrap_or_else(|_| AppError::Internal("a handler panicked".to_owned()).into_response())
    }

    async fn route(&self, request: Request) -> Response {
        if let Some(probe) = http::HealthCheck::of(request.uri().path()) {
            return probe.answer(&self.app, request.method());
        }
        if let Some(endpoint) = http::ForwardAuthEndpoint::of(request.uri().path()) {
            return endpoint.answer(&self.app, request).await;
        }
        let router = if http::is_of_api(request.uri().path()) { &self.api } else { &self.pages };
        match http::require_own_host(&self.app, request).await {
            Ok(request) => router.clone().oneshot(request).await.unwrap_or_else(|never| match never {}),
            Err(refusal) => refusal,
        }
    }
}

/// Changes refusals into the form that the client reads: a page for browsers, and what nginx and the Encord SDK need.
async fn in_form_of_client<F: Future<Output = Response>>(
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    ui::show_problem_as_page(request, |request| {
        http::answer_nginx(request, |request| http::answer_version_1(request, next))
    })
    .await
}
