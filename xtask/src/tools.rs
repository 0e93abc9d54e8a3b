//! What the rows of the matrix need besides Rust, a C compiler and git, and how a machine gets it.

use crate::sh::CommandLine;
use crate::words::{nightly, oldest};

/// Something that a machine with only Rust, a C compiler and git may lack.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    probe: &'static str,
    pub(crate) install: &'static str,
}

impl Tool {
    pub(crate) fn is_installed(&self) -> bool {
        CommandLine::from(self.probe).succeeds_quietly()
    }
}

pub(crate) const RUSTFMT: Tool =
    Tool { name: "rustfmt", probe: "cargo fmt --version", install: "rustup component add rustfmt" };
pub(crate) const CLIPPY: Tool = Tool {
    name: "clippy",
    probe: "cargo clippy --version",
    install: "rustup component add clippy",
};
pub(crate) const RUST_OLDEST: Tool = Tool {
    name: "the oldest Rust",
    probe: concat!("cargo +", oldest!(), " --version"),
    install: concat!("rustup toolchain install --profile minimal ", oldest!()),
};
pub(crate) const RUST_NIGHTLY: Tool = Tool {
    name: "a nightly Rust",
    probe: concat!("cargo +", nightly!(), " --version"),
    install: concat!("rustup toolchain install --profile minimal ", nightly!()),
};
// An empty crate: it compiles where the standard library is there.
pub(crate) const FOR_WINDOWS: Tool = Tool {
    name: "the standard library for Windows",
    probe: "rustc --target x86_64-pc-windows-gnu --crate-type lib --emit dep-info=- -",
    install: "rustup target add x86_64-pc-windows-gnu",
};
pub(crate) const FOR_MACOS: Tool = Tool {
    name: "the standard library for macOS",
    probe: "rustc --target aarch64-apple-darwin --crate-type lib --emit dep-info=- -",
    install: "rustup target add aarch64-apple-darwin",
};
pub(crate) const HACK: Tool = Tool {
    name: "cargo-hack",
    probe: "cargo hack --version",
    install: "cargo install --locked cargo-hack",
};
pub(crate) const SORT: Tool = Tool {
    name: "cargo-sort",
    probe: "cargo sort --version",
    install: "cargo install --locked cargo-sort",
};
pub(crate) const DENY: Tool = Tool {
    name: "cargo-deny",
    probe: "cargo deny --version",
    install: "cargo install --locked cargo-deny",
};
pub(crate) const NGINX: Tool =
    Tool { name: "nginx", probe: "nginx -v", install: "apt-get install nginx-light" };
pub(crate) const HAPROXY: Tool =
    Tool { name: "haproxy", probe: "haproxy -v", install: "apt-get install haproxy" };
pub(crate) const APACHE: Tool =
    Tool { name: "apache2", probe: "apache2 -v", install: "apt-get install apache2-bin" };
pub(crate) const NODE: Tool =
    Tool { name: "node", probe: "node --version", install: "apt-get install nodejs" };
pub(crate) const NGHTTPD: Tool =
    Tool { name: "nghttpd", probe: "nghttpd --version", install: "apt-get install nghttp2-server" };
pub(crate) const OPENSSL: Tool =
    Tool { name: "openssl", probe: "openssl version", install: "apt-get install openssl" };
pub(crate) const DNSMASQ: Tool =
    Tool { name: "dnsmasq", probe: "dnsmasq --version", install: "apt-get install dnsmasq-base" };
pub(crate) const TINYPROXY: Tool =
    Tool { name: "tinyproxy", probe: "tinyproxy -v", install: "apt-get install tinyproxy-bin" };
// It has no option that only tells of it.
pub(crate) const MICROSOCKS: Tool =
    Tool { name: "microsocks", probe: "which microsocks", install: "apt-get install microsocks" };
pub(crate) const CHROMIUM: Tool =
    Tool { name: "chromium", probe: "chromium --version", install: "apt-get install chromium" };
pub(crate) const CHROMEDRIVER: Tool = Tool {
    name: "chromedriver",
    probe: "chromedriver --version",
    install: "apt-get install chromium-driver",
};
pub(crate) const VALGRIND: Tool =
    Tool { name: "valgrind", probe: "valgrind --version", install: "apt-get install valgrind" };
