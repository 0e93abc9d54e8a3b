//! The whole-workspace matrix: one table of rows, run one after the other, and a summary.
//!
//! Every row runs, whatever became of those before it: one look at the summary tells everything that is
//! wrong. A row whose tool is missing is skipped and says so; under `--strict` that is as red as a failure,
//! because a check that did not run has shown nothing.

use std::time::{Duration, Instant};

use crate::sh::{CommandLine, Outcome};
use crate::tools::{self, Tool};
use crate::words::{features, nightly, oldest, published};

/// One check of the matrix.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    line: CommandLine<'static>,
    needs: &'static [Tool],
    says: &'static [&'static str],
}

/// Cheap and general first, slow and particular last.
pub(crate) const ROWS: &[Row] = &[
    Row::new("format", "cargo fmt --all --check").needs(&[tools::RUSTFMT]),
    Row::new("sort", "cargo sort --workspace --no-format --check").needs(&[tools::SORT]),
    Row::new("deny", "cargo deny check bans licenses sources").needs(&[tools::DENY]),
    // Each feature of one crate at a time, because features are unified across all that one command builds; and as a
    // dependent compiles it, because dev-dependencies may turn on a feature that the crate itself forgot. None of the three
    // with the peers of the benches, which are slow to build and want cmake.
    Row::new(
        "alone",
        "cargo hack clippy --workspace --each-feature --exclude-features peers --keep-going \
         --no-deps -- -D warnings",
    )
    .needs(&[tools::CLIPPY, tools::HACK]),
    // What is only for tests and examples: with all features, and with those that a plain `cargo test` has.
    Row::new(
        "clippy",
        concat!(
            "cargo clippy --workspace --all-targets --keep-going --features ",
            features!(),
            " -- -D warnings"
        ),
    )
    .needs(&[tools::CLIPPY]),
    Row::new(
        "plain",
        concat!("cargo clippy ", published!(), " --all-targets --keep-going -- -D warnings"),
    )
    .needs(&[tools::CLIPPY]),
    Row::new(
        "oldest",
        concat!(
            "cargo +",
            oldest!(),
            " check --locked ",
            published!(),
            " --features ",
            features!()
        ),
    )
    .needs(&[tools::RUST_OLDEST]),
    Row::new("minimal", "cargo xtask minimal").needs(&[tools::RUST_OLDEST, tools::RUST_NIGHTLY]),
    // What is only checked is never linked, so that no C compiler for these systems is needed: one that does nothing
    // contents the build scripts.
    Row::new(
        "platforms",
        concat!(
            "env TARGET_CC=true TARGET_AR=true cargo check --target x86_64-pc-windows-gnu \
             --target aarch64-apple-darwin ",
            published!(),
            " --features ",
            features!(),
        ),
    )
    .needs(&[tools::FOR_WINDOWS, tools::FOR_MACOS]),
    Row::new(
        "docs",
        concat!(
            "cargo doc --workspace --no-deps --document-private-items --keep-going --features ",
            features!(),
        ),
    )
    .variable("RUSTDOCFLAGS", "-D warnings"),
    // As docs.rs builds them.
    Row::new(
        "docsrs",
        concat!(
            "cargo +",
            nightly!(),
            " doc --no-deps ",
            published!(),
            " --features ",
            features!()
        ),
    )
    .variable("RUSTDOCFLAGS", "--cfg docsrs -D warnings")
    .needs(&[tools::RUST_NIGHTLY]),
    Row::new("api", "cargo test --package pooled-fetch-api").needs(&[tools::RUST_NIGHTLY]),
    // With all features, for they only add; the suite below runs with those that a user gets.
    Row::new(
        "unit",
        concat!("cargo test ", published!(), " --all-features --tests --no-fail-fast"),
    ),
    Row::new(
        "suite",
        "cargo test --package pooled-fetch-tests --package pooled-fetch-loom --lib --test it --test loom \
         --no-fail-fast",
    ),
    Row::new("stress", "cargo test --package pooled-fetch-tests --test stress --no-fail-fast"),
    Row::new("fuzz", "cargo test --package pooled-fetch-tests --test fuzz"),
    Row::new("xtask", "cargo test --package xtask"),
    Row::new(
        "doctests",
        concat!("cargo test --workspace --doc --no-fail-fast --features ", features!()),
    ),
    Row::new("package", concat!("cargo package --allow-dirty ", published!())),
    Row::new(
        "examples",
        "cargo build --workspace --examples --features pooled-fetch/tls,pooled-fetch/tonic",
    ),
    Row::new("quickstart", "cargo run --release --example quickstart").says(&[
        "first request",
        "reused, median",
        "16 at once",
        "connections opened",
        // All that followed one another: 300, and of those at once as many as find a connection that has just come home.
        "requests reusing       3",
        "connections idle",
    ]),
    Row::new("proxy", "cargo run --package pooled-fetch --features proxy --example proxy").says(&[
        "through the HTTP CONNECT proxy",
        "204 No Content",
        "204 No Content",
        "204 No Content",
        "connections opened: 1",
    ]),
    Row::new("unix", "cargo run --package pooled-fetch --features tls --example unix").says(&[
        "200 OK from unix:",
        "5 bytes, reused: false",
        "200 OK from unix:",
        "5 bytes, reused: true",
    ]),
    Row::new("names", "cargo run --package pooled-fetch --features tls --example names").says(&[
        "200 OK http://localhost:",
        "200 OK http://localhost:",
        "200 OK http://localhost:",
        "200 OK http://localhost:",
        "200 OK http://localhost:",
        "200 OK http://localhost:",
        "200 OK http://localhost:",
        "200 OK http://localhost:",
        "connections opened:",
    ]),
    Row::new("mixed", "cargo run --package pooled-fetch --features tls --example mixed").says(&[
        "http://127.0.0.1:",
        "200 OK",
        "http://localhost:",
        "200 OK",
        "unix:/",
        "200 OK",
    ]),
    Row::new(
        "custom",
        "cargo run --package pooled-fetch --features tls --example custom_connector",
    )
    .says(&["opened in", "127.0.0.1:", "200 OK", "200 OK", "200 OK"]),
    Row::new("balance", "cargo run --package pooled-fetch --features tower --example balance")
        .says(&["first has served", "fourth has served", "second has served", "third has served"]),
    Row::new("grpc", "cargo run --package pooled-fetch --features tonic --example grpc").says(&[
        "it is Serving",
        "now it is Serving",
        "now it is NotServing",
        "connections opened: 1",
    ]),
    // The gateway of the examples, with its page in a browser.
    Row::new("gateway", "cargo test --package pooled-fetch-tests --test gateway --no-fail-fast")
        .needs(&[tools::NGINX, tools::CHROMIUM, tools::CHROMEDRIVER]),
    Row::new("load", "cargo test --package pooled-fetch-tests --test load --no-fail-fast"),
    Row::new("interop", "cargo test --package pooled-fetch-tests --test interop --no-fail-fast")
        .needs(&[tools::NGINX]),
    Row::new(
        "peers",
        "cargo test --package pooled-fetch-tests --test peers --no-fail-fast -- --nocapture",
    )
    .needs(&[
        tools::NGINX,
        tools::HAPROXY,
        tools::APACHE,
        tools::NODE,
        tools::NGHTTPD,
        tools::OPENSSL,
        tools::DNSMASQ,
        tools::TINYPROXY,
        tools::MICROSOCKS,
    ]),
    Row::new("budget", "cargo bench --package pooled-fetch-bench --bench budget")
        .needs(&[tools::VALGRIND]),
];

