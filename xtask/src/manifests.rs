//! The house rules about the files beside the code: manifests, README, CHANGELOG, ARCHITECTURE.
//!
//! They keep pairs of files in step that nothing else compares. The manifests are read line by line, which is
//! all that their layout needs (one key per line, as everywhere here); a TOML parser would be most of what
//! everyone has to compile before a first `cargo xtask`.

use crate::ci::{CRATES, ROWS};
use crate::rules::LIBRARIES;
use crate::source::has_word;
use crate::tidy::{Check, File, Rule, Spot};

pub(crate) const RULES: &[Rule] = &[
    rule("changelog", changelog, "a user looks there for what a version brings"),
    rule("readme-twins", readme_twins, "both languages tell the same"),
    rule("architecture", architecture, "the map of the code shows every file"),
    rule(
        "dependency-order",
        dependency_order,
        "a sorted list is read, and merged, without thought",
    ),
    rule("dependency-reason", dependency_reason, "a dependency that nobody can justify is removed"),
    rule("dependency-list", dependency_list, "what a library depends on, its users depend on"),
    rule("matrix", matrix, "what no row of the matrix names is not checked"),
];

const fn rule(name: &'static str, check: fn(&[File]) -> Vec<Spot>, reason: &'static str) -> Rule {
    Rule { name, reason, check: Check::Tree(check) }
}

/// What library crates may depend on, besides each other. Dev-dependencies are free.
const ALLOWED: &[&str] = &[
    "ahash",
    "async-trait",
    "atomic-waker",
    "bytes",
    "crossbeam-skiplist",
    "dashmap",
    "fastrand",
    "futures-util",
    "h2",
    "http",
    "http-body",
    "http-body-util",
    "hyper",
    "hyper-util",
    "parking_lot",
    "pin-project-lite",
    "rustls",
    "socket2",
    "tokio",
    "tokio-rustls",
    "tower-service",
    "tracing",
    "webpki-roots",
];

/// Features that no row compiles: a matrix that did would compile several other HTTP clients each time, for a
/// program that nothing but `cargo xtask bench` runs.
const LEFT_OUT: &[(&str, &str)] = &[("pooled-fetch-tests", "peers")];

fn changelog(files: &[File]) -> Vec<Spot> {
    let mut of_workspace = entries(text(files, "Cargo.toml"));
    let version = of_workspace.find(|it| it.section == "workspace.package" && it.key == "version");
    let Some(version) = version.map(|it| it.value.trim_matches('"')) else {
        return vec![];
    };
    let heading = |line: &str| line.starts_with("## ") && line.contains(version);
    let missing = !text(files, "CHANGELOG.md").lines().any(heading);
    let message = || format!("has no heading for version {version}");
    missing.then(|| spot("CHANGELOG.md", 1, message())).into_iter().collect()
}

fn readme_twins(files: &[File]) -> Vec<Spot> {
    const TWINS: [&str; 2] = ["README.md", "README.zh-CN.md"];
    const PARTS: [(&str, &str); 2] = [("##", "headings"), ("```", "fences of code blocks")];
    let absent = |path: &&str| text(files, path).is_empty();
    let missing = TWINS.into_iter().filter(absent).map(|path| spot(path, 1, "is missing".into()));
    let count =
        |path, mark| text(files, path).lines().filter(|line| line.starts_with(mark)).count();
    let differences = PARTS.into_iter().filter_map(|(mark, what)| {
        let [one, other] = TWINS.map(|path| count(path, mark));
        let message = || format!("{other} {what}, but {one} in {}", TWINS[0]);
        (one != other).then(|| spot(TWINS[1], 1, message()))
    });
    let missing: Vec<_> = missing.collect();
    if missing.is_empty() { differences.collect() } else { missing }
}

fn architecture(files: &[File]) -> Vec<Spot> {
    let map = text(files, "ARCHITECTURE.md");
    let in_library =
        |path: &str| LIBRARIES.iter().any(|it| path.starts_with(&format!("{it}/src/")));
    let unnamed = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        let named = map.contains(&format!("`{name}`")) || map.contains(&format!("/{name}`"));
        (!named).then(|| spot("ARCHITECTURE.md", 1, format!("does not name `{name}` ({path})")))
    };
    let paths = files.iter().map(|file| file.path.as_str());
    paths.filter(|path| in_library(path)).filter_map(unnamed).collect()
}

