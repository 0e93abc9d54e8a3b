//! Records of TLS that bring no content, and never end, take no thread.

use std::sync::Arc;
use std::thread;

use pool_core::Pool;
use pool_tcp::TcpConnector;
use pool_tls::TlsConnector;
use pooled_fetch_tests::{Authority, Probe, Valid, bounded, get, longest_turn};
use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::{
    ConnectionTrafficSecrets, ContentType, ExtractedSecrets, ProtocolVersion, ServerConfig,
    ServerConnection, SupportedCipherSuite,
};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio_rustls::TlsAcceptor;

use super::site;

/// Much more than one poll may read.
const ENOUGH: u64 = 4 * 1024 * 1024;

/// What a connection reads of records in one poll, in which it looks twice: two of the largest each time, and a buffer.
const ONE_POLL: u64 = 2 * (32 + 4) * 1024;

#[tokio::test]
async fn tickets_without_end_take_no_thread() {
    bounded(async {
        let authority = Authority::new();
        let mut config = authority.issue(&["site.test"], Valid::Now).server(&[], None);
        config.enable_secret_extraction = true;
        config.send_tls13_tickets = 0;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on the loopback");
        let peer = site(listener.local_addr().expect("a bound socket has an address"));
        let listener = listener.into_std().expect("a listener");
        let server = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                let (stream, _) = listener.accept().await.expect("a client");
                send_tickets(stream, config).await;
            });
        });
        let (connector, watch) = Probe::new(TcpConnector::new());
        let connector = TlsConnector::builder(connector).roots(authority.roots()).http2(false);
        let pool = Pool::new(connector.build().expect("a provider that can be used"));
        let client = async {
            tokio::select! {
                answer = pool.http(&peer, get("/")) => {
                    let _ = answer.expect_err("no answer");
                }
                () = async {
                    while watch.read() < ENOUGH {
                        tokio::task::yield_now().await;
                    }
                } => {}
            }
        };
        let ((), longest) = longest_turn(&watch, client).await;
        assert!(watch.read() >= ENOUGH, "{} read", watch.read());
        assert!(longest <= ONE_POLL, "{longest} bytes in one poll");
        server.join().expect("a server without complaints");
    })
    .await;
}

/// As many as its client takes.
async fn send_tickets(stream: TcpStream, config: ServerConfig) {
    let tls = TlsAcceptor::from(Arc::new(config)).accept(stream).await.expect("a handshake");
    let (mut stream, session) = tls.into_inner();
    let (mut number, mut encrypter) = encrypter(session);
    loop {
        let mut records = Vec::new();
        for _ in 0..1024 {
            let record = OutboundPlainMessage {
                typ: ContentType::Handshake,
                version: ProtocolVersion::TLSv1_3,
                payload: OutboundChunks::Single(&TICKET),
            };
            let record = encrypter.encrypt(record, number).expect("a record");
            records.extend(record.encode());
            number += 1;
        }
        if stream.write_all(&records).await.is_err() {
            return;
        }
    }
}

/// NewSessionTicket, RFC 8446 4.6.1: of no lifetime, with a nonce and a ticket of a byte, and no extensions.
const TICKET: [u8; 19] = [4, 0, 0, 15, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 1, 1, 0, 0];

/// What encrypts from here on, and the number of its next record.
fn encrypter(session: ServerConnection) -> (u64, Box<dyn MessageEncrypter>) {
    let Some(SupportedCipherSuite::Tls13(suite)) = session.negotiated_cipher_suite() else {
        panic!("a version of TLS before 1.3");
    };
    let ExtractedSecrets { tx: (number, secrets), .. } =
        session.dangerous_extract_secrets().expect("secrets that may be had");
    let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
    | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
    | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets
    else {
        panic!("a cipher that nobody knows");
    };
    (number, suite.aead_alg.encrypter(key, iv))
}
