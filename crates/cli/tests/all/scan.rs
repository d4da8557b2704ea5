//! `keyward scan`, with the real `ssh-keygen`, `openssl`, `puttygen` and `git`.

use std::{os::unix::fs::symlink, path::Path, process::Command};

use serde_json::{Value, json};

use crate::support::{Home, Ran, Town};

/// Keys of every kind in a directory `tree`.
fn plant(home: &Home) {
    std::fs::create_dir_all(home.file("tree/deep/er")).expect("directories");
    home.tool("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", "tree/openssh"]);
    home.tool("ssh-keygen", &["-q", "-t", "ed25519", "-N", "correct horse", "-f", "tree/protected"]);
    home.tool("openssl", &["genpkey", "-algorithm", "ed25519", "-out", "tree/deep/pkcs8.pem"]);
    home.tool("openssl", &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "tree/deep/sec1.pem"]);
    home.tool("openssl", &["genrsa", "-traditional", "-out", "tree/deep/er/pkcs1.pem", "2048"]);
    home.tool("puttygen", &["tree/openssh", "-O", "private", "-o", "tree/deep/er/putty.ppk"]);
    let text = std::fs::read_to_string(home.file("tree/deep/pkcs8.pem")).expect("a key");
    home.write("tree/settings.json", &format!("{{\n  \"key\": {}\n}}\n", json!(text)));
    let base64 = home.tool("base64", &["-w", "0", "tree/openssh"]);
    home.write("tree/values.yaml", &format!("a: 1\nkey: {base64}\n"));
    home.write("tree/readme.md", "begins with `-----BEGIN OPENSSH PRIVATE KEY-----`\n");
    // Not searched: a link, a binary file, a file of a repository.
    symlink(home.file("tree/openssh"), home.file("tree/link")).expect("a link");
    symlink(home.file("tree"), home.file("tree/deep/loop")).expect("a link");
    std::fs::write(home.file("tree/binary"), b"\x7fELF\0\0\0-----BEGIN RSA PRIVATE KEY-----\n").expect("a file");
    std::fs::create_dir(home.file("tree/.git")).expect("a directory");
    std::fs::copy(home.file("tree/openssh"), home.file("tree/.git/key")).expect("a copy");
}

/// Every line of base64 in the planted private keys.
fn secrets(home: &Home) -> Vec<String> {
    let files = ["openssh", "protected", "deep/pkcs8.pem", "deep/sec1.pem", "deep/er/pkcs1.pem", "deep/er/putty.ppk"];
    let read = |file: &str| std::fs::read_to_string(home.file(&format!("tree/{file}"))).expect("a key");
    let lines: Vec<String> =
        files.iter().flat_map(|file| read(file).lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    lines.into_iter().filter(|line| line.len() >= 40 && !line.starts_with(['-', 'P'])).collect()
}

/// Returns the findings, after checking that the command found something and shows no secret.
#[track_caller]
fn found(home: &Home, ran: &Ran) -> Vec<Value> {
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    for secret in secrets(home) {
        assert!(!ran.stdout.contains(&secret) && !ran.stderr.contains(&secret), "{secret}");
    }
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    report["findings"].as_array().expect("findings").clone()
}

fn places(findings: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    findings.iter().map(|one| format!("{}:{} {}", text(&one["path"]), one["line"], text(&one["rule"]))).collect()
}

fn git(home: &Home, arguments: &[&str]) -> String {
    let identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "init.defaultBranch=main"];
    home.tool("git", &[&["-C", "tree"], &identity[..], arguments].concat())
}

