//! The words that `docs/glossary.md` rules out: they are in no text that people read.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::access::World;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns the words in the first column of the table below `## Voice`.
fn banned() -> Vec<String> {
    let glossary = fs::read_to_string(repository().join("docs/glossary.md")).expect("the document");
    let (_, voice) = glossary.split_once("\n## Voice\n").expect("the section");
    let voice = voice.split("\n## ").next().expect("its end");
    let rows = voice.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    rows.skip(1).flat_map(|words| words.split(", ")).map(str::to_lowercase).collect()
}

/// Returns the banned words in a text.
fn find_in<'a>(text: &str, banned: &'a [String]) -> Vec<&'a str> {
    let text = text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    let is_part = |c: char| c.is_alphanumeric();
    let is_word = |word: &&String| {
        text.match_indices(word.as_str())
            .any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part))
    };
    banned.iter().filter(is_word).map(String::as_str).collect()
}

/// Replaces what is between these marks by a bar, which ends a phrase.
fn without(text: &str, begin: &str, end: &str) -> String {
    let mut parts = text.split(begin);
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept.push_str(" | ");
        kept.push_str(part.split_once(end).map_or("", |(_, rest)| rest));
    }
    kept
}

/// Returns the texts with several words between quotes in a source.
fn literals(source: &str, quote: char) -> Vec<&str> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| line.split(quote).skip(1).step_by(2)).filter(|text| text.contains(' ')).collect()
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let found = entries.flat_map(|path| if path.is_dir() { files(&path, ending) } else { vec![path] });
    found.filter(|path| path.to_str().is_some_and(|path| path.ends_with(ending))).collect()
}

#[test]
fn a_banned_word_is_found_in_any_spelling() {
    let banned = banned();
    assert!(banned.len() > 30, "{banned:?}");
    assert_eq!(find_in("Please\n choose a TIME to come.", &banned), ["please", "a time to come"]);
    assert_eq!(find_in("The key was revoked successfully", &banned), ["successfully"]);
    assert_eq!(find_in("This was not used yet, so delete the key.", &banned), ["delete the key", "was not used yet"]);
    assert!(find_in("It pleases: skills, blogins and the page of tenants' pages", &banned).is_empty());
    assert_eq!(literals("a(\"b c\", \"d\"); // \n// \"e f\"\n#[cfg(test)] \"g h\"", '"'), ["b c"]);
}

#[test]
fn no_text_in_the_sources_has_a_banned_word() {
    let (banned, server) = (banned(), Path::new(env!("CARGO_MANIFEST_DIR")));
    let mut faults = Vec::new();
    let mut report = |path: &Path, found: Vec<&str>| {
        faults.extend(found.into_iter().map(|word| format!("{}: {word}", path.display())));
    };
    for path in files(&server.join("templates"), ".html") {
        let text = fs::read_to_string(&path).expect("a template");
        report(&path, find_in(&without(&text, "{#", "#}"), &banned));
    }
    for (folder, ending, quote) in [
        (server.join("src"), ".rs", '"'),
        (server.join("../domain/src"), ".rs", '"'),
        (server.join("static"), ".js", '\''),
    ] {
        for path in files(&folder, ending) {
            let source = fs::read_to_string(&path).expect("a source");
            // Logs and checks of the settings are read by operators at the host.
            for text in literals(&source, quote) {
                report(&path, find_in(text, &banned));
            }
        }
    }
    for guide in ["user-guide", "terminal-keys", "sdk"] {
        let path = repository().join(format!("docs/{guide}.md"));
        let text = fs::read_to_string(&path).expect("a guide");
        report(&path, find_in(&without(&text, "<!--", "-->"), &banned));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test]
async fn no_page_has_a_banned_word() {
    let banned = banned();
    let world = World::build().await;
    let test = world.open().await;
    let pages = world.pages(&test).await;
    assert!(pages.len() > 200, "{}", pages.len());
    for (page, html) in pages {
        let shown = without(&without(&html, "<pre", "</pre>"), "<", ">");
        assert_eq!(find_in(&shown, &banned), Vec::<&str>::new(), "{page}");
    }
}
