//! Limits of keys for proxied requests: scopes, projects, workspaces and networks.

use std::collections::BTreeSet;

use domain::{
    limits::DeclaredScope,
    route::{Route, RouteError},
};
use serde_json::json;
use server::Settings;

use crate::{
    api::key_limits::{limit, user},
    proxies::forward_auth::{DIALECTS, ask, expect_refused, trust_local_proxies},
    support::{Actor, Answer, TestApp},
};

fn settings(settings: &mut Settings) {
    trust_local_proxies(settings);
    settings.scopes = vec![DeclaredScope::new("invoices:read", "Read invoices").unwrap()];
    let route = |pattern: &str, require: &str, scope: Option<&str>| {
        Route::parse(pattern, require).unwrap().with_scope(scope.map(|scope| scope.parse().unwrap())).unwrap()
    };
    settings.routes = vec![
        route("GET /v2/invoices/**", "authenticated", Some("invoices:read")),
        route("GET /v2/keyward/**", "authenticated", Some("keyward:read")),
        route("GET /v2/projects/{project}/**", "project:view", Some("invoices:read")),
        route("GET /v2/any/{project}/**", "authenticated", None),
        route("GET /v2/health", "anyone", None),
        route("* /**", "authenticated", None),
    ];
}

async fn ada(test: &TestApp) -> (Actor, String, [String; 2]) {
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    let projects = async |title: &str| {
        let made = test.post(&format!("/api/v1/workspaces/{ws}/projects"), &json!({"title": title})).by(&ada.key);
        made.send().await.expect(201)["id"].as_str().unwrap().to_owned()
    };
    let made = [projects("Cats").await, projects("Dogs").await];
    (ada, ws, made)
}

async fn get(test: &TestApp, who: &Actor, dialect: &str, path: &str) -> Answer {
    ask(test, dialect, &test.get(path).by(&who.key)).send().await
}

#[tokio::test]
async fn a_key_with_scopes_passes_only_routes_that_name_one_that_it_has() {
    let test = TestApp::with_settings(settings).await;
    let (ada, _, [cats, _]) = ada(&test).await;
    let paths = ["/v2/invoices/1", "/v2/keyward/1", "/v2/health", "/v2/other"];
    for (limits, expected, shown) in [
        ("scopes=invoices:read", [200, 403, 403, 403], "invoices:read"),
        ("scopes=keyward:write", [403, 200, 403, 403], "keyward:write"),
        ("scopes=keyward:read,invoices:read", [200, 200, 403, 403], "keyward:read invoices:read"),
        ("scopes=", [403, 403, 403, 403], ""),
        ("cidrs=192.0.2.0/24", [200, 200, 200, 200], ""),
    ] {
        limit(&test, user(&ada), &ada.key, limits).await;
        for dialect in DIALECTS {
            for (path, expected) in paths.into_iter().zip(expected) {
                let answer = get(&test, &ada, dialect, path).await;
                if expected == 200 {
                    assert_eq!(answer.status, 200, "{limits}: {path} by {dialect}");
                    assert_eq!(answer.header("keyward-scopes"), shown, "{limits}: {path} by {dialect}");
                } else {
                    expect_refused(dialect, &answer, expected);
                }
            }
        }
    }
    // The role is required too, and the built-in scopes are not.
    limit(&test, user(&ada), &ada.key, "scopes=invoices:read").await;
    assert_eq!(get(&test, &ada, "caddy", &format!("/v2/projects/{cats}/1")).await.status, 200);
    assert_eq!(get(&test, &ada, "caddy", "/v2/projects/prj_01h455vb4pex5vsknk084sn02q/1").await.status, 404);
}

#[tokio::test]
async fn without_routes_a_key_with_scopes_or_projects_passes_nowhere() {
    let test = TestApp::with_settings(trust_local_proxies).await;
    let (ada, _, [cats, _]) = ada(&test).await;
    assert_eq!(get(&test, &ada, "caddy", "/x").await.status, 200);
    for limits in ["scopes=keyward:manage".to_owned(), format!("projects={cats}")] {
        limit(&test, user(&ada), &ada.key, &limits).await;
        assert_eq!(get(&test, &ada, "caddy", "/x").await.status, 403, "{limits}");
    }
}

