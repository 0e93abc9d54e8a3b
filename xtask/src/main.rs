//! The commands of this workspace: `cargo xtask help` lists them.
//!
//! What `cargo build` and `cargo test` do is not repeated here. A command belongs here when it spans the
//! crates: then it is written in the language of the workspace, and hosted machines run the very same.

mod bench;
mod ci;
mod gateway;
mod load;
mod minimal;
mod semver;
mod servers;
mod sh;
mod tools;
mod words;

use std::path::Path;
use std::process::ExitCode;

use lexopt::{Arg, Parser, ValueExt};

const HELP: &str = "\
cargo xtask COMMAND

  ci [--strict] [--only ROW]...   run the whole matrix, or only the rows that are named
       --strict                   a row that had to be skipped is a failure, but for want of another Rust
       rows                       format sort deny alone clippy plain oldest minimal
                                  platforms docs docsrs api unit suite stress fuzz xtask
                                  doctests package examples quickstart proxy unix names
                                  mixed custom balance grpc gateway load interop peers budget
  bench [--gateway | --load | --race] [--quick]
                                  run all clients side by side, and write target/bench/
       --gateway                  the gateway of the examples beside nginx and HAProxy instead
       --load                     the load of the examples beside wrk and oha instead
       --race                     what servers that give connections up cost each client instead
       --quick                    the same in a part of the time
  minimal                         check the crates with the lowest versions that they name
  semver                          compare what is public with the last release
  help                            show this text
";

fn main() -> ExitCode {
    match command(Parser::from_env()) {
        Ok(command) => execute(command),
        Err(error) => {
            eprint!("error: {error}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

#[derive(Debug, PartialEq)]
enum Command {
    Bench { what: Bench, quick: bool },
    Ci { strict: bool, only: Vec<String> },
    Help,
    Minimal,
    Semver,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bench {
    Clients,
    Gateway,
    Load,
    Race,
}

fn execute(command: Command) -> ExitCode {
    // Every path and every command line below is meant to be read from the root of the workspace.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    if let Err(error) = std::env::set_current_dir(root) {
        eprintln!("error: entering {}: {error}", root.display());
        return ExitCode::FAILURE;
    }
    let green = match command {
        Command::Bench { what: Bench::Gateway, quick } => gateway::run(quick),
        Command::Bench { what: Bench::Load, quick } => load::run(quick),
        Command::Bench { what: Bench::Race, quick } => bench::run(true, quick),
        Command::Bench { what: Bench::Clients, quick } => bench::run(false, quick),
        Command::Ci { strict, only } => ci::run(strict, &only),
        Command::Minimal => minimal::run(),
        Command::Semver => semver::run(),
        Command::Help => {
            print!("{HELP}");
            true
        }
    };
    if green { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn command(mut arguments: Parser) -> Result<Command, lexopt::Error> {
    let name = match arguments.next()? {
        Some(Arg::Value(name)) => name.string()?,
        Some(Arg::Long("help") | Arg::Short('h')) => return Ok(Command::Help),
        Some(other) => return Err(other.unexpected()),
        None => return Err("which command?".into()),
    };
    match name.as_str() {
        "bench" => bench_command(arguments),
        "ci" => ci_command(arguments),
        "help" => Ok(Command::Help),
        "minimal" => alone(arguments, Command::Minimal),
        "semver" => alone(arguments, Command::Semver),
        _ => Err(format!("there is no command `{name}`").into()),
    }
}

fn bench_command(mut arguments: Parser) -> Result<Command, lexopt::Error> {
    let (mut asked, mut quick) = (Vec::new(), false);
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("gateway") => asked.push(Bench::Gateway),
            Arg::Long("load") => asked.push(Bench::Load),
            Arg::Long("race") => asked.push(Bench::Race),
            Arg::Long("quick") => quick = true,
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            other => return Err(other.unexpected()),
        }
    }
    match asked[..] {
        [] => Ok(Command::Bench { what: Bench::Clients, quick }),
        [what] => Ok(Command::Bench { what, quick }),
        _ => Err("one of --gateway, --load and --race".into()),
    }
}

fn ci_command(mut arguments: Parser) -> Result<Command, lexopt::Error> {
    let (mut strict, mut only) = (false, Vec::new());
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("strict") => strict = true,
            Arg::Long("only") => only.push(row(arguments.value()?.string()?)?),
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Ci { strict, only })
}

/// A command that has no options.
fn alone(mut arguments: Parser, command: Command) -> Result<Command, lexopt::Error> {
    match arguments.next()? {
        None => Ok(command),
        Some(Arg::Long("help") | Arg::Short('h')) => Ok(Command::Help),
        Some(other) => Err(other.unexpected()),
    }
}

/// A misspelt row must not be a run of nothing that is green.
fn row(name: String) -> Result<String, lexopt::Error> {
    if ci::ROWS.iter().any(|row| row.name == name) {
        return Ok(name);
    }
    Err(format!("there is no row `{name}`").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<Command, String> {
        command(Parser::from_args(words.split_whitespace())).map_err(|error| error.to_string())
    }

    #[test]
    fn a_command_is_read_with_its_options() {
        for (words, what, quick) in [
            ("bench", Bench::Clients, false),
            ("bench --quick", Bench::Clients, true),
            ("bench --gateway", Bench::Gateway, false),
            ("bench --quick --load", Bench::Load, true),
            ("bench --race", Bench::Race, false),
        ] {
            assert_eq!(parsed(words), Ok(Command::Bench { what, quick }), "{words}");
        }
        assert_eq!(parsed("minimal"), Ok(Command::Minimal));
        assert_eq!(parsed("semver"), Ok(Command::Semver));
        let only = vec!["sort".to_owned(), "format".to_owned()];
        assert_eq!(
            parsed("ci --strict --only sort --only=format"),
            Ok(Command::Ci { strict: true, only })
        );
    }

    #[test]
    fn whatever_is_not_understood_is_refused() {
        for words in [
            "",
            "build",
            "--strict",
            "ci --only",
            "ci --only nothing",
            "ci format",
            "bench --strict",
            "semver v0.2.0",
            "bench --race --load",
        ] {
            assert!(parsed(words).is_err(), "{words}");
        }
    }

    #[test]
    fn help_is_given_wherever_it_is_asked_for() {
        for words in ["help", "--help", "-h", "ci --help", "bench -h", "help ci"] {
            assert_eq!(parsed(words), Ok(Command::Help), "{words}");
        }
    }

    #[test]
    fn the_help_names_every_row_in_order() {
        let (_, rows) = HELP.split_once("  rows ").expect("the rows");
        let named: Vec<_> = rows.split_whitespace().take(ci::ROWS.len()).collect();
        let rows: Vec<_> = ci::ROWS.iter().map(|row| row.name).collect();
        assert_eq!(named, rows);
    }
}
