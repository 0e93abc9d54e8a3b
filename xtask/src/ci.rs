//! The whole-workspace matrix: one table of rows, run one after the other, and a summary.
//!
//! Every row runs, whatever became of those before it: one look at the summary tells everything that is
//! wrong. A row whose tool is missing is skipped and says so; under `--strict` that is as red as a failure,
//! because a check that did not run has shown nothing.

use std::time::Duration;

use crate::sh::{CommandLine, Outcome, Report};
use crate::tally::Tally;

/// One check of the matrix. `{crate}` and `{features}` in the command stand for each entry of [`CRATES`].
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) command: &'static str,
    variable: Option<(&'static str, &'static str)>,
    needs: &'static [Tool],
}

/// Something that a machine with only Rust, a C compiler and git may lack.
struct Tool {
    name: &'static str,
    probe: &'static str,
    install: &'static str,
}

/// A crate of the workspace and every set of its features that must compile without a warning.
pub(crate) struct Crate {
    pub(crate) name: &'static str,
    pub(crate) feature_sets: &'static [&'static str],
}

const DEFAULT: &str = "";
const NONE: &str = "--no-default-features";
const AWS_LC_RS: &str = "--no-default-features --features aws-lc-rs";

/// `tidy` compares this with the manifests: a crate or a feature that is missing here is a finding.
pub(crate) const CRATES: &[Crate] = &[
    Crate { name: "pool-core", feature_sets: &[DEFAULT, NONE] },
    Crate { name: "pool-tcp", feature_sets: &[DEFAULT, NONE] },
    Crate { name: "pool-tls", feature_sets: &[DEFAULT, NONE, AWS_LC_RS, "--features ring"] },
    Crate { name: "pooled-fetch", feature_sets: &[DEFAULT, "--features tls"] },
    Crate {
        name: "pooled-fetch-tests",
        feature_sets: &["--features paused-time", "--no-default-features --features bench"],
    },
    Crate { name: "xtask", feature_sets: &[DEFAULT] },
];

/// Cheap and general first, slow and particular last.
pub(crate) const ROWS: &[Row] = &[
    Row::new("format", "cargo fmt --all --check").needs(&[RUSTFMT]),
    Row::new("tidy", "cargo xtask tidy"),
    // One crate at a time, because features are unified across all that one command builds; and first as a
    // dependent compiles it, because dev-dependencies may turn on a feature that the crate itself forgot.
    Row::new("alone", "cargo clippy --package {crate} --no-deps {features} -- -D warnings")
        .needs(&[CLIPPY]),
    Row::new(
        "clippy",
        "cargo clippy --package {crate} --all-targets --no-deps {features} -- -D warnings",
    )
    .needs(&[CLIPPY]),
    // Not with the peers of the benches, which are slow to build and want cmake.
    Row::new(
        "docs",
        "cargo doc --workspace --no-deps --document-private-items --keep-going \
         --features pool-tls/ring,pool-tls/aws-lc-rs,pooled-fetch/tls,pooled-fetch-tests/bench",
    )
    .variable("RUSTDOCFLAGS", "-D warnings"),
    // With all features, for they only add; the suite below runs with those that a user gets.
    Row::new(
        "unit",
        "cargo test --package pool-core --package pool-tcp --package pool-tls --package pooled-fetch \
         --all-features --tests --no-fail-fast",
    ),
    Row::new(
        "suite",
        "cargo test --package pooled-fetch-tests --lib --test it --test loom --no-fail-fast",
    ),
    Row::new("stress", "cargo test --package pooled-fetch-tests --test stress --no-fail-fast"),
    Row::new("xtask", "cargo test --package xtask"),
    Row::new(
        "doctests",
        "cargo test --workspace --doc --no-fail-fast \
         --features pool-tls/ring,pool-tls/aws-lc-rs,pooled-fetch/tls",
    ),
    Row::new("examples", "cargo build --workspace --examples"),
    Row::new("quickstart", "cargo run --release --example quickstart"),
    Row::new("interop", "cargo test --package pooled-fetch-tests --test interop --no-fail-fast")
        .needs(&[NGINX]),
    Row::new(
        "peers",
        "cargo test --package pooled-fetch-tests --test peers --no-fail-fast -- --nocapture",
    )
    .needs(&[NGINX, HAPROXY, APACHE, NODE, NGHTTPD, OPENSSL]),
    Row::new(
        "budget",
        "cargo bench --package pooled-fetch-tests --no-default-features --features bench \
         --bench budget",
    )
    .needs(&[VALGRIND]),
];

