//! docs/security.md contains a test for every attack. This test checks that each of them exists.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A row of a table: its first cell, and the texts between backticks in its last cell.
struct Row {
    attack: String,
    tests: Vec<String>,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns the rows of all tables after the heading.
fn rows(document: &str) -> Vec<Row> {
    let (_, tables) = document.split_once("\n## Attacks and their tests\n").expect("the heading of the tables");
    let lines = tables.lines().filter(|line| line.starts_with('|'));
    lines
        .filter(|line| !line.starts_with("|---") && !line.starts_with("| Attack |"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
            let [attack, _, tests] = cells.as_slice() else { panic!("this row has not three cells: {line}") };
            let tests = tests.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            Row { attack: attack.trim().to_owned(), tests }
        })
        .collect()
}

/// Returns the file of `crate::module::…`: integration tests first, then the sources.
fn file_of(modules: &[&str]) -> Option<PathBuf> {
    let [package, modules @ ..] = modules else { return None };
    let package = repository().join("crates").join(package);
    let tests = package.join("tests/all").join(modules.join("/")).with_extension("rs");
    let source = package.join("src").join(modules.join("/")).with_extension("rs");
    [tests, source].into_iter().find(|file| file.is_file())
}

/// Returns whether a file has a test with that name: a function with a test attribute, or one that a macro of the file
/// runs.
fn has_test(text: &str, name: &str) -> bool {
    let is_function = |line: &str| line.contains(&format!("fn {name}(")) || line.contains(&format!("fn {name}<"));
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_attributed = lines.iter().enumerate().any(|(at, line)| {
        let above = lines[..at].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        is_function(line) && above.into_iter().any(|line| line.starts_with("#[") && line.contains("test"))
    });
    let is_listed = lines.contains(&name) && lines.iter().any(|line| is_function(line));
    is_attributed || is_listed
}

/// Returns what is wrong with the name of a test, if anything.
fn refuse(test: &str) -> Option<String> {
    if test.contains('/') {
        let (file, title) = test.split_once(": ").unwrap_or((test, ""));
        let content = fs::read_to_string(repository().join(file)).unwrap_or_default();
        return (content.is_empty() || !content.contains(title)).then(|| format!("`{test}` is not there"));
    }
    let parts: Vec<&str> = test.split("::").collect();
    let Some((name, modules)) = parts.split_last() else { return Some("an empty name".to_owned()) };
    let Some(file) = file_of(modules) else { return Some(format!("`{test}`: there is no such file")) };
    let content = fs::read_to_string(file).expect("a source file");
    (!has_test(&content, name)).then(|| format!("`{test}` is no test"))
}

#[test]
fn every_attack_in_the_security_document_has_a_test_that_exists() {
    let document = fs::read_to_string(repository().join("docs/security.md")).expect("docs/security.md");
    let rows = rows(&document);
    assert!(rows.len() > 70, "the tables were not found: {} rows", rows.len());
    let attacks: BTreeSet<&str> = rows.iter().map(|row| row.attack.as_str()).collect();
    assert_eq!(attacks.len(), rows.len(), "an attack stands twice");
    let mut faults = Vec::new();
    for row in &rows {
        if row.tests.is_empty() {
            faults.push(format!("{}: no test", row.attack));
        }
        faults.extend(row.tests.iter().filter_map(|test| refuse(test)).map(|fault| format!("{}: {fault}", row.attack)));
    }
    assert!(faults.is_empty(), "docs/security.md:\n{}", faults.join("\n"));
}

#[test]
fn a_row_without_a_test_and_a_missing_test_are_found() {
    let document = "\n## Attacks and their tests\n\n| Attack | What must hold | Tests |\n|---|---|---|\n\
                    | One | 401 | |\n| Two | 401 | `cli::security_doc::nothing` `scripts/nothing` |\n";
    let rows = rows(document);
    assert_eq!(rows.iter().map(|row| row.tests.len()).collect::<Vec<_>>(), [0, 2]);
    assert!(rows[1].tests.iter().all(|test| refuse(test).is_some()));
    let own = "cli::security_doc::a_row_without_a_test_and_a_missing_test_are_found";
    assert_eq!(refuse(own), None);
    assert!(refuse("cli::security_doc::has_test").is_some(), "a function that is no test");
}
