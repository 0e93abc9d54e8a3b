//! Runs one command line: shows it, lets its output through as it comes, takes the time, counts the tests.
//!
//! A command line is plain words without quoting, so what is shown can be pasted into a shell.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::tally::Tally;

/// Plain words, and at most one variable that it needs.
pub(crate) struct CommandLine {
    pub(crate) words: String,
    pub(crate) variable: Option<(&'static str, &'static str)>,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    /// It was not run, and why not.
    Skipped(String),
}

/// What is left of a command when it has ended.
pub(crate) struct Report {
    pub(crate) outcome: Outcome,
    pub(crate) took: Duration,
    pub(crate) tests: Tally,
}

impl CommandLine {
    /// Runs it to its end. The caller has printed it: a header stands before the output it explains.
    pub(crate) fn run(&self) -> Report {
        self.run_into(io::stdout())
    }

    fn run_into(&self, show: impl Write) -> Report {
        let start = Instant::now();
        let (outcome, tests) = match self.stream(show) {
            Ok((true, tests)) => (Outcome::Passed, tests),
            Ok((false, tests)) => (Outcome::Failed, tests),
            Err(error) => {
                eprintln!("error: running `{self}`: {error}");
                (Outcome::Failed, Tally::default())
            }
        };
        Report { outcome, took: start.elapsed(), tests }
    }

    /// Whether it can be started and succeeds, without showing anything. This asks the tool itself: the
    /// proxies of rustup are on the path even when the component behind them is missing.
    pub(crate) fn succeeds_quietly(&self) -> bool {
        let status = self.command().stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }

    fn stream(&self, mut show: impl Write) -> io::Result<(bool, Tally)> {
        let mut child = self.command().stdout(Stdio::piped()).spawn()?;
        let mut tallies = Vec::new();
        if let Some(output) = child.stdout.take() {
            for line in BufReader::new(output).split(b'\n') {
                let mut line = line?;
                tallies.extend(Tally::parse(&String::from_utf8_lossy(&line)));
                line.push(b'\n');
                show.write_all(&line)?;
                show.flush()?;
            }
        }
        Ok((child.wait()?.success(), tallies.into_iter().sum()))
    }

    fn command(&self) -> Command {
        let mut words = self.words.split_whitespace();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).stdin(Stdio::null());
        command.envs(self.variable);
        // What `cargo run` told us about ourselves is not true of the child, and build scripts that watch these
        // variables would run again each time a reader repeats a line in a shell.
        for (name, _) in std::env::vars_os() {
            let about_us = name.to_str().is_some_and(|name| {
                name == "CARGO"
                    || name.starts_with("CARGO_PKG_")
                    || name.starts_with("CARGO_MANIFEST_")
            });
            if about_us {
                command.env_remove(name);
            }
        }
        command
    }
}

impl From<&str> for CommandLine {
    fn from(words: &str) -> Self {
        Self { words: words.into(), variable: None }
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, value)) = self.variable {
            write!(f, "{name}=\"{value}\" ")?;
        }
        f.write_str(&self.words)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("ok"),
            Self::Failed => f.write_str("FAILED"),
            Self::Skipped(why) => write!(f, "skipped: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_decides() {
        assert_eq!(CommandLine::from("true").run().outcome, Outcome::Passed);
        assert_eq!(CommandLine::from("false").run().outcome, Outcome::Failed);
    }

    #[test]
    fn a_program_that_does_not_exist_fails_and_does_not_panic() {
        let line = CommandLine::from("no-such-program --at-all");
        assert_eq!(line.run().outcome, Outcome::Failed);
        assert!(!line.succeeds_quietly());
    }

    #[test]
    fn every_count_in_the_output_is_added_up() {
        let counts = "1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        let format =
            r"test\0040result:\0040ok.\0040".to_owned() + &counts.replace(' ', r"\0040") + r"\n";
        let mut shown = Vec::new();
        let line = format!("printf %b%b {format} {format}");
        let report = CommandLine::from(line.as_str()).run_into(&mut shown);
        assert_eq!(report.tests.passed, 2);
        assert_eq!(shown.split(|&byte| byte == b'\n').count(), 3, "both lines, and what follows");
    }

    #[test]
    fn a_line_is_shown_as_a_shell_takes_it() {
        let line = CommandLine {
            words: "cargo doc".into(),
            variable: Some(("RUSTDOCFLAGS", "-D warnings")),
        };
        assert_eq!(line.to_string(), r#"RUSTDOCFLAGS="-D warnings" cargo doc"#);
    }
}
