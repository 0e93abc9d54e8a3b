//! An address that fails: three dials in a row have failed, and none has succeeded since.
//!
//! ```text
//!   every dial may begin ──► three failures in a row ──► one dial at a time ──► any success ──► every dial may begin
//! ```
//!
//! While an address fails, one dial at a time is under way, for all requests that wait. A server that refuses is asked
//! again after [`GAP`], so that the first request after an outage waits no longer. Where a dial hangs, the system sends
//! its packets ever more seldom, and would find out late that the server is back: so another may begin beside it every
//! [`HANGS`].
//!
//! A pause is for callers that would rather go elsewhere than wait. It is drawn between nothing and the length of the
//! outage so far, so that many clients do not come back at one instant, and none is away for longer than the server was.

use std::time::Duration;

use tokio::time::Instant;

/// One lost packet, or a full backlog, is no outage.
const FAILURES: u32 = 3;

/// Between the beginnings of two dials to an address that refuses: 200 a second at most.
const GAP: Duration = Duration::from_millis(5);

/// After so long, a dial is taken to hang. Linux sends its second packet after a second, and its third two seconds later.
pub(crate) const HANGS: Duration = Duration::from_secs(1);

const LONGEST: Duration = Duration::from_secs(10);

/// Longer than the longest pause, so that an address that fails again and again stays known.
const REMEMBERED: Duration = Duration::from_secs(30);

/// What the dials to one address have shown.
#[derive(Debug, Default)]
pub(super) struct Outage {
    failures_in_a_row: u32,
    /// The first of these failures, and the last.
    since: Option<Instant>,
    last_failure: Option<Instant>,
    last_success: Option<Instant>,
    under_way: usize,
    last_begun: Option<Instant>,
    /// Until when requests are refused.
    pause: Option<Instant>,
}

impl Outage {
    pub(super) fn is_on(&self) -> bool {
        self.failures_in_a_row >= FAILURES
    }

    /// Whether a dial is under way.
    pub(super) fn is_dialled(&self) -> bool {
        self.under_way > 0
    }

    /// When the next dial may begin; none if at once, whatever the time.
    fn next(&self) -> Option<Instant> {
        if !self.is_on() {
            return None;
        }
        let apart = if self.under_way > 0 { HANGS } else { GAP };
        let next = self.last_begun.map(|begun| begun + apart);
        next.into_iter().chain(self.pause).max()
    }

    /// Whether a dial may begin.
    ///
    /// # Errors
    ///
    /// When it may, at the earliest.
    pub(super) fn may_begin(&self, now: Instant) -> Result<(), Instant> {
        self.next().filter(|next| now < *next).map_or(Ok(()), Err)
    }

    /// A dial begins, and has to [end](Self::end).
    pub(super) fn begin(&mut self, now: Instant) {
        self.under_way += 1;
        self.last_begun = Some(now);
    }

    pub(super) fn end(&mut self) {
        self.under_way -= 1;
    }

    /// A dial has opened a connection; true if that ends an outage.
    pub(super) fn succeed(&mut self, now: Instant) -> bool {
        let was_on = self.is_on();
        self.failures_in_a_row = 0;
        (self.since, self.last_failure, self.pause) = (None, None, None);
        self.last_success = Some(now);
        was_on
    }

    /// A dial that began at `begun` has failed. What began before the last success tells nothing new.
    pub(super) fn fail(&mut self, begun: Instant, now: Instant) {
        if self.last_success.is_some_and(|success| begun < success) {
            return;
        }
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        self.since = self.since.or(Some(now));
        self.last_failure = Some(now);
    }

    /// Begins a pause of `share`, between 0 and 1, of the longest that may be; none if one is on, or no outage is.
    pub(super) fn begin_pause(&mut self, share: f64, now: Instant) -> Option<Duration> {
        if !self.is_on() || self.pause(now).is_some() {
            return None;
        }
        let so_far = now.saturating_duration_since(self.since?);
        let length = so_far.min(LONGEST).mul_f64(share);
        self.pause = Some(now + length);
        Some(length)
    }

