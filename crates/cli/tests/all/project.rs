//! `keyward projects`.

use crate::support::Town;

#[test]
fn a_member_creates_a_project_and_shares_it() {
    let town = Town::new();
    town.create_service_account("ci-bot");
    let created = town.run("bob", &["projects", "create", "Street scenes", "--description", "Cameras"]).ok();
    assert!(created.starts_with("created project Street scenes (prj_"), "{created}");
    assert!(town.run("bob", &["projects", "list"]).ok().contains("\nStreet scenes\tadmin\t"));
    // A user who was not added cannot see it. An admin of the workspace can, without a role in it.
    assert_eq!(town.run("ci-bot", &["projects", "list"]).ok().lines().count(), 1);
    assert!(town.run("ann", &["projects", "list"]).ok().contains("\nStreet scenes\tnone\t"));
    let hidden = town.run("ci-bot", &["projects", "show", "Street scenes"]).refused();
    assert!(hidden.contains("there is no project `Street scenes` that you can see"), "{hidden}");

    // Only admins find a service account by its name. Other members use its id.
    let by_name = ["projects", "members", "set", "Street scenes", "ci-bot", "viewer"];
    let unknown = town.run("bob", &by_name).refused();
    assert!(unknown.contains("no user `ci-bot` in acme") && unknown.contains("its id (`sa_…`)"), "{unknown}");
    let ci = town.run("ann", &["service-accounts", "show", "ci-bot", "--json"]).json();
    let ci = ci["id"].as_str().expect("an id");
    town.run("bob", &["projects", "members", "set", "Street scenes", ci, "viewer"]).ok();
    let set = town.run("bob", &["projects", "members", "set", "Street scenes", "ann@example.com", "editor", "--json"]);
    assert_eq!(set.json()["role"], "editor");
    let members = town.run("ci-bot", &["projects", "members", "list", "Street scenes"]).ok();
    assert!(members.contains("\nci-bot@acme.sa.keyward.local\tci-bot\tviewer\t"), "{members}");

    let viewer = town.run("ci-bot", &["projects", "update", "Street scenes", "--title", "Mine"]).refused();
    assert!(viewer.contains("must have the role editor of the project"), "{viewer}");
    assert!(viewer.contains("keyward projects members list"), "{viewer}");
    town.run("ann", &["projects", "update", "Street scenes", "--title", "City scenes"]).ok();

    let only_admin = ["projects", "members", "remove", "City scenes", "bob@example.com"];
    let refused = town.run("bob", &only_admin).refused();
    assert!(refused.contains("--successor EMAIL"), "{refused}");
    town.run("bob", &[&only_admin[..], &["--successor", "ann@example.com"]].concat()).ok();
    assert!(town.run("bob", &["projects", "show", "City scenes"]).refused().contains("no project"));

    assert!(town.run("ann", &["projects", "delete", "City scenes"]).refused().contains("--yes"));
    town.run("ann", &["projects", "delete", "City scenes", "--yes"]).ok();
    assert_eq!(town.run("ann", &["projects", "list", "--json"]).json()["items"].as_array().expect("a list").len(), 0);
}

#[test]
fn an_admin_of_the_workspace_may_join_any_project() {
    let town = Town::new();
    town.run("bob", &["projects", "create", "Scenes"]).ok();
    let refused = town.run("ann", &["projects", "update", "Scenes", "--title", "Mine"]).refused();
    assert!(refused.contains("of the project"), "{refused}");
    town.run("ann", &["projects", "members", "set", "Scenes", "ann@example.com", "admin"]).ok();
    town.run("ann", &["projects", "update", "Scenes", "--title", "Mine"]).ok();
}
