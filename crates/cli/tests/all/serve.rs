//! `keyward serve`: settings, the data directory, starting and stopping.

use std::process::Stdio;

use crate::support::{Home, Running};

#[test]
fn a_second_server_on_one_directory_is_refused_and_the_next_one_after_it_is_not() {
    let home = Home::new();
    let server = home.serve();
    let refused = home.run(&["serve", "--listen", "127.0.0.1:0"]).refused();
    assert!(refused.contains("a server already runs on ./keyward-data") && refused.contains(&server.url), "{refused}");
    assert_eq!(server.stop(), Some(0));
    let server = home.serve();
    // A killed server does not prevent the next start.
    server.signal("KILL");
    assert_eq!(server.stop(), None);
    home.serve();
}

#[test]
fn an_unsafe_or_mistyped_setting_refuses_to_start_and_is_named() {
    let home = Home::new();
    home.write("typo.toml", "lissten = \"127.0.0.1:0\"\n");
    for (arguments, variable, named) in [
        (&["--listen", "0.0.0.0:0"][..], None, "setting `listen`"),
        (&["--public-url", "http://keys.example.com"], None, "setting `public_url`"),
        (&["--public-url", "https://keys.example.com/"], None, "setting `public_url`"),
        (&["--config", "typo.toml"], None, "`lissten`"),
        (&["--config", "nowhere.toml"], None, "nowhere.toml"),
        (&[], Some(("KEYWARD_LISTEN", "8080")), "KEYWARD_LISTEN"),
        (&[], Some(("KEYWARD_LEASE", "0")), "setting `lease`"),
        (&[], Some(("KEYWARD_ENCORD_HOSTS", "a b")), "setting `encord_hosts`"),
        (&[], Some(("KEYWARD_LOG", "=[")), "KEYWARD_LOG"),
    ] {
        let mut command = home.keyward(&[&["serve"], arguments].concat());
        let output = command.envs(variable).stdin(Stdio::null()).output().expect("keyward starts");
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(named), "{named}: {stderr}");
        assert!(!home.file("keyward-data").exists(), "nothing is made");
    }
}

#[test]
fn settings_come_from_flag_variable_and_file_in_that_order() {
    let home = Home::new();
    home.write(
        "keyward.toml",
        "data = \"by-file\"\nlisten = \"127.0.0.1:0\"\nservice_account_domain = \"sa.example\"\n",
    );
    drop(Running::start(home.keyward(&["serve"])));
    assert!(home.file("by-file/keyward.db").exists());

    let mut command = home.keyward(&["serve"]);
    command.env("KEYWARD_DATA", "by-variable");
    drop(Running::start(command));
    assert!(home.file("by-variable/keyward.db").exists());

    let mut command = home.keyward(&["serve", "--data", "by-flag"]);
    command.env("KEYWARD_DATA", "by-variable");
    drop(Running::start(command));
    assert!(home.file("by-flag/keyward.db").exists());

    // Commands on the host read the same file.
    home.create_operator();
    home.run(&["admin", "create-workspace", "--name", "Acme", "--slug", "acme", "--admin", "ann@example.com"]).ok();
    let create = ["admin", "create-service-account", "--workspace", "acme", "--name", "bot", "--json"];
    assert_eq!(home.run(&create).json()["email"], "bot@acme.sa.example");
}

#[test]
fn the_log_is_json_without_a_terminal() {
    let home = Home::new();
    let log = std::fs::File::create(home.file("log")).expect("a file");
    let mut child = home
        .keyward(&["serve", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .expect("keyward starts");
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
    std::io::BufRead::read_line(&mut stdout, &mut line).expect("a line");
    assert!(line.starts_with("keyward listens on http://127.0.0.1:"), "{line}");
    let url = line.split_whitespace().nth(3).expect("a URL");
    let ids = ["/healthz", "/api/v1/me", "/nothing"].map(|path| {
        let answer = std::process::Command::new("curl").args(["-sSi", &format!("{url}{path}")]).output().expect("curl");
        let head = String::from_utf8(answer.stdout).expect("text");
        head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).expect("an id").to_owned()
    });
    std::process::Command::new("sh").args(["-c", &format!("kill {}", child.id())]).status().expect("a shell");
    assert!(child.wait().expect("an end").success());
    let log = std::fs::read_to_string(home.file("log")).expect("the log");
    let last: serde_json::Value = serde_json::from_str(log.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["message"], "stopping: waiting for requests in progress");
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let messages_of = |id: &str| -> Vec<&str> {
        let of_request = lines.iter().filter(|line| line["span"]["id"] == id && line["spans"][0]["id"] == id);
        of_request.map(|line| line["message"].as_str().expect("text")).collect()
    };
    assert_eq!(messages_of(&ids[0]), ["answered"], "{log}");
    // Other log lines of a request have its id too, and come before its last line.
    assert_eq!(messages_of(&ids[1]), ["not authenticated", "answered"], "{log}");
    assert_eq!(messages_of(&ids[2]), ["answered"], "{log}");
    let answered = lines.iter().find(|line| line["message"] == "answered" && line["span"]["id"] == ids[1].as_str());
    let answered = answered.expect("a line");
    assert_eq!((&answered["route"], &answered["status"]), (&"/api/v1/me".into(), &401.into()));
    assert_eq!((&answered["method"], &answered["address"]), (&"GET".into(), &"127.0.0.1".into()));
}

#[test]
fn a_service_manager_is_notified_of_start_and_stop() {
    let home = Home::new();
    let socket = std::os::unix::net::UnixDatagram::bind(home.file("notify")).expect("a socket");
    socket.set_read_timeout(Some(std::time::Duration::from_mins(1))).expect("a time-out");
    let told = || {
        let mut message = [0; 100];
        let length = socket.recv(&mut message).expect("a message");
        String::from_utf8(message[..length].to_vec()).expect("UTF-8")
    };
    let mut command = home.keyward(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("NOTIFY_SOCKET", home.file("notify"));
    let server = Running::start(command);
    assert_eq!(told().trim_end(), "READY=1");
    assert_eq!(server.stop(), Some(0));
    assert_eq!(told().trim_end(), "STOPPING=1");
}
