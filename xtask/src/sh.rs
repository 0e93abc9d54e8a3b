//! Runs one command line, with its output let through.
//!
//! A command line is plain words without quoting, so what is shown can be pasted into a shell.

use std::fmt;
use std::process::{Command, Stdio};

/// Plain words, and at most one variable that it needs.
pub(crate) struct CommandLine<'a> {
    pub(crate) words: &'a str,
    pub(crate) variable: Option<(&'a str, &'a str)>,
}

/// How a command ended.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    /// It was not run, and why not.
    Skipped(String),
}

impl CommandLine<'_> {
    /// Runs it to its end. The caller has printed it: a header stands before the output it explains.
    pub(crate) fn run(&self) -> Outcome {
        match self.command().status() {
            Ok(status) if status.success() => Outcome::Passed,
            Ok(_) => Outcome::Failed,
            Err(error) => {
                eprintln!("error: running `{self}`: {error}");
                Outcome::Failed
            }
        }
    }

    /// As [`run`](Self::run), and what it writes has to have these pieces in it, one after the other.
    pub(crate) fn run_saying(&self, pieces: &[&str]) -> Outcome {
        let output = match self.command().stderr(Stdio::inherit()).output() {
            Ok(output) => output,
            Err(error) => {
                eprintln!("error: running `{self}`: {error}");
                return Outcome::Failed;
            }
        };
        let told = String::from_utf8_lossy(&output.stdout);
        print!("{told}");
        let mut rest = &*told;
        for piece in pieces {
            let Some((_, after)) = rest.split_once(piece) else {
                eprintln!("error: `{piece}` is not where it should be in what `{self}` says");
                return Outcome::Failed;
            };
            rest = after;
        }
        if output.status.success() { Outcome::Passed } else { Outcome::Failed }
    }

    /// Whether it can be started and succeeds, without showing anything. This asks the tool itself: the
    /// proxies of rustup are on the path even when the component behind them is missing.
    pub(crate) fn succeeds_quietly(&self) -> bool {
        let status = self.command().stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
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

impl<'a> From<&'a str> for CommandLine<'a> {
    fn from(words: &'a str) -> Self {
        Self { words, variable: None }
    }
}

impl fmt::Display for CommandLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, value)) = self.variable {
            write!(f, "{name}=\"{value}\" ")?;
        }
        f.write_str(self.words)
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
        assert_eq!(CommandLine::from("true").run(), Outcome::Passed);
        assert_eq!(CommandLine::from("false").run(), Outcome::Failed);
    }

    #[test]
    fn what_is_said_has_to_have_each_piece_in_its_order() {
        let line = CommandLine::from("echo one two three");
        assert_eq!(line.run_saying(&["one", "three"]), Outcome::Passed);
        assert_eq!(line.run_saying(&["three", "one"]), Outcome::Failed);
        assert_eq!(line.run_saying(&["one", "one"]), Outcome::Failed);
        assert_eq!(CommandLine::from("false").run_saying(&[]), Outcome::Failed);
    }

    #[test]
    fn a_program_that_does_not_exist_fails_and_does_not_panic() {
        let line = CommandLine::from("no-such-program --at-all");
        assert_eq!(line.run(), Outcome::Failed);
        assert!(!line.succeeds_quietly());
    }

    #[test]
    fn a_line_is_shown_as_a_shell_takes_it() {
        let line =
            CommandLine { words: "cargo doc", variable: Some(("RUSTDOCFLAGS", "-D warnings")) };
        assert_eq!(line.to_string(), r#"RUSTDOCFLAGS="-D warnings" cargo doc"#);
    }
}
