//! A runtime that lacks what a pool needs is told by one error, before anything is opened.

use pool_core::ErrorKind;
use pooled_fetch_tests::{
    Backend, Caller, EchoServer, answer, bounded, ends_idle, for_each_backend, get, start,
};
use tokio::runtime::Builder;
use tokio::task::spawn_blocking;

for_each_backend! {
    a_runtime_without_timers_is_an_error_before_anything_is_opened,
    a_runtime_without_an_io_driver_is_an_error_where_a_socket_is_needed,
    a_runtime_that_lacks_something_is_not_held_against_the_address,
}

/// What a request comes to in a runtime of its own.
async fn asked_in(caller: &Caller, runtime: &mut Builder) -> Result<(), pool_core::Error> {
    let (client, runtime) = (caller.fetch(get("/")), runtime.build().expect("a runtime"));
    let asked = spawn_blocking(move || runtime.block_on(bounded(client)).map(drop));
    asked.await.expect("no panic")
}

async fn a_runtime_without_timers_is_an_error_before_anything_is_opened(backend: Backend) {
    let (caller, server) = start(backend).await;
    let _service = EchoServer::start(server, |_| answer("served"));
    for runtime in [&mut Builder::new_current_thread(), &mut Builder::new_multi_thread()] {
        for _ in 0..2 {
            let error = asked_in(&caller, runtime.enable_io()).await.expect_err("no timers");
            assert_eq!(error.kind(), ErrorKind::NoRuntime, "{error}");
            let told = format!("{:?}: the tokio runtime has no timers", caller.address);
            assert!(error.to_string().contains(&told), "{error}");
        }
    }
    assert_eq!((caller.watch.held(), caller.watch.opened()), (0, 0));
    caller.fetch(get("/")).await.expect("a response in a runtime that has them");
    ends_idle(caller).await;
}

async fn a_runtime_without_an_io_driver_is_an_error_where_a_socket_is_needed(backend: Backend) {
    let (caller, server) = start(backend).await;
    let service = EchoServer::start(server, |_| answer("served"));
    for runtime in [&mut Builder::new_current_thread(), &mut Builder::new_multi_thread()] {
        let asked = asked_in(&caller, runtime.enable_time()).await;
        if backend == Backend::Memory {
            asked.expect("what needs no socket is served");
            continue;
        }
        let error = asked.expect_err("no I/O driver");
        assert_eq!(error.kind(), ErrorKind::NoRuntime, "{error}");
        for told in [&format!("{:?}: ", caller.address), "the tokio runtime has no I/O driver"] {
            assert!(error.to_string().contains(told), "{error}");
        }
        assert_eq!((caller.watch.opened(), service.served().len()), (0, 0));
    }
    caller.fetch(get("/")).await.expect("a response in a runtime that has one");
    drop(service);
    ends_idle(caller).await;
}

async fn a_runtime_that_lacks_something_is_not_held_against_the_address(backend: Backend) {
    let (caller, server) = start(backend).await;
    let _service = EchoServer::start(server, |_| answer("served"));
    for _ in 0..5 {
        let fails = asked_in(&caller, Builder::new_current_thread().enable_time()).await.is_err();
        assert_eq!(fails, backend != Backend::Memory);
    }
    assert_eq!(caller.pool.stats().backing_off, 0);
    ends_idle(caller).await;
}
