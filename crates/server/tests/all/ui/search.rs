//! The search: what each user finds, as a page and as JSON for the palette.

use serde_json::{Value, json};
use server::app::{Caller, KeyOwner};

use crate::{
    support::browser::{Browser, PASSWORD},
    support::{Actor, Key, TestApp},
};

/// A workspace whose objects all have the word `harbor`, with another one, and a user of each kind.
struct World {
    test: TestApp,
    bot: Actor,
    spare: Key,
    max: Actor,
    hidden: String,
}

async fn with_password(test: &TestApp, person: &Actor) {
    let id = person.id.parse().expect("usr_");
    test.app.set_password(&Caller::host(), id, PASSWORD.to_owned()).await.expect("a password");
}

impl World {
    async fn build() -> Self {
        let test = TestApp::new().await;
        let (ada, eve) = (test.user("ada", false).await, test.user("eve", false).await);
        let olga = test.user("olga", true).await;
        let id = test.workspace("acme", &ada).await;
        test.workspace("other", &eve).await;
        let max = test.member(&id, &ada, "max", "member").await;
        for person in [&ada, &eve, &olga, &max] {
            with_password(&test, person).await;
        }
        let bot = test.service_account(&id, &ada, "harbor-bot").await;
        let owner = KeyOwner::ServiceAccount(id.parse().expect("ws_"), bot.id.parse().expect("sa_"));
        let spare = test.add_key(owner, "Harborside spare").await;
        let projects = format!("/api/v1/workspaces/{id}/projects");
        let hidden = test.post(&projects, &json!({"title": "Harbor survey"})).by(&ada.key).send().await.expect(201);
        test.post(&projects, &json!({"title": "Harbor of Max"})).by(&max.key).send().await.expect(201);
        test.add_key(KeyOwner::User(max.id.parse().expect("usr_")), "Harbor laptop").await;
        let hidden = hidden["id"].as_str().expect("an id").to_owned();
        Self { test, bot, spare, max, hidden }
    }

    async fn browser(&self, name: &str) -> Browser<'_> {
        let mut browser = Browser::new(&self.test);
        browser.sign_in(name).await;
        browser
    }
}

/// Returns the results for the palette: the label of each group with the titles in it.
async fn find(browser: &Browser<'_>, path: &str) -> Vec<(String, Vec<String>)> {
    let answer = browser.request("GET", path).header("accept", "application/json").send().await;
    let results = answer.expect(200);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let group = |group: &Value| {
        let items = group["items"].as_array().expect("items");
        (text(&group["label"]), items.iter().map(|item| text(&item["title"])).collect())
    };
    results["groups"].as_array().expect("groups").iter().map(group).collect()
}

fn group(label: &str, titles: &[&str]) -> (String, Vec<String>) {
    (label.to_owned(), titles.iter().map(|&title| title.to_owned()).collect())
}

#[tokio::test]
async fn an_admin_finds_what_the_lists_of_the_workspace_show() {
    let world = World::build().await;
    let mut ada = world.browser("ada").await;
    assert_eq!(
        find(&ada, "/w/acme/search?q=HARBOR").await,
        [
            group("Service accounts", &["harbor-bot"]),
            group("Keys of service accounts", &["harbor-bot", "Harborside spare"]),
            group("Projects", &["Harbor of Max", "Harbor survey"]),
        ]
    );
    // By the fingerprint, the address and the email address, in full and in part.
    let (bot, spare, max) = (&world.bot, &world.spare, &world.max);
    let fingerprint = spare.fingerprint.replace('+', "%2B");
    for part in [fingerprint.as_str(), fingerprint.trim_start_matches("SHA256:")] {
        let found = find(&ada, &format!("/w/acme/search?q={part}")).await;
        assert_eq!(found, [group("Keys of service accounts", &["Harborside spare"])], "{part}");
    }
    assert_eq!(
        find(&ada, &format!("/w/acme/search?q={}", bot.email)).await,
        [
            group("Service accounts", &["harbor-bot"]),
            group("Keys of service accounts", &["harbor-bot", "Harborside spare"]),
        ]
    );
    assert_eq!(find(&ada, &format!("/w/acme/search?q={}", max.email)).await, [group("Members", &["max"])]);
    // A revoked key comes last, with its state.
    let path = format!("/w/acme/service-accounts/{}/keys/{}/revoke", bot.id, bot.key.id);
    ada.open(&path).await;
    ada.submit(&path, &[("title", "harbor-bot")]).await;
    let found = find(&ada, "/w/acme/search?q=harbor").await;
    assert_eq!(found[1], group("Keys of service accounts", &["Harborside spare", "harbor-bot"]));
    ada.open("/w/acme/search?q=harbor").await.sees("state revoked").sees(&world.hidden);
    ada.sees(&format!("/w/acme/service-accounts/{}/keys/{}", bot.id, spare.id));
    // A page is found by its name and by other words for it.
    assert_eq!(find(&ada, "/w/acme/search?q=audit").await, [group("Pages", &["Activity"])]);
    ada.open("/w/acme/search?q=nothing%20like%20this").await.sees("No results").sees("nothing like this");
}