#[test]
fn keys_of_every_format_are_found_in_a_tree() {
    let home = Home::new();
    plant(&home);
    let findings = found(&home, &home.run(&["scan", "tree", "--offline", "--json"]));
    assert_eq!(
        places(&findings),
        [
            "tree/deep/er/pkcs1.pem:1 private-key",
            "tree/deep/er/putty.ppk:1 private-key",
            "tree/deep/pkcs8.pem:1 private-key",
            "tree/deep/sec1.pem:1 private-key",
            "tree/openssh:1 private-key",
            "tree/protected:1 protected-private-key",
            "tree/settings.json:2 private-key",
            "tree/values.yaml:2 private-key",
        ]
    );
    let fingerprint = |file: &str| {
        let told = home.tool("ssh-keygen", &["-lf", &format!("tree/{file}.pub")]);
        told.split_whitespace().nth(1).expect("a fingerprint").to_owned()
    };
    for (at, expected) in [(1, "openssh"), (4, "openssh"), (5, "protected"), (7, "openssh")] {
        assert_eq!(findings[at]["fingerprint"], fingerprint(expected), "{}", findings[at]);
    }
    assert_eq!(findings[2]["fingerprint"], findings[6]["fingerprint"]);
    assert_eq!((&findings[7]["format"], &findings[7]["asked"]), (&json!("OpenSSH format, in base64"), &json!(false)));

    // As text, with the next step on standard error.
    let ran = home.run(&["scan", "tree", "--offline"]);
    assert!(ran.stdout.starts_with("tree/deep/er/pkcs1.pem:1: private key SHA256:"), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("5 private keys in 8 places: searched ") && ran.stderr.contains("(1 binary"),
        "{}",
        ran.stderr
    );

    // What is excluded, allowed or too large is not reported.
    let exclude = ["scan", "tree", "--offline", "--json", "--exclude", "tree/deep", "--allow", &fingerprint("openssh")];
    let rest = places(&found(&home, &home.run(&exclude)));
    assert_eq!(rest, ["tree/protected:1 protected-private-key", "tree/settings.json:2 private-key"]);
    let small = home.run(&["scan", "tree", "--offline", "--max-size", "10"]);
    assert_eq!(small.code, Some(0), "{}{}", small.stdout, small.stderr);
    assert!(small.stderr.contains("no private keys") && small.stderr.contains("large"), "{}", small.stderr);
    let none = home.run(&["scan", "tree/readme.md", "tree/binary", "--offline", "--json"]);
    assert_eq!((none.code, none.stderr.as_str()), (Some(0), ""));
}

#[test]
fn an_error_is_neither_a_finding_nor_none() {
    let home = Home::new();
    plant(&home);
    let told = home.run(&["scan", "absent", "--offline"]).fails_with(2);
    assert!(told.contains("absent cannot be read"), "{told}");
    // What was found is printed, and the scan is incomplete.
    let ran = home.run(&["scan", "tree", "absent", "--offline"]);
    assert!(ran.stdout.contains("tree/openssh:1: "), "{}", ran.stdout);
    ran.fails_with(2);
    let ran = home.run(&["scan", "tree", "--url", "http://127.0.0.1:1"]);
    assert!(ran.stdout.contains("tree/openssh:1: "), "{}", ran.stdout);
    ran.fails_with(2);
    let told = home.run(&["scan", "tree"]).fails_with(2);
    assert!(told.contains("--url") && told.contains("--offline"), "{told}");
    home.run(&["scan", "--offline"]).fails_with(2);
    home.run(&["scan", "--git", "tree/deep", "--offline"]).fails_with(2);
    home.run(&["scan", "--staged", "--offline"]).fails_with(2);
    home.run(&["scan", "tree", "--offline", "--json", "--sarif"]).fails_with(2);
}

#[test]
fn the_server_tells_which_keys_are_registered() {
    let town = Town::new();
    let home = &town.home;
    plant(home);
    town.run("bob", &["keys", "add", "tree/openssh", "--title", "runner"]).ok();
    town.run("bob", &["keys", "add", "tree/deep/pkcs8.pem", "--title", "old"]).ok();
    town.run("bob", &["keys", "revoke", "old", "--yes"]).ok();
    // Without any key or credential of its own.
    let scan = |more: &[&str]| home.run(&[&["scan", "tree", "--url", &town.server.url], more].concat());
    let findings = found(home, &scan(&["--json"]));
    let rules = places(&findings);
    assert_eq!(rules[4], "tree/openssh:1 registered-private-key");
    assert_eq!(rules[7], "tree/values.yaml:2 registered-private-key");
    let expected = json!({"title": "runner", "owner_kind": "user", "state": "active", "revoked_at": null});
    assert_eq!(findings[4]["registration"], expected);
    assert_eq!(findings[2]["registration"]["state"], "revoked");
    assert_eq!((&findings[0]["asked"], &findings[0]["registration"]), (&json!(true), &Value::Null));
    assert_eq!(findings[5]["asked"], false, "a protected key signs no question");
    let ran = scan(&[]);
    assert!(ran.stdout.contains("registered at the server as runner, the key of a user: active"), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("1 registered and not revoked") && ran.stderr.contains("revoke-leaked"),
        "{}",
        ran.stderr
    );
}