    /// How much is left of a pause.
    fn pause(&self, now: Instant) -> Option<Duration> {
        let left = self.pause?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// The caller has reason to believe that the address is back: no request is refused until the next failure.
    pub(super) fn end_pause(&mut self) {
        self.pause = None;
    }

    /// How long a request that comes now is to stay away, where pauses are: during a pause, and while the dial after it
    /// tries.
    pub(super) fn refusal(&self, now: Instant) -> Option<Duration> {
        let is_tried = || self.under_way > 0 && self.may_begin(now).is_err();
        self.pause(now).or_else(|| (self.pause.is_some() && is_tried()).then_some(Duration::ZERO))
    }

    /// Whether the failures are worth the memory of a host without connections.
    pub(super) fn is_remembered(&self, now: Instant) -> bool {
        self.last_failure.is_some_and(|last| now.saturating_duration_since(last) < REMEMBERED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    /// One dial that fails after `took`; when it has.
    fn fails(outage: &mut Outage, begun: Instant, took: Duration) -> Instant {
        outage.begin(begun);
        outage.end();
        outage.fail(begun, begun + took);
        begun + took
    }

    /// An outage that began at its instant, with the last dial begun then.
    fn on() -> (Outage, Instant) {
        let (mut outage, now) = (Outage::default(), Instant::now());
        for _ in 0..FAILURES {
            fails(&mut outage, now, Duration::ZERO);
        }
        (outage, now)
    }

    #[test]
    fn two_failures_are_no_outage_and_a_success_forgets_them() {
        let (mut outage, mut now) = (Outage::default(), Instant::now());
        for _ in 0..2 {
            for _ in 0..2 {
                now = fails(&mut outage, now, MILLISECOND);
                assert!(!outage.is_on() && outage.may_begin(now).is_ok());
            }
            assert!(!outage.succeed(now));
        }
        for _ in 0..FAILURES {
            now = fails(&mut outage, now, MILLISECOND);
        }
        assert!(outage.is_on() && outage.succeed(now) && !outage.is_on());
    }

    #[test]
    fn while_the_address_refuses_one_dial_at_a_time_begins_at_most_200_times_a_second() {
        let (mut outage, start) = on();
        let mut begun = 0;
        let second = (0..1_000).map(|ms| start + ms * MILLISECOND);
        for now in second {
            if outage.may_begin(now).is_ok() {
                fails(&mut outage, now, Duration::ZERO);
                begun += 1;
            }
        }
        assert_eq!(begun, 199, "the first is that of the outage");
    }

    #[test]
    fn beside_a_dial_that_hangs_another_begins_every_second() {
        let (mut outage, start) = on();
        let mut begun = Vec::new();
        for ms in 1..10_000 {
            let now = start + ms * MILLISECOND;
            if outage.may_begin(now).is_ok() {
                outage.begin(now);
                begun.push(ms);
            }
        }
        assert_eq!(begun, [5, 1_005, 2_005, 3_005, 4_005, 5_005, 6_005, 7_005, 8_005, 9_005]);
        let now = start + 9_500 * MILLISECOND;
        assert_eq!(outage.may_begin(now), Err(start + 10_005 * MILLISECOND));
        for _ in begun {
            outage.end();
        }
        assert_eq!(outage.may_begin(now), Ok(()), "none is under way any more");
    }

    #[test]
    fn a_dial_that_began_before_the_last_success_is_no_failure() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        outage.succeed(start + MILLISECOND);
        for _ in 0..10 {
            outage.fail(start, start + HANGS);
        }
        assert!(!outage.is_on() && !outage.is_remembered(start + HANGS));
    }

    #[test]
    fn no_pause_is_longer_than_the_outage_so_far_or_ten_seconds() {
        for (so_far, longest) in [(0, 0), (7, 7), (3_000, 3_000), (60_000, 10_000)] {
            let (mut outage, start) = on();
            let now = start + so_far * MILLISECOND;
            assert_eq!(outage.begin_pause(1.0, now), Some(longest * MILLISECOND));
            let end = now + longest * MILLISECOND;
            assert_eq!(outage.refusal(end), None);
            if longest > 0 {
                assert_eq!(outage.refusal(end - MILLISECOND), Some(MILLISECOND));
                assert_eq!(outage.may_begin(end - MILLISECOND), Err(end.max(start + GAP)));
                assert_eq!(outage.begin_pause(1.0, end - MILLISECOND), None, "one is on");
            }
        }
    }

    #[test]
    fn a_request_is_refused_while_the_dial_after_a_pause_tries_and_until_it_hangs() {
        let (mut outage, start) = on();
        let now = start + Duration::from_secs(1);
        outage.begin_pause(0.0, now);
        assert_eq!(outage.refusal(now), None);
        outage.begin(now);
        assert_eq!(outage.refusal(now), Some(Duration::ZERO));
        assert_eq!(outage.refusal(now + HANGS), None);
    }

    #[test]
    fn who_names_the_address_ends_its_pause_but_not_the_outage() {
        let (mut outage, start) = on();
        let now = start + Duration::from_secs(5);
        outage.begin_pause(1.0, now);
        assert!(outage.refusal(now).is_some() && outage.may_begin(now).is_err());
        outage.end_pause();
        assert_eq!((outage.refusal(now), outage.may_begin(now)), (None, Ok(())));
        outage.begin(now);
        assert_eq!(outage.refusal(now), None, "it waits for that dial");
        assert!(outage.is_on() && outage.may_begin(now).is_err());
    }
}
