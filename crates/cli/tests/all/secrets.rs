//! THREATS §6: a secret that was given where a file name, a URL or a setting belongs is printed nowhere.

use std::process::{Command, Stdio};

use crate::support::{Home, Ran};

/// Key material and an invitation that do not exist.
const BODY: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n\
                    QyNTUxOQAAACCANARYq7Zk2vXw9Jr5TgYbNcHd8MfLsP1UeQi3Ao6RtKWzVnBmEjDhGy4C\n\
                    xSuIlOpF0aZqCANARYw2Ed3Rf4Tg5Yh6Uj7Ik8Ol9Pq1Az2Sx3Dc4Vf5Bg6Nh7Mj8Kl9Q=";
const RANDOM: &str = "Zx9kQ2mV7bN4tR1yU8wE5pL3sD6fG0hJCaNaRyT2vXc";

/// Returns secrets in common forms, each with the parts that must not be printed.
fn canaries(home: &Home) -> Vec<(&'static str, String, Vec<String>)> {
    let lines = || BODY.lines().map(str::to_owned).collect::<Vec<_>>();
    let openssh = format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{BODY}\n-----END OPENSSH PRIVATE KEY-----\n");
    home.tool("openssl", &["genpkey", "-algorithm", "ed25519", "-out", "pkcs8.pem"]);
    let pkcs8 = std::fs::read_to_string(home.file("pkcs8.pem")).expect("a key");
    let pkcs8_body = vec![pkcs8.lines().nth(1).expect("a body").to_owned()];
    home.write("openssh.pem", &openssh);
    let base64 = home.tool("base64", &["-w0", "openssh.pem"]);
    let part = |text: &str| vec![text[60..100].to_owned(), text[200..240].to_owned()];
    let jwk = format!("{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\",\"d\":\"{RANDOM}\"}}");
    let putty = format!("PuTTY-User-Key-File-3: ssh-ed25519\nPrivate-Lines: 1\n{RANDOM}\nPrivate-MAC: 00\n");
    home.tool("puttygen", &["-q", "-t", "rsa", "-b", "2048", "-o", "key.ppk", "--new-passphrase", "/dev/null"]);
    let ppk = std::fs::read_to_string(home.file("key.ppk")).expect("a file");
    let (_, private) = ppk.split_once("Private-Lines: ").expect("a private half");
    let ppk_body: Vec<String> = private.lines().skip(1).take(10).map(str::to_owned).collect();
    let ppk_base64 = home.tool("base64", &["-w0", "key.ppk"]);
    let utf16: Vec<u8> = openssh.encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(home.file("utf16"), [b"\xff\xfe".to_vec(), utf16].concat()).expect("a file");
    let utf16_base64 = home.tool("base64", &["-w0", "utf16"]);
    home.tool("openssl", &["pkey", "-in", "pkcs8.pem", "-outform", "DER", "-out", "pkcs8.der"]);
    let der_base64 = home.tool("base64", &["-w0", "pkcs8.der"]);
    let random = || vec![RANDOM.to_owned(), RANDOM.to_lowercase()];
    vec![
        ("OpenSSH", openssh.clone(), lines()),
        ("OpenSSH with escaped line breaks", openssh.replace('\n', "\\n"), lines()),
        ("OpenSSH in one line", openssh.replace('\n', " "), lines()),
        ("PKCS#8", pkcs8, pkcs8_body),
        ("base64", base64.clone(), part(&base64)),
        ("PuTTY", putty, random()),
        ("RSA of PuTTY", ppk.clone(), ppk_body.clone()),
        ("PuTTY with escaped line breaks", ppk.replace('\n', "\\n"), ppk_body),
        ("base64 of PuTTY", ppk_base64.clone(), part(&ppk_base64)),
        ("base64 of UTF-16", utf16_base64.clone(), part(&utf16_base64)),
        ("base64 of DER", der_base64.clone(), vec![der_base64[20..60].to_owned()]),
        ("JWK", jwk, random()),
        ("URL", "postgres://keyward:c4n#ry/Pass%w0rd@127.0.0.1:1/keyward".to_owned(), vec!["ry/Pass".to_owned()]),
        ("bearer token", format!("kwt_{RANDOM}"), random()),
        ("invitation", RANDOM.to_owned(), random()),
        ("link", format!("https://keys.example.com/invitations/{RANDOM}"), random()),
    ]
}

#[track_caller]
fn is_silent(ran: &Ran, name: &str, pieces: &[String], what: &str) {
    for piece in pieces {
        assert!(!ran.stdout.contains(piece) && !ran.stderr.contains(piece), "{what}, {name}: {piece} is in {ran:?}");
    }
}

fn ended(command: &mut Command) -> Ran {
    command.stdin(Stdio::null()).output().expect("keyward starts").into()
}

