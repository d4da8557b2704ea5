//! Members, invitations and disabled users.

use server::app::Caller;

use crate::{
    support::TestApp,
    support::browser::{Browser, PASSWORD, create_user},
};

#[tokio::test]
async fn invited_people_join_and_are_removed() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    create_user(&test, "bob", false).await;
    ada.open("/w/acme/invitations").await;
    let both = [("emails", "bob@example.com, eve@example.com"), ("role", "member")];
    ada.submit("/w/acme/invitations", &both)
        .await
        .sees("Copy these links")
        .sees("nobody was notified")
        .sees("Pending")
        .sees_not("sent by mail");
    let link = |page: &str, nth: usize| {
        let after = page.split("http://127.0.0.1:8080/invitations/").nth(nth).expect("a link");
        format!("/invitations/{}", after.split('"').next().unwrap())
    };
    let (bobs, eves) = (link(&ada.page, 1), link(&ada.page, 2));

    let mut eve = Browser::new(&test);
    eve.open(&eves).await.sees("Join The acme").sees("eve@example.com");
    eve.submit(&eves, &[("name", "Eve"), ("password", PASSWORD)]).await.sees("You have joined");
    assert_eq!(eve.path, "/w/acme");
    eve.open(&eves).await.sees("This invitation is no longer valid");

    let mut bob = Browser::new(&test);
    bob.open(&bobs).await.sees("Sign in to accept the invitation");
    bob.sign_in("bob").await;
    bob.open(&bobs).await.sees("signed in as bob@example.com");
    bob.submit(&bobs, &[]).await.sees("You have joined");

    bob.open("/w/acme/projects/new").await;
    bob.submit("/w/acme/projects", &[("title", "Of Bob"), ("description", "")]).await.sees("Of Bob");
    ada.open("/w/acme/members").await.sees("bob@example.com").sees("eve@example.com");
    let caller = server::app::Caller::host();
    let bob_id = test.app.find_user_by_email(&caller, "bob@example.com").await.unwrap().id;
    let remove = format!("/w/acme/members/{bob_id}/remove");
    ada.open(&remove).await.sees("New admin of these projects").sees("Of Bob");
    ada.submit(&remove, &[]).await;
    assert_eq!(ada.status, 409);
    let ada_id = test.app.find_user_by_email(&caller, "ada@example.com").await.unwrap().id.to_string();
    ada.submit(&remove, &[("successor", &ada_id)]).await.sees("was removed from The acme").sees_not("bob@example.com");
    bob.open("/w/acme/projects").await;
    assert_eq!(bob.path, "/sign-in?next=/w/acme/projects");
}

/// Adds a person to the workspace `acme`, and returns a browser in which they are signed in.
async fn join<'a>(test: &'a TestApp, ada: &mut Browser<'a>, name: &str, role: &str) -> Browser<'a> {
    create_user(test, name, false).await;
    ada.open("/w/acme/invitations").await;
    ada.submit("/w/acme/invitations", &[("emails", &format!("{name}@example.com")), ("role", role)]).await;
    let link = ada.link("http://127.0.0.1:8080/invitations/").replace("http://127.0.0.1:8080", "");
    let mut browser = Browser::new(test);
    browser.sign_in(name).await;
    browser.open(&link).await.submit(&link, &[]).await.sees("You have joined");
    browser
}

#[tokio::test]
async fn a_member_among_the_invited_blocks_nobody() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let path = "/w/acme/invitations";
    ada.open(path).await;
    let both = [("emails", "ada@example.com new@example.com"), ("role", "member")];
    ada.submit(path, &both).await.sees("<b>ada@example.com is already a member</b>, and was not invited.");
    ada.sees("Copy this link and give it to new@example.com").sees_not("sent by mail");
    ada.submit(path, &[("emails", "ada@example.com"), ("role", "member")]).await;
    ada.sees("ada@example.com is already a member of this workspace. Nobody was invited.");
    assert_eq!(ada.status, 409);
}

#[tokio::test]
async fn several_invitations_are_revoked_after_a_page_that_names_them() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let (path, revoke) = ("/w/acme/invitations", "/w/acme/invitations/revoke");
    ada.open(path).await;
    ada.submit(path, &[("emails", "bob@example.com carol@example.com dan@example.com"), ("role", "member")]).await;
    let page = ada.page.clone();
    let ids: Vec<&str> =
        page.split("name=\"invitation\" value=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(ids.len(), 3);
    ada.submit(revoke, &[]).await.sees("No invitation is selected, and nothing was changed.");
    let email = |id: &str| {
        let label = page.split(&format!("value=\"{id}\" aria-label=\"Select ")).nth(1).expect("a label");
        label.split('"').next().expect("an email").to_owned()
    };
    let (one, two, three) = (email(ids[0]), email(ids[1]), email(ids[2]));
    let chosen = [("invitation", ids[0]), ("invitation", ids[1])];
    ada.submit(revoke, &chosen).await.sees("Revoke 2 invitations?").sees(&format!("{one}, {two}"));
    let confirmed = [chosen[0], chosen[1], ("confirmed", "1")];
    ada.submit(revoke, &confirmed).await.sees("2 invitations were revoked.");
    ada.open(&format!("{path}?filter=pending")).await.sees(&three).sees_not(&one);
    ada.open(&format!("{path}?filter=revoked&q={}", one.to_uppercase())).await.sees(&one).sees_not(&two);
    ada.open(&format!("{path}/{}/revoke", ids[2])).await.sees(&format!("Revoke the invitation of {three}?"));
    ada.submit(revoke, &[("invitation", ids[2]), ("confirmed", "1")])
        .await
        .sees(&format!("<b>{three}</b> was revoked."));
    ada.submit(revoke, &[("invitation", ids[2]), ("confirmed", "1")]).await.sees("Nothing was changed");
    let page = &ada.open("/w/acme/activity").await.page;
    let sentences = page.split("<p class=\"what\">").skip(1).filter_map(|row| row.split("</p>").next());
    let events = sentences.filter(|sentence| sentence.contains("revoked the invitation")).count();
    assert_eq!(events, 3, "each has its own event: {}", ada.page);
}

