//! Settings that make no sense are refused, and what is unusual but makes sense is not.

use std::time::Duration;

use pool_core::{LeastRate, Pool};
use pooled_fetch_tests::{Backend, Endpoint, Probe, Settings};

#[tokio::test]
async fn settings_that_make_no_sense_are_refused_by_their_name() {
    type Set = fn(Settings) -> Settings;
    let build = async |set: Set| -> Option<String> {
        let Endpoint { connector, .. } = Backend::Memory.start().await;
        set(Pool::builder(Probe::new(connector).0)).build().err().map(|error| error.to_string())
    };
    let refused: &[(&str, Set)] = &[
        ("max_connections", |settings| settings.max_connections(0)),
        ("max_connections_per_address", |settings| settings.max_connections_per_address(0)),
        ("max_uses", |settings| settings.max_uses(0)),
        ("connect_timeout", |settings| settings.connect_timeout(Duration::ZERO)),
        ("max_response_fields", |settings| settings.max_response_fields(0)),
        ("max_response_fields", |settings| settings.max_response_fields(24_577)),
        ("total_timeout", |settings| settings.total_timeout(Duration::ZERO)),
        ("least_rate", |settings| settings.least_rate(LeastRate::new(1, Duration::ZERO))),
        ("max_idle", |settings| settings.max_connections(3).max_idle(4)),
        ("max_idle_per_address", |settings| {
            settings.max_connections_per_address(3).max_idle_per_address(4)
        }),
        ("lifetime_jitter", |settings| settings.lifetime_jitter(-0.1)),
        ("lifetime_jitter", |settings| settings.lifetime_jitter(1.1)),
        ("lifetime_jitter", |settings| settings.lifetime_jitter(f64::NAN)),
    ];
    for (name, set) in refused {
        let error = build(*set).await.expect(name);
        assert!(error.starts_with(&format!("building the pool: {name}: ")), "{error}");
    }
    let accepted: &[Set] = &[
        |settings| settings.max_connections(3).max_idle(3),
        |settings| settings.max_connections_per_address(3).max_idle_per_address(3),
        |settings| settings.max_connections(None).max_idle(0),
        |settings| settings.max_waiters_per_address(0),
        |settings| settings.lifetime_jitter(0.0),
        |settings| settings.total_timeout(Duration::MAX),
        |settings| settings.least_rate(LeastRate::new(0, Duration::MAX)),
        |settings| settings.lifetime_jitter(1.0),
        |settings| settings.checkout_timeout(Duration::ZERO).idle_timeout(Duration::ZERO),
        |settings| settings.checkout_timeout(Duration::MAX).idle_timeout(Duration::MAX),
    ];
    for set in accepted {
        assert_eq!(build(*set).await, None);
    }
}