/// Returns the subcommands in a help page.
fn subcommands(help: &str) -> Vec<String> {
    let listed = help.split_once("\nOptions:").map_or(help, |(listed, _)| listed);
    let is_name = |word: &str| word.bytes().all(|c| c.is_ascii_lowercase() || c == b'-');
    let lines = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let pairs = lines.filter_map(|line| line.trim_start().split_once("  "));
    pairs.map(|(name, _)| name.trim().to_owned()).filter(|name| is_name(name) && name != "help").collect()
}

/// Returns the options with a value in a help page.
fn options(help: &str) -> Vec<String> {
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-') && line.contains(" <"));
    let words = lines.filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--")));
    words.map(|word| word.trim_end_matches(',').to_owned()).collect()
}

/// Returns the words of a command's first example that is one line without a pipe.
fn example(help: &str, name: &str) -> Option<Vec<String>> {
    let start = format!("  keyward {name}");
    let line = help.lines().find(|line| line.starts_with(&start) && !line.contains(['|', '<', '>', '\\']))?;
    let line = line.trim_start().split("   ").next().unwrap_or_default();
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for c in line.chars() {
        match c {
            '\'' | '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            c => words.last_mut().expect("a word").push(c),
        }
    }
    // Paths in the system's own directories are replaced by paths in the test's home.
    let in_home = |word: String| match word.strip_prefix('/') {
        Some(rest) if ["var/", "mnt/", "etc/"].iter().any(|top| rest.starts_with(top)) => rest.to_owned(),
        _ => word,
    };
    Some(words.into_iter().skip(1).filter(|word| !word.is_empty()).map(in_home).collect())
}

/// Returns all commands with the options that have values, and a valid command line without them.
fn commands(home: &Home) -> Vec<(Vec<String>, Vec<String>)> {
    let mut all = Vec::new();
    let mut paths = vec![Vec::new()];
    while let Some(path) = paths.pop() {
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        let help = home.run(&[&words[..], &["--help"]].concat()).ok();
        let below = subcommands(&help);
        paths.extend(below.iter().map(|name| path.iter().chain([name]).cloned().collect()));
        if below.is_empty() {
            let line = example(&help, &path.join(" ")).unwrap_or_else(|| path.clone());
            all.push((line, options(&help)));
        }
    }
    all
}

#[test]
fn no_option_of_any_command_repeats_a_secret() {
    let home = Home::new();
    home.create_operator_with_key("id");
    let canaries = canaries(&home);
    // Another program listens on the server's address.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let all = commands(&home);
    assert!(all.len() > 45 && all.iter().map(|(_, options)| options.len()).sum::<usize>() > 200, "{all:?}");
    let mut next = 0;
    for (line, options) in &all {
        for option in options {
            // Each option with another secret, so that each kind of secret is used with many options.
            let (name, secret, pieces) = &canaries[next % canaries.len()];
            next += 1;
            let mut words = line.clone();
            if let Some(at) = words.iter().position(|word| word == option) {
                words.drain(at..(at + 2).min(words.len()));
            }
            if matches!(line[0].as_str(), "serve" | "demo") && option != "--listen" {
                words.retain(|word| word != "--listen");
                words.extend(["--listen".to_owned(), address.clone()]);
            }
            words.extend([option.clone(), secret.clone()]);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let mut command = home.keyward(&words);
            command.env("KEYWARD_URL", "http://127.0.0.1:1").env("KEYWARD_KEY_FILE", "id");
            is_silent(&ended(&mut command), name, pieces, &format!("{line:?} {option}"));
        }
    }
}

#[test]
fn no_variable_repeats_a_secret() {
    let home = Home::new();
    home.create_operator_with_key("id");
    let canaries = canaries(&home);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let server = ["LISTEN", "METRICS_LISTEN", "TLS_CERTIFICATE", "TLS_KEY", "DATA", "DATABASE_URL", "PUBLIC_URL"];
    let more = ["SERVICE_ACCOUNT_DOMAIN", "SUPPORT_CONTACT", "WORKSPACE_CREATION", "ENCORD_HOSTS", "TRUSTED_PROXIES"];
    let rest = ["LEASE", "DRAIN", "CONFIG", "LOG"];
    let serve: &[&str] = &["serve", "--listen", &address];
    let client = ["URL", "KEY_FILE", "KEY", "AGENT", "AGENT_KEY", "CA_FILE", "WORKSPACE", "LOG"];
    for (command, variables) in [
        (serve, [&server[..], &more, &rest].concat()),
        (&["doctor"], [&server[..], &more, &rest, &["KEY_FILE"]].concat()),
        (&["whoami"], client.to_vec()),
        (&["members", "list"], client.to_vec()),
    ] {
        for variable in variables {
            for (name, secret, pieces) in &canaries {
                let mut run = home.keyward(command);
                run.env("KEYWARD_URL", "http://127.0.0.1:1");
                if command != ["doctor"] && variable != "KEY" {
                    run.env("KEYWARD_KEY_FILE", "id");
                }
                run.env(format!("KEYWARD_{variable}"), secret);
                is_silent(&ended(&mut run), name, pieces, &format!("{command:?} KEYWARD_{variable}"));
            }
        }
    }
}

