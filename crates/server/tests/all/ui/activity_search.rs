//! The search of activity: it finds events by what people know about their objects, within what the reader may see.

use http::StatusCode;
use serde_json::json;
use server::app::Caller;

use crate::support::{
    Actor, TestApp,
    browser::{Browser, PASSWORD},
};

const CREATED: &str = " created the project ";

/// Signs in a user that has no password yet.
async fn sign_in<'a>(test: &'a TestApp, user: &Actor, name: &str) -> Browser<'a> {
    let id = user.id.parse().expect("usr_");
    test.app.set_password(&Caller::host(), id, PASSWORD.to_owned()).await.expect("a password");
    let mut browser = Browser::new(test);
    browser.sign_in(name).await;
    browser
}

async fn project(test: &TestApp, ws: &str, by: &Actor, title: &str) -> String {
    let path = format!("/api/v1/workspaces/{ws}/projects");
    let made = test.post(&path, &json!({"title": title})).by(&by.key).send().await.expect(201);
    format!("{path}/{}", made["id"].as_str().unwrap())
}

fn search(text: &str) -> String {
    let text = text.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
    format!("/w/acme/activity?q={text}")
}

fn shortened(fingerprint: &str) -> String {
    let digest = fingerprint.trim_start_matches("SHA256:");
    format!("{}\u{2026}{}", &digest[..6], &digest[digest.len() - 5..])
}

#[tokio::test]
async fn activity_is_found_by_names_titles_fingerprints_and_addresses() {
    let test = TestApp::new().await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    test.raise_quotas(&ws, 5).await;
    let wendy = test.member(&ws, &ada, "wendy", "member").await;
    let gone = test.member(&ws, &ada, "gonzo", "member").await;
    let bot = test.service_account(&ws, &ada, "sonar").await;
    let old_bot = test.service_account(&ws, &ada, "obsolete").await;
    let rename = json!({"display_name": "Sound of the sea"});
    let at = format!("/api/v1/workspaces/{ws}");
    test.patch(&format!("{at}/service-accounts/{}", bot.id), &rename).by(&ada.key).send().await.expect(200);
    project(&test, &ws, &wendy, "Harbor 1").await;
    project(&test, &ws, &gone, "Meadow 2").await;
    let deleted = project(&test, &ws, &ada, "Quarry 3").await;
    test.delete(&deleted).by(&ada.key).send().await.expect(204);
    test.delete(&format!("{at}/members/{}?successor={}", gone.id, ada.id)).by(&ada.key).send().await.expect(204);
    test.delete(&format!("{at}/service-accounts/{}", old_bot.id)).by(&ada.key).send().await.expect(204);
    let mut request = test.post(&format!("{at}/projects"), &json!({"title": "Lagoon 4"})).by(&ada.key);
    request.address = "192.0.2.77".parse().unwrap();
    request.send().await.expect(201);
    let invite = json!({"emails": ["lee@example.com"], "role": "member"});
    test.post(&format!("{at}/invitations"), &invite).by(&ada.key).send().await.expect(201);

    let mut browser = sign_in(&test, &ada, "ada").await;
    let short = shortened(&bot.key.fingerprint);
    let digest = bot.key.fingerprint.trim_start_matches("SHA256:").to_owned();
    // What is typed, what is found, and what is not.
    for (text, seen, not_seen) in [
        ("Wend", "Harbor 1", "Meadow 2"),
        ("WENDY@example.com", "Harbor 1", "Meadow 2"),
        (wendy.id.as_str(), "Harbor 1", "Meadow 2"),
        ("gonzo", "Meadow 2", "Harbor 1"),
        ("sound of", " created the service account ", "Harbor 1"),
        (bot.email.as_str(), " added the key ", "Harbor 1"),
        ("obsolete", " deleted the service account ", "Harbor 1"),
        (bot.key.fingerprint.as_str(), " added the key ", CREATED),
        (digest.as_str(), " added the key ", CREATED),
        (short.as_str(), " added the key ", CREATED),
        ("harbor", "Harbor 1", "Meadow 2"),
        ("quarry", " deleted the project ", "Meadow 2"),
        ("192.0.2.77", "Lagoon 4", "Harbor 1"),
        ("lee@", " invited ", CREATED),
        ("host", "The host", "Harbor 1"),
    ] {
        browser.open(&search(text)).await.sees(seen).sees_not(not_seen);
        assert_eq!(browser.status, 200, "{text}");
    }
    for text in ["nobody of that name", "192.0.2.200", "zz\u{2026}zzzzzzz", "50%"] {
        browser.open(&search(text)).await.sees("No events match").sees("Nothing found for");
        assert_eq!(browser.status, 200, "{text}");
    }
    // A link with an id shows the name, also of a former member, and the search restricts it.
    browser.open(&format!("/w/acme/activity?principal={}", gone.id)).await;
    browser.sees("Person or account: gonzo").sees("Meadow 2").sees_not(&format!("value=\"{}\" maxlength", gone.id));
    browser.open(&format!("/w/acme/activity?principal={}&q=meadow", gone.id)).await.sees(CREATED).sees_not("joined");
    browser.open(&format!("/w/acme/activity?principal={}&q=harbor", gone.id)).await.sees("No events match");
    browser.sees("Person or account: gonzo");
    // Earlier links have a name where ids are expected.
    browser.open("/w/acme/activity?principal=Wendy").await.sees("Harbor 1").sees_not("Meadow 2");
    let csv = browser.request("GET", &search("harbor").replace("activity?", "activity/export.csv?")).send().await;
    assert_eq!(csv.status, StatusCode::OK);
    let csv = String::from_utf8(csv.bytes).unwrap();
    assert!(csv.contains("Harbor 1") && !csv.contains("Meadow 2"), "{csv}");
}

