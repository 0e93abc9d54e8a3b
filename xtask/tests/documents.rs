//! Pairs of documents that must agree and that no other tool compares.

use std::fs;
use std::path::Path;

fn read(name: &str) -> String {
    let path = format!("{}/../{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The levels of the headings and the code blocks, in their order: what two languages have in common.
fn skeleton(text: &str) -> Vec<String> {
    let mut in_code = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            in_code = !in_code;
            lines.push(line.to_owned());
        } else if in_code {
            let comment = line.find(" # ").or_else(|| line.find(" // "));
            lines.push(line[..comment.unwrap_or(line.len())].trim_end().to_owned());
        } else if line.starts_with('#') {
            lines.push(line.chars().take_while(|c| *c == '#').collect());
        }
    }
    lines
}

#[test]
fn both_readmes_have_the_same_sections_and_code_blocks() {
    assert_eq!(skeleton(&read("README.zh-CN.md")), skeleton(&read("README.md")));
}

#[test]
fn the_changelog_has_a_heading_for_the_version() {
    let heading = concat!("## [", env!("CARGO_PKG_VERSION"), "]");
    assert!(read("CHANGELOG.md").lines().any(|line| line.starts_with(heading)), "{heading}");
}

/// What stands between backticks and looks like a path below `tests`: a name with a slash or an ending.
fn tests_that_are_named(text: &str) -> Vec<(String, bool)> {
    let mut folder = String::new();
    let mut named = Vec::new();
    // Only the rows of tables, each of which begins anew.
    for row in text.lines().filter(|line| line.starts_with("| ")) {
        folder.clear();
        for path in row.split('`').skip(1).step_by(2) {
            let path = path.strip_prefix("tests/").unwrap_or(path);
            let is_file = path.ends_with(".rs") || path.ends_with(".toml");
            let is_path = path.starts_with("it/") || path.starts_with("stress/");
            if !is_file && !is_path || path.contains(' ') {
                continue;
            }
            // A bare name follows one in the same folder.
            let path = if path.contains('/') || path.ends_with(".toml") {
                path.to_owned()
            } else {
                format!("{folder}/{path}")
            };
            folder = path.rsplit_once('/').map(|(folder, _)| folder.to_owned()).unwrap_or_default();
            let exists =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests").join(&path).exists();
            named.push((path, exists));
        }
    }
    named
}

#[test]
fn every_test_that_a_document_names_is_there() {
    let guide = "pooled-fetch/src/guide";
    for (document, at_least) in [
        ("README.md".to_owned(), 15),
        ("README.zh-CN.md".to_owned(), 15),
        (format!("{guide}/promises.md"), 40),
        (format!("{guide}/comparison.md"), 25),
    ] {
        let named = tests_that_are_named(&read(&document));
        assert!(named.len() >= at_least, "{document} names {}", named.len());
        let missing: Vec<_> = named.iter().filter(|(_, exists)| !exists).collect();
        assert!(missing.is_empty(), "{document}: {missing:?}");
    }
}

/// The crates that the first program of a document uses are those that its `cargo add` brings.
#[test]
fn the_first_program_takes_the_crates_that_are_added_before_it() {
    for document in
        ["README.md", "pooled-fetch/README.md", "pooled-fetch/src/guide/first_request.md"]
    {
        let text = read(document);
        let added = text.lines().find_map(|line| line.strip_prefix("$ cargo add "));
        let added = added.unwrap_or_else(|| panic!("{document} adds nothing")).split(" --").next();
        let mut added: Vec<_> = added.into_iter().flat_map(str::split_whitespace).collect();
        let program =
            text.split("```rust,no_run\n").nth(1).or_else(|| text.split("```no_run\n").nth(1));
        let program = program.and_then(|rest| rest.split("```").next()).unwrap_or_default();
        let mut used: Vec<_> = program
            .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
            .filter_map(|word| word.split_once("::"))
            .map(|(first, _)| first)
            .filter(|first| first.chars().all(|c| c.is_lowercase() || c == '_') && *first != "std")
            .map(|first| first.replace('_', "-"))
            .collect();
        added.sort_unstable();
        used.sort_unstable();
        used.dedup();
        assert_eq!(used, added, "{document}");
    }
}
