//! Certificates as the operating system judges them.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use pool_core::Pool;
use pool_tcp::TcpConnector;
use pool_tls::TlsConnector;
use pooled_fetch_tests::{Authority, Directory, Server, answer, bounded, tls_endpoint};
use tokio::process::Command;

use super::{fetch, site};

/// Names the file of roots for the process in which the environment is as this test needs it.
const IN_CHILD: &str = "POOLED_FETCH_ROOTS";

async fn trust_the_roots_of_the_system(file: &Path) {
    let (known, unknown) = (Authority::new(), Authority::new());
    fs::write(file, known.pem()).expect("a file of our own");
    let builder = TlsConnector::builder(TcpConnector::new());
    let builder = builder.platform_verifier().expect("a system with a root");
    let pool = Pool::new(builder.build().expect("a provider that can be used"));

    let (address, acceptor) = tls_endpoint(known.server(&["site.test"], &["http/1.1"])).await;
    let mut server = Server::new(acceptor);
    let (_, _, whole) = server.open(fetch(&pool, &site(address)), answer("known")).await;
    assert_eq!(whole.body, "known");

    let (address, _acceptor) = tls_endpoint(unknown.server(&["site.test"], &["http/1.1"])).await;
    let error = fetch(&pool, &site(address)).await.expect_err("a root that nobody trusts");
    assert!(error.to_string().ends_with("invalid peer certificate: UnknownIssuer"), "{error}");
}

/// The environment of this process is shared with other tests, and cannot be changed without unsafe code; so the
/// test runs itself once more.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_operating_system_decides_which_certificates_are_good_where_it_is_asked() {
    bounded(async {
        if let Some(file) = std::env::var_os(IN_CHILD) {
            return trust_the_roots_of_the_system(Path::new(&file)).await;
        }
        let directory = Directory::new();
        let file = directory.path().join("roots.pem");
        let child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", std::thread::current().name().expect("the name of this test")])
            .env("SSL_CERT_FILE", &file)
            .env_remove("SSL_CERT_DIR")
            .env(IN_CHILD, &file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .status();
        assert!(child.await.expect("it can be run").success());
        assert!(file.exists(), "the other process has run this test");
    })
    .await;
}
