//! What became of the public items since the last release, and whether the version says so.
//!
//! It is no row of the matrix: the tool builds for minutes, wants a newer Rust than the crates do, and answers a question
//! that is put once for each release. What changes from commit to commit is seen in the files of `tests/api`.

use std::process::Command;

use crate::sh::{CommandLine, Outcome};
use crate::words::PUBLISHED;

/// Compares the crates with the last tag; true if nothing is broken that the version does not tell, and where there is no
/// tag.
pub(crate) fn run() -> bool {
    let Some(tag) = last_tag() else {
        println!(
            "no tag leads here, so there is no release to compare with (in a shallow clone: git fetch --tags --unshallow)"
        );
        return true;
    };
    if !CommandLine::from("cargo semver-checks --version").succeeds_quietly() {
        eprintln!(
            "error: cargo-semver-checks is not installed (cargo install --locked cargo-semver-checks)"
        );
        return false;
    }
    let packages = PUBLISHED.map(|name| format!("--package {name}")).join(" ");
    let words = format!("cargo semver-checks --baseline-rev {tag} --all-features {packages}");
    let line = CommandLine::from(words.as_str());
    println!("$ {line}");
    line.run() == Outcome::Passed
}

/// The newest tag of a release, such as `v0.2.0`, among the commits that this one stands on.
fn last_tag() -> Option<String> {
    let output = Command::new("git")
        .args(["describe", "--tags", "--abbrev=0", "--match", "v[0-9]*"])
        .output()
        .ok()?;
    let tag = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| tag.trim().to_owned())
}
