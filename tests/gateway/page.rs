//! The page, in a real browser, before real servers under load: it shows what the pool says, and moves by itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use pool_core::Pool;
use pool_tcp::TcpConnector;
use pooled_fetch_tests::{Nginx, bounded};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::browser::Browser;
use crate::process::Gateway;

/// Requests, one after the other in each of a few tasks.
struct Load {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<u64>,
}

impl Load {
    fn on(gateway: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::default());
        let pool = Pool::new(TcpConnector::new());
        let mut tasks = JoinSet::new();
        for _ in 0..4 {
            let (pool, stop) = (pool.clone(), Arc::clone(&stop));
            tasks.spawn(async move {
                let mut sent = 0;
                while !stop.load(Ordering::Relaxed) {
                    let request = Request::get("/hello").body(Empty::<Bytes>::new());
                    let response = pool.http(&gateway, request.expect("a request")).await;
                    let response = response.expect("an answer");
                    assert_eq!(response.status(), 200);
                    assert_eq!(
                        response.into_body().collect().await.expect("whole").to_bytes(),
                        "hello"
                    );
                    sent += 1;
                }
                sent
            });
        }
        Self { stop, tasks }
    }

    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await.into_iter().sum()
    }
}

/// The state of an upstream, as the page shows it, and its colour.
fn is(upstream: usize, word: &str) -> String {
    format!("document.querySelectorAll('article .state')[{upstream}]?.textContent === '{word}'")
}

#[tokio::test]
async fn the_page_shows_what_the_pool_says_while_upstreams_die_and_come_back() {
    bounded(async {
        let (mut one, other) = (Nginx::start().await, Nginx::start().await);
        let to = format!("{},{}", one.address(), other.address());
        let gateway = Gateway::start(&to, &[]).await;
        let page = format!("http://{}/", gateway.admin);
        let browser = Browser::show(&page, (1100, 760)).await;
        let load = Load::on(gateway.address);
        browser.until(&is(0, "up")).await;
        browser.until(&is(1, "up")).await;
        assert_eq!(browser.texts("h2").await.join(","), to);
        // The charts move.
        let line = "document.querySelector('article path.line').getAttribute('d')";
        let before = browser.run(&format!("return {line}")).await;
        browser.until(&format!("{line} !== {before} && {line}.length > 20")).await;
        let colour = "return getComputedStyle(document.querySelector('article .state')).color";
        let green = browser.run(colour).await;

        // No client notices: what finds no connection goes to the other.
        one.stop();
        browser.until(&is(0, "failing")).await;
        assert_ne!(browser.run(colour).await, green);
        assert_eq!(browser.texts(".state").await, ["failing", "up"]);
        assert_eq!(browser.run("return document.title").await, "(1) gateway");
        one.restart().await;
        browser.until(&is(0, "up")).await;
        assert_eq!(browser.run(colour).await, green);

        // At rest each number is that of the pool; a turn of the page later, at the latest.
        let sent = load.end().await;
        let shown = gateway.upstreams().await;
        let answered = |one: &Value| one["answers"][0][1].as_u64().unwrap_or(0);
        assert_eq!(shown.iter().map(answered).sum::<u64>(), sent, "each is counted once");
        for name in ["idle", "parked", "lent", "waiting", "opening", "opened", "requests"] {
            loop {
                let number = |text: &String| text.replace(',', "").parse().expect("a number");
                let texts = browser.texts(&format!("dd[data-k={name}]")).await;
                let texts: Vec<u64> = texts.iter().map(number).collect();
                let shown = gateway.upstreams().await;
                if shown.iter().map(|one| one[name].as_u64().expect("a number")).eq(texts) {
                    break;
                }
            }
        }
        browser.close().await;
    })
    .await;
}

/// What is wider than the screen has to be pushed about to be read.
#[tokio::test]
async fn the_page_fits_a_phone() {
    bounded(async {
        let nginx = Nginx::start().await;
        let long = format!("http://localhost:{}", nginx.address().port());
        let gateway = Gateway::start(format!("{},{long}", nginx.address()), &[]).await;
        let page = format!("http://{}/", gateway.admin);
        let browser = Browser::show(&page, (360, 740)).await;
        browser.until(&is(1, "up")).await;
        let widths = "return [innerWidth, document.documentElement.scrollWidth]";
        assert_eq!(browser.run(widths).await, json!([360, 360]));
        let columns = "return getComputedStyle(document.querySelector('main')).gridTemplateColumns";
        let columns = browser.run(columns).await;
        assert_eq!(columns.as_str().expect("a text").split(' ').count(), 1, "{columns}");
        browser.close().await;
    })
    .await;
}
