//! The house rules about Rust code.
//!
//! Each looks at one file. They are words and line counts, not types: simple enough that nobody is surprised
//! by a finding, and meant to remind, not to withstand someone who wants to get around them.

use std::net::Ipv4Addr;

use crate::prose::looks_like_code;
use crate::source::{Line, Source, has_word};
use crate::tidy::{Check, Rule, Spot};

/// The crates that other people depend on.
pub(crate) const LIBRARIES: &[&str] = &["pool-core", "pool-tcp", "pool-tls", "pooled-fetch"];

pub(crate) const RULES: &[Rule] = &[
    rule("file-doc", file_doc, "a file says first what it is and why"),
    rule("file-size", file_size, "one idea fits in one file that can be read at once"),
    rule("one-home", one_home, "one concurrent structure per file can be reasoned about"),
    rule("no-range", no_range, "`SkipMap::range` leaks the nodes that it visits"),
    rule("no-leftovers", no_leftovers, "what is not done is written down where plans are"),
    rule("no-unwrap", no_unwrap, "a panic in a library is an outage at its user's"),
    rule("allow-reason", allow_reason, "who silences a lint says why, so that others can judge it"),
    rule("no-sleep", no_sleep, "a test that sleeps is slow on a good day and red on a busy one"),
    rule("test-names", test_names, "a test is named by the behaviour it proves"),
    rule("no-dead-code", no_dead_code, "git remembers code that is gone"),
    rule("no-unsafe", no_unsafe, "safe Rust is a promise of every crate here"),
    rule("loopback-only", loopback_only, "a test must neither need a network nor reach anybody"),
];

const fn rule(
    name: &'static str,
    check: fn(&str, &Source) -> Vec<Spot>,
    reason: &'static str,
) -> Rule {
    Rule { name, reason, check: Check::Rust(check) }
}

fn file_doc(path: &str, source: &Source) -> Vec<Spot> {
    if source.lines().next().is_some_and(|line| line.comment.starts_with("//!")) {
        return vec![];
    }
    vec![Spot { path: path.to_owned(), line: 1, message: "does not open with `//!`".into() }]
}

fn file_size(path: &str, source: &Source) -> Vec<Spot> {
    let most = if in_library(path) { 300 } else { 400 };
    let count = source.lines().filter(|line| !line.in_tests).count();
    spots(path, source, |line| {
        let found = count > most && line.number == 1;
        found.then(|| format!("{count} lines without its tests, {most} at most"))
    })
}

/// Where in the library crates each concurrent structure lives. Tests and benches may use what they like.
const HOMES: &[(&[&str], &[&str])] = &[
    (&["DashMap", "dashmap"], &["pool-core/src/hosts.rs"]),
    (&["SkipMap", "crossbeam_skiplist"], &["pool-core/src/idle.rs"]),
    (
        &["client::conn", "conn::http1", "conn::http2"],
        &["pool-core/src/driver.rs", "pool-core/src/http2.rs"],
    ),
];

fn one_home(path: &str, source: &Source) -> Vec<Spot> {
    spots(path, source, |line| {
        let elsewhere = |homes: &[&str]| in_library(path) && !homes.contains(&path);
        HOMES.iter().filter(|(_, homes)| elsewhere(homes)).find_map(|(words, homes)| {
            let word = words.iter().find(|word| has_word(line.code, word))?;
            Some(format!("`{word}` belongs in {}", homes.join(" or ")))
        })
    })
}

fn no_range(path: &str, source: &Source) -> Vec<Spot> {
    spots(path, source, |line| {
        let found = path == "pool-core/src/idle.rs" && line.code.contains(".range(");
        found.then(|| "`.range(`: use `pop_back`, `front` or `iter`".into())
    })
}

fn no_leftovers(path: &str, source: &Source) -> Vec<Spot> {
    const MACROS: [&str; 3] = ["todo!", "dbg!", "unimplemented!"];
    const MARKS: [&str; 3] = ["TODO", "FIXME", "XXX"];
    spots(path, source, |line| {
        let in_code = MACROS.iter().chain(&MARKS).find(|word| has_word(line.code, word));
        let found = in_code.or_else(|| MARKS.iter().find(|word| has_word(line.comment, word)));
        found.map(|word| format!("`{word}`"))
    })
}

