//! The folders of `pool-core` are its layers: a file imports only from layers below its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// From the bottom up. Layers that stand in one row do not know each other.
const ROWS: &[&[&str]] = &[
    &["connector", "sync"],
    &["io"],
    &["request"],
    &["report"],
    &["settings"],
    &["conn", "policy"],
    &["lanes"],
    &["exchange"],
    &["pool"],
    &["builder", "lifecycle", "observers", "services"],
    &["lib"],
];

/// The files of `pool-core/src` by their path, such as `conn/http1/core`, without comments of a whole line.
fn files() -> BTreeMap<String, String> {
    fn read(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(folder).expect("the folder") {
            let path = entry.expect("an entry").path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a name in ASCII");
            let name = format!("{prefix}{stem}");
            if path.is_dir() {
                read(&path, &format!("{name}/"), files);
            } else {
                let text = std::fs::read_to_string(&path).expect("a file of Rust");
                let is_code = |line: &&str| !line.trim_start().starts_with("//");
                let code: Vec<_> = text.lines().filter(is_code).collect();
                files.insert(name, code.join("\n"));
            }
        }
    }
    let mut files = BTreeMap::new();
    read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../pool-core/src")), "", &mut files);
    files
}

fn row(layer: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&layer))
}

fn layer(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

/// What follows each `root::` in the code, up to the end of its statement or path.
fn paths<'c>(code: &'c str, root: &'static str) -> impl Iterator<Item = &'c str> {
    let ends_word = |before: &str| !before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    code.match_indices(root).filter_map(move |(at, _)| {
        let rest = &code[at + root.len()..];
        let end = rest.find([';', '(', ')', '<', '>', '&', '=', '.', '\'']).unwrap_or(rest.len());
        ends_word(&code[..at]).then_some(&rest[..end])
    })
}

fn words(path: &str) -> impl Iterator<Item = &str> {
    path.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

/// What is wrong with the imports of one file.
fn faults(path: &str, code: &str) -> Vec<String> {
    let own = layer(path);
    let below = |other| row(other) < row(own) || other == own;
    let mut faults = Vec::new();
    for imported in paths(code, "crate::") {
        let other = words(imported).next().unwrap_or("");
        if imported.starts_with('{') || row(other).is_none() || !below(other) {
            faults.push(format!("{path} imports crate::{imported}"));
        }
        let versions = [("conn/http1", "conn::http2"), ("conn/http2", "conn::http1")];
        if versions.iter().any(|(of, with)| path.starts_with(of) && imported.starts_with(with)) {
            faults.push(format!("{path} knows the other version: crate::{imported}"));
        }
    }
    let globs = code.replace("use super::*;", "");
    let is_face = path.ends_with("/mod");
    for (found, why) in [
        (code.contains("super::super::"), "reaches over its own folder"),
        (globs.contains("::*"), "hides its imports behind a glob"),
        (is_face && code.contains("super::"), "is a face, and reaches out of its folder"),
        (row(own).is_none(), "belongs to no layer"),
    ] {
        if found {
            faults.push(format!("{path} {why}"));
        }
    }
    faults
}

/// The files that `path` imports from, through the faces of their folders.
fn imports(path: &str, files: &BTreeMap<String, String>) -> BTreeSet<String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let home = |folder: &str, name: &str| {
        let face = files.get(&format!("{folder}/mod"))?;
        let exported = |line: &&str| line.contains("use ") && words(line).any(|word| word == name);
        let line = face.split(';').find(exported)?;
        let module = words(line.split_once("use ")?.1).next()?;
        files.contains_key(&format!("{folder}/{module}")).then(|| format!("{folder}/{module}"))
    };
    let mut found = BTreeSet::new();
    for imported in paths(&files[path], "super::") {
        let sibling = format!("{folder}/{}", words(imported).next().unwrap_or(""));
        found.extend(files.contains_key(&sibling).then_some(sibling));
    }
    for imported in paths(&files[path], "crate::") {
        let mut folder = String::new();
        for word in words(imported) {
            let deeper = if folder.is_empty() { word.into() } else { format!("{folder}/{word}") };
            if files.contains_key(&format!("{deeper}/mod")) {
                folder = deeper;
            } else if files.contains_key(&deeper) {
                found.insert(deeper);
            } else {
                found.extend(home(&folder, word));
            }
        }
    }
    found.remove(path);
    found
}

/// The largest set of files that all import each other, directly or through others.
fn largest_circle(files: &BTreeMap<String, String>) -> BTreeSet<&str> {
    let graph: BTreeMap<_, _> =
        files.keys().map(|path| (path.as_str(), imports(path, files))).collect();
    let reached = |from: &str| {
        let (mut reached, mut next) = (BTreeSet::new(), vec![from.to_owned()]);
        while let Some(path) = next.pop() {
            let new = |to: &&String| reached.insert((*to).clone());
            next.extend(graph[path.as_str()].iter().filter(new).cloned().collect::<Vec<_>>());
        }
        reached
    };
    let reach: BTreeMap<_, _> = graph.keys().map(|path| (*path, reached(path))).collect();
    let circle = |path: &&str| -> BTreeSet<&str> {
        let back = |other: &&&str| reach[*path].contains(**other) && reach[**other].contains(*path);
        graph.keys().filter(back).copied().collect()
    };
    graph.keys().map(circle).max_by_key(BTreeSet::len).unwrap_or_default()
}

#[test]
fn a_file_imports_only_from_layers_below_its_own() {
    let faults: Vec<_> = files().iter().flat_map(|(path, code)| faults(path, code)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_only_circle_of_files_is_an_owner_and_its_guard() {
    let files = files();
    let circle = largest_circle(&files);
    println!("{} files, the largest circle: {circle:?}", files.len());
    assert_eq!(circle, BTreeSet::from(["lanes/lane", "lanes/lease"]));
}

#[test]
fn an_import_that_is_turned_round_is_a_fault() {
    for (path, code) in [
        ("io/waker", "use crate::lanes::Lane;"),
        ("conn/hold", "fn f(host: &crate::policy::Host) {}"),
        ("conn/http1/core", "use crate::conn::http2::Connection;"),
        ("policy/host", "use super::super::lanes::Lane;"),
        ("policy/host", "use crate::{io, lanes};"),
        ("report/error", "use crate::Error;"),
        ("lanes/mod", "pub(crate) use lane::*;"),
        ("lanes/mod", "use super::exchange::Body;"),
        ("lanes/lane", "use crate::policy::{\n    Host, Permit,\n};\nuse crate::exchange::Body;"),
        ("helpers/mod", ""),
    ] {
        assert_eq!(faults(path, code).len().min(1), 1, "{path}: {code}");
    }
    assert_eq!(faults("lanes/lane", "use crate::conn::http1;\nuse super::idle::Idle;"), [""; 0]);
}
