//! The requirements of routes for proxied requests, and the workspace of the sender.

use serde_json::json;
use server::Settings;

use crate::{
    proxies::forward_auth::{DIALECTS, IDENTITY_HEADERS, ask, expect_refused, trust_local_proxies},
    support::{Actor, TestApp, TestRequest},
};

fn routes(settings: &mut Settings, routes: &[(&str, &str)]) {
    trust_local_proxies(settings);
    let parsed = routes.iter().map(|(pattern, require)| domain::route::Route::parse(pattern, require));
    settings.routes = parsed.collect::<Result<_, _>>().expect("good routes");
}

async fn verdict(test: &TestApp, client: &TestRequest<'_>) -> (u16, String) {
    let answer = ask(test, "caddy", client).send().await;
    (answer.status.as_u16(), answer.headers.get("keyward-workspace").map_or("", |v| v.to_str().unwrap()).to_owned())
}

#[tokio::test]
async fn a_project_route_requires_the_same_role_as_the_api() {
    let test = TestApp::with_settings(|settings| {
        routes(
            settings,
            &[
                ("GET /v2/projects/{project}/**", "project:view"),
                ("PATCH /v2/projects/{project}", "project:edit"),
                ("DELETE /v2/projects/{project}", "project:admin"),
            ],
        );
    })
    .await;
    let admin = test.user("ada", false).await;
    let ws = test.workspace("acme", &admin).await;
    let owner = test.member(&ws, &admin, "olga", "member").await;
    let editor = test.member(&ws, &admin, "eve", "member").await;
    let viewer = test.member(&ws, &admin, "vic", "member").await;
    let outsider = test.member(&ws, &admin, "max", "member").await;
    let stranger = test.user("sam", false).await;
    test.workspace("other", &stranger).await;

    let projects = format!("/api/v1/workspaces/{ws}/projects");
    let created = test.post(&projects, &json!({"title": "P"})).by(&owner.key).send().await.expect(201);
    let project = created["id"].as_str().unwrap();
    for (who, role) in [(&editor, "editor"), (&viewer, "viewer")] {
        let path = format!("{projects}/{project}/members/{}", who.id);
        test.put(&path, &json!({"role": role})).by(&owner.key).send().await.expect(200);
    }
    let uuid = project.parse::<domain::ProjectId>().unwrap().uuid().to_string();
    let ask_each = async |who: &Actor| {
        let mut seen = Vec::new();
        for (method, path) in [
            ("GET", format!("/v2/projects/{uuid}/labels")),
            ("PATCH", format!("/v2/projects/{project}")),
            ("DELETE", format!("/v2/projects/{project}")),
        ] {
            seen.push(verdict(&test, &test.request(method, &path, &serde_json::Value::Null).by(&who.key)).await.0);
        }
        seen
    };
    assert_eq!(ask_each(&owner).await, [200, 200, 200]);
    assert_eq!(ask_each(&editor).await, [200, 200, 403]);
    assert_eq!(ask_each(&viewer).await, [200, 403, 403]);
    assert_eq!(ask_each(&admin).await, [200, 403, 403], "an admin of the workspace counts as a viewer");
    assert_eq!(ask_each(&outsider).await, [404, 404, 404]);
    assert_eq!(ask_each(&stranger).await, [404, 404, 404]);

    // Removing a role and deleting a project take effect immediately, also after a restart.
    test.delete(&format!("{projects}/{project}/members/{}", editor.id)).by(&owner.key).send().await.expect(204);
    assert_eq!(ask_each(&editor).await, [404, 404, 404]);
    let test = test.restart().await;
    let view = |who: &Actor| test.get(&format!("/v2/projects/{project}")).by(&who.key);
    assert_eq!(verdict(&test, &view(&viewer)).await, (200, ws.clone()));
    assert_eq!(verdict(&test, &view(&editor)).await.0, 404);
    test.delete(&format!("{projects}/{project}")).by(&owner.key).send().await.expect(204);
    assert_eq!(verdict(&test, &view(&viewer)).await.0, 404);
    for malformed in ["prj_1", "%70rj_1", "null"] {
        assert_eq!(verdict(&test, &test.get(&format!("/v2/projects/{malformed}")).by(&owner.key)).await.0, 404);
    }
}

