//! The servers: how each is set up, and what it can show.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use pooled_fetch_tests::{Authority, Valid};

use crate::client::{NAME, Speaks};
use crate::real_server::{
    Directory, GoAway, Informational, Offers, RealServer, Uploads, find, free_addresses,
};

/// What all servers have: a certificate, and the files.
#[derive(Clone)]
pub(crate) struct Backing {
    pub(crate) authority: Arc<Authority>,
    pub(crate) pem: Arc<(String, String)>,
    pub(crate) large: Arc<Vec<u8>>,
}

impl Backing {
    pub(crate) fn new(large: Vec<u8>) -> Self {
        let authority = Authority::new();
        let pem = authority.issue(&[NAME], Valid::Now).pem();
        Self { authority: Arc::new(authority), pem: Arc::new(pem), large: Arc::new(large) }
    }
}

type Starting = Pin<Box<dyn Future<Output = Result<RealServer, String>> + Send>>;

/// The program that must be installed, and how it is started.
pub(crate) struct Server {
    pub(crate) program: &'static str,
    start: fn(Directory) -> Starting,
}

pub(crate) const ALL: [Server; 6] = [
    Server { program: "nginx", start: |directory| Box::pin(nginx(directory)) },
    Server { program: "haproxy", start: |directory| Box::pin(haproxy(directory)) },
    Server { program: "apache2", start: |directory| Box::pin(apache(directory)) },
    Server { program: "node", start: |directory| Box::pin(node(directory)) },
    Server { program: "nghttpd", start: |directory| Box::pin(nghttpd(directory)) },
    Server { program: "openssl", start: |directory| Box::pin(s_server(directory)) },
];

impl Server {
    /// Starts it; none if it is not installed.
    pub(crate) async fn start(&self, backing: Backing) -> Result<Option<RealServer>, String> {
        if find(self.program).is_none() {
            return Ok(None);
        }
        let mut why = String::new();
        // Another process may take a free port between our look and the server's bind.
        for _ in 0..3 {
            match (self.start)(Directory::new(backing.clone())).await {
                Ok(server) => return Ok(Some(server)),
                Err(error) => why = error,
            }
        }
        Err(why)
    }
}

const NO_GOAWAY: &str = "HTTP/1 knows no GOAWAY";

/// The three of nearly every server.
const PROTOCOLS: [Speaks; 3] = [Speaks::Http1Tls, Speaks::Http2Tls, Speaks::H2c];

/// What a server can show of GOAWAY, where its protocol knows it.
fn leaving(speaks: Speaks, how: GoAway) -> Result<GoAway, &'static str> {
    if speaks.is_shared() { Ok(how) } else { Err(NO_GOAWAY) }
}

async fn nginx(directory: Directory) -> Result<RealServer, String> {
    let listens = free_addresses::<3>();
    let [tls_http1, tls_http2, h2c] = listens;
    let place = directory.path().display().to_string();
    let configuration = directory.write(
        "nginx.conf",
        &format!(
            "daemon off;
            user root;
            pid {place}/pid;
            error_log stderr;
            events {{ worker_connections 1024; }}
            http {{
                access_log off;
                client_body_temp_path {place}/body;
                proxy_temp_path {place}/proxy;
                fastcgi_temp_path {place}/fastcgi;
                uwsgi_temp_path {place}/uwsgi;
                scgi_temp_path {place}/scgi;
                ssl_certificate {place}/certificate.pem;
                ssl_certificate_key {place}/key.pem;
                root {place}/files;
                client_max_body_size 0;
                dav_methods PUT;
                server {{
                    listen {tls_http1} ssl;
                    listen {tls_http2} ssl http2;
                    listen {h2c} http2;
                    listen unix:{place}/socket;
                    location = /trailers {{ alias {place}/files/hello; add_trailer checksum good; }}
                    location = /early {{ client_max_body_size 1k; }}
                }}
            }}"
        ),
    );
    let mut server = RealServer::new("nginx", directory);
    // Over a Unix socket the address is not used; nginx opens all of its sockets before it serves any.
    for (speaks, address) in PROTOCOLS.into_iter().zip(listens).chain([(Speaks::Unix, h2c)]) {
        let informational = if speaks.is_shared() {
            Err("nginx sends no 1xx over HTTP/2")
        } else {
            Ok(Informational::Expected("PUT", "/expected"))
        };
        let offers = Offers {
            unread: Ok(()),
            keeps_alive: true,
            trailers: Ok("/trailers"),
            informational,
            uploads: Ok(Uploads::Stored),
            early: Ok(("PUT", "/early")),
            goaway: leaving(speaks, GoAway::Signal("HUP")),
        };
        server.serves(speaks, address, offers);
    }
    let arguments = words(["-e", "stderr", "-p", &place, "-c", &configuration]);
    server.start("nginx", &arguments, &listens).await?;
    Ok(server)
}