#[tokio::test]
async fn others_find_only_what_their_lists_show() {
    let world = World::build().await;
    let mut max = world.browser("max").await;
    assert_eq!(
        find(&max, "/w/acme/search?q=harbor").await,
        [group("Projects", &["Harbor of Max"]), group("Your API keys", &["Harbor laptop"])]
    );
    for text in ["", "?q=harbor", "?q=a", "?q=service", "?q=activity", "?q=invit"] {
        max.open(&format!("/w/acme/search{text}")).await;
        assert_eq!(max.status, 200, "{text}");
        for hidden in
            ["harbor-bot", "Harborside spare", &world.hidden, "/service-accounts", "/invitations", "/operator"]
        {
            max.sees_not(hidden);
        }
    }
    // The fingerprint of another user's key leads nowhere.
    let fingerprint = world.spare.fingerprint.replace('+', "%2B");
    assert!(find(&max, &format!("/w/acme/search?q={fingerprint}")).await.is_empty());

    // Another tenant and an operator find nothing in this workspace, whatever they ask for.
    for name in ["eve", "olga"] {
        let mut other = world.browser(name).await;
        other.open("/w/acme/search?q=harbor").await;
        assert_eq!(other.status, 404, "{name}");
        assert!(find(&other, "/search?q=harbor").await.is_empty(), "{name}");
        assert!(find(&other, &format!("/search?q={fingerprint}")).await.is_empty(), "{name}");
    }
    let eve = world.browser("eve").await;
    assert!(find(&eve, "/w/other/search?q=harbor").await.is_empty());
    assert!(find(&eve, "/w/other/search?q=max").await.is_empty());
    assert!(find(&eve, "/w/other/search?q=acme").await.is_empty());
    // An operator finds users and workspaces, as on the operator pages.
    let olga = world.browser("olga").await;
    assert_eq!(find(&olga, "/search?q=max").await, [group("All users", &["max"])]);
    assert_eq!(find(&olga, "/search?q=acme").await, [group("All workspaces", &["The acme"])]);
    assert_eq!(find(&olga, "/search?q=system").await, [group("Pages", &["System"])]);
}

#[tokio::test]
async fn every_page_of_the_navigation_is_found() {
    let world = World::build().await;
    let mut links = 0;
    for (name, start) in [("ada", "/w/acme"), ("max", "/w/acme"), ("ada", "/profile"), ("olga", "/operator/users")] {
        let mut browser = world.browser(name).await;
        browser.open(start).await;
        let (_, rest) = browser.page.split_once("<nav class=\"side\"").expect("a navigation");
        let navigation = rest.split("</nav>").next().expect("its end").to_owned();
        let search = if start.starts_with("/w/") { "/w/acme/search" } else { "/search" };
        browser.open(search).await;
        for link in navigation.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            browser.sees(&format!("href=\"{link}\"><b>"));
            links += 1;
        }
    }
    assert_eq!(links, 8 + 4 + 2 + 4);
}

#[tokio::test]
async fn a_search_finds_a_bounded_number_of_objects() {
    let world = World::build().await;
    let admin = Caller::host();
    let workspace = world.test.app.find_workspace_by_slug(&admin, "acme").await.expect("a workspace").id;
    world.test.raise_quotas(&workspace.to_string(), 100).await;
    let owner = KeyOwner::ServiceAccount(workspace, world.bot.id.parse().expect("sa_"));
    for number in 0..24 {
        world.test.add_key(owner, &format!("Runner {number}")).await;
    }
    let mut ada = world.browser("ada").await;
    let answer = ada.request("GET", "/w/acme/search?q=runner").header("accept", "application/json").send().await;
    let results = answer.expect(200);
    let keys = &results["groups"][0];
    assert_eq!(keys["items"].as_array().expect("items").len(), 5);
    assert_eq!(keys["more"], "/w/acme/keys?filter=all&q=runner");
    ada.open("/w/acme/search?q=runner").await.sees("href=\"/w/acme/keys?filter=all&#38;q=runner\">Show all</a>");
    assert_eq!(ada.page.matches("<b>Runner ").count(), 20);
    // A longer text is cut, as in the lists.
    ada.open(&format!("/w/acme/search?q={}", "a".repeat(3000))).await;
    assert_eq!(ada.status, 200);
    ada.sees(&format!("value=\"{}\"", "a".repeat(100))).sees_not(&"a".repeat(101));
}

#[tokio::test]
async fn a_secret_in_the_search_is_refused_and_not_shown() {
    let world = World::build().await;
    let mut ada = world.browser("ada").await;
    let token = "kwt_AbCdEf0123456789AbCdEf0123456789";
    let key = "-----BEGIN%20OPENSSH%20PRIVATE%20KEY-----%20b3BlbnNzaC1rZXktdjEAAAAABG5vbmU";
    for (secret, part, kind) in [
        (token, "AbCdEf0123456789", "a bearer token"),
        (key, "AAAAABG5vbmU", "a private key"),
        ("postgres://keyward:hunter22@db/keyward", "hunter22", "a URL with a password"),
    ] {
        for path in ["/search", "/w/acme/search"] {
            let path = format!("{path}?q={secret}");
            ada.open(&path).await.sees_not(part).sees(kind);
            assert_eq!(ada.status, 400, "{kind}");
            let answer = ada.request("GET", &path).header("accept", "application/json").send().await;
            assert_eq!(answer.status.as_u16(), 400, "{kind}");
            let body = String::from_utf8(answer.bytes).expect("UTF-8");
            assert!(!body.contains(part) && body.contains(kind), "{body}");
        }
    }
}