#[tokio::test]
async fn the_search_finds_nothing_of_another_workspace() {
    let test = TestApp::new().await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    let eve = test.user("eve", false).await;
    let other = test.workspace("other", &eve).await;
    let secret = test.service_account(&other, &eve, "undersea").await;
    project(&test, &other, &eve, "Secret merger").await;
    // A member of both, removed here: what they do elsewhere stays there.
    let max = test.member(&ws, &ada, "max", "member").await;
    test.join(&other, &eve, &max, "member").await;
    let path = format!("/api/v1/workspaces/{ws}/members/{}", max.id);
    test.delete(&path).by(&ada.key).send().await.expect(204);
    let private = test.add_unused_key(&max).await;
    project(&test, &other, &max, "Secret plan").await;

    let mut browser = sign_in(&test, &ada, "ada").await;
    let texts = [
        "eve",
        "eve@example.com",
        eve.id.as_str(),
        "undersea",
        secret.id.as_str(),
        secret.email.as_str(),
        secret.key.id.as_str(),
        secret.key.fingerprint.as_str(),
        "secret",
        other.as_str(),
        private.id.as_str(),
        private.fingerprint.as_str(),
        "unused",
    ];
    for text in texts {
        browser.open(&search(text)).await.sees("No events match").sees_not(">undersea</a>").sees_not("Secret ");
    }
    browser.open(&search("max")).await.sees(" removed ").sees_not("Secret plan");
    // An operator finds users and workspaces, and nothing in a workspace.
    let olga = test.user("olga", true).await;
    let mut operator = sign_in(&test, &olga, "olga").await;
    let own = |text: &str| search(text).replace("/w/acme/", "/operator/");
    operator.open(&own("The other")).await.sees(" created the workspace ").sees_not("The acme");
    operator.open(&own("eve@")).await.sees(" created the user ").sees_not("olga created");
    for text in ["undersea", "secret", secret.key.fingerprint.as_str(), secret.email.as_str()] {
        operator.open(&own(text)).await.sees("No events match").sees_not("Secret ").sees_not(">undersea</a>");
    }
}

#[tokio::test]
async fn a_search_that_means_too_many_objects_says_so() {
    let test = TestApp::new().await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    for number in 0..9 {
        project(&test, &ws, &ada, &format!("Reef {number}")).await;
    }
    project(&test, &ws, &ada, "Reef").await;
    let mut browser = sign_in(&test, &ada, "ada").await;
    // The one that is called exactly so is among those that are searched.
    browser.open(&search("reef")).await.sees("More objects match").sees(">Reef</a>").sees(">Reef 8</a>");
    browser.open(&search("reef 8")).await.sees(">Reef 8</a>").sees_not("More objects match");
}
