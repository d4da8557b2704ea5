//! `keyward service-accounts`.

use crate::support::Town;

#[test]
fn an_admin_creates_changes_pauses_and_deletes_one() {
    let town = Town::new();
    let created = town.run("ann", &["service-accounts", "create", "ci-bot", "--description", "Builds"]).ok();
    assert!(created.starts_with("created service account ci-bot@acme.sa.keyward.local (sa_"), "{created}");
    assert!(
        created.contains("keyward keys add --service-account ci-bot@acme.sa.keyward.local --generate ci-bot.key"),
        "{created}"
    );
    town.run("ann", &["keys", "add", "-g", "ci.key", "-s", "ci-bot"]).ok();

    let shown = town.run("ann", &["service-accounts", "show", "ci-bot"]).ok();
    for line in ["role          member", "keys          1 live of 5", "description   Builds", "state         active"] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    town.run("ann", &["service-accounts", "set-role", "ci-bot", "admin"]).ok();
    town.run(
        "ann",
        &["service-accounts", "update", "ci-bot@acme.sa.keyward.local", "--description", "Builds and deploys"],
    )
    .ok();
    let listed = town.run("ann", &["service-accounts", "list", "--json"]).json();
    assert_eq!(listed["items"][0]["role"], "admin");
    assert_eq!(listed["items"][0]["description"], "Builds and deploys");

    town.run("ann", &["service-accounts", "disable", "ci-bot"]).ok();
    assert!(town.run("ci.key", &["whoami"]).refused().contains("owner is disabled"));
    town.run("ann", &["service-accounts", "enable", "ci-bot"]).ok();
    town.run("ci.key", &["whoami"]).ok();

    let refused = town.run("ann", &["service-accounts", "delete", "ci-bot"]).refused();
    assert!(refused.contains("revoke its 1 live keys") && refused.contains("--yes"), "{refused}");
    town.run("ann", &["service-accounts", "delete", "ci-bot", "--yes"]).ok();
    town.run("ci.key", &["whoami"]).refused();
    assert_eq!(town.run("ann", &["service-accounts", "list"]).ok().lines().count(), 1, "only the header");
}

#[test]
fn an_account_has_a_name_for_people_and_one_in_its_address() {
    let town = Town::new();
    let create = ["service-accounts", "create", "--display-name", "Nightly Export"];
    assert!(town.run("ann", &create).ok().contains("nightly-export@acme.sa.keyward.local"));
    let none = town.run("ann", &["service-accounts", "create"]).fails_with(2);
    assert!(none.contains("--display-name"), "{none}");
    let update = ["service-accounts", "update", "nightly-export", "--display-name", "Hourly Export"];
    town.run("ann", &update).ok();
    let shown = town.run("ann", &["service-accounts", "show", "nightly-export"]).ok();
    assert!(shown.contains("display name  Hourly Export\nname          nightly-export\n"), "{shown}");
    assert!(town.run("ann", &["service-accounts", "list"]).ok().contains("Hourly Export"));

    // A new address is confirmed first.
    let rename = ["service-accounts", "update", "nightly-export", "--name", "hourly"];
    let refused = town.run("ann", &rename).refused();
    let question = "Change the address nightly-export@acme.sa.keyward.local to hourly@acme.sa.keyward.local?";
    assert!(refused.contains(question) && refused.contains("--yes"), "{refused}");
    town.run("ann", &[&rename[..], &["--yes"]].concat()).ok();
    let unchanged = ["service-accounts", "update", "hourly", "--name", "hourly", "--description", "Copies"];
    town.run("ann", &unchanged).ok();
}

#[test]
fn each_role_is_told_why_it_may_not() {
    let town = Town::new();
    let member = town.run("bob", &["service-accounts", "create", "ci-bot"]).refused();
    assert!(member.contains("This is not allowed: you must have the role admin of the workspace."), "{member}");
    assert!(member.contains("next: ask an admin of the workspace (`keyward members list` shows them)"), "{member}");

    // With a slug, a stranger gets a list of their own workspaces. With an id, the response is the same as for other
    // objects.
    let stranger = town.run("eve", &["service-accounts", "create", "ci-bot", "--workspace", "acme"]).refused();
    assert!(stranger.contains("no workspace `acme` that you can see") && stranger.contains("other"), "{stranger}");
    let acme = town.run("ann", &["workspaces", "show", "--json"]).json();
    let id = acme["id"].as_str().expect("an id");
    let stranger = town.run("eve", &["service-accounts", "list", "--workspace", id]).refused();
    assert!(stranger.contains("It does not exist, or you do not have access to it"), "{stranger}");

    // The quota is one until an operator raises it.
    town.run("ann", &["service-accounts", "create", "ci-bot"]).ok();
    let second = town.run("ann", &["service-accounts", "create", "second"]).refused();
    assert!(second.contains("limit of 1") && second.contains("to raise the limit"), "{second}");
    let raise = ["workspaces", "set-quota", "acme", "--service-accounts", "2"];
    assert!(town.run("bob", &raise).refused().contains("operator"));
    town.run("ann", &raise).ok();
    let taken = town.run("ann", &["service-accounts", "create", "ci-bot"]).refused();
    assert!(taken.contains("ci-bot"), "{taken}");
    let created = town.run("ann", &["service-accounts", "create", "second", "--role", "admin", "--json"]).json();
    assert_eq!(created["role"], "admin");
}

#[test]
fn a_role_at_creation_is_part_of_the_same_change() {
    let town = Town::new();
    town.run("ann", &["service-accounts", "create", "ci-bot", "--role", "admin"]).ok();
    let events = town.run("ann", &["audit", "list", "--workspace", "acme", "--json"]).json();
    let events: Vec<_> = events["items"]
        .as_array()
        .expect("events")
        .iter()
        .filter(|event| event["action"].as_str().is_some_and(|action| action.starts_with("service_account.")))
        .collect();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["action"], "service_account.create");
    assert_eq!(events[0]["detail"]["role"], "admin");
}

#[test]
fn the_workspace_is_the_named_one_or_the_only_one() {
    let town = Town::new();
    town.run("ann", &["workspaces", "create", "--name", "Beta", "--slug", "beta"]).ok();
    let list = ["service-accounts", "list"];
    let refused = town.run("ann", &list).fails_with(2);
    assert!(refused.contains("you are in 2 workspaces") && refused.contains("--workspace SLUG"), "{refused}");
    assert!(refused.contains("\n  acme (acme)\n  beta (Beta)"), "{refused}");
    town.run("ann", &["service-accounts", "list", "-w", "beta"]).ok();
    let mut command = town.command("ann", &["service-accounts", "create", "ci-bot", "--json"]);
    let created = command.env("KEYWARD_WORKSPACE", "beta").output().expect("keyward starts");
    assert_eq!(crate::support::Ran::from(created).json()["email"], "ci-bot@beta.sa.keyward.local");
}
