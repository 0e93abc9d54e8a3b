//! All that is public in each published crate, as a file for each, so that a change of it is seen in the diff of a commit.
//!
//! rustdoc lists the items, in a form that only nightly toolchains write and that differs between them: so it is one of a
//! certain date. `UPDATE_SNAPSHOTS=yes` writes the files anew.

use std::path::{Path, PathBuf};
use std::process::Command;

/// That of the matrix, with which our version of `public-api` agrees about the form.
const NIGHTLY: &str = "+nightly-2026-05-20";

/// All but the other kind of cryptography, as in the matrix.
const FEATURES: &str = "pool-core/metrics,pool-core/tower,pool-core/tracing,pool-tcp/hickory,pool-tcp/hyper-rustls,\
                        pool-tcp/hyper-util,pool-tcp/idna,pool-tcp/proxy,pool-tls/platform-verifier,pool-tls/ring,\
                        pooled-fetch/hickory,pooled-fetch/hyper-rustls,pooled-fetch/hyper-util,pooled-fetch/idna,\
                        pooled-fetch/metrics,pooled-fetch/platform-verifier,pooled-fetch/proxy,pooled-fetch/tls,pooled-fetch/tonic,\
                        pooled-fetch/tower,pooled-fetch/tracing";

const PUBLISHED: [&str; 4] = ["pool-core", "pool-tcp", "pool-tls", "pooled-fetch"];

#[test]
fn what_is_public_is_what_the_files_say() {
    let lists = lists();
    for name in PUBLISHED {
        let list = lists.join(name.replace('-', "_")).with_extension("json");
        let api = public_api::Builder::from_rustdoc_json(&list)
            // What every type has, or has by what it is made of.
            .omit_blanket_impls(true)
            .omit_auto_trait_impls(true)
            .build()
            .unwrap_or_else(|error| panic!("reading {}: {error}", list.display()));
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(name).with_extension("txt");
        snapshot_testing::assert_eq_or_update(with_public_paths(&api.to_string()), file);
    }
}

/// rustdoc names what another crate has by the file that it stands in there, which is private. All that is public in ours
/// stands at the root, or in a module that `pool-core` alone names.
fn with_public_paths(list: &str) -> String {
    let mut public = list.to_owned();
    for name in PUBLISHED.map(|name| name.replace('-', "_")) {
        if list.starts_with(&format!("pub mod {name}\n")) {
            continue;
        }
        let root = format!("{name}::");
        let mut parts = public.split(root.as_str());
        let mut shorter = parts.next().unwrap_or_default().to_owned();
        for mut part in parts {
            while let Some((module, rest)) = part.split_once("::")
                && module.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            {
                part = rest;
            }
            shorter += &root;
            shorter += part;
        }
        public = shorter;
    }
    public
}

/// Has rustdoc write the lists, and says where they are.
fn lists() -> PathBuf {
    let mut cargo = Command::new("cargo");
    cargo.args([NIGHTLY, "doc", "--quiet", "--no-deps", "--features", FEATURES]);
    for name in PUBLISHED {
        cargo.args(["--package", name]);
    }
    cargo.env("RUSTDOCFLAGS", "-Z unstable-options --output-format json");
    // Of the toolchain that runs this test.
    cargo.env_remove("CARGO").env_remove("RUSTC").env_remove("RUSTDOC");
    let status = cargo.status().expect("cargo");
    assert!(status.success(), "rustdoc has listed nothing: {status}");
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("doc")
}
