//! Connectors: one for every backend, and those over any other that watch its streams or make them misbehave.

mod any;
mod endless;
mod failing;
mod fate;
mod interrupted;
mod path;
mod probe;

use pool_core::Connected;

use crate::Duplex;

pub use any::{Address, AnyConnector};
pub use endless::Endless;
pub use failing::Failing;
pub use fate::Fate;
pub use interrupted::{Interrupted, NextRead};
pub use path::{OverPath, Path};
pub use probe::{Probe, Watch};

/// A stream of any connector here: of one type, so that HTTP is compiled for one stream, and not for each connector.
pub type AnyStream = Box<dyn Duplex>;

/// The same, in a box.
pub(crate) fn boxed<S: Duplex + 'static>(connected: Connected<S>) -> Connected<AnyStream> {
    connected.map_stream(|stream| -> AnyStream { Box::new(stream) })
}
