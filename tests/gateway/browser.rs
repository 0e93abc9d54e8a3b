//! A real Chromium without a window.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;

use fantoccini::{Client, ClientBuilder, Locator};
use pooled_fetch_tests::Directory;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::client::ask;

/// Shows one page. Ends with its drop.
pub(crate) struct Browser {
    // Chromium listens to it over a pipe, and ends when that does.
    driver: Child,
    address: SocketAddr,
    client: Client,
    // What Chromium leaves behind.
    _files: Directory,
}

impl Browser {
    /// Shows this page, on a screen of this size.
    pub(crate) async fn show(url: &str, (width, height): (u32, u32)) -> Self {
        let files = Directory::new();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("TMPDIR", files.path())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver (apt-get install chromium-driver)");
        let mut said = BufReader::new(driver.stdout.take().expect("a pipe")).lines();
        let port: u16 = loop {
            let line = said.next_line().await.expect("a pipe").expect("a word of chromedriver");
            if let Some((_, port)) = line.rsplit_once("successfully on port ") {
                break port.trim_end_matches('.').parse().expect("a port");
            }
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // Root has no sandbox, and a container hardly any shared memory.
        let arguments = json!([
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--hide-scrollbars",
            "--remote-debugging-pipe",
        ]);
        let screen = json!({ "width": width, "height": height, "pixelRatio": 1, "mobile": false });
        let emulation = json!({ "deviceMetrics": screen });
        let options = json!({
            "goog:chromeOptions": { "args": arguments, "mobileEmulation": emulation },
        });
        let Value::Object(options) = options else { unreachable!("it is one") };
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(options)
            .connect(&format!("http://{address}"))
            .await
            .expect("a session of Chromium");
        client.goto(url).await.expect("a page");
        Self { driver, address, client, _files: files }
    }

    /// The text of each element that a selector finds.
    pub(crate) async fn texts(&self, selector: &str) -> Vec<String> {
        let mut texts = Vec::new();
        for element in self.client.find_all(Locator::Css(selector)).await.expect("elements") {
            texts.push(element.text().await.expect("a text"));
        }
        texts
    }

    /// What a script returns.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.expect("a script without an error")
    }

    /// Asks until a script returns true.
    pub(crate) async fn until(&self, condition: &str) {
        while self.run(&format!("return {condition}")).await != true {}
    }

    pub(crate) async fn close(mut self) {
        self.client.close().await.expect("a session");
        // It waits for Chromium, and takes away what that has written.
        ask(self.address, "GET /shutdown HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
            .await;
        self.driver.wait().await.expect("a process");
    }
}
