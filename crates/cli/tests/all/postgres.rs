//! The command line on PostgreSQL: serving, copying to it and back, backup with PostgreSQL's own programs.

use std::process::Command;

use test_postgres::Cluster;

use crate::support::{Home, Running};

/// Runs `keyward` in this directory with that database.
fn on(home: &Home, url: &str, arguments: &[&str]) -> Command {
    let mut command = home.keyward(arguments);
    command.env("KEYWARD_DATABASE_URL", url);
    command
}

fn run(home: &Home, url: &str, arguments: &[&str]) -> crate::support::Ran {
    on(home, url, arguments).output().expect("keyward starts").into()
}

#[test]
fn an_installation_moves_to_postgresql_and_back_with_all_that_is_in_it() {
    let home = Home::new();
    home.create_operator_with_key("id");
    let database = Cluster::shared().create_database();
    let url = database.url();
    let there = home.run(&["migrate", "--to-postgres", &url]).ok();
    assert!(there.contains("each compared with its original") && there.contains("is intact"), "{there}");
    let again = home.run(&["migrate", "--to-postgres", &url]).refused();
    assert!(again.contains("name a new database"), "{again}");

    let server = Running::start(on(&home, &url, &["serve", "--listen", "127.0.0.1:0"]));
    home.run(&["whoami", "--url", &server.url, "--key", "id"]).ok();
    let busy = home.run(&["migrate", "--from-postgres", &url, "--data", "back"]).refused();
    assert!(busy.contains("installation.key"), "{busy}");
    std::fs::copy(home.file("keyward-data/installation.key"), home.file("back/installation.key")).unwrap();
    let busy = home.run(&["migrate", "--from-postgres", &url, "--data", "back"]).refused();
    assert!(busy.contains("servers are registered on the source"), "{busy}");
    let nodes = run(&home, &url, &["admin", "list-nodes"]).ok();
    assert!(nodes.lines().count() == 2 && nodes.contains("2 s"), "{nodes}");
    let looked = run(&home, &url, &["doctor"]).ok();
    assert!(looked.contains("PostgreSQL answers"), "{looked}");
    // A change on the host reports how many nodes have acknowledged it, if there are several.
    let quota =
        run(&home, &url, &["admin", "create-workspace", "--name", "A", "--slug", "acme", "--admin", "b@example.com"]);
    assert_eq!((quota.code, quota.stderr.as_str()), (Some(0), ""));
    let data = ["serve", "--listen", "127.0.0.1:0", "--data", "second"];
    std::fs::create_dir(home.file("second")).unwrap();
    std::fs::copy(home.file("keyward-data/installation.key"), home.file("second/installation.key")).unwrap();
    let second = Running::start(on(&home, &url, &data));
    let quota = run(&home, &url, &["admin", "set-quota", "--workspace", "acme", "--service-accounts", "2"]);
    assert!(quota.stderr.contains("every node has acknowledged it: 2"), "{}", quota.stderr);
    assert_eq!((second.stop(), server.stop()), (Some(0), Some(0)));

    let back = home.run(&["migrate", "--from-postgres", &url, "--data", "back"]).ok();
    assert!(back.contains("is intact"), "{back}");
    home.run(&["audit", "verify", "--data", "back"]).ok();
    let workspaces = home.run(&["admin", "list-workspaces", "--data", "back"]).ok();
    assert!(workspaces.contains("acme"), "{workspaces}");
}

#[test]
fn a_restore_by_postgresqls_own_programs_is_finished_with_all_users_and_keys_suspended() {
    let home = Home::new();
    let (database, restored) = (Cluster::shared().create_database(), Cluster::shared().create_database());
    let url = database.url();
    run(&home, &url, &["admin", "create-user", "--email", "ann@example.com", "--name", "Ann"]).ok();
    home.ssh_keygen("id");
    let add = ["admin", "add-key", "--user", "ann@example.com", "--title", "k", "--public-key-file", "id.pub"];
    run(&home, &url, &add).ok();
    let refused = run(&home, &url, &["backup", "backup.db"]).refused();
    assert!(refused.contains("pg_dump"), "{refused}");
    database.dump(&home.file("dump"));
    restored.restore(&home.file("dump"));
    assert!(run(&home, &restored.url(), &["restore", "dump"]).refused().contains("run this without a file"));
    let told = run(&home, &restored.url(), &["restore"]).ok();
    assert!(told.contains("all 1 users are suspended, and all 1 keys are suspended"), "{told}");
    let people = run(&home, &restored.url(), &["admin", "list-suspended-users"]).ok();
    assert!(people.contains("ann@example.com"), "{people}");
    let waiting = run(&home, &restored.url(), &["admin", "list-suspended-keys"]).ok();
    assert!(waiting.contains("ann@example.com"), "{waiting}");
    let untouched = run(&home, &url, &["admin", "list-suspended-keys"]).ok();
    assert!(!untouched.contains("ann@example.com"), "{untouched}");
}

#[test]
fn a_database_into_which_nothing_was_put_back_is_not_said_to_be_restored() {
    let home = Home::new();
    let (database, empty) = (Cluster::shared().create_database(), Cluster::shared().create_database());
    run(&home, &database.url(), &["admin", "create-user", "--email", "ann@example.com", "--name", "Ann"]).ok();
    let refused = run(&home, &empty.url(), &["restore"]).refused();
    assert!(refused.contains("holds no installation") && refused.contains("pg_restore first"), "{refused}");
    // Nothing prevents the restore.
    database.dump(&home.file("dump"));
    empty.restore(&home.file("dump"));
    assert!(run(&home, &empty.url(), &["restore"]).ok().contains("all 1 users are suspended"));
}

#[test]
fn a_database_is_brought_to_the_format_of_the_release() {
    let home = Home::new();
    let database = Cluster::shared().create_database();
    for arguments in [&["migrate"][..], &["migrate", "--database-url", &database.url()]] {
        let told = home.run(arguments).ok();
        assert!(told.contains("which is this release's"), "{told}");
    }
    let refused = home.run(&["migrate", "--database-url", "postgres://u:hunter2@127.0.0.1:1/d"]).refused();
    assert!(!refused.contains("hunter2"), "{refused}");
}
