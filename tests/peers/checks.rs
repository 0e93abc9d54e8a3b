//! What is asked of every server that can show it.

use std::fs;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use pool_core::{Connector, ErrorKind, on_informational};
use pooled_fetch_tests::{Pattern, Upload, Whole, eventually, get};
use tokio::task::{JoinSet, yield_now};

use crate::LARGE;
use crate::client::Client;
use crate::real_server::{GoAway, Informational, Offers, RealServer, Site, Uploads};

type Outcome = Result<(), String>;
type Applies = Result<(), &'static str>;

/// One column of the table.
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) applies: fn(&Site) -> Applies,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Small,
    Large,
    Held,
    Cancels,
    Trailers,
    Informational,
    Upload,
    Early,
    GoAway,
    Restart,
}

pub(crate) const CHECKS: [Check; 10] = [
    Check { name: "small", applies: |_| Ok(()), kind: Kind::Small },
    Check { name: "16 MiB", applies: |_| Ok(()), kind: Kind::Large },
    Check { name: "held unread", applies: unread, kind: Kind::Held },
    Check { name: "100 cancels", applies: shared, kind: Kind::Cancels },
    Check { name: "trailers", applies: |s| s.offers.trailers.map(drop), kind: Kind::Trailers },
    Check { name: "1xx", applies: |s| s.offers.informational.map(drop), kind: Kind::Informational },
    Check { name: "upload", applies: |s| s.offers.uploads.map(drop), kind: Kind::Upload },
    Check { name: "early answer", applies: |s| s.offers.early.map(drop), kind: Kind::Early },
    Check { name: "GOAWAY", applies: |s| s.offers.goaway.map(drop), kind: Kind::GoAway },
    Check { name: "restart", applies: |_| Ok(()), kind: Kind::Restart },
];

impl Check {
    pub(crate) async fn run<C: Connector>(
        &self,
        client: Client<C>,
        server: &mut RealServer,
        site: &Site,
    ) -> Outcome {
        let offers = &site.offers;
        match self.kind {
            Kind::Small => small(&client, offers).await,
            Kind::Large => large(&client).await,
            Kind::Held => held(&client).await,
            Kind::Cancels => cancels(&client).await,
            Kind::Trailers => trailers(&client, offers.trailers?).await,
            Kind::Informational => informational(&client, offers.informational?).await,
            Kind::Upload => upload(&client, offers.uploads?, server).await,
            Kind::Early => early(&client, offers.early?).await,
            Kind::GoAway => goaway(&client, offers.goaway?, server).await,
            Kind::Restart => restart(&client, server).await,
        }
    }
}

/// Where requests share a connection.
fn shared(site: &Site) -> Applies {
    if site.speaks.is_shared() { Ok(()) } else { Err("each has a connection of its own") }
}

fn unread(site: &Site) -> Applies {
    shared(site).and(site.offers.unread)
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(what()) }
}

fn is_hello(whole: &Whole) -> Outcome {
    ensure(whole.body == "hello", || format!("{} {:?}", whole.head.status, whole.body))
}

/// Requests one after the other share a connection, where the server keeps it.
async fn small<C: Connector>(client: &Client<C>, offers: &Offers) -> Outcome {
    const REQUESTS: u64 = 20;
    for _ in 0..REQUESTS {
        is_hello(&client.fetch(get("/hello")).await?)?;
    }
    let opened = client.pool.stats().opened;
    let needed = if offers.keeps_alive { 1 } else { REQUESTS };
    ensure(opened == needed, || format!("{opened} connections"))
}

async fn large<C: Connector>(client: &Client<C>) -> Outcome {
    let whole = client.fetch(get("/large")).await?;
    ensure(whole.body.len() == LARGE, || format!("{} bytes", whole.body.len()))?;
    Pattern::new().check(&whole.body);
    Ok(())
}

/// Bodies that are held unread stall no other on their connection.
async fn held<C: Connector>(client: &Client<C>) -> Outcome {
    let mut held = Vec::new();
    for _ in 0..3 {
        let response = client.pool.http(&client.address, get("/large")).await;
        held.push(response.map_err(|error| error.to_string())?);
    }
    is_hello(&client.fetch(get("/hello")).await?)?;
    ensure(client.pool.stats().opened == 1, || "more than one connection".to_owned())?;
    for response in held {
        let whole = Whole::read(response).await.map_err(|error| error.to_string())?;
        ensure(whole.body.len() == LARGE, || format!("{} bytes", whole.body.len()))?;
    }
    Ok(())
}

/// Requests that are given up, however many, end no connection whose server answers.
async fn cancels<C: Connector>(client: &Client<C>) -> Outcome {
    is_hello(&client.fetch(get("/hello")).await?)?;
    for _ in 0..100 {
        let request = client.pool.http(&client.address, get("/hello"));
        // It is on its way, or is not even that.
        request.now_or_never();
        yield_now().await;
    }
    is_hello(&client.fetch(get("/hello")).await?)?;
    let stats = client.pool.stats();
    ensure(stats.closed_total() == 0, || format!("{stats:?}"))
}

