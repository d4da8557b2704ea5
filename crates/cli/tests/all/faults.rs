//! Faults of the machine with a real server: a full disk, a read-only file system, a damaged database file. The error
//! is clear, nothing is lost, and the server recovers if possible.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{Home, Ran, Running};

/// Each is a separate process. Together they take much longer than a lease and its renewals.
const ATTEMPTS: usize = 1000;

/// Runs `keyward` with a separate file system for the data directory, which `prepare` sets up. Only this process sees
/// it, and it is removed with the process. It needs no privileges.
fn on_own_file_system(home: &Home, prepare: &str, arguments: &[&str]) -> Command {
    let keyward = home.keyward(arguments);
    let script = format!("set -e; mkdir -p keyward-data; {prepare}; exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", &script, "sh"]);
    command.arg(keyward.get_program()).args(keyward.get_args());
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.current_dir(home.path()).env_clear().env("HOME", home.path()).env("PATH", path);
    command
}

/// Creates an installation with an admin of the workspace `acme`, whose key is in the file `id`.
fn acme() -> Home {
    let home = Home::new();
    home.create_operator_with_key("id");
    home.run(&["admin", "create-workspace", "--name", "Acme", "--slug", "acme", "--admin", "ann@example.com"]).ok();
    home
}

/// Sends a request to create a project, and returns the status.
fn create_project(home: &Home, url: &str, workspace: &str, title: &str) -> (u16, String) {
    let url = format!("{url}/api/v1/workspaces/{workspace}/projects");
    let body = serde_json::json!({"title": title, "description": "x".repeat(900)}).to_string();
    status_of(home.run(&["request", "POST", &url, "--key", "id", "-i", "--data", &body]))
}

fn status_of(ran: Ran) -> (u16, String) {
    let text = ran.ok();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no status: {text}")), text)
}

fn workspace_id(home: &Home, url: &str) -> String {
    let me = home.run(&["request", "GET", &format!("{url}/api/v1/me"), "--key", "id"]).json();
    me["workspaces"][0]["id"].as_str().expect("a workspace").to_owned()
}

/// Returns the titles of all projects, the newest last.
fn project_titles(home: &Home, url: &str, workspace: &str) -> Vec<String> {
    let url = format!("{url}/api/v1/workspaces/{workspace}/projects?limit=200");
    let list = home.run(&["request", "GET", &url, "--key", "id"]).json();
    assert!(list["next"].is_null(), "one page: {list}");
    let items = list["items"].as_array().expect("items").iter();
    items.map(|project| project["title"].as_str().expect("a title").to_owned()).collect()
}

#[test]
fn a_full_disk_is_503_loses_nothing_and_gets_well_when_there_is_space() {
    let home = acme();
    fs::rename(home.file("keyward-data"), home.file("before")).expect("a move");
    let prepare = "mount -t tmpfs -o size=3m,mode=0700 tmpfs keyward-data; cp before/* keyward-data/";
    let server = Running::start(on_own_file_system(&home, prepare, &["serve", "--listen", "127.0.0.1:0"]));
    let workspace = workspace_id(&home, &server.url);
    let (status, answer) = create_project(&home, &server.url, &workspace, "before");
    assert_eq!(status, 201, "{answer}");

    let data = seen_from_outside(&home, &server);
    let filler = data.join("filler");
    fill(&filler);
    // The write-ahead log of the database may have some space left, which is limited.
    let mut acknowledged = vec!["before".to_owned()];
    let refused = loop {
        let title = format!("during {}", acknowledged.len());
        let (status, answer) = create_project(&home, &server.url, &workspace, &title);
        if status == 503 {
            break answer;
        }
        assert_eq!(status, 201, "{answer}");
        acknowledged.push(title);
        assert!(acknowledged.len() < 100, "the disk does not fill");
    };
    assert!(refused.to_lowercase().contains("\r\nretry-after: "), "{refused}");

    fs::remove_file(&filler).expect("space");
    let well = (0..ATTEMPTS).any(|_| match create_project(&home, &server.url, &workspace, "after") {
        (201, _) => true,
        // Never 401, because the credential is valid regardless of the disk.
        (503, _) => false,
        (_, answer) => panic!("{answer}"),
    });
    assert!(well, "it does not get well");
    acknowledged.push("after".to_owned());
    let mut there = project_titles(&home, &server.url, &workspace);
    there.sort();
    acknowledged.sort();
    assert_eq!(there, acknowledged, "what was acknowledged is there, what was refused is not");
    let verify = home.keyward(&["audit", "verify"]);
    let mut beside = Command::new("nsenter");
    beside.args(["--user", "--mount", "--preserve-credentials", "--target", &server.pid().to_string()]);
    beside.arg(format!("--wd={}", data.display())).arg("--").arg(verify.get_program()).args(verify.get_args());
    Ran::from(beside.args(["--data", "."]).output().expect("nsenter starts")).ok();
}