#[tokio::test]
async fn a_request_that_matches_no_route_is_refused() {
    let test = TestApp::with_settings(|settings| routes(settings, &[("GET /v2/things", "authenticated")])).await;
    let admin = test.user("ada", false).await;
    test.workspace("acme", &admin).await;
    for (method, path, status) in [
        ("GET", "/v2/things", 200),
        ("GET", "/v2/things?page=2", 200),
        ("POST", "/v2/things", 403),
        ("GET", "/v2/other", 403),
        ("GET", "/V2/things", 403),
        ("HEAD", "/v2/things", 403),
    ] {
        let client = test.request(method, path, &serde_json::Value::Null).by(&admin.key);
        assert_eq!(verdict(&test, &client).await.0, status, "{method} {path}");
        let refused = ask(&test, "nginx", &client).send().await;
        assert_eq!(refused.status.as_u16(), if method == "POST" { 403 } else { status }, "{method} {path}");
    }
    assert_eq!(verdict(&test, &test.get("/v2/other")).await.0, 401, "who is nobody is told nothing of routes");
    let override_method = test.get("/v2/other").by(&admin.key).header("x-http-method-override", "GET");
    assert_eq!(verdict(&test, &override_method).await.0, 403);
}

#[tokio::test]
async fn the_workspace_is_from_the_route_a_signed_header_or_the_only_membership() {
    let test = TestApp::with_settings(|settings| {
        routes(
            settings,
            &[
                ("* /w/{workspace}/**", "workspace:member"),
                ("* /admin/**", "workspace:admin"),
                ("* /**", "authenticated"),
            ],
        );
    })
    .await;
    let ada = test.user("ada", false).await;
    let acme = test.workspace("acme", &ada).await;
    let only = |text: &str| (200, text.to_owned());
    assert_eq!(verdict(&test, &test.get("/x").by(&ada.key)).await, only(&acme));

    let bob = test.user("bob", false).await;
    let labs = test.workspace("labs", &bob).await;
    test.join(&labs, &bob, &ada, "member").await;
    let by = |path: &str| test.get(path).by(&ada.key);
    assert_eq!(verdict(&test, &by("/x")).await, only(""), "of two, nothing names one");
    assert_eq!(verdict(&test, &by("/w/labs/x")).await, only(&labs));
    assert_eq!(verdict(&test, &by(&format!("/w/{acme}"))).await, only(&acme));
    assert_eq!(verdict(&test, &by("/admin/x")).await.0, 403, "nobody knows where");
    assert_eq!(verdict(&test, &test.get("/w/acme").by(&bob.key)).await.0, 404, "not a member there");

    let named = |path: &str, name: &str| test.get(path).header("keyward-workspace", name).by(&ada.key);
    assert_eq!(verdict(&test, &named("/x", "labs")).await, only(&labs));
    assert_eq!(verdict(&test, &named("/x", &acme)).await, only(&acme));
    assert_eq!(verdict(&test, &named("/admin/x", "acme")).await, only(&acme));
    assert_eq!(verdict(&test, &named("/admin/x", "labs")).await.0, 403, "a member there only");
    assert_eq!(verdict(&test, &named("/w/labs", "labs")).await, only(&labs));
    assert_eq!(verdict(&test, &named("/w/labs", "acme")).await.0, 403, "the header contradicts the path");
    assert_eq!(verdict(&test, &named("/x", "ACME")).await.0, 404);
    assert_eq!(verdict(&test, &named("/x", "")).await.0, 404);

    let unsigned = by("/x").header("keyward-workspace", "labs");
    assert_eq!(verdict(&test, &unsigned).await.0, 401, "nobody else may say where");
    let changed = named("/x", "labs").header("keyward-workspace", "acme");
    assert_eq!(verdict(&test, &changed).await.0, 401);
    let token = test.bearer_token(&ada.key).await;
    let with_token = test.get("/x").bearer(&token).header("keyward-workspace", "labs");
    assert_eq!(verdict(&test, &with_token).await.0, 401);
    let encord = test.get("/x").by_encord(&ada.key).header("keyward-workspace", "labs");
    assert_eq!(verdict(&test, &encord).await.0, 401);
}

