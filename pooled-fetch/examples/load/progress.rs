//! A line on the terminal while requests are sent, and nothing where there is none.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::interval;

use super::schedule::Schedule;
use super::tally::Tally;

const TICK: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    looking: JoinHandle<()>,
}

impl Progress {
    pub(crate) fn start(schedule: &Arc<Schedule>, tallies: &Arc<[Mutex<Tally>]>) -> Self {
        // On standard error, if that is a terminal.
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        let (schedule, tallies) = (Arc::clone(schedule), Arc::clone(tallies));
        let shown = bar.clone();
        let looking = tokio::spawn(async move {
            if shown.is_hidden() {
                return;
            }
            let mut ticks = interval(TICK);
            let (mut before, mut then) = (0, Duration::ZERO);
            ticks.tick().await;
            loop {
                ticks.tick().await;
                let (mut answered, mut failed) = (0, 0);
                for tally in &*tallies {
                    let tally = tally.lock();
                    answered += tally.answered();
                    failed += tally.failed;
                }
                let now = schedule.elapsed();
                let per_second = (answered - before) as f64 / (now - then).as_secs_f64();
                (before, then) = (answered, now);
                shown.tick();
                shown.set_message(format!(
                    "{:.0} s{}  {per_second:.0} answers/s  {answered}{} answered  {failed} failed",
                    now.as_secs_f64(),
                    of(schedule.duration.map(|time| format!("{} s", time.as_secs_f64()))),
                    of(schedule.requests),
                ));
            }
        });
        Self { bar, looking }
    }

    pub(crate) fn finish(self) {
        self.looking.abort();
        self.bar.finish_and_clear();
    }
}

fn of(all: Option<impl ToString>) -> String {
    all.map_or_else(String::new, |all| format!(" of {}", all.to_string()))
}