fn no_unwrap(path: &str, source: &Source) -> Vec<Spot> {
    spots(path, source, |line| {
        let found = in_library(path) && !line.in_tests && line.code.contains(".unwrap()");
        found.then(|| "`.unwrap()`: return the error, or `expect` with why it cannot fail".into())
    })
}

fn allow_reason(path: &str, source: &Source) -> Vec<Spot> {
    let silences = |code: &str| has_word(code, "allow(") || has_word(code, "expect(");
    let unexplained = |code: &str| silences(code) && !has_word(code, "reason =");
    let lines: Vec<_> = source.attributes().filter(|(_, code)| unexplained(code)).collect();
    spots(path, source, |line| {
        let found = lines.iter().any(|(number, _)| *number == line.number);
        found.then(|| "a lint is silenced without `reason = \"…\"`".into())
    })
}

fn no_sleep(path: &str, source: &Source) -> Vec<Spot> {
    let folders = ["tests/src/", "tests/it/", "tests/interop/"];
    let banned = folders.iter().any(|folder| path.starts_with(folder));
    spots(path, source, |line| {
        let found = banned && has_word(line.code, "sleep(");
        found.then(|| "`sleep(`: wait for what is to happen, or advance a paused clock".into())
    })
}

fn test_names(path: &str, source: &Source) -> Vec<Spot> {
    let mut is_test = false;
    spots(path, source, |line| {
        is_test |= line.code.starts_with("#[") && has_word(line.code, "test");
        let name = line.code.split_once("fn ").filter(|_| is_test).map(|(_, name)| name);
        // Other attributes may stand between this one and the function; an item's body may not.
        is_test &= !line.code.ends_with(['{', '}', ';']);
        let found = name.is_some_and(|name| name.starts_with("test_"));
        found.then(|| "`test_` says nothing: name what must be true".into())
    })
}

fn no_dead_code(path: &str, source: &Source) -> Vec<Spot> {
    spots(path, source, |line| {
        let body = line.comment.strip_prefix("//").filter(|body| !body.starts_with(['/', '!']))?;
        let found = line.code.is_empty() && looks_like_code(body.trim());
        found.then(|| "code that is commented out".into())
    })
}

fn no_unsafe(path: &str, source: &Source) -> Vec<Spot> {
    spots(path, source, |line| has_word(line.code, "unsafe").then(|| "`unsafe`".into()))
}

fn loopback_only(path: &str, source: &Source) -> Vec<Spot> {
    let reaches_out =
        |ip: &Ipv4Addr| !(ip.is_loopback() || ip.is_unspecified() || ip.is_documentation());
    spots(path, source, |line| {
        let is_test = path.starts_with("tests/") || in_library(path) && line.in_tests;
        let words = line.live.split(|c: char| !c.is_ascii_digit() && c != '.');
        let mut addresses = words.filter_map(|word| word.trim_matches('.').parse().ok());
        let address = addresses.find(reaches_out).filter(|_| is_test)?;
        Some(format!("`{address}` is neither loopback nor reserved for examples"))
    })
}

fn in_library(path: &str) -> bool {
    let below = |library| path.strip_prefix(library).is_some_and(|rest| rest.starts_with("/src/"));
    LIBRARIES.iter().any(below)
}