#[tokio::test]
async fn a_service_account_acts_in_its_own_workspace() {
    let test = TestApp::with_settings(|settings| {
        routes(settings, &[("* /w/{workspace}/**", "workspace:member"), ("* /**", "authenticated")]);
    })
    .await;
    let ada = test.user("ada", false).await;
    let acme = test.workspace("acme", &ada).await;
    test.workspace("labs", &ada).await;
    let bot = test.service_account(&acme, &ada, "ci-runner").await;
    assert_eq!(verdict(&test, &test.get("/x").by(&bot.key)).await, (200, acme.clone()));
    assert_eq!(verdict(&test, &test.get("/w/acme").by(&bot.key)).await, (200, acme));
    assert_eq!(verdict(&test, &test.get("/w/labs").by(&bot.key)).await.0, 404);
    let elsewhere = test.get("/x").header("keyward-workspace", "labs").by(&bot.key);
    assert_eq!(verdict(&test, &elsewhere).await.0, 404);
}

#[tokio::test]
async fn route_refusals_are_audited_without_the_query() {
    let test = TestApp::with_settings(|settings| {
        routes(settings, &[("GET /hello", "authenticated"), ("GET /settings", "workspace:admin")]);
    })
    .await;
    let admin = test.user("ada", false).await;
    let ws = test.workspace("acme", &admin).await;
    let bot = test.service_account(&ws, &admin, "bot").await;
    for path in ["/elsewhere?token=secret", "/elsewhere?token=other", "/settings"] {
        assert_eq!(verdict(&test, &test.get(path).by(&bot.key)).await.0, 403);
    }
    assert_eq!(verdict(&test, &test.get("/hello").by(&bot.key)).await.0, 200);
    test.app.write_records().await.unwrap();
    let list = format!("/api/v1/workspaces/{ws}/audit-events?action=request.refuse");
    let told = test.get(&list).by(&admin.key).send().await.expect(200);
    let events = told["items"].as_array().unwrap();
    assert_eq!(events.len(), 1, "one kind, counted: {told}");
    assert_eq!((&events[0]["key"], &events[0]["detail"]["code"]), (&json!(bot.key.id), &json!("forbidden")));
    assert_eq!(events[0]["detail"]["count"], "3");
    let reason = events[0]["detail"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("GET /settings: ") && !told.to_string().contains("token="), "{reason}");
}

#[tokio::test]
async fn a_route_for_anyone_needs_no_credential_and_refuses_an_invalid_one() {
    let test = TestApp::with_settings(|settings| {
        routes(settings, &[("GET /healthz", "anyone"), ("OPTIONS /open", "anyone"), ("* /v2/**", "authenticated")]);
    })
    .await;
    let admin = test.user("ada", false).await;
    let acme = test.workspace("acme", &admin).await;
    for dialect in DIALECTS {
        let answer = ask(&test, dialect, &test.get("/healthz")).send().await;
        assert_eq!(answer.status, 200, "{dialect}");
        for name in IDENTITY_HEADERS {
            assert_eq!(answer.headers.get_all(name).iter().collect::<Vec<_>>(), [""], "{dialect}: {name}");
        }
        let known = ask(&test, dialect, &test.get("/healthz").by(&admin.key)).send().await;
        assert_eq!((known.status.as_u16(), known.header("keyward-workspace")), (200, acme.as_str()), "{dialect}");
        for bad in [
            test.get("/healthz").by(&test.new_key()),
            test.get("/healthz").signed(&admin.key, http_signature::Profile::Native, -61),
            test.get("/healthz").bearer("kwt_forged"),
            test.get("/healthz").header("authorization", "Basic YTpi"),
            test.get("/healthz").header("signature", "keyward=:AAAA:"),
            test.get("/healthz").header("keyward-workspace", "acme"),
        ] {
            expect_refused(dialect, &ask(&test, dialect, &bad).send().await, 401);
        }
        for other in [test.get("/v2/things"), test.get("/elsewhere"), test.request("HEAD", "/healthz", &json!(null))] {
            expect_refused(dialect, &ask(&test, dialect, &other).send().await, 401);
        }
        let options = test.request("OPTIONS", "/open", &json!(null));
        assert_eq!(ask(&test, dialect, &options).send().await.status, 200, "{dialect}");
        let elsewhere = ask(&test, dialect, &test.get("/elsewhere").by(&admin.key)).send().await;
        expect_refused(dialect, &elsewhere, 403);
    }
    let mut large = ask(&test, "traefik", &test.get("/healthz"));
    large.body = vec![b'x'; 100_000];
    assert_eq!(large.send().await.status, 200, "nothing of it is kept");
    // Nothing is verified, so it is accepted while verification is unavailable.
    test.app.close().await;
    assert_eq!(ask(&test, "caddy", &test.get("/healthz")).send().await.status, 200);
    expect_refused("caddy", &ask(&test, "caddy", &test.get("/healthz").by(&admin.key)).send().await, 503);
}

