//! An error of the path tells at once.

use std::io;

use pool_core::{Reason, Reuse, reuse};
use pooled_fetch_tests::{Backend, eventually, for_each_backend, get, post, settle};

use super::World;

for_each_backend! {
    an_error_of_the_path_closes_what_had_been_idle_as_long_and_leaves_what_is_younger,
    an_error_after_bytes_were_read_says_nothing_of_the_path,
    an_end_in_order_says_nothing_of_the_path,
}

async fn an_error_of_the_path_closes_what_had_been_idle_as_long_and_leaves_what_is_younger(
    backend: Backend,
) {
    for (idle, kind) in [
        (20, io::ErrorKind::ConnectionReset),
        (3, io::ErrorKind::TimedOut),
        (4, io::ErrorKind::HostUnreachable),
    ] {
        let world = World::new(backend, |settings| settings).await;
        world.rest(idle).await;
        world.path.forget();
        let waits = tokio::spawn(world.fetch(get("/waits")));
        let newest_is_lent = || world.pool.stats().leased == 1;
        eventually("it goes over the newest", newest_is_lent).await;
        // What another request opens meanwhile, and leaves idle, is younger.
        let mut fresh = get("/fresh");
        reuse(&mut fresh, Reuse::Never);
        world.fetch(fresh).await.expect("a fresh connection");
        settle().await;
        world.path.fail(idle, kind);
        assert_eq!(waits.await.expect("no panic").expect("it went on").body, "/waits");
        eventually("the others close", || world.closed(Reason::SiblingFailed) == idle - 1).await;
        assert_eq!((world.path.opened(), world.idle()), (idle + 2, 2), "{kind:?}");
        assert_eq!(world.at_once([post("/", "one"), post("/", "two")]).await, 0);
        assert_eq!(world.path.opened(), idle + 2, "what is younger was lent");
        assert!(!world.site.served().is_empty());
    }
}

async fn an_error_after_bytes_were_read_says_nothing_of_the_path(backend: Backend) {
    let world = World::new(backend, |settings| settings).await;
    world.rest(3).await;
    let before = world.path.read();
    let waits = tokio::spawn(world.fetch(get("/half")));
    eventually("half of a head is read", || world.path.read() > before).await;
    world.path.fail(3, io::ErrorKind::ConnectionReset);
    let error = waits.await.expect("no panic").expect_err("it was cut off");
    assert!(error.evidence().bytes_read() > 0);
    assert_eq!(world.at_once([post("/", "one"), post("/", "two")]).await, 0);
    assert_eq!((world.path.opened(), world.closed(Reason::SiblingFailed)), (3, 0));
}

async fn an_end_in_order_says_nothing_of_the_path(backend: Backend) {
    let world = World::new(backend, |settings| settings).await;
    world.rest(3).await;
    drop(world.site);
    let stats = || world.pool.stats();
    eventually("all ends", || stats().idle == 0).await;
    assert_eq!(
        (stats().closed(Reason::SiblingFailed), stats().closed(Reason::ClosedByPeer)),
        (0, 3)
    );
}