async fn trailers<C: Connector>(client: &Client<C>, path: &str) -> Outcome {
    let request = Request::get(path).header("te", "trailers").header("connection", "te");
    let whole = client.fetch(request.body(String::new()).expect("a request")).await?;
    let checksum = whole.trailers.as_ref().and_then(|trailers| trailers.get("checksum"));
    ensure(checksum.is_some_and(|checksum| checksum == "good"), || format!("{:?}", whole.trailers))
}

/// A response that others precede is the final one, and those others are heard.
async fn informational<C: Connector>(client: &Client<C>, how: Informational) -> Outcome {
    let mut request = match how {
        Informational::Hints(path) => Request::get(path).body(Full::default()),
        Informational::Expected(method, path) => Request::builder()
            .method(method)
            .uri(path)
            .header("expect", "100-continue")
            .body(Full::from("content")),
    }
    .expect("a request");
    let heard = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&heard);
    on_informational(&mut request, move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let whole = client.fetch(request).await?;
    ensure(whole.head.status.is_success(), || whole.head.status.to_string())?;
    let heard = heard.load(Ordering::SeqCst);
    ensure(heard == 1, || format!("{heard} were heard"))
}

async fn upload<C: Connector>(client: &Client<C>, how: Uploads, server: &RealServer) -> Outcome {
    let (upload, _) = Upload::new(LARGE);
    let arrived = match how {
        Uploads::Echoed(path) => {
            let request = Request::post(path).body(upload).expect("a request");
            client.fetch(request).await?.body.to_vec()
        }
        Uploads::Stored => {
            let name = format!("stored-{:?}", client.speaks);
            let request = Request::put(format!("/{name}")).body(upload).expect("a request");
            let whole = client.fetch(request).await?;
            ensure(whole.head.status == StatusCode::CREATED, || whole.head.status.to_string())?;
            fs::read(server.files().join(name)).map_err(|error| error.to_string())?
        }
    };
    ensure(arrived.len() == LARGE, || format!("{} bytes arrived", arrived.len()))?;
    Pattern::new().check(&arrived);
    ensure(client.pool.stats().opened == 1, || "more than one connection".to_owned())
}

/// The answer arrives whole although the upload does not, and the next request is served.
async fn early<C: Connector>(client: &Client<C>, (method, path): (&str, &str)) -> Outcome {
    for _ in 0..3 {
        let (upload, _) = Upload::new(4 * LARGE);
        let request = Request::builder().method(method).uri(path).body(upload);
        let whole = client.fetch(request.expect("a request")).await?;
        let refused = whole.head.status == StatusCode::PAYLOAD_TOO_LARGE;
        ensure(refused, || whole.head.status.to_string())?;
        is_hello(&client.fetch(get("/hello")).await?)?;
    }
    Ok(())
}

/// Whatever is asked while the server leaves its connections, none of it is lost.
async fn goaway<C: Connector>(client: &Client<C>, how: GoAway, server: &RealServer) -> Outcome {
    is_hello(&client.fetch(get("/hello")).await?)?;
    let over = Arc::<AtomicBool>::default();
    let mut clients: JoinSet<Outcome> = JoinSet::new();
    // No more GETs at once than may be sent again whatever the budget.
    for number in 0..6 {
        let (client, over) = (client.clone(), Arc::clone(&over));
        clients.spawn(async move {
            while !over.load(Ordering::SeqCst) {
                let method = if number % 2 == 0 { Method::GET } else { Method::POST };
                ask(&client, method).await?;
                // The server needs the processor as well.
                yield_now().await;
            }
            Ok(())
        });
    }
    match how {
        GoAway::Signal(signal) => server.signal(signal),
        GoAway::Path(path) => drop(client.fetch(get(path)).await?),
    }
    eventually("the connection is left", || client.pool.stats().closed_total() > 0).await;
    over.store(true, Ordering::SeqCst);
    clients.join_all().await.into_iter().collect::<Outcome>()?;
    let whole = loop {
        if let Some(whole) = ask(client, Method::GET).await? {
            break whole;
        }
    };
    is_hello(&whole)?;
    ensure(client.pool.stats().opened > 1, || "no other connection was opened".to_owned())
}

/// The answer of a server that may be restarting; none where no client could have one. Apache closes some connections
/// then, those too that it has just accepted, and what it had to say of their streams is lost with them: a request on a
/// fresh connection is not sent again, and a POST that was written is not either.
async fn ask<C: Connector>(client: &Client<C>, method: Method) -> Result<Option<Whole>, String> {
    let is_post = method == Method::POST;
    let request = Request::builder().method(method).uri("/hello").body(Full::<Bytes>::default());
    match client.pool.http(&client.address, request.expect("a request")).await {
        Ok(response) => Whole::read(response).await.map(Some).map_err(|error| error.to_string()),
        Err(error) if error.evidence().is_fresh() => Ok(None),
        Err(error) if is_post && !error.evidence().is_unprocessed() => Ok(None),
        Err(error) if matches!(error.kind(), ErrorKind::Connect | ErrorKind::BackingOff) => {
            Ok(None)
        }
        Err(error) => Err(error.to_string()),
    }
}

async fn restart<C: Connector>(client: &Client<C>, server: &mut RealServer) -> Outcome {
    is_hello(&client.fetch(get("/hello")).await?)?;
    let restarted: Pin<Box<dyn Future<Output = Outcome> + Send + '_>> = Box::pin(server.restart());
    restarted.await?;
    is_hello(&client.fetch(get("/hello")).await?)
}
