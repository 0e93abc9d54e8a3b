//! The side-by-side run: a bench target of a package that brings the other clients with it.
//!
//! It lives there and not here, because this program is compiled before anything else.

use crate::sh::{CommandLine, Outcome};

const COMMAND: &str = "cargo bench --package pooled-fetch-bench --features peers --bench compare";

/// Runs it, or only the race; true if it came to its end.
pub(crate) fn run(race: bool, quick: bool) -> bool {
    let [race, quick] =
        [(race, " --race"), (quick, " --quick")].map(|(is, word)| if is { word } else { "" });
    let words = format!("{COMMAND} --{race}{quick}");
    let line = CommandLine::from(words.as_str());
    println!("$ {line}");
    line.run() == Outcome::Passed
}