fn dependency_order(files: &[File]) -> Vec<Spot> {
    let shared: Vec<_> = shared_dependencies(files).collect();
    let unsorted = shared.windows(2).filter(|pair| pair[0].key > pair[1].key);
    let message = |pair: &[Entry<'_>]| format!("`{}` stands after `{}`", pair[1].key, pair[0].key);
    unsorted.map(|pair| spot("Cargo.toml", pair[1].line, message(pair))).collect()
}

fn dependency_reason(files: &[File]) -> Vec<Spot> {
    let bare = shared_dependencies(files).filter(|it| it.comment.is_empty());
    let message = |key: &str| format!("`{key}` has no `# reason` beside it");
    bare.map(|it| spot("Cargo.toml", it.line, message(it.key))).collect()
}

fn shared_dependencies(files: &[File]) -> impl Iterator<Item = Entry<'_>> {
    entries(text(files, "Cargo.toml")).filter(|it| it.section == "workspace.dependencies")
}

fn dependency_list(files: &[File]) -> Vec<Spot> {
    let of_library = |library: &&str| {
        let path = format!("{library}/Cargo.toml");
        let unlisted = |it: Entry<'_>| {
            let name = it.dependency()?;
            let listed = ALLOWED.contains(&name) || LIBRARIES.contains(&name);
            let message = || format!("`{name}` is not on the list in xtask/src/manifests.rs");
            (!listed).then(|| spot(&path, it.line, message()))
        };
        entries(text(files, &path)).filter_map(unlisted).collect::<Vec<_>>()
    };
    LIBRARIES.iter().flat_map(of_library).collect()
}

fn matrix(files: &[File]) -> Vec<Spot> {
    let of_crate = |File { path, text }: &File| {
        let message = |what| format!("no row of xtask/src/ci.rs names {what}");
        let spot = |(line, what)| spot(path, line, message(what));
        unchecked(text).into_iter().map(spot).collect::<Vec<_>>()
    };
    files.iter().filter(|file| file.path.ends_with("/Cargo.toml")).flat_map(of_crate).collect()
}

/// The crate itself, its features and its test binaries, as far as the matrix does not know them.
fn unchecked(manifest: &str) -> Vec<(usize, String)> {
    let name = entries(manifest).find(|it| it.section == "package" && it.key == "name");
    let name = name.map_or("", |it| it.value.trim_matches('"'));
    let known = CRATES.iter().find(|krate| krate.name == name);
    let sets = known.map_or(&[][..], |krate| krate.feature_sets);
    let has_feature = |feature: &str| match feature {
        _ if LEFT_OUT.contains(&(name, feature)) => true,
        "default" => sets.iter().any(|set| set.contains("--no-default-features")),
        _ => sets.iter().any(|set| set.split([' ', ',']).any(|word| word == feature)),
    };
    let has_test =
        |test: &str| ROWS.iter().any(|row| has_word(row.command, &format!("--test {test}")));
    // Without a `dep:` that hides it, an optional dependency is a feature of the same name.
    let is_feature = |it: &Entry<'_>| {
        let optional = it.value.contains("optional = true");
        it.section == "features" || optional && !manifest.contains(&format!("\"dep:{}\"", it.key))
    };
    let gap = |it: Entry<'_>| {
        let value = it.value.trim_matches('"');
        let what = match (it.section, it.key) {
            ("package", "name") if known.is_none() => format!("the crate `{name}`"),
            ("test", "name") if !has_test(value) => format!("the test `{value}`"),
            (_, key) if is_feature(&it) && !has_feature(key) => format!("the feature `{key}`"),
            _ => return None,
        };
        Some((it.line, what))
    };
    entries(manifest).filter_map(gap).collect()
}

/// The text of a file; a file that is missing is as good as an empty one.
fn text<'a>(files: &'a [File], path: &str) -> &'a str {
    files.iter().find(|file| file.path == path).map_or("", |file| &file.text)
}

fn spot(path: &str, line: usize, message: String) -> Spot {
    Spot { path: path.to_owned(), line, message }
}

/// One `key = value # comment` of a manifest, or the header of a table that stands for one.
struct Entry<'a> {
    line: usize,
    section: &'a str,
    key: &'a str,
    value: &'a str,
    comment: &'a str,
}

impl<'a> Entry<'a> {
    /// The package that this line makes the library depend on, if it does.
    fn dependency(&self) -> Option<&'a str> {
        let section = self.section.rsplit_once('.').map_or(self.section, |(_, last)| last);
        let in_list = section == "dependencies" || section == "build-dependencies";
        in_list.then(|| self.key.split('.').next().unwrap_or(self.key).trim_matches('"'))
    }
}

