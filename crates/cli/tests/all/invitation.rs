//! `keyward invitations`.

use crate::support::Town;

#[test]
fn an_admin_invites_several_and_a_user_accepts() {
    let town = Town::new();
    let invited = town.run("ann", &["invitations", "create", "eve@example.com", "dan@example.com"]).ok();
    let links: Vec<&str> = invited.lines().filter(|line| line.contains("/invitations/")).map(str::trim).collect();
    assert_eq!(links.len(), 2, "{invited}");
    assert!(invited.contains("eve@example.com can join as member with this link"), "{invited}");
    let listed = town.run("ann", &["invitations", "list"]).ok();
    assert!(listed.contains("\ndan@example.com\tmember\tpending\t"), "{listed}");
    assert!(listed.contains("\nbob@example.com\tmember\taccepted\t"), "{listed}");

    // Invitations are in the alphabetical order of their email addresses.
    let (dan, eve) = (links[0], links[1]);
    let resent = town.run("ann", &["invitations", "resend", "eve@example.com", "--json"]).json();
    let dead = town.run("eve", &["invitations", "accept", eve]).refused();
    assert!(dead.contains("Ask for a new invitation"), "the previous link is revoked: {dead}");
    let accept = ["invitations", "accept", "-", "--url", &town.server.url, "--key", "eve"];
    let accepted = town.home.run_with_input(&accept, resent["url"].as_str().expect("a link")).ok();
    assert_eq!(accepted, "eve@example.com is now member of acme\n");

    town.run("ann", &["invitations", "revoke", "dan@example.com"]).ok();
    assert!(town.run("eve", &["invitations", "accept", dan]).refused().contains("Ask for a new invitation"));
}

#[test]
fn each_role_is_told_why_it_may_not() {
    let town = Town::new();
    let member = town.run("bob", &["invitations", "create", "dan@example.com"]).refused();
    assert!(member.contains("must have the role admin of the workspace"), "{member}");
    let twice = town.run("ann", &["invitations", "create", "bob@example.com"]).refused();
    assert!(twice.contains("bob@example.com is already a member of this workspace"), "{twice}");
    town.create_service_account("ci-bot");
    let invited = town.run("ann", &["invitations", "create", "dan@example.com", "--json"]).json();
    let token = invited["items"][0]["token"].as_str().expect("a token");
    let account = town.run("ci-bot", &["invitations", "accept", token]).refused();
    assert!(account.contains("must have the role user"), "{account}");
    // The keys of a user without a workspace do not work.
    town.run("ann", &["members", "remove", "bob@example.com", "--yes"]).ok();
    let alone = town.run("bob", &["invitations", "accept", token]).refused();
    assert!(alone.contains("open the link in a browser"), "{alone}");
}

#[test]
fn a_token_that_begins_with_a_hyphen_is_no_option() {
    let town = Town::new();
    for token in ["-Pq3xY1vN0s8uE5rJ7kW2mB4tC6dF9gHaLzQeRiTyUo", "--q3xY1vN0s8uE5rJ7kW2mB4tC6dF9gHaLzQeRiTyUo"] {
        let refused = town.run("bob", &["invitations", "accept", token]).refused();
        assert!(refused.contains("Ask for a new invitation"), "{refused}");
    }
}

#[test]
fn lists_are_complete_unless_a_limit_is_set() {
    let town = Town::new();
    // More than the maximum page of the API, which is 200.
    for row in ["a", "b", "c"] {
        let emails: Vec<String> = (0..70).map(|number| format!("{row}{number}@example.com")).collect();
        let create = ["invitations", "create"].into_iter().chain(emails.iter().map(String::as_str));
        town.run("ann", &create.collect::<Vec<_>>()).ok();
    }
    // A header, bob who has accepted, and these.
    assert_eq!(town.run("ann", &["invitations", "list"]).ok().lines().count(), 212);
    let some = town.run("ann", &["invitations", "list", "--limit", "202", "--json"]).json();
    assert_eq!(some["items"].as_array().expect("invitations").len(), 202);
    assert!(some["next"].is_string(), "there is more");
}
