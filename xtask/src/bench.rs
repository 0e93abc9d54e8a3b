//! The side-by-side run: a bench target of a package that brings the other clients with it.
//!
//! It lives there and not here, because this program is compiled before anything else.

use crate::sh::{CommandLine, Outcome};

const COMMAND: &str = "cargo bench --package pooled-fetch-bench --features peers --bench compare";

/// Runs it; true if it came to its end.
pub(crate) fn run(quick: bool) -> bool {
    let words = if quick { format!("{COMMAND} -- --quick") } else { COMMAND.to_owned() };
    let line = CommandLine::from(words.as_str());
    println!("$ {line}");
    line.run() == Outcome::Passed
}