const RUSTFMT: Tool =
    Tool { name: "rustfmt", probe: "cargo fmt --version", install: "rustup component add rustfmt" };
const CLIPPY: Tool = Tool {
    name: "clippy",
    probe: "cargo clippy --version",
    install: "rustup component add clippy",
};
const NGINX: Tool =
    Tool { name: "nginx", probe: "nginx -v", install: "apt-get install nginx-light" };
const HAPROXY: Tool =
    Tool { name: "haproxy", probe: "haproxy -v", install: "apt-get install haproxy" };
const APACHE: Tool =
    Tool { name: "apache2", probe: "apache2 -v", install: "apt-get install apache2-bin" };
const NODE: Tool =
    Tool { name: "node", probe: "node --version", install: "apt-get install nodejs" };
const NGHTTPD: Tool =
    Tool { name: "nghttpd", probe: "nghttpd --version", install: "apt-get install nghttp2-server" };
const OPENSSL: Tool =
    Tool { name: "openssl", probe: "openssl version", install: "apt-get install openssl" };
const VALGRIND: Tool =
    Tool { name: "valgrind", probe: "valgrind --version", install: "apt-get install valgrind" };

/// Runs the rows named in `only`, or all of them; true if everything is green.
pub(crate) fn run(strict: bool, only: &[String]) -> bool {
    let chosen =
        ROWS.iter().filter(|row| only.is_empty() || only.iter().any(|name| name == row.name));
    let done: Vec<Done> =
        chosen.flat_map(Row::steps).map(|step| step.run(Tool::is_installed)).collect();
    print!("{}", summary(&done, strict));
    done.iter().all(|done| done.is_green(strict))
}

impl Row {
    const fn new(name: &'static str, command: &'static str) -> Self {
        Self { name, command, variable: None, needs: &[] }
    }

    const fn needs(self, tools: &'static [Tool]) -> Self {
        Self { needs: tools, ..self }
    }

    const fn variable(self, name: &'static str, value: &'static str) -> Self {
        Self { variable: Some((name, value)), ..self }
    }

    /// The commands of this row: one, or one for each feature set of each crate.
    fn steps(&'static self) -> Vec<Step> {
        if !self.command.contains("{crate}") {
            return vec![self.step(self.name.to_owned(), self.command.to_owned())];
        }
        let of_crate =
            |krate: &'static Crate| krate.feature_sets.iter().map(move |set| (krate.name, *set));
        let step = |(name, set): (&str, &str)| {
            let words = self.command.replace("{crate}", name).replace("{features}", set);
            self.step(squeezed(&format!("{} {name} {set}", self.name)), squeezed(&words))
        };
        CRATES.iter().flat_map(of_crate).map(step).collect()
    }

    fn step(&'static self, title: String, words: String) -> Step {
        Step { row: self, title, line: CommandLine { words, variable: self.variable } }
    }
}