#[test]
fn the_log_for_ci_is_sarif() {
    let town = Town::new();
    let home = &town.home;
    plant(home);
    town.run("bob", &["keys", "add", "tree/openssh", "--title", "runner"]).ok();
    let ran = home.run(&["scan", "tree/openssh", "tree/protected", "--sarif", "--url", &town.server.url]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let log: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((&log["version"], log["runs"].as_array().map(Vec::len)), (&json!("2.1.0"), Some(1)));
    let run = &log["runs"][0];
    let driver = &run["tool"]["driver"];
    assert_eq!(driver["name"], "keyward scan");
    let rules: Vec<&str> =
        driver["rules"].as_array().expect("rules").iter().map(|rule| rule["id"].as_str().expect("an id")).collect();
    assert_eq!(rules.len(), 5);
    assert_eq!(run["invocations"][0]["executionSuccessful"], true);
    let results = run["results"].as_array().expect("results");
    assert_eq!(results.len(), 2);
    for result in results {
        // SARIF 2.1.0, sections 3.27.5 to 3.27.12 and 3.30.
        let rule = usize::try_from(result["ruleIndex"].as_u64().expect("an index")).expect("small");
        assert_eq!(result["ruleId"], rules[rule]);
        assert!(["none", "note", "warning", "error"].contains(&result["level"].as_str().expect("a level")));
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uriBaseId"], "%SRCROOT%");
        let region = &place["region"];
        assert_eq!((&region["startLine"], &region["startColumn"]), (&json!(1), &json!(1)));
        assert!(region["endLine"].as_u64() > Some(1));
    }
    assert_eq!((&results[0]["ruleId"], &results[0]["level"]), (&json!("registered-private-key"), &json!("error")));
    assert_eq!(results[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "tree/openssh");
    let text = results[0]["message"]["text"].as_str().expect("a message");
    assert!(text.starts_with("Private key SHA256:") && text.contains("as runner, the key of a user: active"), "{text}");
    let identity = results[0]["partialFingerprints"]["keyFingerprint/v1"].as_str().expect("an identity");
    assert!(identity.contains("SHA256:"), "{identity}");
    for secret in secrets(home) {
        assert!(!ran.stdout.contains(&secret), "{secret}");
    }
    // Without findings, and after an error.
    let empty: Value = home.run(&["scan", "tree/readme.md", "--offline", "--sarif"]).json();
    assert_eq!(empty["runs"][0]["results"], json!([]));
    let failed = home.run(&["scan", "absent", "--offline", "--sarif"]);
    let log: Value = serde_json::from_str(&failed.stdout).expect("JSON");
    let invocation = &log["runs"][0]["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], false);
    assert_eq!(invocation["toolExecutionNotifications"][0]["level"], "error");
    failed.fails_with(2);
}

#[test]
fn the_history_of_a_repository_is_searched() {
    let home = Home::new();
    plant(&home);
    std::fs::remove_dir_all(home.file("tree/.git")).expect("removed");
    git(&home, &["init", "--quiet"]);
    home.write("tree/.gitignore", "deep\nprotected\nsettings.json\nvalues.yaml\n");
    git(&home, &["add", "openssh", ".gitignore", "link", "binary"]);
    git(&home, &["commit", "--quiet", "-m", "Add a key"]);
    let with_key = git(&home, &["rev-parse", "HEAD"]).trim().to_owned();
    git(&home, &["rm", "--quiet", "--cached", "openssh"]);
    git(&home, &["commit", "--quiet", "-m", "Remove the key"]);
    // In another branch only.
    git(&home, &["checkout", "--quiet", "-b", "other"]);
    git(&home, &["add", "-f", "settings.json"]);
    git(&home, &["commit", "--quiet", "-m", "Settings"]);
    git(&home, &["checkout", "--quiet", "main"]);
    for file in ["openssh", "protected", "values.yaml"] {
        std::fs::remove_file(home.file(&format!("tree/{file}"))).expect("removed");
    }
    std::fs::remove_dir_all(home.file("tree/deep")).expect("removed");

    // Nothing is in the files any more.
    home.run(&["scan", "tree", "--offline"]).ok();
    let ran = home.run(&["scan", "--git", "tree", "--offline", "--json"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let findings = report["findings"].as_array().expect("findings");
    let mut seen = places(findings);
    seen.sort();
    assert_eq!(seen, ["openssh:1 private-key", "settings.json:2 private-key"]);
    let key = findings.iter().find(|one| one["path"] == "openssh").expect("the key");
    let commit = key["commit"].as_str().expect("a commit");
    let subject = git(&home, &["log", "-1", "--format=%H", commit]);
    assert_eq!(subject.trim(), with_key);
    assert_eq!(key["blob"].as_str().map(str::len), Some(40));
    // The same in a bare clone, from inside, and as text.
    home.tool("git", &["clone", "--quiet", "--mirror", "tree", "mirror"]);
    let ran = home.run(&["scan", "--git", "mirror", "--offline"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(
        ran.stdout.contains(&format!("openssh:1 (in the history, commit {}): private key", &with_key[..12])),
        "{}",
        ran.stdout
    );
    let inside = Command::new(env!("CARGO_BIN_EXE_keyward"))
        .args(["scan", "--git", "--offline", "--exclude", "settings.json", "--exclude", "openssh"])
        .current_dir(home.file("tree"))
        .output()
        .expect("keyward starts");
    assert_eq!(inside.status.code(), Some(0), "{inside:?}");
}

#[test]
fn a_repository_cannot_run_programs_in_a_scan() {
    let home = Home::new();
    plant(&home);
    std::fs::remove_dir_all(home.file("tree/.git")).expect("removed");
    git(&home, &["init", "--quiet"]);
    git(&home, &["add", "openssh"]);
    git(&home, &["commit", "--quiet", "-m", "Add a key"]);
    home.write("run", "#!/bin/sh\ntouch \"$(dirname \"$0\")/was-run\"\ncat\n");
    home.tool("chmod", &["755", "run"]);
    let program = home.file("run").to_string_lossy().into_owned();
    for name in ["core.fsmonitor", "core.pager", "diff.external", "diff.evil.textconv", "filter.evil.smudge"] {
        git(&home, &["config", name, &program]);
    }
    home.write("tree/.gitattributes", "* diff=evil filter=evil\n");
    let ran = home.run(&["scan", "--git", "tree", "--offline"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(!home.file("was-run").exists());
}

#[test]
fn a_commit_with_a_key_is_prevented_by_the_hook() {
    let home = Home::new();
    plant(&home);
    std::fs::remove_dir_all(home.file("tree/.git")).expect("removed");
    git(&home, &["init", "--quiet"]);
    let hook = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/git/pre-commit");
    std::fs::copy(hook, home.file("tree/.git/hooks/pre-commit")).expect("the hook");
    let directory = Path::new(env!("CARGO_BIN_EXE_keyward")).parent().expect("a directory");
    let path = format!("{}:/usr/bin:/bin", directory.display());
    let commit = |files: &[&str]| {
        git(&home, &[&["add", "-f"], files].concat());
        let arguments = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com", "commit", "--quiet", "-m", "Test"];
        let output = Command::new("git").args(arguments).current_dir(home.file("tree")).env("PATH", &path).output();
        Ran::from(output.expect("git starts"))
    };
    commit(&["readme.md", "link", "binary"]).ok();
    let refused = commit(&["values.yaml", "deep/pkcs8.pem"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    let told = format!("{}{}", refused.stdout, refused.stderr);
    assert!(told.contains("values.yaml:2: private key") && told.contains("deep/pkcs8.pem:1: private key"), "{told}");
    // Only what is in the index counts.
    git(&home, &["rm", "--quiet", "--cached", "values.yaml", "deep/pkcs8.pem"]);
    home.write("tree/readme.md", "changed\n");
    commit(&["readme.md"]).ok();
    std::fs::copy(home.file("tree/openssh"), home.file("tree/readme.md")).expect("a copy");
    assert_eq!(commit(&["readme.md"]).code, Some(1));
}
