//! How far the run is, and how long it still takes.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A line on the terminal, where there is one.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn new(steps: usize) -> Self {
        let bar = ProgressBar::new(steps as u64);
        let style = ProgressStyle::with_template("{bar:32} {percent:>3} %  {eta} left  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        // The time that is left goes down while a step lasts.
        bar.enable_steady_tick(Duration::from_secs(1));
        Self(bar)
    }

    /// What the next steps are.
    pub(crate) fn phase(&self, what: impl Into<String>) {
        self.0.set_message(what.into());
    }

    /// A step is done.
    pub(crate) fn step(&self) {
        self.0.inc(1);
    }

    /// What a reader of the tables would miss otherwise.
    pub(crate) fn note(&self, what: &str) {
        self.0.suspend(|| eprintln!("{what}"));
    }

    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
