//! What several command lines have in common. They are macros, because the lines are put together as the program is compiled.

/// All that the published crates can do, but for the other kind of cryptography, which takes a minute to compile and
/// changes nothing that is ours.
macro_rules! features {
    () => {
        "pool-core/metrics,pool-core/tower,pool-core/tracing,pool-tcp/hickory,pool-tcp/hyper-rustls,\
         pool-tcp/hyper-util,pool-tcp/idna,pool-tcp/proxy,pool-tls/platform-verifier,pool-tls/ring,\
         pooled-fetch/hickory,pooled-fetch/hyper-rustls,pooled-fetch/hyper-util,pooled-fetch/idna,\
         pooled-fetch/metrics,pooled-fetch/platform-verifier,pooled-fetch/proxy,pooled-fetch/tls,pooled-fetch/tonic,\
         pooled-fetch/tower,pooled-fetch/tracing"
    };
}

/// The Rust that the crates are promised to work with, as `rust-version` of the workspace has it.
macro_rules! oldest {
    () => {
        "1.88.0"
    };
}

/// For what no stable toolchain can do. Of a certain date, because what rustdoc lists differs from one to the next.
macro_rules! nightly {
    () => {
        "nightly-2026-05-20"
    };
}

/// The crates that are published.
macro_rules! published {
    () => {
        "--package pool-core --package pool-tcp --package pool-tls --package pooled-fetch"
    };
}

pub(crate) use {features, nightly, oldest, published};

pub(crate) const FEATURES: &str = features!();
pub(crate) const NIGHTLY: &str = nightly!();
pub(crate) const OLDEST: &str = oldest!();

/// In the order in which they can be published.
pub(crate) const PUBLISHED: [&str; 4] = ["pool-core", "pool-tcp", "pool-tls", "pooled-fetch"];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str) -> String {
        let path = format!("{}/../{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    #[test]
    fn toolchains_and_features_are_the_same_wherever_they_are_named() {
        let manifest = read("Cargo.toml");
        let promised = manifest.lines().find_map(|line| line.strip_prefix("rust-version = "));
        let promised = promised.map(|version| format!("{}.0", version.trim_matches('"')));
        assert_eq!(promised.as_deref(), Some(OLDEST));
        assert!(read(".ci/run").contains(&format!("for toolchain in {OLDEST} {NIGHTLY}; do")));
        let api = read("tests/api/main.rs");
        assert!(api.contains(&format!("\"+{NIGHTLY}\"")));
        let in_one_line: String = api.split("\\\n").map(str::trim_start).collect();
        assert!(in_one_line.contains(&format!("\"{FEATURES}\"")), "{in_one_line}");
    }

    #[test]
    fn no_feature_is_left_out_but_the_other_cryptography() {
        for name in PUBLISHED {
            assert!(published!().contains(&format!("--package {name}")), "{name}");
            let manifest = read(&format!("{name}/Cargo.toml"));
            let (_, features) = manifest.split_once("\n[features]\n").expect("features");
            let features = features.split("\n\n").next().unwrap_or_default();
            for feature in features.lines().filter_map(|line| line.split_once(" = ")) {
                let feature = format!("{name}/{}", feature.0);
                let is_left_out = feature.ends_with("/default") || feature.ends_with("aws-lc-rs");
                let is_named = FEATURES.split(',').any(|named| named == feature);
                assert!(is_named != is_left_out, "{feature}");
            }
        }
    }
}