/// A spot for every line that `wrong` has something to say about.
fn spots(
    path: &str,
    source: &Source,
    mut wrong: impl FnMut(&Line<'_>) -> Option<String>,
) -> Vec<Spot> {
    let spot = |line: Line<'_>| {
        let message = wrong(&line)?;
        Some(Spot { path: path.to_owned(), line: line.number, message })
    };
    source.lines().filter_map(spot).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::broken;

    const TCP: &str = "pool-tcp/src/a.rs";
    const IDLE: &str = "pool-core/src/idle.rs";
    const HOSTS: &str = "pool-core/src/hosts.rs";
    const IT: &str = "tests/it/a.rs";

    /// A rule, a path, a snippet that keeps the rule, and one that breaks it.
    const SNIPPETS: &[(&str, &str, &str, &str)] = &[
        ("file-doc", "pooled-fetch/examples/a.rs", "", "fn a() {}"),
        (
            "one-home",
            TCP,
            "// no DashMap here\nconst A: &str = \"DashMap\";",
            "use dashmap::DashMap;",
        ),
        ("one-home", HOSTS, "use dashmap::DashMap;", "use crossbeam_skiplist::SkipMap;"),
        (
            "one-home",
            "pool-core/src/driver.rs",
            "use hyper::client::conn::http2;",
            "type A = SkipMap<u8, u8>;",
        ),
        (
            "one-home",
            "pool-core/src/pool.rs",
            "/// See `hyper::client::conn`.\nfn a() {}",
            "use hyper::client::conn;",
        ),
        ("no-range", IDLE, "fn a() { map.pop_back(); }", "fn a() { map.range(..); }"),
        ("no-leftovers", IT, "// done\nfn a() { b(\"TODO\"); }", "// TODO: b\nfn a() {}"),
        ("no-leftovers", IT, "fn a(todo: u8) {}", "fn a() { todo!() }"),
        ("no-leftovers", IT, "fn my_dbg() {}", "fn a() { dbg!(b); }"),
        (
            "no-unwrap",
            TCP,
            "/// a.unwrap()\n#[cfg(test)]\nmod t { fn a() { b.unwrap(); } }",
            "fn a() { b.unwrap(); }",
        ),
        ("allow-reason", IT, "#[allow(a, reason = \"b\")]\nfn c() {}", "#[allow(a)]\nfn c() {}"),
        (
            "allow-reason",
            IT,
            "#![allow(\n    a,\n    reason = \"b\"\n)]",
            "#![allow(\n    a,\n    b\n)]",
        ),
        (
            "no-sleep",
            IT,
            "// sleep()\nfn a() { advance(b); }",
            "async fn a() { tokio::time::sleep(b).await; }",
        ),
        (
            "test-names",
            IT,
            "#[test]\nfn a_is_b() {}\nfn test_server() {}",
            "#[test]\nfn test_a() {}",
        ),
        (
            "test-names",
            IT,
            "#[cfg(test)]\nmod t {\nfn test_server() {}\n}",
            "#[tokio::test]\nasync fn test_a() {}",
        ),
        ("no-dead-code", IT, "// It is closed;\n// never parked.", "// let a = b;"),
        ("no-dead-code", IT, "/// let a = b;\nfn c() {}", "// a.b(c);"),
        ("no-dead-code", IT, "// a Body { incoming, lease }", "// fn a() {"),
        ("no-dead-code", IT, "// if it is open; else it is dropped", "// }"),
        ("no-unsafe", IT, "#![forbid(unsafe_code)]\n// unsafe", "fn a() { unsafe { b() } }"),
        (
            "loopback-only",
            IT,
            "const A: &str = \"127.0.0.1:80\"; // 10.0.0.1",
            "const A: &str = \"10.0.0.1:80\";",
        ),
        (
            "loopback-only",
            IT,
            "const A: &str = \"192.0.2.1, 0.0.0.0\";",
            "const A: &str = \"http://8.8.8.8/\";",
        ),
    ];

    #[test]
    fn every_rule_tells_a_snippet_that_keeps_it_from_one_that_breaks_it() {
        for (rule, path, kept, wrong) in SNIPPETS {
            let header = if *rule == "file-doc" { "" } else { "//! A.\n" };
            let kept = if *rule == "file-doc" { "//! A." } else { kept };
            assert_eq!(broken(path, &format!("{header}{kept}\n")), [""; 0], "{rule}: {kept}");
            assert_eq!(broken(path, &format!("{header}{wrong}\n")), [*rule], "{rule}: {wrong}");
        }
    }

    #[test]
    fn every_rule_has_a_snippet() {
        let covered = |rule: &&Rule| SNIPPETS.iter().any(|(name, ..)| *name == rule.name);
        let missing: Vec<_> =
            RULES.iter().filter(|rule| !covered(rule)).map(|rule| rule.name).collect();
        assert_eq!(missing, ["file-size"], "which has a test of its own");
    }

    #[test]
    fn a_file_is_measured_without_its_tests() {
        let full = "//! A.\n".to_owned() + &"fn a() {}\n".repeat(299);
        let tests = "#[cfg(test)]\nmod tests {\n".to_owned() + &"fn a() {}\n".repeat(200) + "}\n";
        assert_eq!(broken(TCP, &(full.clone() + &tests)), [""; 0]);
        assert_eq!(broken(TCP, &(full.clone() + "fn b() {}\n")), ["file-size"]);
        assert_eq!(broken(IT, &(full + &"fn b() {}\n".repeat(100))), [""; 0]);
    }
}