/// Runs the rows named in `only`, or all of them; true if everything is green.
pub(crate) fn run(strict: bool, only: &[String]) -> bool {
    let chosen =
        ROWS.iter().filter(|row| only.is_empty() || only.iter().any(|name| name == row.name));
    let done: Vec<Done> = chosen.map(|row| row.run(Tool::is_installed)).collect();
    print!("{}", summary(&done));
    done.iter().all(|done| done.is_green(strict))
}

impl Row {
    const fn new(name: &'static str, words: &'static str) -> Self {
        Self { name, line: CommandLine { words, variable: None }, needs: &[], says: &[] }
    }

    const fn needs(self, tools: &'static [Tool]) -> Self {
        Self { needs: tools, ..self }
    }

    /// What its output has to have in it, piece after piece.
    const fn says(self, pieces: &'static [&'static str]) -> Self {
        Self { says: pieces, ..self }
    }

    const fn variable(self, name: &'static str, value: &'static str) -> Self {
        Self { line: CommandLine { variable: Some((name, value)), ..self.line }, ..self }
    }

    fn run(&self, is_installed: impl Fn(&Tool) -> bool) -> Done {
        println!("\n=== {}\n$ {}", self.name, self.line);
        let start = Instant::now();
        let lacks = self.needs.iter().find(|tool| !is_installed(tool));
        let outcome = match lacks {
            None if self.says.is_empty() => self.line.run(),
            None => self.line.run_saying(self.says),
            Some(Tool { name, install, .. }) => {
                let outcome = Outcome::Skipped(format!("{name} is not installed ({install})"));
                println!("{outcome}");
                outcome
            }
        };
        let is_excused = lacks.is_some_and(|tool| tool.is_toolchain);
        Done { name: self.name, outcome, is_excused, took: start.elapsed() }
    }
}

