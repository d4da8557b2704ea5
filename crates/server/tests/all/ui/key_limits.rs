//! Limits of keys on the pages: set for a new key, shown, changed, in lists and in the activity.

use std::time::Duration;

use domain::limits::DeclaredScope;
use server::Settings;

use super::keys::add_keys;
use crate::{
    support::TestApp,
    support::browser::{Browser, PASSWORD},
};

fn declare(settings: &mut Settings) {
    settings.scopes = vec![DeclaredScope::new("invoices:read", "Read invoices").expect("a scope")];
}

/// Adds a project, and returns its id.
async fn add_project(browser: &mut Browser<'_>, title: &str) -> String {
    browser.open("/w/acme/projects/new").await;
    browser.submit("/w/acme/projects", &[("title", title), ("description", "")]).await;
    browser.path.split('?').next().and_then(|path| path.rsplit('/').next()).expect("an id").to_owned()
}

/// Adds a service account, and returns its page.
async fn add_account(browser: &mut Browser<'_>) -> String {
    browser.open("/w/acme/service-accounts/new").await;
    browser.submit("/w/acme/service-accounts", &[("name", "bot"), ("description", "")]).await;
    browser.path.split('?').next().expect("a path").to_owned()
}

fn page_of(browser: &Browser<'_>) -> String {
    browser.path.split('?').next().expect("a path").to_owned()
}

#[tokio::test]
async fn a_person_limits_a_new_key_and_its_page_says_so() {
    let test = TestApp::with_settings(declare).await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let project = add_project(&mut ada, "Street signs").await;
    ada.open("/profile/api-keys/new").await;
    ada.sees("<details class=\"fold\">").sees("Street signs").sees("<code>invoices:read</code> <small>Read invoices");
    ada.sees("The acme").sees("Every workspace");
    let key = test.new_key();
    let fields = [
        ("title", "laptop"),
        ("public_key", key.openssh.as_str()),
        ("expires_in", "never"),
        ("scopes", "keyward:read"),
        ("projects", "chosen"),
        ("project", &project),
        ("workspaces", "all"),
        ("networks", "10.0.0.0/8, 192.0.2.7\n2001:db8::/32"),
        ("valid_from", "2026-01-05"),
    ];
    ada.submit("/profile/api-keys", &fields).await;
    ada.sees("<dt>May do</dt><dd>Only read</dd>");
    ada.sees(&format!("<dt>Projects</dt><dd><a href=\"/w/acme/projects/{project}\">Street signs</a></dd>"));
    ada.sees("<dt>Networks</dt><dd>10.0.0.0/8<br>192.0.2.7<br>2001:db8::/32</dd>").sees_not("<dt>Workspaces</dt>");
    ada.sees("<dt>Valid from</dt><dd>5 Jan 2026, 00:00 UTC</dd>").sees("Not valid yet").sees("state pending");
    // The page without limits says that there are none.
    let plain = add_keys(&test, "ada@example.com", &["plain"], None).await.remove(0);
    ada.open(&plain).await.sees("No limits. It may do everything that you may do, from anywhere.");
}

#[tokio::test]
async fn what_is_wrong_with_limits_is_at_its_field_and_nothing_typed_is_lost() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let project = add_project(&mut ada, "Street signs").await;
    let key = test.new_key().openssh;
    let fields = [
        ("title", "laptop"),
        ("public_key", key.as_str()),
        ("expires_in", "date"),
        ("expires", ""),
        ("scopes", "chosen"),
        ("projects", "chosen"),
        ("project", &project),
        ("workspaces", "chosen"),
        ("networks", "10.1.0.7/16, <b>example.com"),
        ("valid_from", "soon"),
    ];
    let answer = |browser: &Browser<'_>| browser.status;
    ada.open("/profile/api-keys/new").await;
    ada.submit("/profile/api-keys", &fields).await;
    assert_eq!(answer(&ada), 400);
    ada.sees("id=\"expires-wrong\">Choose the last day.").sees("id=\"scopes-wrong\">Choose at least one scope");
    ada.sees("id=\"workspaces-wrong\">Choose at least one workspace").sees("id=\"valid_from-wrong\">Enter a date");
    ada.sees("write 10.1.0.0/16 for the network").sees("<code>&#60;b&#62;example.com</code> is not a network");
    ada.sees(">10.1.0.7/16, &#60;b&#62;example.com</textarea>").sees("value=\"laptop\"").sees(&key);
    ada.sees(&format!("name=\"project\" value=\"{project}\" checked")).sees("<details class=\"fold\" open>");
    ada.sees("aria-invalid=\"true\" aria-describedby=\"networks-wrong networks-hint\"").sees("href=\"#networks\"");
    // A script gets the fields of the API.
    let csrf = ada.csrf();
    let sent = [fields.as_slice(), &[("csrf", csrf.as_str())]].concat();
    let refused = ada.form("/profile/api-keys", &sent).header("accept", "application/json").send().await;
    let refused = refused.expect_problem(400, "invalid_request");
    let named: Vec<&str> = refused["errors"].as_array().unwrap().iter().filter_map(|e| e["field"].as_str()).collect();
    assert_eq!(named, ["expires", "limits.scopes", "limits.workspaces", "limits.cidrs", "limits.not_before"]);
    // A project of another workspace is not offered, and not taken.
    let mut mia = Browser::admin_of(&test, "other", "mia").await;
    mia.open("/profile/api-keys/new").await.sees_not("Street signs");
    let foreign = [("title", "x"), ("public_key", key.as_str()), ("projects", "chosen"), ("project", &project)];
    mia.submit("/profile/api-keys", &foreign).await.sees("is not a project of the owner").sees_not("Street signs");
    assert_eq!(mia.status, 400);
}