fn entries(manifest: &str) -> impl Iterator<Item = Entry<'_>> {
    let mut section = "";
    manifest.lines().enumerate().filter_map(move |(index, line)| {
        let (content, comment) = line.split_once('#').unwrap_or((line, ""));
        let (content, comment) = (content.trim(), comment.trim());
        if content.starts_with('[') && content.ends_with(']') {
            section = content.trim_matches(['[', ']']);
            return None;
        }
        let (key, value) = content.split_once('=')?;
        Some(Entry { line: index + 1, section, key: key.trim(), value: value.trim(), comment })
    })
}

#[cfg(test)]
mod tests {
    use crate::tidy::tests::broken_in;

    const ROOT: &str = "[workspace.package]\nversion = \"1.2.3\"\n\n[workspace.dependencies]\na = \"1\" # b\nc = \"1\" # d\n";
    const README: &str = "# A\n## B\n```\n```\n";

    /// A small workspace that keeps every rule, with one file replaced.
    fn broken(path: &str, text: &str) -> Vec<&'static str> {
        let mut files = vec![
            ("Cargo.toml", ROOT),
            ("CHANGELOG.md", "## [1.2.3]\n"),
            ("README.md", README),
            ("README.zh-CN.md", README),
            ("ARCHITECTURE.md", "`pool-core/src/lib.rs`, `hosts.rs`"),
            ("pool-core/src/lib.rs", "//! A.\n"),
            ("pool-core/src/hosts.rs", "//! A.\n"),
            (
                "pool-core/Cargo.toml",
                "[dependencies]\ntokio.workspace = true\n[dev-dependencies]\nrand = \"1\"\n",
            ),
        ];
        files.retain(|(name, _)| *name != path);
        files.push((path, text));
        broken_in(&files)
    }

    #[test]
    fn a_workspace_that_keeps_the_rules_has_no_finding() {
        assert_eq!(broken("README.md", README), [""; 0]);
    }

    #[test]
    fn the_changelog_has_a_heading_for_the_version() {
        assert_eq!(broken("CHANGELOG.md", "## [1.2.2]\n\nSoon 1.2.3.\n"), ["changelog"]);
    }

    #[test]
    fn the_readmes_have_the_same_headings_and_code_blocks() {
        assert_eq!(broken("README.zh-CN.md", "# A\n## B\n## C\n```\n```\n"), ["readme-twins"]);
        assert_eq!(broken("README.zh-CN.md", "# A\n## B\n"), ["readme-twins"]);
    }

    #[test]
    fn both_readmes_exist() {
        assert_eq!(broken("README.zh-CN.md", ""), ["readme-twins"]);
    }

    #[test]
    fn every_library_file_is_on_the_map() {
        assert_eq!(broken("pool-tls/src/tickets.rs", "//! A.\n"), ["architecture"]);
    }

    #[test]
    fn shared_dependencies_are_sorted_and_carry_a_reason() {
        assert_eq!(broken("Cargo.toml", &ROOT.replace("a =", "x =")), ["dependency-order"]);
        assert_eq!(broken("Cargo.toml", &ROOT.replace("# d", "")), ["dependency-reason"]);
    }

    #[test]
    fn a_library_depends_only_on_what_is_listed() {
        let wrong = "[target.'cfg(unix)'.dependencies]\nrand = \"1\"\n";
        assert_eq!(broken("pool-core/Cargo.toml", wrong), ["dependency-list"]);
    }

    #[test]
    fn every_crate_feature_and_test_binary_has_a_row() {
        let kept =
            "[package]\nname = \"pool-core\"\n[features]\ndefault = []\n[[test]]\nname = \"it\"\n";
        assert_eq!(broken("pool-core/Cargo.toml", kept), [""; 0]);
        assert_eq!(broken("pool-core/Cargo.toml", "[package]\nname = \"b\"\n"), ["matrix"]);
        let feature = "[package]\nname = \"pool-core\"\n[features]\nnobody-names-it = []\n";
        assert_eq!(broken("pool-core/Cargo.toml", feature), ["matrix"]);
        let optional = "[package]\nname = \"pool-core\"\n[dependencies]\ntracing = { version = \"1\", optional = true }\n";
        assert_eq!(broken("pool-core/Cargo.toml", optional), ["matrix"]);
        let left_out = "[package]\nname = \"pooled-fetch-tests\"\n[features]\npeers = []\n";
        assert_eq!(broken("tests/Cargo.toml", left_out), [""; 0]);
        assert_eq!(broken("tests/Cargo.toml", "[[test]]\nname = \"nobody-runs-it\"\n"), ["matrix"]);
    }
}
