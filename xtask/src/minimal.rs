//! The crates that are published, with the lowest versions that they say they can do with.
//!
//! The lock file holds new versions, so nothing else notices that a manifest asks for too little. This is a workspace of
//! its own below `target/`: the manifests without what only tests and examples need, over the same sources. There cargo
//! chooses versions anew, and the lock file of the workspace stays as it is.

use std::path::Path;
use std::{env, fs, io};

use crate::sh::{CommandLine, Outcome};
use crate::words::{FEATURES, NIGHTLY, OLDEST, PUBLISHED};

const FOLDER: &str = "target/minimal-versions";

/// Chooses the versions and checks the crates with them; true if they compile.
pub(crate) fn run() -> bool {
    if let Err(error) = lay_out() {
        eprintln!("error: writing {FOLDER}: {error}");
        return false;
    }
    let manifest = format!("--manifest-path {FOLDER}/Cargo.toml");
    // On the oldest Rust, because whoever has old versions of the one often has those of the other.
    [
        format!("cargo +{NIGHTLY} update --quiet -Z direct-minimal-versions {manifest}"),
        format!("cargo +{OLDEST} check --locked --workspace --features {FEATURES} {manifest}"),
    ]
    .iter()
    .all(|words| {
        let line = CommandLine::from(words.as_str());
        println!("$ {line}");
        line.run() == Outcome::Passed
    })
}

fn lay_out() -> io::Result<()> {
    let folder = Path::new(FOLDER);
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => fs::create_dir_all(folder)?,
    }
    fs::write(folder.join("Cargo.toml"), root(&fs::read_to_string("Cargo.toml")?))?;
    for name in PUBLISHED {
        let manifest = fs::read_to_string(format!("{name}/Cargo.toml"))?;
        let sources = env::current_dir()?.join(name).join("src/lib.rs");
        let published = without_sections(&manifest, &["[dev-dependencies]", "[[example]]"]);
        fs::create_dir(folder.join(name))?;
        fs::write(
            folder.join(name).join("Cargo.toml"),
            format!("{published}\n[lib]\npath = {sources:?}\n"),
        )?;
    }
    Ok(())
}

/// The manifest of the workspace with no other members.
fn root(manifest: &str) -> String {
    let rest = without_sections(manifest, &["[workspace]"]);
    format!("[workspace]\nresolver = \"3\"\nmembers = {PUBLISHED:?}\n\n{rest}")
}

/// A manifest without the sections of these headings.
fn without_sections(manifest: &str, headings: &[&str]) -> String {
    let mut is_kept = true;
    let mut rest = String::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            is_kept = !headings.contains(&line.trim_end());
        }
        if is_kept {
            rest += line;
            rest.push('\n');
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_goes_with_its_lists_and_leaves_the_others() {
        let manifest = "[dependencies]\na = 1\n[dev-dependencies]\nb = { features = [\n  \"c\",\n] }\n[lints]\nd = 2\n";
        let rest = without_sections(manifest, &["[dev-dependencies]"]);
        assert_eq!(rest, "[dependencies]\na = 1\n[lints]\nd = 2\n");
    }

    #[test]
    fn the_workspace_keeps_its_tables_and_has_only_what_is_published() {
        let root =
            root("[workspace]\nmembers = [\n  \"tests\",\n]\n[workspace.package]\nversion = 1\n");
        assert!(!root.contains("tests"), "{root}");
        assert!(root.ends_with("[workspace.package]\nversion = 1\n"), "{root}");
    }
}
