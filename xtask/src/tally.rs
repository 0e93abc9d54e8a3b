//! The lines in which cargo counts tests: read, added up, and written again in the same form.
//!
//! The matrix runs many test binaries and each prints its own count. Its output closes with one line in
//! cargo's form for each row, and one for all of them, so that people and tools read the total where they
//! are used to look for it.

use std::fmt;
use std::iter::Sum;

/// What one or more `test result:` lines say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    ignored: usize,
    measured: usize,
    filtered_out: usize,
    seconds: f64,
}

impl Tally {
    /// Reads one line of output; `None` if it is not a count of tests.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (_verdict, counts) = line.trim().strip_prefix("test result: ")?.split_once(". ")?;
        let mut tally = Self::default();
        for count in counts.split("; ") {
            if let Some(seconds) = count.strip_prefix("finished in ") {
                tally.seconds = seconds.trim_end_matches('s').parse().ok()?;
                continue;
            }
            let (number, what) = count.split_once(' ')?;
            *tally.count_of(what)? = number.parse().ok()?;
        }
        Some(tally)
    }

    fn count_of(&mut self, what: &str) -> Option<&mut usize> {
        match what {
            "passed" => Some(&mut self.passed),
            "failed" => Some(&mut self.failed),
            "ignored" => Some(&mut self.ignored),
            "measured" => Some(&mut self.measured),
            "filtered out" => Some(&mut self.filtered_out),
            _ => None,
        }
    }

    /// The line in cargo's form. It says `FAILED` when anything did, even if no test could be counted
    /// for it: a binary that does not compile prints no line at all.
    pub(crate) fn line(&self, green: bool) -> String {
        let verdict = if green && self.failed == 0 { "ok" } else { "FAILED" };
        format!("test result: {verdict}. {self}")
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, ignored, measured, filtered_out, seconds } = self;
        write!(f, "{passed} passed; {failed} failed; {ignored} ignored; {measured} measured; ")?;
        write!(f, "{filtered_out} filtered out; finished in {seconds:.2}s")
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |sum, next| Self {
            passed: sum.passed + next.passed,
            failed: sum.failed + next.failed,
            ignored: sum.ignored + next.ignored,
            measured: sum.measured + next.measured,
            filtered_out: sum.filtered_out + next.filtered_out,
            seconds: sum.seconds + next.seconds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &str = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.25s";
    const RED: &str = "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s";

    fn parsed(line: &str) -> Tally {
        Tally::parse(line).expect("a line of cargo's")
    }

    #[test]
    fn a_line_of_cargo_is_written_again_as_it_was_read() {
        assert_eq!(parsed(OK).line(true), OK);
        assert_eq!(parsed(RED).line(false), RED);
    }

    #[test]
    fn other_output_is_no_count() {
        for line in [
            "",
            "running 3 tests",
            "test result",
            "test result: ok. many passed",
            "test a::b ... ok",
        ] {
            assert_eq!(Tally::parse(line), None, "{line}");
        }
    }

    #[test]
    fn counts_add_up() {
        let sum: Tally = [OK, RED].into_iter().map(parsed).sum();
        let expected = "test result: FAILED. 14 passed; 1 failed; 1 ignored; 0 measured; 3 filtered out; finished in 1.75s";
        assert_eq!(sum.line(true), expected);
    }

    #[test]
    fn a_row_that_failed_without_counting_is_not_ok() {
        assert!(
            Tally::default().line(false).starts_with("test result: FAILED. 0 passed; 0 failed;")
        );
    }
}
