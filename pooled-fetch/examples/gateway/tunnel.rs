//! Bytes both ways, after `101`. Those that are open when the gateway stops may end by themselves, for a while.

use http::Response;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use pooled_fetch::Body;
use pooled_fetch::pool_core::upgrade;
use tokio::io::copy_bidirectional;
use tokio::sync::watch;

/// The tunnels that are open.
#[derive(Debug, Default)]
pub(crate) struct Tunnels(watch::Sender<()>);

impl Tunnels {
    /// Joins a client with the stream that this response has opened, once the client has its answer.
    pub(crate) fn open(&self, client: OnUpgrade, response: &mut Response<Body>) {
        let upstream = upgrade::on(response);
        let open = self.0.subscribe();
        tokio::spawn(async move {
            if let (Ok(client), Ok(mut upstream)) = tokio::join!(client, upstream) {
                let mut client = TokioIo::new(client);
                // Whichever side fails, both are closed, and there is nobody else to tell.
                copy_bidirectional(&mut client, &mut upstream).await.ok();
            }
            drop(open);
        });
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.0.receiver_count()
    }

    /// Ends when none is open.
    pub(crate) async fn emptied(&self) {
        self.0.closed().await;
    }
}