/// A row that was run, or skipped.
struct Done {
    name: &'static str,
    outcome: Outcome,
    is_excused: bool,
    took: Duration,
}

impl Done {
    fn is_green(&self, strict: bool) -> bool {
        match self.outcome {
            Outcome::Passed => true,
            Outcome::Failed => false,
            Outcome::Skipped(_) => self.is_excused || !strict,
        }
    }
}

/// The table, and last a plain line that other programs read too.
fn summary(done: &[Done]) -> String {
    let width = done.iter().map(|done| done.name.len()).max().unwrap_or(0);
    let mut text = format!("\n{:width$}  {:>7}  result\n", "row", "seconds");
    for Done { name, outcome, took, .. } in done {
        text += &format!("{name:width$}  {:>7.1}  {outcome}\n", took.as_secs_f64());
    }
    let count = |is: fn(&Outcome) -> bool| done.iter().filter(|done| is(&done.outcome)).count();
    let passed = count(|outcome| *outcome == Outcome::Passed);
    let failed = count(|outcome| *outcome == Outcome::Failed);
    let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
    text + &format!("\n{passed} passed, {failed} failed, {skipped} skipped\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(name: &'static str, outcome: Outcome) -> Done {
        Done { name, outcome, is_excused: false, took: Duration::ZERO }
    }

    #[test]
    fn a_skip_is_red_only_when_strict() {
        let skipped = done("interop", Outcome::Skipped("no server".into()));
        assert!(skipped.is_green(false));
        assert!(!skipped.is_green(true));
        assert!(Done { is_excused: true, ..skipped }.is_green(true));
        assert!(!done("clippy", Outcome::Failed).is_green(false));
    }

    #[test]
    fn a_row_whose_tool_is_missing_is_skipped_and_says_how_to_get_it() {
        let row = ROWS.iter().find(|row| row.name == "interop").expect("a row of the table");
        let why = "nginx is not installed (apt-get install nginx-light)".to_owned();
        assert_eq!(row.run(|_| false).outcome, Outcome::Skipped(why));
        let row = ROWS.iter().find(|row| row.name == "oldest").expect("a row of the table");
        assert!(row.run(|_| false).is_green(true), "no machine need have another Rust");
    }

    #[test]
    fn the_output_closes_with_a_plain_count_of_the_rows() {
        let rows = [
            done("format", Outcome::Passed),
            done("clippy", Outcome::Failed),
            done("unit", Outcome::Passed),
            done("interop", Outcome::Skipped("no server".into())),
        ];
        assert_eq!(summary(&rows).lines().last(), Some("2 passed, 1 failed, 1 skipped"));
    }

    #[test]
    fn no_two_rows_share_a_name() {
        let mut names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ROWS.len());
    }
}
