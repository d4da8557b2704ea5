//! `keyward members`.

use crate::support::Town;

#[test]
fn an_admin_gives_roles_and_removes_members() {
    let town = Town::new();
    let listed = town.run("bob", &["members", "list"]).ok();
    assert!(listed.contains("\nann@example.com\tAnn\tadmin\t") && listed.contains("\nbob@example.com\tBob\tmember\t"));
    let member = town.run("bob", &["members", "set-role", "bob@example.com", "admin"]).refused();
    assert!(member.contains("must have the role admin of the workspace"), "{member}");
    let last = town.run("ann", &["members", "set-role", "ann@example.com", "member"]).refused();
    assert!(last.contains("last enabled admin") && last.contains("keyward members set-role EMAIL admin"), "{last}");
    let promoted = town.run("ann", &["members", "set-role", "BOB@example.com", "admin", "--json"]).json();
    assert_eq!(promoted["role"], "admin");
    town.run("ann", &["members", "set-role", "bob@example.com", "member"]).ok();

    assert!(town.run("ann", &["members", "remove", "bob@example.com"]).refused().contains("--yes"));
    town.run("ann", &["members", "remove", "bob@example.com", "--yes"]).ok();
    let refused = town.run("bob", &["whoami"]).refused();
    assert!(refused.contains("member of no workspace") && refused.contains("invite"), "{refused}");
    let gone = town.run("ann", &["members", "remove", "bob@example.com", "--yes"]).refused();
    assert!(gone.contains("no member of acme `bob@example.com`") && gone.contains("ann@example.com"), "{gone}");
}

#[test]
fn projects_of_a_leaving_member_need_a_successor() {
    let town = Town::new();
    let project = town.run("bob", &["projects", "create", "Street scenes", "--json"]).json();
    let id = project["id"].as_str().expect("an id");
    let remove = ["members", "remove", "bob@example.com", "--yes"];
    let refused = town.run("ann", &remove).refused();
    assert!(refused.contains(id) && refused.contains("--successor EMAIL"), "{refused}");
    town.run("ann", &[&remove[..], &["--successor", "ann@example.com"]].concat()).ok();
    assert_eq!(town.run("ann", &["projects", "show", id, "--json"]).json()["role"], "admin");
}

#[test]
fn invitations_and_keys_of_a_member_are_shown_first_and_keys_are_revoked_on_request() {
    let town = Town::new();
    town.run("ann", &["members", "set-role", "bob@example.com", "admin"]).ok();
    town.create_service_account("ci-bot");
    town.run("bob", &["invitations", "create", "dan@example.com", "--role", "admin"]).ok();
    let add = ["keys", "add", "--generate", "runner", "--title", "of bob", "--service-account", "ci-bot"];
    town.run("bob", &add).ok();

    let demote = ["members", "set-role", "bob@example.com", "member"];
    let shown = town.run("ann", &demote).refused();
    assert!(shown.contains("This revokes the invitation of dan@example.com, as admin."), "{shown}");
    assert!(shown.contains("The key of bob of ci-bot@") && shown.contains("--revoke-keys"), "{shown}");
    let declined = town.run_at_terminal("ann", &["members", "remove", "bob@example.com"], "n\n");
    assert!(declined.stdout.contains("The key of bob of ci-bot@"), "{}", declined.stdout);
    town.run("runner", &["whoami"]).ok();

    town.run("ann", &[&demote[..], &["--revoke-keys", "--yes"]].concat()).ok();
    town.run("runner", &["whoami"]).refused();
    town.run("ci-bot", &["whoami"]).ok();
    assert!(town.run("ann", &["invitations", "list"]).ok().contains("\ndan@example.com\tadmin\trevoked\t"));
}