#[tokio::test]
async fn a_role_is_changed_after_a_page_that_says_what_it_means() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    join(&test, &mut ada, "bob", "member").await;
    let host = Caller::host();
    let id = async |email: &str| test.app.find_user_by_email(&host, email).await.unwrap().id;
    let (ada_id, bob_id) = (id("ada@example.com").await, id("bob@example.com").await);
    let role = format!("/w/acme/members/{bob_id}/role");

    // The last admin is told at once, before anything that they would have to do.
    ada.open(&format!("/w/acme/members/{ada_id}/remove")).await;
    ada.sees("You are the last admin of the workspace.")
        .sees_not("New admin of these projects")
        .sees_not("class=\"btn danger\"");
    ada.open("/w/acme/members").await;
    ada.submit(&format!("/w/acme/members/{ada_id}/role"), &[("role", "member")]).await;
    ada.sees("Make another member an admin first.").sees_not("class=\"btn danger\"");

    ada.open("/w/acme/members").await.sees("data-now selected");
    ada.submit(&role, &[("role", "admin")])
        .await
        .sees("Make bob@example.com an admin?")
        .sees("manage service accounts");
    ada.open("/w/acme/members?filter=admin").await.sees_not("bob@example.com");
    let undo = "<button class=\"btn sm\">Undo</button>";
    // The page that asked tells the role before. Undo takes it from nobody who had it.
    for (was, undone) in [("member", true), ("admin", false)] {
        ada.submit(&role, &[("role", "admin"), ("confirmed", "1"), ("was", was)]).await;
        ada.sees("<b>bob</b> is now an admin of The acme.");
        assert_eq!(ada.page.contains(undo), undone, "{was}");
    }
    ada.open("/w/acme/members?filter=admin").await.sees("bob@example.com");
    ada.submit(&role, &[("role", "member"), ("confirmed", "1")]).await.sees("is now a member of The acme.");
}

#[tokio::test]
async fn a_person_who_was_removed_is_told_so() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let mut bob = join(&test, &mut ada, "bob", "member").await;
    let id = test.app.find_user_by_email(&Caller::host(), "bob@example.com").await.unwrap().id;
    let remove = format!("/w/acme/members/{id}/remove");
    ada.open(&remove).await.sees("Remove bob from The acme?").sees("(bob@example.com) is removed");
    ada.submit(&remove, &[]).await.sees("<b>bob</b> was removed from The acme.");
    bob.open("/w/acme/projects").await;
    assert_eq!(bob.path, "/sign-in?next=/w/acme/projects");
    bob.submit("/sign-in", &[("next", "/w/acme/projects"), ("email", "bob@example.com"), ("password", PASSWORD)]).await;
    bob.sees("You are not a member of this workspace").sees("an admin has removed you");
    assert_eq!(bob.status, 404);
    // A workspace that does not exist looks the same.
    let of_acme = bob.page.clone();
    bob.open("/w/nowhere/projects").await;
    let without_id = |page: &str| page.split("request <code>").next().unwrap().to_owned();
    assert_eq!(without_id(&bob.page), without_id(&of_acme));
    bob.open("/").await.sees("You are not a member of a workspace").sees("an admin has removed you");
}

#[tokio::test]
async fn a_disabled_user_gets_a_message_and_takes_over_no_project() {
    let test = TestApp::new().await;
    let mut ada = Browser::admin_of(&test, "acme", "ada").await;
    let caller = server::app::Caller::host();
    let ws = test.app.find_workspace_by_slug(&caller, "acme").await.unwrap().id;
    let invite = api::CreateInvitations { emails: vec!["bob@example.com".into()], role: domain::role::Role::Member };
    let token = test
        .app
        .create_invitations(&caller, ws, &invite)
        .await
        .unwrap()
        .into_inner()
        .items
        .remove(0)
        .token
        .expect("a token");
    let accept = api::AcceptInvitation { token, name: Some("Bob".into()), password: Some(PASSWORD.into()) };
    test.app.accept_invitation(None, None, accept).await.unwrap();
    ada.open("/w/acme/projects/new").await;
    ada.submit("/w/acme/projects", &[("title", "Maps"), ("description", "")]).await.sees("Bob (bob@example.com)");
    let project = ada.path.clone();
    let bob = test.app.find_user_by_email(&caller, "bob@example.com").await.unwrap().id;
    let update = api::UpdateUser { disabled: Some(true), ..api::UpdateUser::default() };
    test.app.update_user(&caller, bob, update).await.unwrap();
    ada.open(&project).await.sees_not("Bob (bob@example.com)");
    ada.open("/w/acme/members").await.sees("state disabled\">Disabled");
}
