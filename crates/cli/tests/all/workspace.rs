//! `keyward workspaces`.

use crate::support::Town;

#[test]
fn an_operator_creates_renames_and_deletes_one() {
    let town = Town::new();
    let created = town.run("ann", &["workspaces", "create", "--name", "Beta", "--slug", "beta"]).ok();
    assert!(created.starts_with("created workspace beta (ws_"), "{created}");
    town.run("ann", &["workspaces", "rename", "beta", "Beta Labs"]).ok();
    let shown = town.run("ann", &["workspaces", "show", "beta", "--json"]).json();
    assert_eq!((&shown["name"], &shown["role"]), (&"Beta Labs".into(), &"admin".into()));
    let listed = town.run("ann", &["workspaces", "list"]).ok();
    assert!(listed.contains("\nacme\tacme\tadmin\t") && listed.contains("\nbeta\tBeta Labs\tadmin\t"), "{listed}");

    // An operator sees all names, and members see their own workspaces.
    let all = town.run("ann", &["workspaces", "list", "--all", "--json"]).json();
    assert_eq!(all["items"].as_array().expect("workspaces").len(), 3);
    assert!(town.run("bob", &["workspaces", "list", "--all"]).refused().contains("operator"));
    assert!(town.run("bob", &["workspaces", "list"]).ok().contains("\nacme\tacme\tmember\t"));

    // To delete a workspace, the user types its slug. A pasted id is not accepted.
    let id = shown["id"].as_str().expect("an id");
    let by_id = town.run("ann", &["workspaces", "delete", id, "--yes"]).fails_with(2);
    assert!(by_id.contains("`keyward workspaces delete beta --yes`"), "{by_id}");
    let declined = town.run_at_terminal("ann", &["workspaces", "delete", "beta"], "yes\n");
    assert_eq!(declined.code, Some(1), "{}", declined.stdout);
    assert!(declined.stdout.contains("Type beta to continue"), "{}", declined.stdout);
    let deleted = town.run_at_terminal("ann", &["workspaces", "delete", "beta"], "beta\n").ok();
    assert!(deleted.contains("deleted workspace beta"), "{deleted}");
    town.run("ann", &["workspaces", "create", "--name", "Gamma", "--slug", "gamma"]).ok();
    assert!(town.run("ann", &["workspaces", "delete", "gamma"]).fails_with(1).contains("--yes"));
    town.run("ann", &["workspaces", "delete", "gamma", "--yes"]).ok();
    let taken = town.run("ann", &["workspaces", "create", "--name", "Beta", "--slug", "beta"]).refused();
    assert!(taken.contains("beta"), "{taken}");
}

#[test]
fn each_role_is_told_why_it_may_not() {
    let town = Town::new();
    let member = town.run("bob", &["workspaces", "create", "--name", "B", "--slug", "bobs"]).refused();
    assert!(member.contains("operator"), "{member}");
    let member = town.run("bob", &["workspaces", "delete", "acme", "--yes"]).refused();
    assert!(member.contains("not allowed"), "{member}");
    let stranger = town.run("eve", &["workspaces", "show", "acme"]).refused();
    assert!(stranger.contains("no workspace `acme` that you can see"), "{stranger}");
}

#[test]
fn an_admin_who_is_not_a_user_yet_gets_a_link() {
    let town = Town::new();
    let create = ["workspaces", "create", "--name", "New", "--slug", "new-one", "--admin", "new@example.com"];
    let created = town.run("ann", &create).ok();
    assert!(
        created.contains("new@example.com is invited, and becomes an admin of the workspace with this link")
            && created.contains(&town.server.url),
        "{created}"
    );
}
