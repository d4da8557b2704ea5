//! Keys, passwords and settings in common files and encodings.

use std::{fs, io::Write as _, os::unix::fs::PermissionsExt as _, process::Stdio};

use crate::support::{Home, Ran, Town};

fn write_private(home: &Home, name: &str, content: &[u8]) {
    fs::write(home.file(name), content).expect("a file");
    fs::set_permissions(home.file(name), fs::Permissions::from_mode(0o600)).expect("a mode");
}

fn utf16(text: &str) -> Vec<u8> {
    format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn run_with_bytes(command: &mut std::process::Command, input: &[u8]) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("keyward starts");
    child.stdin.take().expect("a pipe").write_all(input).expect("keyward reads");
    child.wait_with_output().expect("keyward ends").into()
}

#[test]
fn one_key_signs_from_every_kind_of_file() {
    let town = Town::new();
    let home = &town.home;
    let text = fs::read_to_string(home.file("bob")).expect("a file");
    let is_bob = |ran: Ran| assert_eq!(ran.json()["principal"]["email"], "bob@example.com");
    let whoami = ["whoami", "--json"];

    home.tool("puttygen", &["bob", "-O", "private", "-o", "bob.ppk"]);
    home.tool("puttygen", &["bob.ppk", "-O", "private-openssh-new", "-o", "bob.new"]);
    write_private(home, "bob.utf16", &utf16(&text.replace('\n', "\r\n")));
    for file in ["bob.ppk", "bob.new", "bob.utf16"] {
        is_bob(town.run(file, &whoami));
    }
    // Standard input, by option and by variable.
    let ppk = fs::read(home.file("bob.ppk")).expect("a file");
    is_bob(run_with_bytes(&mut town.command("", &["whoami", "--json", "--key", "-"]), &ppk));
    is_bob(run_with_bytes(&mut town.command("-", &whoami), text.as_bytes()));
    // The text of a CI variable: base64 in one line or wrapped, of a file with Windows line endings, escaped line
    // breaks.
    home.write("crlf", &text.replace('\n', "\r\n"));
    for variable in [
        home.tool("base64", &["-w0", "bob"]),
        home.tool("base64", &["-w76", "bob"]),
        home.tool("base64", &["-w76", "crlf"]),
        home.tool("base64", &["-w0", "bob.ppk"]),
        text.replace('\n', "\\n"),
    ] {
        is_bob(town.command("", &whoami).env("KEYWARD_KEY", variable).output().expect("keyward starts").into());
    }

    // Standard input can only be used once.
    let add = ["keys", "add", "-", "--key", "-", "--title", "t"];
    let refused = run_with_bytes(&mut town.command("", &add), text.as_bytes()).refused();
    assert!(refused.contains("standard input contains the private key and cannot also contain"), "{refused}");
}

#[test]
fn a_public_file_that_cannot_be_read_is_a_warning_and_another_key_an_error() {
    let town = Town::new();
    fs::write(town.home.file("bob.pub"), "").expect("a file");
    let ran = town.run("bob", &["whoami", "--json"]);
    assert!(ran.stderr.starts_with("warning: bob.pub next to the private key cannot be read"), "{}", ran.stderr);
    assert_eq!(ran.json()["principal"]["email"], "bob@example.com");
    fs::copy(town.home.file("eve.pub"), town.home.file("bob.pub")).expect("a copy");
    let refused = town.run("bob", &["whoami"]).refused();
    assert!(
        refused.contains("bob.pub next to it contains another key") && refused.contains("delete bob.pub"),
        "{refused}"
    );
}