#[tokio::test]
async fn a_change_says_whether_the_key_may_do_less_or_more() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let page = add_keys(&test, "ada@example.com", &["laptop"], None).await.remove(0);
    let limits = format!("{page}/limits");
    ada.open(&page).await.sees(&format!("href=\"{limits}\""));
    ada.open(&limits).await.sees("Limits of laptop").sees("Save limits").sees("take effect at once");
    let read =
        [("scopes", "keyward:read"), ("projects", "all"), ("workspaces", "all"), ("networks", ""), ("valid_from", "")];
    ada.submit(&limits, &read).await.sees("What they no longer allow is refused now.").sees("<dd>Only read</dd>");
    assert_eq!(page_of(&ada), page);
    ada.submit(&limits, &read).await.sees("are as they were.");
    let other = [("scopes", "keyward:write"), ("networks", "10.0.0.0/8")];
    ada.submit(&limits, &other).await.sees("It may do more in one way and less in another.");
    ada.open(&limits).await.sees("value=\"keyward:write\" checked").sees(">10.0.0.0/8</textarea>");
    // What the form does not have stays.
    ada.submit(&limits, &[("scopes", "keyward:read")]).await.sees("<dt>Networks</dt><dd>10.0.0.0/8</dd>");
    // A mistake is shown in the form with the rest of it.
    ada.submit(&limits, &[("scopes", "keyward:write"), ("networks", "here")]).await.sees("id=\"networks-wrong\"");
    ada.sees("value=\"keyward:write\" checked").sees(">here</textarea>");
    assert_eq!(ada.status, 400);

    // More permissions need the password, after which the same fields are sent.
    test.advance(Duration::from_mins(20)).await;
    let wider = [("scopes", "all"), ("networks", "")];
    ada.open(&limits).await;
    ada.submit(&limits, &wider).await.sees("Confirm your password").sees("name=\"scopes\" value=\"all\"");
    ada.open(&page).await.sees("<dd>Only read</dd>");
    let confirmed = [wider.as_slice(), &[("confirm_password", PASSWORD)]].concat();
    ada.submit(&limits, &confirmed).await.sees("It may do more now.").sees("No limits.");
    // Fewer permissions do not.
    test.advance(Duration::from_mins(20)).await;
    ada.open(&limits).await.submit(&limits, &[("scopes", "keyward:read")]).await.sees("<dd>Only read</dd>");
    // A revoked key has no limits to change.
    ada.submit(&format!("{page}/revoke"), &[]).await;
    ada.open(&limits).await;
    assert_eq!(ada.path, page);
}

