//! The house rules that a compiler does not know, checked for every file and reported all at once.
//!
//! A rule is a function over files that are already read, so each can be tested with a snippet. What the rules
//! are stands in [`rules`] for Rust code and in [`manifests`] for the files
//! beside it; this file reads the tree, applies them, and prints what they find.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use crate::source::Source;
use crate::{manifests, rules};

/// One rule, and why it is one.
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) check: Check,
}

pub(crate) enum Check {
    /// Of each Rust file by itself.
    Rust(fn(&str, &Source) -> Vec<Spot>),
    /// Of the tree, where one file must agree with another.
    Tree(fn(&[File]) -> Vec<Spot>),
}

/// Where a rule is broken, and how. Its order is that of the report.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) message: String,
}

/// A file with its path from the root of the workspace, written with slashes.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

struct Finding {
    spot: Spot,
    rule: &'static Rule,
}

/// Checks the workspace in the current directory; true if no rule is broken.
pub(crate) fn run() -> bool {
    let mut files = Vec::new();
    if let Err(error) = read_tree(Path::new("."), &mut files) {
        eprintln!("error: reading the workspace: {error}");
        return false;
    }
    let findings = check(&files);
    for finding in &findings {
        println!("{finding}");
    }
    for Rule { name, reason, .. } in all_rules() {
        if findings.iter().any(|finding| finding.rule.name == *name) {
            println!("note: {name}: {reason}");
        }
    }
    println!("tidy: {} files, {} findings", files.len(), findings.len());
    findings.is_empty()
}

fn all_rules() -> impl Iterator<Item = &'static Rule> {
    rules::RULES.iter().chain(manifests::RULES)
}

/// Everything that `files` do wrong, in the order of their paths.
fn check(files: &[File]) -> Vec<Finding> {
    let rust = files.iter().filter(|file| file.path.ends_with(".rs"));
    let sources: Vec<_> = rust.map(|file| (&file.path, Source::new(&file.text))).collect();
    let spots_of = |rule: &Rule| -> Vec<Spot> {
        match rule.check {
            Check::Rust(check) => {
                sources.iter().flat_map(|(path, source)| check(path, source)).collect()
            }
            Check::Tree(check) => check(files),
        }
    };
    let findings_of = |rule| spots_of(rule).into_iter().map(move |spot| Finding { spot, rule });
    let mut findings: Vec<_> = all_rules().flat_map(findings_of).collect();
    findings.sort_by(|a, b| a.spot.cmp(&b.spot));
    findings
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spot { path, line, message } = &self.spot;
        write!(f, "{path}:{line}: {}: {message}", self.rule.name)
    }
}

/// The files that some rule is about.
const ENDINGS: &[&str] = &["rs", "md", "toml"];

/// Reads every such file below `folder` that is neither hidden nor was built.
fn read_tree(folder: &Path, files: &mut Vec<File>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == "target" || name.to_string_lossy().starts_with('.') {
            continue;
        }
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            read_tree(&path, files)?;
        } else if path.extension().is_some_and(|ending| ENDINGS.iter().any(|it| ending == *it)) {
            let text = fs::read_to_string(&path).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            })?;
            let parts: Vec<_> = path.iter().skip(1).map(|part| part.to_string_lossy()).collect();
            files.push(File { path: parts.join("/"), text });
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The names of the rules about Rust code that one file breaks.
    pub(crate) fn broken(path: &str, text: &str) -> Vec<&'static str> {
        let about_code = |name: &&str| rules::RULES.iter().any(|rule| rule.name == *name);
        broken_in(&[(path, text)]).into_iter().filter(about_code).collect()
    }

    /// The names of all the rules that a few files break together.
    pub(crate) fn broken_in(files: &[(&str, &str)]) -> Vec<&'static str> {
        let file = |&(path, text): &(&str, &str)| File { path: path.into(), text: text.into() };
        let files: Vec<_> = files.iter().map(file).collect();
        check(&files).into_iter().map(|finding| finding.rule.name).collect()
    }

    #[test]
    fn a_finding_is_shown_as_an_editor_can_follow_it() {
        let file = File { path: "tests/it/a.rs".into(), text: "//! A.\nunsafe fn b() {}\n".into() };
        let shown: Vec<_> = check(&[file]).iter().map(Finding::to_string).collect();
        assert!(shown.contains(&"tests/it/a.rs:2: no-unsafe: `unsafe`".to_owned()), "{shown:?}");
    }

    #[test]
    fn every_finding_is_reported_and_not_only_the_first() {
        let text = "//! A.\nunsafe fn b() {}\n// TODO\nunsafe fn c() {}\n";
        assert_eq!(broken("tests/it/a.rs", text), ["no-unsafe", "no-leftovers", "no-unsafe"]);
    }

    #[test]
    fn every_rule_has_a_reason_and_a_name_of_its_own() {
        let mut names: Vec<_> = all_rules().map(|rule| rule.name).collect();
        assert!(all_rules().all(|rule| !rule.reason.is_empty()));
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