/// An empty feature set leaves a hole in a command; nobody should have to look at it.
fn squeezed(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Tool {
    fn is_installed(&self) -> bool {
        CommandLine::from(self.probe).succeeds_quietly()
    }
}

/// One command of the matrix.
struct Step {
    row: &'static Row,
    title: String,
    line: CommandLine,
}

/// A command of the matrix that was run, or skipped.
struct Done {
    title: String,
    runs_tests: bool,
    report: Report,
}

impl Step {
    fn run(self, is_installed: impl Fn(&Tool) -> bool) -> Done {
        println!("\n=== {}\n$ {}", self.title, self.line);
        let report = match self.row.needs.iter().find(|tool| !is_installed(tool)) {
            None => self.line.run(),
            Some(Tool { name, install, .. }) => {
                let outcome = Outcome::Skipped(format!("{name} is not installed ({install})"));
                println!("{outcome}");
                Report { outcome, took: Duration::ZERO, tests: Tally::default() }
            }
        };
        Done { title: self.title, runs_tests: self.line.words.starts_with("cargo test"), report }
    }
}

impl Done {
    fn is_green(&self, strict: bool) -> bool {
        match self.report.outcome {
            Outcome::Passed => true,
            Outcome::Failed => false,
            Outcome::Skipped(_) => !strict,
        }
    }

    fn was_skipped(&self) -> bool {
        matches!(self.report.outcome, Outcome::Skipped(_))
    }
}

/// The table, what is red or skipped, and the tests in cargo's own form.
fn summary(done: &[Done], strict: bool) -> String {
    let width = done.iter().map(|done| done.title.len()).max().unwrap_or(0);
    let mut text = format!("\n{:width$}  {:>7}  result\n", "row", "seconds");
    for Done { title, report, .. } in done {
        let seconds = report.took.as_secs_f64();
        text += &format!("{title:width$}  {seconds:>7.1}  {}\n", report.outcome);
    }
    let red = done.iter().filter(|done| !done.is_green(strict)).count();
    let skipped = done.iter().filter(|done| done.was_skipped()).count();
    text += &format!("\n{} rows, {red} red, {skipped} skipped\n", done.len());
    text + &test_lines(done, red == 0)
}

/// One line for each row that ran tests, and the last for all of them.
fn test_lines(done: &[Done], green: bool) -> String {
    let rows = || done.iter().filter(|done| done.runs_tests && !done.was_skipped());
    if rows().next().is_none() {
        return String::new();
    }
    let line = |Done { title, report, .. }: &Done| {
        let line = report.tests.line(report.outcome == Outcome::Passed);
        format!("\n     Summary {title}\n{line}\n")
    };
    let total: Tally = rows().map(|done| done.report.tests).sum();
    let lines: String = rows().map(line).collect();
    lines + &format!("\n     Summary all rows\n{}\n", total.line(green))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(title: &str, outcome: Outcome, tests: Option<&str>) -> Done {
        let counts = "0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.50s";
        let tally = |passed| Tally::parse(&format!("test result: ok. {passed} passed; {counts}"));
        let runs_tests = tests.is_some();
        let tests = tests.and_then(tally).unwrap_or_default();
        Done {
            title: title.into(),
            runs_tests,
            report: Report { outcome, took: Duration::ZERO, tests },
        }
    }

    fn row(name: &str) -> &'static Row {
        ROWS.iter().find(|row| row.name == name).expect("a row of the table")
    }

    #[test]
    fn a_skip_is_red_only_when_strict() {
        let skipped = done("interop", Outcome::Skipped("no server".into()), Some("0"));
        assert!(skipped.is_green(false));
        assert!(!skipped.is_green(true));
        let failed = done("clippy", Outcome::Failed, None);
        assert!(!failed.is_green(false));
    }

    #[test]
    fn a_row_whose_tool_is_missing_is_skipped_and_says_how_to_get_it() {
        let step = row("interop").steps().remove(0);
        let Outcome::Skipped(why) = step.run(|_| false).report.outcome else {
            panic!("it was run")
        };
        assert_eq!(why, "nginx is not installed (apt-get install nginx-light)");
    }

    #[test]
    fn a_row_over_crates_has_a_command_for_every_feature_set() {
        let titles: Vec<_> = row("clippy").steps().into_iter().map(|step| step.title).collect();
        assert_eq!(
            titles.len(),
            CRATES.iter().map(|krate| krate.feature_sets.len()).sum::<usize>()
        );
        assert!(titles.contains(&"clippy pooled-fetch --features tls".to_owned()));
        let steps = row("alone").steps();
        assert_eq!(
            steps[0].line.to_string(),
            "cargo clippy --package pool-core --no-deps -- -D warnings"
        );
    }

    #[test]
    fn the_output_closes_with_the_sum_in_the_form_of_cargo() {
        let rows = [
            done("format", Outcome::Passed, None),
            done("unit", Outcome::Passed, Some("20")),
            done("suite", Outcome::Passed, Some("3")),
        ];
        let text = summary(&rows, true);
        let last = "test result: ok. 23 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s";
        assert_eq!(text.lines().last(), Some(last));
        assert_eq!(text.lines().filter(|line| line.starts_with("test result: ok.")).count(), 3);
    }

    #[test]
    fn one_red_row_makes_the_last_line_red() {
        let rows =
            [done("clippy", Outcome::Failed, None), done("unit", Outcome::Passed, Some("20"))];
        let text = summary(&rows, false);
        assert!(text.contains("2 rows, 1 red, 0 skipped\n"));
        assert!(
            text.lines()
                .last()
                .is_some_and(|line| line.starts_with("test result: FAILED. 20 passed;"))
        );
    }

    #[test]
    fn a_run_without_tests_counts_none() {
        assert!(!summary(&[done("tidy", Outcome::Passed, None)], true).contains("test result:"));
    }

    #[test]
    fn no_two_rows_share_a_name() {
        let mut names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ROWS.len());
    }
}
