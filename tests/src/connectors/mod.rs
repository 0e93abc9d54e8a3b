//! Connectors: one for every backend, and those over any other that watch its streams or make them misbehave.

mod any;
mod failing;
mod interrupted;
mod probe;

pub use any::{Address, AnyConnector, AnyStream};
pub use failing::{Failing, FailingStream};
pub use interrupted::{Interrupted, InterruptedStream, NextRead};
pub use probe::{Probe, ProbeStream, Watch};