#[tokio::test]
async fn a_preflight_passes_where_that_is_set_and_a_bare_options_never() {
    let routes_or_none: [&[(&str, &str)]; 2] = [&[], &[("GET /v2/**", "authenticated")]];
    for (allow_preflights, listed) in [(true, 0), (true, 1), (false, 0), (false, 1)] {
        let test = TestApp::with_settings(|settings| {
            routes(settings, routes_or_none[listed]);
            settings.allow_preflights = allow_preflights;
        })
        .await;
        let options = |path: &str| test.request("OPTIONS", path, &json!(null));
        let preflight = |path: &str| {
            options(path).header("origin", "https://app.example.com").header("access-control-request-method", "PUT")
        };
        for dialect in DIALECTS {
            let answer = ask(&test, dialect, &preflight("/v2/things")).send().await;
            if allow_preflights {
                assert_eq!((answer.status.as_u16(), answer.header("remote-user")), (200, ""), "{dialect}");
            } else {
                expect_refused(dialect, &answer, 401);
            }
            for other in [
                options("/v2/things"),
                options("/v2/things").header("origin", "https://app.example.com"),
                options("/v2/things").header("access-control-request-method", "PUT"),
                preflight("/v2/things").by(&test.new_key()),
                test.get("/v2/things").header("origin", "x").header("access-control-request-method", "PUT"),
            ] {
                expect_refused(dialect, &ask(&test, dialect, &other).send().await, 401);
            }
            let ambiguous = ask(&test, dialect, &preflight("/v2/a%2Fb")).send().await;
            expect_refused(dialect, &ambiguous, if allow_preflights { 400 } else { 401 });
        }
    }
}

#[tokio::test]
async fn a_route_opens_an_encoded_slash_and_its_refusal_is_audited() {
    let test = TestApp::with_settings(|settings| {
        routes(
            settings,
            &[("* /packages/*/admin", "workspace:admin"), ("PUT /*", "authenticated"), ("* /**", "authenticated")],
        );
        let escapes = vec!["%2F".parse().unwrap()];
        let opened = domain::route::Route::parse("* /packages/*", "authenticated").unwrap().with_encoded(escapes);
        settings.routes.insert(1, opened.unwrap());
    })
    .await;
    let admin = test.user("ada", false).await;
    let ws = test.workspace("acme", &admin).await;
    for dialect in DIALECTS {
        let by = |method: &str, path: &str| test.request(method, path, &json!(null)).by(&admin.key);
        for path in ["/packages/@acme%2fcli", "/packages/@acme%2Fcli", "/packages/cli"] {
            assert_eq!(ask(&test, dialect, &by("GET", path)).send().await.status, 200, "{dialect} {path}");
            assert_eq!(ask(&test, dialect, &by("PUT", path)).send().await.status, 200, "{dialect} {path}");
        }
        for path in
            ["/packages/a%2F..%2Fb", "/packages/a%2F%2Fb", "/packages/a%5Cb", "/packages/@acme%2fadmin", "/a%2Fb"]
        {
            expect_refused(dialect, &ask(&test, dialect, &by("GET", path)).send().await, 400);
        }
        let answer = ask(&test, dialect, &by("PUT", "/@acme%2fcli?token=s3cret")).send().await;
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("`%2F` (an encoded `/`)") && detail.contains("allow_encoded = [\"%2F\"]"), "{detail}");
        expect_refused(dialect, &answer, 400);
        expect_refused(dialect, &ask(&test, dialect, &test.get("/@acme%2fcli")).send().await, 401);
    }
    test.app.write_records().await.unwrap();
    let list = format!("/api/v1/workspaces/{ws}/audit-events?action=request.refuse");
    let told = test.get(&list).by(&admin.key).send().await.expect(200);
    let events = told["items"].as_array().unwrap();
    assert_eq!((events.len(), &events[0]["detail"]["code"]), (1, &json!("invalid_path")), "{told}");
    assert_eq!((&events[0]["key"], &events[0]["detail"]["count"]), (&json!(admin.key.id), &json!("24")));
    let reason = events[0]["detail"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("PUT /@acme%2fcli: the path contains `%2F`") && !reason.contains("s3cret"), "{reason}");
}