#[test]
fn a_public_key_is_registered_from_every_kind_of_file() {
    let town = Town::new();
    let home = &town.home;
    let public = |name: &str| {
        home.ssh_keygen(name);
        fs::read_to_string(home.file(&format!("{name}.pub"))).expect("a file")
    };
    fs::write(home.file("a.txt"), utf16(&public("a").replace('\n', "\r\n"))).expect("a file");
    home.write("b.txt", &format!("\u{feff}# my laptop\r\n\r\n{}", public("b").replace(' ', "\u{a0}")));
    home.tool("openssl", &["genpkey", "-algorithm", "ed25519", "-out", "c.pem"]);
    home.tool("openssl", &["pkey", "-in", "c.pem", "-pubout", "-outform", "DER", "-out", "c.txt"]);
    home.tool("puttygen", &["-q", "-t", "rsa", "-b", "2048", "-o", "d.ppk", "--new-passphrase", "/dev/null"]);
    home.tool("puttygen", &["d.ppk", "-p", "-o", "d.txt"]);
    for (file, title) in [("a.txt", "a"), ("b.txt", "b"), ("c.txt", "c"), ("d.txt", "d")] {
        town.run("bob", &["keys", "add", file, "--title", title]).ok();
    }
    // As private keys, whose registration includes a proof.
    home.tool("openssl", &["genpkey", "-algorithm", "ed25519", "-out", "e.pem"]);
    home.tool("openssl", &["pkey", "-in", "e.pem", "-outform", "DER", "-out", "e.der"]);
    home.tool("puttygen", &["-q", "-t", "ecdsa", "-b", "384", "-o", "f.ppk", "--new-passphrase", "/dev/null"]);
    for (file, title) in [("e.der", "e"), ("f.ppk", "f")] {
        fs::set_permissions(home.file(file), fs::Permissions::from_mode(0o600)).expect("a mode");
        let added = town.run("bob", &["keys", "add", file, "--title", title]).ok();
        assert!(added.contains("with a proof"), "{added}");
    }
    // On the host.
    fs::write(home.file("g.txt"), utf16(&public("g"))).expect("a file");
    let add = ["admin", "add-key", "--user", "bob@example.com", "--title", "g", "--public-key-file", "g.txt"];
    home.run(&add).ok();

    home.tool("openssl", &["pkcs8", "-topk8", "-in", "e.pem", "-out", "p.pem", "-passout", "pass:correct horse"]);
    let refused = town.run("bob", &["keys", "add", "p.pem"]).refused();
    assert!(refused.contains("openssl pkcs8 -topk8 -nocrypt -in p.pem"), "{refused}");
    home.write("h.txt", &format!("restrict {}", public("h")));
    let refused = town.run("bob", &["keys", "add", "h.txt", "--title", "h"]).refused();
    assert!(refused.contains("h.txt: there is text before the key"), "{refused}");
    let refused = run_with_bytes(&mut town.command("bob", &["keys", "add", "-"]), b"not a key").refused();
    assert!(refused.contains("standard input: this is not a public key"), "{refused}");
}

#[test]
fn a_password_has_no_byte_order_mark() {
    let home = Home::new();
    home.create_operator();
    let server = home.serve();
    let set = ["admin", "set-password", "--email", "ann@example.com", "--password-stdin"];
    for (input, password) in [
        ("\u{feff}walrus trombone cathedral\r\n".as_bytes().to_vec(), "walrus trombone cathedral"),
        (utf16("gravel umbrella saxophone\r\n"), "gravel umbrella saxophone"),
    ] {
        run_with_bytes(&mut home.keyward(&set), &input).ok();
        assert!(server.takes_password("ann@example.com", password), "{password}");
    }
    let refused = run_with_bytes(&mut home.keyward(&set), b"\xff\xfewalrus\xd8").refused();
    assert!(!refused.contains("walrus"), "{refused}");
    let refused = run_with_bytes(&mut home.keyward(&set), b"s\xfcss und salzig").refused();
    assert!(refused.contains("neither in UTF-8 nor in UTF-16"), "{refused}");
}

#[test]
fn settings_are_read_as_windows_saves_them() {
    let home = Home::new();
    for content in [utf16("lease = \"soon\"\r\n"), "\u{feff}lease = \"soon\"\n".into()] {
        fs::write(home.file("keyward.toml"), content).expect("a file");
        let refused = home.run(&["serve", "--listen", "127.0.0.1:0"]).refused();
        assert!(refused.contains("line 1, column 9, at `lease`"), "{refused}");
    }
}

/// A mounted key belongs to root, may be readable by its group or all users, and cannot be changed.
#[test]
fn a_key_that_is_mounted_as_a_secret_is_read() {
    let home = Home::new();
    home.ssh_keygen("id");
    // The root user of a user namespace owns the files of this test.
    let whoami = |script: &str| {
        let keyward = home.keyward(&["whoami", "--url", "http://127.0.0.1:1", "--key", "secret/id"]);
        let mut command = std::process::Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(keyward.get_program());
        command.args(keyward.get_args()).current_dir(home.path());
        Ran::from(command.output().expect("unshare starts")).refused()
    };
    let mount =
        "set -e; mkdir -p secret; mount -t tmpfs -o mode=755 tmpfs secret; mkdir secret/..1; cp id secret/..1/id
        ln -s ..1 secret/..data; ln -s ..data/id secret/id";
    for mode in ["0400", "0440", "0640"] {
        let told = whoami(&format!("{mount}; chmod {mode} secret/..1/id; \"$@\""));
        assert!(told.contains("cannot connect"), "{mode}: {told}");
    }
    for mode in ["0444", "0644"] {
        let writable = format!("{mount}; chmod {mode} secret/..1/id");
        let told = whoami(&format!("{writable}; \"$@\""));
        for way_out in ["chmod 600", "--key -", "KEYWARD_KEY", &mode[1..]] {
            assert!(told.contains(way_out), "{told}");
        }
        let told = whoami(&format!("{writable}; mount -o remount,ro secret; \"$@\""));
        assert!(told.contains("cannot connect"), "{mode}: {told}");
    }
}