#[tokio::test]
async fn projects_that_the_owner_no_longer_reaches_are_noted_without_their_titles() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let project = add_project(&mut ada, "Street signs").await;
    let account = add_account(&mut ada).await;
    let bot = account.rsplit('/').next().expect("an id").to_owned();
    ada.submit(&format!("/w/acme/projects/{project}/members"), &[("principal", &bot), ("role", "viewer")]).await;
    ada.open(&format!("{account}/keys/new")).await.sees("Street signs").sees_not("Every workspace");
    let key = test.new_key().openssh;
    let fields = [("title", "runner"), ("public_key", key.as_str()), ("projects", "chosen"), ("project", &project)];
    ada.submit(&format!("{account}/keys"), &fields).await.sees(">Street signs</a></dd>").sees_not("no longer reach");
    let page = page_of(&ada);
    ada.submit(&format!("/w/acme/projects/{project}/members/{bot}/remove"), &[]).await;
    // An admin of the workspace sees the project.
    ada.open(&page).await.sees("bot no longer reaches everything that this key is limited to");
    ada.sees(">Street signs</a> <span class=\"warned\">(not reached)</span>");
    ada.open(&format!("{page}/limits")).await.sees("Street signs <small>The owner no longer reaches it</small>");
    // It stays chosen, and is kept.
    ada.sees(&format!("value=\"{project}\" checked"));
    let kept = [("projects", "chosen"), ("project", project.as_str()), ("networks", "10.0.0.0/8")];
    ada.submit(&format!("{page}/limits"), &kept).await.sees("<dt>Networks</dt><dd>10.0.0.0/8</dd>");
    ada.sees("(not reached)");

    // A person who left the project is not told its title.
    ada.open("/w/acme/invitations").await;
    ada.submit("/w/acme/invitations", &[("emails", "max@example.com"), ("role", "member")]).await;
    let (_, link) = ada.page.split_once(">max@example.com</label>").expect("the address");
    let (_, link) = link.split_once("http://127.0.0.1:8080").expect("a link");
    let link = link.split('"').next().expect("a quote").to_owned();
    let mut max = Browser::new(&test);
    max.open(&link).await.submit(&link, &[("name", "max"), ("password", PASSWORD)]).await;
    let max_id =
        test.app.find_user_by_email(&server::app::Caller::host(), "max@example.com").await.unwrap().id.to_string();
    ada.submit(&format!("/w/acme/projects/{project}/members"), &[("principal", &max_id), ("role", "viewer")]).await;
    let key = test.new_key().openssh;
    max.open("/profile/api-keys/new").await;
    let fields = [("title", "own"), ("public_key", key.as_str()), ("projects", "chosen"), ("project", &project)];
    max.submit("/profile/api-keys", &fields).await.sees(">Street signs</a></dd>");
    let own = page_of(&max);
    ada.submit(&format!("/w/acme/projects/{project}/members/{max_id}/remove"), &[]).await;
    max.open(&own).await.sees("You no longer reach everything").sees(&project).sees_not("Street signs");
    max.open(&format!("{own}/limits")).await.sees(&project).sees_not("Street signs");
}

#[tokio::test]
async fn lists_files_and_the_activity_tell_which_keys_are_limited() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let project = add_project(&mut ada, "Street signs").await;
    let account = add_account(&mut ada).await;
    ada.open(&account).await.sees_not(">Limited");
    let add = async |ada: &mut Browser<'_>, title: &str, more: &[(&str, &str)]| {
        let key = test.new_key().openssh;
        let fields = [&[("title", title), ("public_key", key.as_str())], more].concat();
        ada.submit(&format!("{account}/keys"), &fields).await;
        page_of(ada)
    };
    add(&mut ada, "plain", &[]).await;
    // Without a limited key, the filter for the others is the list itself.
    ada.open(&account).await.sees_not(">Unlimited");
    let limited =
        add(&mut ada, "reader", &[("scopes", "keyward:read"), ("projects", "chosen"), ("project", &project)]).await;
    let tag = "<span class=tag title=\"Only read; 1 project\">Limited</span>";
    for list in [account.as_str(), "/w/acme/keys"] {
        ada.open(list)
            .await
            .sees(tag)
            .sees("Limited <span class=\"n\">1</span>")
            .sees("Unlimited <span class=\"n\">1</span>");
        assert_eq!(ada.page.matches("class=tag").count(), 1);
        ada.open(&format!("{list}?filter=limited"))
            .await
            .sees("1 to 1 of 1")
            .sees(">reader</a>")
            .sees_not(">plain</a>");
        ada.open(&format!("{list}?filter=unlimited")).await.sees(">plain</a>").sees_not(">reader</a>");
        ada.open(&format!("{list}?format=csv"))
            .await
            .sees(",\"limits\"\r\n")
            .sees(&format!("\"scopes=keyward:read;projects={project}\""));
    }

    ada.open(&format!("{limited}/limits")).await;
    ada.submit(&format!("{limited}/limits"), &[("scopes", "all"), ("networks", "10.0.0.0/8")]).await;
    ada.submit(&format!("{limited}/limits"), &[("projects", "all"), ("networks", "")]).await.sees("No limits.");
    ada.submit(&format!("{limited}/limits"), &[("networks", "192.0.2.7")]).await;
    ada.open("/w/acme/activity").await;
    ada.sees(" added the key ").sees("Only read; project Street signs");
    ada.sees(" changed the limits of the key ");
    ada.sees("Project Street signs; from 10.0.0.0/8. Before: Only read; project Street signs");
    ada.sees(" removed the limits of the key ").sees("Before: Project Street signs; from 10.0.0.0/8");
    ada.sees(" limited the key ").sees("From 192.0.2.7");
    // The event has both.
    let event = ada.link("/w/acme/activity?event=").replace("&#38;", "&");
    ada.open(event.split('#').next().expect("a path")).await.sees("Limits").sees("From 192.0.2.7").sees("None");
    // The page of the key tells it as well.
    ada.open(&limited).await.sees(" removed the limits of the key ");
}