/// What the site in Node can show; haproxy passes all of it on.
fn offers_of_node(goaway: Result<GoAway, &'static str>) -> Offers {
    Offers {
        unread: Ok(()),
        keeps_alive: true,
        trailers: Ok("/trailers"),
        informational: Ok(Informational::Hints("/hints")),
        uploads: Ok(Uploads::Echoed("/echo")),
        early: Ok(("POST", "/early")),
        goaway,
    }
}

/// Starts Node; it listens in the clear for HTTP/1, in the clear for HTTP/2, and over TLS for both.
async fn start_node(server: &mut RealServer, listens: [SocketAddr; 3]) -> Result<(), String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/node.js");
    let ports = listens.map(|address| address.port().to_string());
    let place = server.directory().display().to_string();
    let arguments = words([script, &ports[0], &ports[1], &ports[2], &place]);
    server.start("node", &arguments, &listens).await
}

async fn node(directory: Directory) -> Result<RealServer, String> {
    let mut server = RealServer::new("Node", directory);
    let listens = free_addresses::<3>();
    start_node(&mut server, listens).await?;
    let [_, h2c, tls] = listens;
    for (speaks, address) in PROTOCOLS.into_iter().zip([tls, tls, h2c]) {
        server.serves(speaks, address, offers_of_node(leaving(speaks, GoAway::Path("/goaway"))));
    }
    Ok(server)
}

async fn haproxy(directory: Directory) -> Result<RealServer, String> {
    let listens = free_addresses::<3>();
    let [tls_http1, tls_http2, h2c] = listens;
    let place = directory.path().display().to_string();
    let behind = free_addresses::<3>();
    let node = behind[0];
    let configuration = directory.write(
        "haproxy.cfg",
        &format!(
            "defaults
            mode http
            timeout connect 5s
            timeout client 30s
            timeout server 30s
        frontend all
            bind {tls_http1} ssl crt {place}/both.pem alpn http/1.1
            bind {tls_http2} ssl crt {place}/both.pem alpn h2,http/1.1
            bind {h2c} proto h2
            default_backend node
        backend node
            server node {node}
        "
        ),
    );
    let mut server = RealServer::new("haproxy", directory);
    // It comes first because signals are for the first; it may start before what is behind it.
    server.start("haproxy", &words(["-W", "-f", &configuration]), &listens).await?;
    start_node(&mut server, behind).await?;
    for (speaks, address) in PROTOCOLS.into_iter().zip(listens) {
        let offers = offers_of_node(leaving(speaks, GoAway::Signal("USR2")));
        // Its queue of streams to send stays as it is although its buffers are empty, in one run of five. A client of h2
        // alone, with the same windows, sees it as often; one with windows of 64 KiB never does.
        let unread = Err("haproxy 2.6 itself stops sending on a connection with large windows");
        server.serves(speaks, address, Offers { unread, ..offers });
    }
    Ok(server)
}

