//! A cause and the causes behind it in one line: `tcp connect error: connection refused`.
//!
//! Some errors repeat in their own text what their source says, and some leave it out. What must hold: each cause is told,
//! and none twice.

use std::error::Error as StdError;
use std::fmt::{self, Write};
use std::io;
use std::iter::successors;

/// An error that names itself as its source would have no end.
const MOST: usize = 32;

/// Shows an error and what caused it.
pub(crate) struct Chain<'e>(pub(crate) &'e (dyn StdError + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_chain(f, self.0)
    }
}

/// Writes an error and what caused it.
pub(super) fn write_chain(
    f: &mut fmt::Formatter<'_>,
    error: &(dyn StdError + 'static),
) -> fmt::Result {
    let mut told = String::new();
    for error in successors(Some(error), |error| (*error).source()).take(MOST) {
        let (text, words) = (error.to_string(), in_words(error));
        if tells(&told, &text) || tells(&told, &words) {
            continue;
        }
        let colon = if told.is_empty() { "" } else { ": " };
        write!(told, "{colon}{words}")?;
    }
    f.write_str(&told)
}

/// An error of the system in the words of its kind, without the number.
fn in_words(error: &(dyn StdError + 'static)) -> String {
    let mut system = error.downcast_ref::<io::Error>();
    while let Some(error) = system {
        let kind = error.kind().to_string();
        if error.raw_os_error().is_some()
            && !["other error", "uncategorized error"].contains(&&*kind)
        {
            return kind;
        }
        // Its text is that of the error within, which its source passes over.
        system = error.get_ref().and_then(|inner| inner.downcast_ref());
    }
    error.to_string()
}

/// Whether a text ends in these words.
fn tells(told: &str, words: &str) -> bool {
    told.strip_suffix(words).is_some_and(|before| !before.ends_with(char::is_alphanumeric))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error that has a cause, and repeats it in its text or not.
    #[derive(Debug)]
    struct Step {
        text: String,
        cause: Box<dyn StdError + Send + Sync>,
    }

    impl fmt::Display for Step {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.text)
        }
    }

    impl StdError for Step {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&*self.cause)
        }
    }

    fn step(text: impl ToString, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Step {
        Step { text: text.to_string(), cause: cause.into() }
    }

    fn told(error: &(dyn StdError + 'static)) -> String {
        struct Told<'e>(&'e (dyn StdError + 'static));
        impl fmt::Display for Told<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_chain(f, self.0)
            }
        }
        Told(error).to_string()
    }

    fn refused() -> io::Error {
        io::Error::from_raw_os_error(111)
    }

    #[test]
    fn every_cause_is_told_behind_the_one_before() {
        let error = io::Error::other(step("tcp connect error", step("one address", refused())));
        assert_eq!(told(&error), "tcp connect error: one address: connection refused");
    }

    #[test]
    fn a_cause_that_was_told_already_is_not_told_again() {
        let inner = step("no route", refused());
        let error = io::Error::other(step(format!("the proxy: {inner}"), inner));
        assert_eq!(told(&error), "the proxy: no route: connection refused");
        let error = step(format!("tcp connect error: {}", refused()), refused());
        assert_eq!(told(&error), format!("tcp connect error: {}", refused()));
        let error = step("tcp connect error: connection refused", refused());
        assert_eq!(told(&error), "tcp connect error: connection refused");
    }

    #[test]
    fn a_word_that_another_ends_in_is_told() {
        assert_eq!(told(&step("unknown", "own")), "unknown: own");
    }

    #[test]
    fn an_error_of_the_system_is_told_in_words_however_deep_it_lies() {
        let nested = io::Error::other(io::Error::other(refused()));
        assert_eq!(told(&nested), "connection refused");
        assert_eq!(told(&step("a step", nested)), "a step: connection refused");
    }

    #[test]
    fn an_error_that_is_its_own_cause_has_an_end() {
        #[derive(Debug)]
        struct Endless;
        impl fmt::Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("endless")
            }
        }
        impl StdError for Endless {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                Some(self)
            }
        }
        assert_eq!(told(&Endless), "endless");
    }
}
