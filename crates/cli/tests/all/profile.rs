//! `keyward login` and `keyward profiles`.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Home, Ran, Town};

fn mode(home: &Home, name: &str) -> u32 {
    std::fs::metadata(home.file(name)).expect("a file").permissions().mode() & 0o777
}

#[test]
fn a_server_and_a_key_are_remembered_by_a_name() {
    let town = Town::new();
    let (home, url) = (&town.home, town.server.url.as_str());
    assert!(home.run(&["whoami"]).fails_with(2).contains("keyward login"));
    let told = home.run(&["login", "--url", url, "--key", "bob"]).ok();
    assert!(told.contains("default is the current profile: bob@example.com on http://"), "{told}");
    assert!(home.run(&["whoami"]).ok().starts_with("bob@example.com"));
    home.run(&["login", "ann", "--url", url, "--key", "ann"]).ok();
    assert!(home.run(&["whoami"]).ok().starts_with("ann@example.com"));

    // The file is for its user only, and has no key in it.
    assert_eq!((mode(home, ".config/keyward"), mode(home, ".config/keyward/profiles.json")), (0o700, 0o600));
    let stored = std::fs::read_to_string(home.file(".config/keyward/profiles.json")).expect("a file");
    let key = std::fs::read_to_string(home.file("bob")).expect("a key");
    assert!(key.lines().all(|line| !stored.contains(line)), "{stored}");
    // The path holds from every directory.
    std::fs::create_dir(home.file("elsewhere")).expect("a directory");
    let mut command = home.keyward(&["whoami"]);
    assert!(
        Ran::from(command.current_dir(home.file("elsewhere")).output().expect("keyward starts"))
            .ok()
            .starts_with("ann@")
    );

    // What is more specific comes first: a flag, a variable, the profile.
    assert!(home.run(&["whoami", "--use-profile", "default"]).ok().starts_with("bob@example.com"));
    assert!(home.run(&["whoami", "--key", "eve"]).ok().starts_with("eve@example.com"));
    let with = |name: &str, value: &str, arguments: &[&str]| {
        let mut command = home.keyward(arguments);
        Ran::from(command.env(name, value).output().expect("keyward starts"))
    };
    assert!(with("KEYWARD_KEY_FILE", "eve", &["whoami"]).ok().starts_with("eve@example.com"));
    assert!(
        with("KEYWARD_KEY_FILE", "eve", &["whoami", "--use-profile", "default"]).ok().starts_with("bob@example.com")
    );
    assert!(with("KEYWARD_KEY", &key, &["whoami"]).ok().starts_with("bob@example.com"));
    assert!(with("KEYWARD_PROFILE", "default", &["whoami"]).ok().starts_with("bob@example.com"));
    with("KEYWARD_URL", "http://127.0.0.1:1", &["whoami"]).fails_with(5);

    let listed = home.run(&["profiles", "list"]).ok();
    assert!(listed.contains("\nann\tyes\thttp://") && listed.contains("\ndefault\tno\t"), "{listed}");
    home.run(&["profiles", "use", "default"]).ok();
    assert_eq!(home.run(&["profiles", "show", "--json"]).json()["name"], "default");
    assert!(home.run(&["profiles", "remove", "ann"]).fails_with(1).contains("--yes"));
    home.run(&["profiles", "remove", "ann", "--yes"]).ok();
    assert!(home.file("ann").exists(), "the key stays");
    assert!(home.run(&["whoami", "--use-profile", "ann"]).fails_with(4).contains("there are default"));
    assert!(home.run(&["profiles", "use", "nowhere"]).fails_with(4).contains("there are default"));
    // The log on this machine is read as before.
    assert!(home.run(&["audit", "list"]).ok().contains("user.create"));
}

#[test]
fn what_does_not_work_or_is_a_key_is_not_remembered() {
    let town = Town::new();
    let (home, url) = (&town.home, town.server.url.as_str());
    home.ssh_keygen("stranger");
    home.run(&["login", "--url", url, "--key", "stranger"]).fails_with(3);
    home.run(&["login", "--url", "http://127.0.0.1:1", "--key", "ann"]).fails_with(5);
    home.run(&["login", "--url", url, "--key", "nowhere"]).fails_with(1);
    assert!(home.run(&["login", "../x", "--url", url, "--key", "ann"]).fails_with(2).contains("not a name"));
    let key = std::fs::read_to_string(home.file("ann")).expect("a key");
    let told = home.run_with_input(&["login", "--url", url, "--key", "-"], &key).fails_with(2);
    assert!(told.contains("not the key"), "{told}");
    for name in ["KEYWARD_KEY", "KEYWARD_KEY_FILE"] {
        let mut command = home.keyward(&["login", "--url", url]);
        let ran = Ran::from(command.env(name, &key).output().expect("keyward starts"));
        assert!(
            matches!(ran.code, Some(1 | 2)) && !ran.stderr.contains(key.lines().nth(1).expect("a line")),
            "{}",
            ran.stderr
        );
    }
    assert!(!home.file(".config").exists(), "nothing is written");

    // A file that others can write to is not followed.
    home.run(&["login", "--url", url, "--key", "ann"]).ok();
    home.tool("chmod", &["666", ".config/keyward/profiles.json"]);
    assert!(home.run(&["whoami"]).fails_with(1).contains("chmod 600"));
    home.run(&["whoami", "--url", url, "--key", "ann"]).ok();
}
