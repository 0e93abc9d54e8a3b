//! Pairs of documents that must agree and that no other tool compares.

use std::fs;

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
