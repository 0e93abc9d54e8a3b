//! A resolver in Rust.

use std::io;
use std::time::Instant;

use hickory_resolver::TokioResolver;
use pool_core::{Resolved, async_trait};

use super::resolve::Resolve;

/// Resolves names with `hickory-resolver`, which asks DNS itself, in parallel for both families, and knows how long an answer
/// is good.
///
/// It honours the hosts file, and keeps answers of its own.
#[derive(Clone, Debug)]
pub struct HickoryResolver(TokioResolver);

impl HickoryResolver {
    /// A resolver with settings of the caller's own.
    pub fn new(resolver: TokioResolver) -> Self {
        Self(resolver)
    }

    /// A resolver as the system is set up, in `/etc/resolv.conf` on Unix.
    ///
    /// # Errors
    ///
    /// When these settings cannot be read.
    pub fn of_system() -> io::Result<Self> {
        let builder = TokioResolver::builder_tokio().map_err(io::Error::other)?;
        builder.build().map(Self).map_err(io::Error::other)
    }
}

#[async_trait]
impl Resolve for HickoryResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Resolved> {
        let answer = self.0.lookup_ip(host).await.map_err(io::Error::other)?;
        let good_for = answer.valid_until().saturating_duration_since(Instant::now());
        let addresses = answer.iter().map(|ip| (ip, port).into());
        Ok(Resolved::interleaved(addresses).with_good_for(good_for))
    }
}