#[test]
fn the_text_of_a_key_in_place_of_its_file_is_named_as_such() {
    let home = Home::new();
    home.ssh_keygen("id");
    let text = std::fs::read_to_string(home.file("id")).expect("a key");
    let line = text.lines().nth(2).expect("a line of the key");
    let mut command = home.keyward(&["whoami", "--url", "http://127.0.0.1:1"]);
    let told = ended(command.env("KEYWARD_KEY_FILE", &text)).refused();
    assert!(told.contains("was given in place of the name of its file") && told.contains("KEYWARD_KEY"), "{told}");
    assert!(!told.contains(line), "{told}");
    for arguments in [
        &["whoami", "--key"][..],
        &["whoami", "--agent-key"],
        &["keys", "add", "--generate"],
        &["admin", "add-key", "--user", "a@example.com", "--title", "t", "--public-key-file"],
    ] {
        let ran = home.run(&[arguments, &[&text.replace('\n', " ")]].concat());
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(!ran.stderr.contains(line) && ran.stderr.contains("looks like a private key"), "{ran:?}");
    }
    let ran = home.run(&["keys", "add", "--", &text]);
    assert!(ran.code == Some(2) && ran.stderr.contains("`FILE` was given a value of "), "{ran:?}");
    let entries = std::fs::read_dir(home.path()).expect("a directory").count();
    assert_eq!(entries, 2, "nothing was written but the key pair");
}

#[test]
fn an_invalid_settings_file_is_reported_by_position_and_field_only() {
    let home = Home::new();
    for (text, place, why) in [
        (
            "listen = \"127.0.0.1:0\"\n[smtp]\nurl = \"smtps://user:hunter2\\zecret@mail.example.com\"\n",
            "line 3, column 29, at `url` of `[smtp]`: ",
            "escape",
        ),
        (
            "[smtp]\nurl = \"smtps://user:hunter2@mail.example.com\"\npasword = \"hunter2\"\n",
            "line 3, column 1, at `pasword` of `[smtp]`: ",
            "unknown field `pasword`, expected",
        ),
        ("lease = \"hunter2\"\n", "line 1, column 9, at `lease`: ", "invalid type: a string, expected u64"),
        ("trusted_proxies = [\"hunter2\nhunter2\"]\n", "line 2, column 1", ""),
        ("database_url = postgres://keyward:hunter2@db/keyward\n", "line 1, column ", "at `database_url`"),
    ] {
        home.write("keyward.toml", text);
        for command in [&["serve"][..], &["admin", "list-users"], &["doctor"]] {
            let ran = home.run(command);
            let told = format!("{}{}", ran.stdout, ran.stderr);
            assert_eq!(ran.code, Some(1), "{told}");
            assert!(told.contains("the settings in keyward.toml are invalid: "), "{told}");
            assert!(told.contains(place) && told.contains(why), "{place} {why}: {told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
}

#[test]
fn an_address_of_a_database_with_a_bare_password_says_how_to_write_it() {
    let home = Home::new();
    let url = "postgres://keyward:p#ss/w?rd%@127.0.0.1/keyward";
    let mut by_variable = home.keyward(&["serve", "--listen", "127.0.0.1:0"]);
    by_variable.env("KEYWARD_DATABASE_URL", url);
    home.write("keyward.toml", &format!("database_url = \"{url}\"\n"));
    for command in [
        &mut by_variable,
        &mut home.keyward(&["serve", "--listen", "127.0.0.1:0", "--database-url", url]),
        &mut home.keyward(&["serve", "--listen", "127.0.0.1:0"]),
        &mut home.keyward(&["admin", "list-users", "--database-url", url]),
        &mut home.keyward(&["migrate", "--database-url", url]),
        &mut home.keyward(&["doctor", "--database-url", url]),
    ] {
        let ran = ended(command.env("KEYWARD_LOG", "debug"));
        let told = format!("{}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.code, Some(1), "{told}");
        for way_out in ["# as %23", "/ as %2F", "? as %3F", "% as %25", "PGPASSWORD", "~/.pgpass"] {
            assert!(told.contains(way_out), "{way_out}: {told}");
        }
        for piece in ["p#ss", "ss/w", "w?rd", "rd%@"] {
            assert!(!told.contains(piece), "{piece}: {told}");
        }
    }
}
