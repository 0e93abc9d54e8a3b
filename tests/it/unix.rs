//! What only Unix sockets show.

use std::os::unix::net::UnixListener;
use std::time::Duration;

use pool_core::Pool;
use pool_tcp::{UnixAddress, UnixConnector};
use pooled_fetch_tests::{Backend, Directory, Whole, answer, bounded, ends_idle, get, start};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

#[tokio::test]
async fn a_request_over_a_unix_socket_is_for_localhost_unless_it_says_otherwise() {
    bounded(async {
        let (caller, mut server) = start(Backend::Unix).await;
        let (mut connection, received, response) =
            server.open(caller.fetch(get("/")), answer("")).await;
        assert_eq!(received.header("host"), Some("localhost"));
        assert_eq!(response.body, "");
        let named = caller.fetch(get("http://app.test/"));
        let (received, _) = server.reuse(&mut connection, named, answer("")).await;
        assert_eq!(received.header("host"), Some("app.test"));
        ends_idle(caller).await;
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_of_an_abstract_name_is_fetched_from() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;

    bounded(async {
        let name = format!("pooled-fetch-{}", std::process::id());
        let listens = SocketAddr::from_abstract_name(&name).expect("a short name");
        let listener = UnixListener::bind_addr(&listens).expect("a name of our own");
        listener.set_nonblocking(true).expect("a socket");
        let listener = tokio::net::UnixListener::from_std(listener).expect("a runtime");
        let server = async {
            let (mut connection, _) = listener.accept().await.expect("a client");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                assert!(connection.read_buf(&mut head).await.expect("a request") > 0);
            }
            connection.write_all(&answer("abstract")).await.expect("a client that listens");
        };
        let pool = Pool::new(UnixConnector::new());
        let address = UnixAddress::from_abstract_name(&name);
        let (response, ()) = tokio::join!(pool.http(&address, get("/")), server);
        let whole = Whole::read(response.expect("a response")).await.expect("a body");
        assert_eq!(whole.body, "abstract");
    })
    .await;
}

#[tokio::test]
async fn errors_of_unix_sockets_name_the_path_and_say_what_is_wrong() {
    bounded(async {
        let pool = Pool::new(UnixConnector::new());
        let long = format!("/{}", "x".repeat(199));
        for (path, why) in [
            ("/no/such/socket", "there is no socket: entity not found".to_owned()),
            (&*long, "no address of 200 bytes: path must be shorter than SUN_LEN".to_owned()),
        ] {
            let error = pool.http(&path.into(), get("/")).await.expect_err("no server");
            assert_eq!(error.to_string(), format!("connecting to unix:{path}: {why}"));
        }
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn a_full_backlog_is_waited_for() {
    bounded(async {
        let directory = Directory::new();
        let path = directory.path().join("socket");
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
        socket.bind(&SockAddr::unix(&path).expect("a short path")).expect("a path of our own");
        // Linux takes one more.
        socket.listen(0).expect("a bound socket");
        let (pool, address) = (Pool::new(UnixConnector::new()), UnixAddress::new(&path));
        pool.warm(&address, 1).await.expect("the backlog takes one");

        let mut second = Box::pin(pool.warm(&address, 2));
        let soon = timeout(Duration::from_secs(1), &mut second).await;
        soon.expect_err("no room for another");
        drop(socket.accept().expect("the first"));
        second.await.expect("room for the second");
    })
    .await;
}
