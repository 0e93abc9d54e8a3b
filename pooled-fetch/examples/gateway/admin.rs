//! The page, the figures behind it, the same for Prometheus, and whether the gateway is well.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use super::metrics;
use super::samples::{Samples, State};
use super::verdict::answer;

/// One file, which loads nothing.
const PAGE: &str = include_str!("page.html");

/// So that nothing that found its way into a name could run, or call home.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Serves for as long as the process runs, so that its end can be watched too.
pub(crate) async fn serve(listener: TcpListener, samples: Arc<Samples>, stopping: Arc<AtomicBool>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let (samples, stopping) = (Arc::clone(&samples), Arc::clone(&stopping));
        let service = service_fn(move |request: Request<Incoming>| {
            let response = route(&request, &samples, stopping.load(Ordering::Relaxed));
            async move { Ok::<_, Infallible>(response) }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(served);
    }
}

fn route(request: &Request<Incoming>, samples: &Samples, stopping: bool) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return answer(StatusCode::METHOD_NOT_ALLOWED);
    }
    match request.uri().path() {
        "/" => content("text/html; charset=utf-8", PAGE.into()),
        "/state" => match serde_json::to_vec(&samples.show()) {
            Ok(text) => content("application/json", text.into()),
            Err(_) => answer(StatusCode::INTERNAL_SERVER_ERROR),
        },
        "/metrics" => match metrics::text(samples.show()) {
            Ok(text) => content(metrics::CONTENT_TYPE, text.into()),
            Err(_) => answer(StatusCode::INTERNAL_SERVER_ERROR),
        },
        // Where a balancer asks, it is to go elsewhere before the port closes.
        "/healthy" => {
            let all_fail = samples.show().upstreams.iter().all(|one| one.state == State::Failing);
            answer(if stopping || all_fail {
                StatusCode::SERVICE_UNAVAILABLE
            } else {
                StatusCode::OK
            })
        }
        _ => answer(StatusCode::NOT_FOUND),
    }
}

fn content(kind: &'static str, content: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(content));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}
