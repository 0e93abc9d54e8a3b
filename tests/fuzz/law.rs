//! What must hold whatever comes, over both versions.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use arbitrary::Arbitrary;
use arbtest::arbtest;
use bytes::Bytes;
use http::response::Parts;
use http_body_util::{BodyExt, Full};
use pool_core::{Builder, Error, Pool};
use pooled_fetch_tests::let_pass;
use tokio::runtime;
use tokio::task::yield_now;

use crate::HEAP;
use crate::changes::Reader;
use crate::server::{Script, Server};

/// Bytes from here on, up to [`MARKS_END`], are in no answer but as the mark of the answer that they belong to.
const MARKS: u8 = 0xe0;
const MARKS_END: u8 = MARKS + COUNT;
/// How many answers can be told apart.
const COUNT: u8 = 16;
/// A poll of a caller reads no more: a turn, and one buffer of hyper's at its largest.
const MOST_READ: usize = 128 * 1024 + 408 * 1024;
/// No conversation takes more memory.
const MOST_HEAP: usize = 16 * 1024 * 1024;
const TIME: Duration = Duration::from_secs(2);
/// Random bytes that one input is made of.
const LEAST: u32 = 256;
const MOST: u32 = 1024;

/// How long random inputs are tried, unless `ARBTEST_BUDGET_MS` says so.
const BUDGET: Duration = Duration::from_secs(5);

/// Runs a property over random inputs, and says over how many.
pub(super) fn executions<T: for<'a> Arbitrary<'a>>(property: impl Fn(T)) {
    let mut count = 0_u64;
    let budget = match std::env::var_os("ARBTEST_BUDGET_MS") {
        Some(_) => None,
        None => Some(BUDGET),
    };
    let test = arbtest(|random| {
        property(random.arbitrary()?);
        count += 1;
        Ok(())
    });
    // Fewer bytes would run out in the middle of most inputs, and the rest of them would be zeros.
    let test = test.size_min(LEAST).size_max(MOST);
    match budget {
        Some(budget) => test.budget(budget).run(),
        None => test.run(),
    }
    println!("{count} executions");
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Fate {
    Failed,
    /// The body was not read to its end, or did not come to it.
    Partly(Parts, Vec<u8>),
    Whole(Parts, Vec<u8>),
}

impl Fate {
    fn bytes(&self) -> impl Iterator<Item = u8> {
        let (head, body) = match self {
            Self::Failed => (None, None),
            Self::Partly(head, body) | Self::Whole(head, body) => (Some(head), Some(body)),
        };
        let fields = head.into_iter().flat_map(|head| head.headers.values());
        let fields = fields.flat_map(|value| value.as_bytes().iter().copied());
        fields.chain(body.into_iter().flatten().copied())
    }

    /// The answers of which this response has bytes, each once.
    pub(super) fn marks(&self) -> Vec<u8> {
        let mut marks: Vec<u8> = self.bytes().filter_map(mark_of).collect();
        marks.sort_unstable();
        marks.dedup();
        marks
    }
}

fn mark_of(byte: u8) -> Option<u8> {
    (MARKS..MARKS_END).contains(&byte).then(|| byte - MARKS)
}

/// Makes every byte that could be a mark the mark of this answer.
pub(super) fn mark(bytes: &mut [u8], answer: usize) {
    let mark = MARKS + u8::try_from(answer % usize::from(COUNT)).expect("less than the count");
    for byte in bytes {
        if (MARKS..=MARKS_END).contains(byte) {
            *byte = mark;
        }
    }
}

/// A pool over the server, which gives up soon.
pub(super) fn pool<S: Script>(
    server: &Server<S>,
    set: impl FnOnce(Builder<Server<S>>) -> Builder<Server<S>>,
) -> Pool<Server<S>> {
    let settings = Pool::builder(server.clone()).response_timeout(TIME).body_timeout(TIME);
    set(settings).build().expect("settings that make sense")
}

/// Lets callers have their way, and looks at what is left when they had it.
pub(super) fn holds<S: Script, T>(
    server: &Server<S>,
    make_pool: impl FnOnce() -> Pool<Server<S>>,
    calls: impl AsyncFnOnce(&Pool<Server<S>>) -> T,
) -> T {
    HEAP.reset_peak_usage();
    let before = HEAP.current_usage();
    let runtime = runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let result = runtime.expect("a runtime").block_on(async {
        let pool = make_pool();
        let result = calls(&pool).await;
        let at_rest = || {
            let stats = pool.stats();
            let resting = stats.idle + stats.parked;
            stats.leased == 0
                && stats.opening == 0
                && stats.waiting == 0
                && resting == server.open()
                && stats.opened == resting as u64 + stats.closed_total()
                && stats.opened == server.opened() as u64
        };
        until("the pool comes to rest", at_rest, || {
            format!("{:?}, {} open", pool.stats(), server.open())
        })
        .await;
        drop(pool);
        until(
            "every connection closes with the pool",
            || server.open() == 0,
            || format!("{} open", server.open()),
        )
        .await;
        result
    });
    let taken = HEAP.peak_usage().saturating_sub(before);
    assert!(taken < MOST_HEAP, "{taken} bytes of memory");
    result
}

/// Until that holds: at once, or when what is drained or asked for a sign of life has had its time.
async fn until(what: &str, holds: impl Fn() -> bool, seen: impl Fn() -> String) {
    for _ in 0..100 {
        for _ in 0..100 {
            if holds() {
                return;
            }
            yield_now().await;
        }
        let_pass(TIME).await;
    }
    panic!("{what}: {}", seen());
}

/// Sends a GET, and reads its response so far.
pub(super) async fn call<S: Script>(
    pool: &Pool<Server<S>>,
    server: &Server<S>,
    path: &str,
    reader: Reader,
) -> Fate {
    let request = http::Request::get(path).body(Full::<Bytes>::default()).expect("a request");
    let Ok(response) = bounded(server, pool.http(&"server", request)).await else {
        return Fate::Failed;
    };
    let (head, mut body) = response.into_parts();
    let mut content = Vec::new();
    if reader == Reader::HeadAlone {
        return Fate::Partly(head, content);
    }
    loop {
        match bounded(server, body.frame()).await {
            None => return Fate::Whole(head, content),
            Some(Err(error)) => {
                let _: Error = error;
                return Fate::Partly(head, content);
            }
            Some(Ok(frame)) => content.extend(frame.into_data().unwrap_or_default()),
        }
        if reader == Reader::OneFrame {
            return Fate::Partly(head, content);
        }
    }
}

/// Polls it, and counts what each poll reads.
async fn bounded<S: Script, F: Future>(server: &Server<S>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        server.take_read();
        let poll = future.as_mut().poll(cx);
        let read = server.take_read();
        assert!(read <= MOST_READ, "{read} bytes in one poll");
        poll
    })
    .await
}
