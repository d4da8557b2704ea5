//! `keyward doctor`.

use serde_json::Value;

use crate::support::{Home, Ran, Scripted};

/// Returns the checks with this name in a report.
fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no check {name}: {report}"))
}

/// Returns a report with a failed check.
fn failing(ran: &Ran) -> Value {
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(report["status"], "fail");
    report
}

#[test]
fn a_healthy_installation_is_reported_line_by_line() {
    let home = Home::new();
    home.create_operator_with_key("id");
    home.write("keyward.toml", "listen = \"127.0.0.1:0\"\ndata = \"keyward-data\"\nlease = 2\n");
    let alone = home.run(&["doctor", "--json"]).json();
    assert_ne!(alone["status"], "fail", "{alone}");
    assert_eq!(check(&alone, "server")["detail"], "none runs on this data directory");

    let server = home.serve();
    let mut command = home.keyward(&["doctor"]);
    command.env("KEYWARD_DATA", "keyward-data").env("KEYWARD_KEY_FILE", "id");
    let told = Ran::from(command.output().expect("keyward starts")).ok();
    let told =
        told.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join("\n");
    for line in [
        "ok settings",
        "data by KEYWARD_DATA (not by keyward.toml)",
        "lease by keyward.toml",
        "ok data directory",
        "ok database the file is intact",
        "ok audit log intact in itself, 2 events",
        "ok client key KEYWARD_KEY_FILE is SHA256:",
        "ok clocks this machine and the server agree",
        "ok clock runs evenly",
        &format!("ok server runs on this data directory, at {}", server.url),
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    assert!(!told.contains('\x1b'), "no colour in a pipe");
}

#[test]
fn problems_are_reported_with_the_next_step_and_the_status_is_1() {
    let home = Home::new();
    let missing = failing(&home.run(&["doctor", "--json"]));
    assert!(check(&missing, "data directory")["next"].as_str().expect("advice").contains("--data"));

    home.create_operator_with_key("id");
    home.write("typo.toml", "lissten = 1\n");
    let typo = failing(&home.run(&["doctor", "--json", "--config", "typo.toml"]));
    assert!(check(&typo, "settings")["detail"].as_str().expect("a detail").contains("lissten"));

    home.tool("chmod", &["644", "keyward-data/installation.key"]);
    home.tool("chmod", &["755", "keyward-data"]);
    let mut command = home.keyward(&["doctor", "--json"]);
    home.tool("chmod", &["644", "id"]);
    let open = failing(&command.env("KEYWARD_KEY_FILE", "id").output().expect("keyward starts").into());
    assert_eq!(check(&open, "installation key")["next"], "chmod 600 ./keyward-data/installation.key");
    assert_eq!(check(&open, "data directory")["next"], "chmod 700 ./keyward-data");
    assert!(check(&open, "client key")["detail"].as_str().expect("a detail").contains("chmod 600 id"));
    home.tool("chmod", &["600", "keyward-data/installation.key"]);
    home.tool("chmod", &["700", "keyward-data"]);

    let change = "UPDATE audit_events SET principal = 'anonymous' WHERE action = 'api_key.create'";
    home.tool("sqlite3", &["keyward-data/keyward.db", change]);
    let tampered = failing(&home.run(&["doctor", "--json"]));
    assert_eq!(check(&tampered, "audit log")["status"], "fail");
    assert_eq!(check(&tampered, "database")["status"], "ok", "the file itself is whole");
    home.tool("rm", &["keyward-data/keyward.db"]);
    let gone = failing(&home.run(&["doctor", "--json"]));
    assert!(check(&gone, "database")["detail"].as_str().expect("a detail").contains("no installation"));
}

#[test]
fn a_damaged_database_is_found() {
    let home = Home::new();
    home.create_operator_with_key("id");
    // A page of an index that is not read when the file is opened.
    let root = "SELECT max(rootpage) - 1 FROM sqlite_schema WHERE type = 'index'";
    home.tool("sqlite3", &["keyward-data/keyward.db", "PRAGMA wal_checkpoint(TRUNCATE)"]);
    let page: u64 = home.tool("sqlite3", &["keyward-data/keyward.db", root]).trim().parse().expect("a page");
    let file = std::fs::OpenOptions::new().write(true).open(home.file("keyward-data/keyward.db")).expect("a file");
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xa5; 512], page * 4096).expect("a write");
    let damaged = failing(&home.run(&["doctor", "--json"]));
    let check = check(&damaged, "database");
    assert_eq!(check["status"], "fail", "{damaged}");
    assert!(check["next"].as_str().expect("advice").contains("restore a backup"), "{check}");
}

#[test]
fn a_wrong_clock_is_detected_by_the_date_of_the_server() {
    let home = Home::new();
    home.create_operator();
    let server = Scripted::answering(&["HTTP/1.1 200 OK\nDate: Mon, 01 Jan 2001 00:00:00 GMT\n\nready".to_owned()]);
    let report = failing(&home.run(&["doctor", "--json", "--url", &server.url]));
    let clocks = check(&report, "clocks");
    assert!(
        clocks["detail"].as_str().expect("a detail").contains("s ahead of the server: requests that are signed here")
    );
    assert!(clocks["next"].as_str().expect("advice").contains("timedatectl"));
    server.finish();
    let nowhere = failing(&home.run(&["doctor", "--json", "--url", "http://127.0.0.1:1"]));
    assert_eq!(check(&nowhere, "server answers")["status"], "fail");

    // Without `--url`, an unreachable public URL is not an error of the installation.
    home.write("keyward.toml", "public_url = \"http://127.0.0.1:1\"\n");
    let _server = home.serve();
    let behind_proxy = home.run(&["doctor", "--json"]).json();
    assert_eq!(check(&behind_proxy, "server answers")["status"], "warn", "{behind_proxy}");
}
