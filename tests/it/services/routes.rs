//! A service for any address sends each request where it says, and a request to one address can be spawned.

use bytes::Bytes;
use pool_core::{Connector, ErrorKind, PoolService, To};
use pooled_fetch_tests::{
    Backend, EchoServer, Whole, answer, bounded, ends_idle, get, start, start_many_addresses,
};
use tokio::task::JoinSet;
use tower::Service;

use super::{Get, ready};

fn to<A: Clone + Send + Sync + 'static>(address: &A) -> Get {
    let mut request = get("/");
    request.extensions_mut().insert(To(address.clone()));
    request
}

async fn told<C: Connector>(
    service: &mut PoolService<C>,
    request: Get,
) -> Result<Bytes, pool_core::Error> {
    let response = ready(service).await?.call(request).await?;
    Ok(Whole::read(response).await?.body)
}

#[tokio::test]
async fn a_request_goes_where_its_extension_says_else_where_the_closure_says() {
    bounded(async {
        let (callers, servers) =
            start_many_addresses(Backend::Memory, 3, |settings| settings).await;
        let _services: Vec<_> = (0..3)
            .zip(servers)
            .map(|(number, server)| EchoServer::start(server, move |_| answer(number.to_string())))
            .collect();
        let at = |number: usize| callers[number].address.clone();
        let mut named = callers[0].pool.service();
        assert_eq!(told(&mut named, to(&at(2))).await.expect("an answer"), "2");
        let chosen = at(1);
        let mut by_path = callers[0]
            .pool
            .service()
            .by(move |head| (head.uri.path() == "/").then(|| chosen.clone()));
        assert_eq!(told(&mut by_path, get("/")).await.expect("an answer"), "1");
        // What the request itself says wins.
        assert_eq!(told(&mut by_path.clone(), to(&at(0))).await.expect("an answer"), "0");
        // A bare address is not meant for the pool.
        let mut bare = get("/elsewhere");
        bare.extensions_mut().insert(at(2));
        for service in [&mut named, &mut by_path] {
            let error = told(service, bare.clone()).await.expect_err("no address");
            assert_eq!(error.kind(), ErrorKind::InvalidRequest);
            assert!(error.to_string().contains("no address"), "{error}");
            let back = error.into_request().expect("nothing was sent");
            assert_eq!(back.uri().path(), "/elsewhere");
        }
        assert_eq!(callers[0].watch.opened(), 3);
        let failed = callers[0].pool.stats().failed(ErrorKind::InvalidRequest);
        assert_eq!(failed, 2, "they are counted as others are");
    })
    .await;
}

#[tokio::test]
async fn requests_can_be_spawned_without_a_borrow() {
    bounded(async {
        let (caller, server) = start(Backend::Memory).await;
        let _service = EchoServer::start(server, |request| answer(request.target()));
        let mut set = JoinSet::new();
        for number in 0..10 {
            set.spawn(caller.pool.to(caller.address.clone()).http(get(&format!("/{number}"))));
        }
        while let Some(response) = set.join_next().await {
            let whole = Whole::read(response.expect("no panic").expect("a response")).await;
            assert!(whole.expect("all of it").body.starts_with(b"/"));
        }
        ends_idle(caller).await;
    })
    .await;
}
