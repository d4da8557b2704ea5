//! Lists, page by page.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::{Actor, TestApp};

async fn walk(test: &TestApp, by: &Actor, path: &str, limit: usize) -> Vec<String> {
    let mut ids = Vec::new();
    let mut after = String::new();
    loop {
        let target = format!("{path}?limit={limit}{after}");
        let page = test.get(&target).by(&by.key).send().await.expect(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= limit, "{path}");
        ids.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { return ids };
        assert_eq!(items.len(), limit, "{path}: a page before the last is full");
        after = format!("&after={next}");
    }
}

#[tokio::test]
async fn every_list_pages_without_gaps_or_repeats() {
    let test = TestApp::new().await;
    let olga = test.user("olga", true).await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    test.raise_quotas(&ws, 50).await;
    let at = format!("/api/v1/workspaces/{ws}");
    let bot = test.service_account(&ws, &ada, "bot").await;
    for number in 0..5 {
        test.workspace(&format!("ws-{number}"), &ada).await;
        test.member(&ws, &ada, &format!("max-{number}"), "member").await;
        test.service_account(&ws, &ada, &format!("bot-{number}")).await;
        for keys in ["/api/v1/me/keys".to_owned(), format!("{at}/service-accounts/{}/keys", bot.id)] {
            let body = json!({"title": "k", "public_key": test.new_key().openssh});
            test.post(&keys, &body).by(&ada.key).send().await.expect(201);
        }
        test.post(&format!("{at}/projects"), &json!({"title": "P"})).by(&ada.key).send().await.expect(201);
    }
    let project = test.get(&format!("{at}/projects")).by(&ada.key).send().await.expect(200);
    let project = format!("{at}/projects/{}", project["items"][0]["id"].as_str().unwrap());
    let members = test.get(&format!("{at}/members")).by(&ada.key).send().await.expect(200);
    for member in members["items"].as_array().unwrap().iter().filter(|member| member["id"] != ada.id.as_str()) {
        let path = format!("{project}/members/{}", member["id"].as_str().unwrap());
        test.put(&path, &json!({"role": "viewer"})).by(&ada.key).send().await.expect(200);
    }
    for (by, path, count) in [
        (&ada, "/api/v1/workspaces".to_owned(), 6),
        (&ada, "/api/v1/me/keys".to_owned(), 6),
        (&ada, format!("{at}/members"), 6),
        (&ada, format!("{at}/invitations"), 5),
        (&ada, format!("{at}/service-accounts"), 6),
        (&ada, format!("{at}/service-accounts/{}/keys", bot.id), 6),
        (&ada, format!("{at}/projects"), 5),
        (&ada, format!("{project}/members"), 6),
        (&olga, "/api/v1/admin/workspaces".to_owned(), 6),
        (&olga, "/api/v1/admin/users".to_owned(), 7),
    ] {
        let whole = walk(&test, by, &path, 200).await;
        assert_eq!(whole.len(), count, "{path}");
        assert_eq!(whole.iter().collect::<BTreeSet<_>>().len(), count, "{path}");
        for limit in [1, 2, 3, 5, 6] {
            assert_eq!(walk(&test, by, &path, limit).await, whole, "{path} by {limit}");
        }
        for bad in ["limit=0", "limit=201", "limit=-1", "limit=x", "after=x", "after=evt_01h455vb4pex5vsknk084sn02q"] {
            let answer = test.get(&format!("{path}?{bad}")).by(&by.key).send().await;
            assert_eq!((answer.status.as_u16(), answer.code()), (400, "invalid_request".to_owned()), "{path}?{bad}");
        }
    }
    let events = walk(&test, &ada, &format!("{at}/audit-events"), 200).await;
    assert_eq!(walk(&test, &ada, &format!("{at}/audit-events"), 7).await, events);
}

#[tokio::test]
async fn lists_are_searched_filtered_and_sorted() {
    let test = TestApp::new().await;
    let olga = test.user("olga", true).await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    let at = format!("/api/v1/workspaces/{ws}");
    for name in ["max", "Bea", "carl"] {
        test.member(&ws, &ada, &name.to_lowercase(), if name == "Bea" { "admin" } else { "member" }).await;
        let project = json!({"title": format!("{name} 50%"), "description": "Field images"});
        test.post(&format!("{at}/projects"), &project).by(&ada.key).send().await.expect(201);
    }
    let list = async |by: &Actor, path: &str, field: &str| {
        let page = test.get(path).by(&by.key).send().await.expect(200);
        let items = page["items"].as_array().unwrap();
        items.iter().map(|item| item[field].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    let (members, projects) = (format!("{at}/members"), format!("{at}/projects"));
    assert_eq!(list(&ada, &format!("{members}?sort=name"), "name").await, "ada bea carl max");
    assert_eq!(list(&ada, &format!("{members}?sort=-email"), "name").await, "max carl bea ada");
    assert_eq!(list(&ada, &format!("{members}?filter=admin&sort=name"), "name").await, "ada bea");
    assert_eq!(list(&ada, &format!("{members}?q=CARL%40"), "name").await, "carl");
    assert_eq!(list(&ada, &format!("{projects}?q=a%2050%25&sort=title"), "title").await, "Bea 50%");
    assert_eq!(list(&ada, &format!("{projects}?q=field&sort=-title"), "title").await, "max 50% carl 50% Bea 50%");
    assert_eq!(
        list(&ada, &format!("{at}/invitations?filter=accepted&sort=email"), "email").await,
        "bea@example.com carl@example.com max@example.com"
    );
    assert_eq!(list(&olga, "/api/v1/admin/users?filter=operator", "name").await, "olga");
    assert_eq!(list(&olga, "/api/v1/admin/workspaces?q=AC&filter=all&sort=-slug", "slug").await, "acme");
    assert_eq!(list(&ada, "/api/v1/workspaces?q=other", "slug").await, "");

    // A page of a sorted list continues with the value that it is sorted by.
    let first = test.get(&format!("{members}?sort=-name&limit=2")).by(&ada.key).send().await.expect(200);
    let next = first["next"].as_str().expect("another page");
    assert_eq!(list(&ada, &format!("{members}?sort=-name&limit=2&after={next}"), "name").await, "bea ada");

    let long = format!("q={}", "x".repeat(101));
    for bad in ["sort=color", "sort=", "sort=--name", "filter=green", "filter=", "q=%00", &long, "search=x"] {
        let answer = test.get(&format!("{members}?{bad}")).by(&ada.key).send().await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "invalid_request".to_owned()), "{bad}");
    }
    for bad in [next.to_owned(), format!("sort=joined&after={next}"), format!("sort=email&after={}", ada.id)] {
        let bad = if bad.contains('=') { bad } else { format!("after={bad}") };
        let answer = test.get(&format!("{members}?{bad}")).by(&ada.key).send().await;
        assert_eq!(answer.status, 400, "{bad}: a position in another order");
    }
}
