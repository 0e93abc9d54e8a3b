//! A server that answers by itself: for tests that are about the caller alone.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::task::{AbortHandle, JoinSet};

use crate::{Connection, Received, Server};

/// In a box, so that the server is compiled once, and not for each answer.
type Respond = Arc<dyn Fn(&Received) -> Bytes + Send + Sync>;

/// Answers every request on every connection; dropping it ends it and all of its connections.
#[derive(Debug)]
pub struct EchoServer {
    served: Arc<Mutex<Vec<(usize, String)>>>,
    task: AbortHandle,
}

impl EchoServer {
    /// Answers with what `respond` makes of each request.
    pub fn start(
        server: Server,
        respond: impl Fn(&Received) -> Bytes + Send + Sync + 'static,
    ) -> Self {
        Self::respond_with(server, Arc::new(respond))
    }

    fn respond_with(mut server: Server, respond: Respond) -> Self {
        let served = Arc::<Mutex<Vec<_>>>::default();
        let log = Arc::clone(&served);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Some(connection) = server.next_connection().await {
                connections.spawn(serve(connection, Arc::clone(&log), Arc::clone(&respond)));
            }
            while connections.join_next().await.is_some() {}
        });
        Self { served, task: task.abort_handle() }
    }

    /// Which connection served which target, in order.
    pub fn served(&self) -> Vec<(usize, String)> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut connection: Connection,
    log: Arc<Mutex<Vec<(usize, String)>>>,
    respond: Respond,
) {
    while let Some(request) = connection.next_request().await {
        let entry = (connection.number(), request.target().to_owned());
        log.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        if connection.try_write(respond(&request)).await.is_err() {
            break;
        }
    }
}