/// Returns the server's data directory. Only the server and its child processes see it under its own name.
fn seen_from_outside(home: &Home, server: &Running) -> PathBuf {
    let own = home.file("keyward-data");
    Path::new("/proc").join(server.pid().to_string()).join("root").join(own.strip_prefix("/").expect("absolute"))
}

fn fill(path: &Path) {
    let mut filler = File::create(path).expect("a file");
    loop {
        match filler.write(&[0; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => return,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_read_only_data_directory_refuses_to_start_and_says_why() {
    let home = acme();
    fs::rename(home.file("keyward-data"), home.file("before")).expect("a move");
    let prepare = "mount -t tmpfs -o size=8m,mode=0700 tmpfs keyward-data; cp before/* keyward-data/; \
                   mount -o remount,bind,ro keyward-data";
    for arguments in [
        &["serve", "--listen", "127.0.0.1:0"][..],
        &["admin", "create-user", "--email", "bo@example.com", "--name", "Bo"],
    ] {
        let output =
            on_own_file_system(&home, prepare, arguments).stdin(Stdio::null()).output().expect("unshare starts");
        let told = Ran::from(output).refused();
        assert!(told.starts_with("error: ") && told.to_lowercase().contains("read-only"), "{told}");
    }
}

#[test]
fn a_damaged_database_refuses_to_start_and_is_left_as_it_is() {
    for (what, damage) in DAMAGES {
        let home = acme();
        let database = home.file("keyward-data/keyward.db");
        damage(&database);
        let damaged = fs::read(&database).expect("the database");
        for arguments in [
            &["serve", "--listen", "127.0.0.1:0"][..],
            &["admin", "list-users"],
            &["audit", "verify"],
            &["backup", "copy.db"],
        ] {
            let told = home.run(arguments).refused();
            assert!(told.contains("restore a backup") || told.contains("restore the"), "{what}, {arguments:?}: {told}");
            assert!(!told.contains("bug in keyward") && !told.contains("panicked"), "{what}, {arguments:?}: {told}");
        }
        assert!(!home.file("copy.db").exists(), "{what}: no backup is made of what is damaged");
        assert!(fs::read(&database).expect("the database") == damaged, "{what}: the file was changed");
    }
}

type Damage = fn(&Path);

const DAMAGES: &[(&str, Damage)] = &[
    ("the first bytes are others", |file| overwrite(file, 0, b"no database")),
    ("the end is cut off", |file| {
        let half = fs::metadata(file).expect("a size").len() / 2;
        OpenOptions::new().write(true).open(file).and_then(|file| file.set_len(half)).expect("a cut");
    }),
    ("every page but the first is noise", |file| {
        let length = usize::try_from(fs::metadata(file).expect("a size").len()).expect("a small file");
        overwrite(file, 4096, &vec![0xA5; length - 4096]);
    }),
];

fn overwrite(file: &Path, at: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(file).expect("the database");
    file.write_all_at(bytes, at).expect("a write");
}
