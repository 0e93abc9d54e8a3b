//! Connectors over any other that watch its streams, or make them misbehave.

mod failing;
mod interrupted;
mod probe;

pub use failing::{Failing, FailingStream};
pub use interrupted::{Interrupted, InterruptedStream, NextRead};
pub use probe::{Probe, ProbeStream, Watch};
