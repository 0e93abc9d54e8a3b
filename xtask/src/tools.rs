//! What the rows of the matrix need besides Rust, a C compiler and git, and how a machine gets it.

use crate::sh::CommandLine;
use crate::words::{nightly, oldest};

/// Something that a machine with only Rust, a C compiler and git may lack.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    probe: &'static str,
    pub(crate) install: &'static str,
    /// It comes from where Rust itself comes from, which a machine that has Rust need not reach: that a row lacks it is then no
    /// fault of the change.
    pub(crate) is_toolchain: bool,
}

impl Tool {
    pub(crate) fn is_installed(&self) -> bool {
        CommandLine::from(self.probe).succeeds_quietly()
    }
}

pub(crate) const RUSTFMT: Tool = Tool {
    name: "rustfmt",
    probe: "cargo fmt --version",
    install: "rustup component add rustfmt",
    is_toolchain: false,
};
pub(crate) const CLIPPY: Tool = Tool {
    name: "clippy",
    probe: "cargo clippy --version",
    install: "rustup component add clippy",
    is_toolchain: false,
};
pub(crate) const RUST_OLDEST: Tool = Tool {
    name: "the oldest Rust",
    probe: concat!("cargo +", oldest!(), " --version"),
    install: concat!("rustup toolchain install --profile minimal ", oldest!()),
    is_toolchain: true,
};
pub(crate) const RUST_NIGHTLY: Tool = Tool {
    name: "a nightly Rust",
    probe: concat!("cargo +", nightly!(), " --version"),
    install: concat!("rustup toolchain install --profile minimal ", nightly!()),
    is_toolchain: true,
};
// An empty crate: it compiles where the standard library is there.
pub(crate) const FOR_WINDOWS: Tool = Tool {
    name: "the standard library for Windows",
    probe: "rustc --target x86_64-pc-windows-gnu --crate-type lib --emit dep-info=- -",
    install: "rustup target add x86_64-pc-windows-gnu",
    is_toolchain: true,
};
pub(crate) const FOR_MACOS: Tool = Tool {
    name: "the standard library for macOS",
    probe: "rustc --target aarch64-apple-darwin --crate-type lib --emit dep-info=- -",
    install: "rustup target add aarch64-apple-darwin",
    is_toolchain: true,
};
pub(crate) const HACK: Tool = Tool {
    name: "cargo-hack",
    probe: "cargo hack --version",
    install: "cargo install --locked cargo-hack",
    is_toolchain: false,
};
pub(crate) const SORT: Tool = Tool {
    name: "cargo-sort",
    probe: "cargo sort --version",
    install: "cargo install --locked cargo-sort",
    is_toolchain: false,
};
pub(crate) const DENY: Tool = Tool {
    name: "cargo-deny",
    probe: "cargo deny --version",
    install: "cargo install --locked cargo-deny",
    is_toolchain: false,
};
pub(crate) const NGINX: Tool = Tool {
    name: "nginx",
    probe: "nginx -v",
    install: "apt-get install nginx-light",
    is_toolchain: false,
};
pub(crate) const HAPROXY: Tool = Tool {
    name: "haproxy",
    probe: "haproxy -v",
    install: "apt-get install haproxy",
    is_toolchain: false,
};
pub(crate) const APACHE: Tool = Tool {
    name: "apache2",
    probe: "apache2 -v",
    install: "apt-get install apache2-bin",
    is_toolchain: false,
};
pub(crate) const NODE: Tool = Tool {
    name: "node",
    probe: "node --version",
    install: "apt-get install nodejs",
    is_toolchain: false,
};
pub(crate) const NGHTTPD: Tool = Tool {
    name: "nghttpd",
    probe: "nghttpd --version",
    install: "apt-get install nghttp2-server",
    is_toolchain: false,
};
pub(crate) const OPENSSL: Tool = Tool {
    name: "openssl",
    probe: "openssl version",
    install: "apt-get install openssl",
    is_toolchain: false,
};
pub(crate) const DNSMASQ: Tool = Tool {
    name: "dnsmasq",
    probe: "dnsmasq --version",
    install: "apt-get install dnsmasq-base",
    is_toolchain: false,
};
pub(crate) const TINYPROXY: Tool = Tool {
    name: "tinyproxy",
    probe: "tinyproxy -v",
    install: "apt-get install tinyproxy-bin",
    is_toolchain: false,
};
// It has no option that only tells of it.
pub(crate) const MICROSOCKS: Tool = Tool {
    name: "microsocks",
    probe: "which microsocks",
    install: "apt-get install microsocks",
    is_toolchain: false,
};
pub(crate) const CHROMIUM: Tool = Tool {
    name: "chromium",
    probe: "chromium --version",
    install: "apt-get install chromium",
    is_toolchain: false,
};
pub(crate) const CHROMEDRIVER: Tool = Tool {
    name: "chromedriver",
    probe: "chromedriver --version",
    install: "apt-get install chromium-driver",
    is_toolchain: false,
};
pub(crate) const VALGRIND: Tool = Tool {
    name: "valgrind",
    probe: "valgrind --version",
    install: "apt-get install valgrind",
    is_toolchain: false,
};