#[tokio::test]
async fn a_key_for_a_project_passes_routes_about_it_and_tells_no_other_workspace() {
    let test = TestApp::with_settings(settings).await;
    let (ada, ws, [cats, dogs]) = ada(&test).await;
    let eve = test.user("eve", false).await;
    let other = test.workspace("other", &eve).await;
    test.join(&other, &eve, &ada, "member").await;
    limit(&test, user(&ada), &ada.key, &format!("projects={cats}")).await;
    for dialect in DIALECTS {
        for path in [format!("/v2/projects/{cats}/1"), format!("/v2/any/{cats}/1")] {
            let answer = get(&test, &ada, dialect, &path).await;
            assert_eq!(answer.status, 200, "{path}");
            assert_eq!(
                (answer.header("remote-groups"), answer.header("keyward-workspace")),
                ("acme:admin", ws.as_str())
            );
        }
        for path in [format!("/v2/projects/{dogs}/1"), format!("/v2/any/{dogs}/1")] {
            expect_refused(dialect, &get(&test, &ada, dialect, &path).await, 404);
        }
        for path in ["/v2/invoices/1", "/v2/other"] {
            expect_refused(dialect, &get(&test, &ada, dialect, path).await, 403);
        }
    }
}

#[tokio::test]
async fn a_key_for_a_workspace_tells_only_it() {
    let test = TestApp::with_settings(settings).await;
    let (ada, _, _) = ada(&test).await;
    let eve = test.user("eve", false).await;
    let other = test.workspace("other", &eve).await;
    test.join(&other, &eve, &ada, "member").await;
    let answer = get(&test, &ada, "caddy", "/v2/other").await;
    let groups: BTreeSet<&str> = answer.header("remote-groups").split(',').collect();
    assert_eq!(groups, BTreeSet::from(["acme:admin", "other:member"]));
    limit(&test, user(&ada), &ada.key, &format!("workspaces={other}")).await;
    let answer = get(&test, &ada, "caddy", "/v2/other").await;
    assert_eq!((answer.header("remote-groups"), answer.header("keyward-workspace")), ("other:member", other.as_str()));
}

#[tokio::test]
async fn a_key_for_networks_passes_if_the_proxy_reports_a_client_in_one_of_them() {
    let test = TestApp::with_settings(settings).await;
    let (ada, _, _) = ada(&test).await;
    // The network of the proxy is listed too, and an unknown client is not in it.
    limit(&test, user(&ada), &ada.key, "cidrs=127.0.0.0/8,192.0.2.0/24").await;
    for dialect in DIALECTS {
        let question = ask(&test, dialect, &test.get("/v2/other").by(&ada.key));
        let name = if dialect == "nginx" { "x-original-address" } else { "x-forwarded-for" };
        for (address, status) in [("192.0.2.7", 200), ("198.51.100.1", 401), ("unix:", 401)] {
            let answer = question.clone().header(name, address).send().await;
            match status {
                200 => assert_eq!(answer.status, 200, "{dialect}"),
                status => expect_refused(dialect, &answer, status),
            }
        }
        let mut unreported = question;
        unreported.headers.remove(name);
        expect_refused(dialect, &unreported.send().await, 401);
    }
}

#[tokio::test]
async fn a_narrower_limit_takes_effect_when_the_call_returns() {
    let test = TestApp::with_settings(settings).await;
    let (ada, _, _) = ada(&test).await;
    let token = test.bearer_token(&ada.key).await;
    let by_token = async || ask(&test, "caddy", &test.get("/v2/other").bearer(&token)).send().await.status.as_u16();
    assert_eq!((get(&test, &ada, "caddy", "/v2/other").await.status.as_u16(), by_token().await), (200, 200));
    limit(&test, user(&ada), &ada.key, "scopes=invoices:read").await;
    assert_eq!((get(&test, &ada, "caddy", "/v2/other").await.status.as_u16(), by_token().await), (403, 403));
}

#[test]
fn a_route_for_anyone_has_no_scope() {
    let route = Route::parse("GET /v2/health", "anyone").unwrap();
    assert_eq!(route.with_scope(Some("invoices:read".parse().unwrap())), Err(RouteError::ScopeForAnyone));
}
