//! Nobody waits for ever beside others who are served.

use pool_core::Builder;
use pooled_fetch_tests::{
    Backend, Lent, Service, answer, bounded, ends_at_rest, eventually, for_each_backend, get,
    poll_once, start_several, start_with,
};
use tokio::runtime;
use tokio::task::JoinSet;

for_each_backend! {
    a_busy_address_leaves_room_for_another,
    one_client_never_waits_beside_its_own_connection,
    a_runtime_that_stands_still_holds_up_nobody_else,
    a_runtime_that_stands_still_costs_nobody_their_connection,
}

async fn a_busy_address_leaves_room_for_another<B: Backend>() {
    let settings = |builder: Builder<_>| builder.max_connections(1);
    let (mut callers, servers) = start_several::<B>(2, settings).await;
    let _services: Vec<_> =
        servers.into_iter().map(|server| Service::start(server, |_| answer("served"))).collect();
    let mut busy = JoinSet::new();
    for _ in 0..2 {
        let caller = callers[0].clone();
        busy.spawn(async move {
            loop {
                caller.fetch(get("/busy")).await.expect("a response");
            }
        });
    }
    eventually("the address is busy", || callers[0].pool.stats().reused > 10).await;
    for _ in 0..20 {
        callers[1].fetch(get("/other")).await.expect("its turn comes");
    }
    busy.shutdown().await;
    let caller = callers.swap_remove(0);
    drop(callers);
    ends_at_rest(caller).await;
}

async fn one_client_never_waits_beside_its_own_connection<B: Backend>() {
    // Parked at every pass, and looked after whenever it stirs: both take it out of rest and lay it back.
    let (caller, server) = start_with::<B>(|settings| {
        settings
            .max_connections_per_address(1)
            .park_after(std::time::Duration::ZERO)
            .checkout_timeout(None)
    })
    .await;
    let _service = Service::start(server, |_| answer("served"));
    for _ in 0..500 {
        caller.fetch(get("/")).await.expect("a response");
        tokio::task::yield_now().await;
    }
    ends_at_rest(caller).await;
}

async fn a_runtime_that_stands_still_holds_up_nobody_else<B: Backend>() {
    let (caller, mut server) =
        start_with::<B>(|settings| settings.max_connections(1).checkout_timeout(None)).await;
    let lent = Lent::open(&caller, &mut server).await;
    // Nobody drives it after this.
    let still = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut waiting = Box::pin(caller.fetch(get("/still")));
    {
        let _there = still.enter();
        assert!(poll_once(waiting.as_mut()).is_pending());
    }
    drop(lent);
    let _service = Service::start(server, |_| answer("served"));
    for _ in 0..3 {
        bounded(caller.fetch(get("/here"))).await.expect("a response");
    }
    drop(waiting);
    still.shutdown_background();
    ends_at_rest(caller).await;
}

/// It is called as soon as there is room, and does not come. Others use the room, and what they lay to rest is
/// not closed for its sake time and again; but when it wakes up at last, it is served.
async fn a_runtime_that_stands_still_costs_nobody_their_connection<B: Backend>() {
    let limits: [fn(Builder<_>) -> Builder<_>; 2] = [
        |settings| settings.max_connections(1),
        |settings| settings.max_connections_per_address(1),
    ];
    for limit in limits {
        let (caller, mut server) =
            start_with::<B>(|settings| limit(settings).checkout_timeout(None)).await;
        let lent = Lent::open(&caller, &mut server).await;
        let still = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut waiting = Box::pin(caller.fetch(get("/still")));
        {
            let _there = still.enter();
            assert!(poll_once(waiting.as_mut()).is_pending());
        }
        drop(lent.come_home().await);
        let service = Service::start(server, |request| answer(request.target()));
        for _ in 0..5 {
            bounded(caller.fetch(get("/here"))).await.expect("a response");
        }
        let by: Vec<_> = service.served().into_iter().map(|(connection, _)| connection).collect();
        assert_eq!(by, [2; 5], "one connection served them all");

        let woken = std::thread::spawn(move || still.block_on(waiting));
        eventually("it ends", || woken.is_finished()).await;
        let whole = woken.join().expect("no panic").expect("a response");
        assert_eq!((whole.body.as_ref(), caller.watch.peak()), (b"/still".as_ref(), 1));
        drop(service);
        ends_at_rest(caller).await;
    }
}