async fn apache(directory: Directory) -> Result<RealServer, String> {
    let listens = free_addresses::<3>();
    let [tls_http1, tls_http2, h2c] = listens;
    let place = directory.path().display().to_string();
    let modules = ["mpm_event", "authz_core", "ssl", "http2", "dav", "dav_fs", "mime"]
        .map(|name| format!("LoadModule {name}_module {MODULES}/mod_{name}.so\n"))
        .concat();
    let configuration = directory.write(
        "apache.conf",
        &format!(
            "ServerRoot {place}
            ServerName {NAME}
            PidFile {place}/pid
            DefaultRuntimeDir {place}
            ErrorLog {place}/output
            {modules}
            TypesConfig /dev/null
            User www-data
            Group www-data
            DocumentRoot {place}/files
            DavLockDB {place}/locks
            <Directory {place}/files>
                Require all granted
                Dav On
            </Directory>
            <Location /early>
                LimitRequestBody 1024
            </Location>
            MaxKeepAliveRequests 0
            Listen {tls_http1}
            Listen {tls_http2}
            Listen {h2c}
            SSLCertificateFile {place}/certificate.pem
            SSLCertificateKeyFile {place}/key.pem
            <VirtualHost {tls_http1}>
                SSLEngine on
                Protocols http/1.1
            </VirtualHost>
            <VirtualHost {tls_http2}>
                SSLEngine on
                Protocols h2 http/1.1
            </VirtualHost>
            <VirtualHost {h2c}>
                Protocols h2c http/1.1
                H2Direct on
            </VirtualHost>"
        ),
    );
    let mut server = RealServer::new("Apache", directory);
    for (speaks, address) in PROTOCOLS.into_iter().zip(listens) {
        let offers = Offers {
            unread: Ok(()),
            keeps_alive: true,
            trailers: Err("Apache sends none of its own"),
            informational: Ok(Informational::Expected("PUT", "/expected")),
            uploads: Ok(Uploads::Stored),
            early: Ok(("PUT", "/early")),
            goaway: leaving(speaks, GoAway::Signal("USR1")),
        };
        server.serves(speaks, address, offers);
    }
    let arguments = words(["-f", &configuration, "-DFOREGROUND"]);
    server.start("apache2", &arguments, &listens).await?;
    Ok(server)
}

const MODULES: &str = "/usr/lib/apache2/modules";

async fn nghttpd(directory: Directory) -> Result<RealServer, String> {
    let listens = free_addresses::<2>();
    let place = directory.path().display().to_string();
    let mut server = RealServer::new("nghttpd", directory);
    let (files, key) = (format!("{place}/files"), format!("{place}/key.pem"));
    let certificate = format!("{place}/certificate.pem");
    let common = ["-a", "127.0.0.1", "-d", &files, "--echo-upload", "--trailer", "checksum: good"];
    for (speaks, address) in [Speaks::Http2Tls, Speaks::H2c].into_iter().zip(listens) {
        let port = address.port().to_string();
        let arguments = match speaks {
            Speaks::H2c => words([&common[..], &["--no-tls", &port]].concat()),
            _ => words([&common[..], &[&port, &key, &certificate]].concat()),
        };
        server.start("nghttpd", &arguments, &[address]).await?;
        let offers = Offers {
            unread: Ok(()),
            keeps_alive: true,
            trailers: Ok("/hello"),
            informational: Ok(Informational::Expected("POST", "/hello")),
            uploads: Ok(Uploads::Echoed("/hello")),
            early: Err("nghttpd refuses no upload"),
            goaway: Err("nghttpd sends none while it runs"),
        };
        server.serves(speaks, address, offers);
    }
    Ok(server)
}

async fn s_server(directory: Directory) -> Result<RealServer, String> {
    let [address] = free_addresses::<1>();
    let place = directory.path().display().to_string();
    let mut server = RealServer::new("openssl s_server", directory);
    let (key, certificate) = (format!("{place}/key.pem"), format!("{place}/certificate.pem"));
    let accept = address.to_string();
    let arguments = words([
        "s_server",
        "-accept",
        &accept,
        "-cert",
        &certificate,
        "-key",
        &key,
        "-WWW",
        "-quiet",
    ]);
    server.start("openssl", &arguments, &[address]).await?;
    const FILES_ALONE: &str = "s_server serves files, and nothing else";
    let offers = Offers {
        unread: Ok(()),
        keeps_alive: false,
        trailers: Err(FILES_ALONE),
        informational: Err(FILES_ALONE),
        uploads: Err(FILES_ALONE),
        early: Err(FILES_ALONE),
        goaway: Err(NO_GOAWAY),
    };
    server.serves(Speaks::OnceTls, address, offers);
    Ok(server)
}

fn words<'w>(words: impl IntoIterator<Item = &'w str>) -> Vec<String> {
    words.into_iter().map(str::to_owned).collect()
}
