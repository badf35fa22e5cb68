//! The state of one worker thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::dates::Dates;
use super::request_body::RequestBody;
use crate::carry_over::CarryOver;
use crate::clock;
use crate::net::random;
use crate::net::timer_wheel::TimerWheel;
use crate::snapshot::{InForce, Live, Snapshot};
use crate::telemetry::{
    AccessLog, ConnectionError, GatewayMetrics, Metrics, ShardSlot, Throttle, Throttles, WorkerLog,
};
use crate::token::{SharedCache, WorkerCache};
use crate::transform::FieldSet;
use crate::upstream::UpstreamClient;

/// The state that all threads share, made once at the start. What a worker or a background task
/// needs of a new subsystem has a field here.
#[derive(Clone)]
pub struct SharedState {
    /// The snapshot in force.
    pub live: Arc<Live>,
    /// The second level of the token cache.
    pub tokens: Arc<SharedCache>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The access log.
    pub access_log: AccessLog,
}

/// A worker: its view of the configuration, its token cache, and its connections to upstreams.
pub struct Worker {
    live: Arc<Live>,
    current: RefCell<CurrentView>,
    pub(super) cache: WorkerCache,
    pub(super) ids: RequestIds,
    pub(super) access_log: WorkerLog,
    metrics: Arc<Metrics>,
    headroom: Headroom,
    timer_wheel: Rc<TimerWheel>,
    cutting: Cell<bool>,
    /// The rate limits for log lines about connections that failed.
    pub failure_lines: Throttles<ConnectionError>,
    /// The rate limit for lines of the access log about clients that left.
    pub(super) departure_lines: Throttle,
    pub(super) dates: Dates,
}

/// The view in force at the last look, and its generation.
struct CurrentView {
    generation: u64,
    view: Rc<View>,
}

/// A snapshot, and this worker's connections to its upstreams. Requests clone the `Rc` around it,
/// so that workers do not contend for the reference count of the snapshot itself.
pub struct View {
    /// The snapshot.
    pub snapshot: Arc<Snapshot>,
    /// The connections to each upstream, in the order of the snapshot's upstreams.
    pub(super) upstreams: Vec<Rc<UpstreamClient<RequestBody>>>,
}

/// The fields that the gateway writes itself.
impl AsRef<FieldSet> for View {
    fn as_ref(&self) -> &FieldSet {
        &self.snapshot.own_headers
    }
}

impl Worker {
    /// Makes a worker that begins with the snapshot in force.
    #[must_use]
    pub fn new(shared: SharedState) -> Rc<Self> {
        let SharedState {
            live,
            tokens,
            metrics,
            access_log,
        } = shared;
        let InForce {
            snapshot,
            generation,
        } = live.in_force();
        let timer_wheel = TimerWheel::new();
        let view = Rc::new(View::new(snapshot, None, &timer_wheel));
        let cache = WorkerCache::new(tokens, view.snapshot.config.token_cache.per_worker);
        Rc::new(Self {
            live,
            current: RefCell::new(CurrentView { generation, view }),
            cache,
            ids: RequestIds::new(),
            access_log: WorkerLog::new(access_log),
            metrics,
            headroom: Headroom::default(),
            timer_wheel,
            cutting: Cell::new(false),
            failure_lines: Throttles::new(clock::monotonic()),
            departure_lines: Throttle::new(clock::monotonic()),
            dates: Dates::new(),
        })
    }

    /// Returns the view in force. The worker rebuilds its view here once for each reload.
    pub fn view(&self) -> Rc<View> {
        let mut current = self.current.borrow_mut();
        if let Some(next) = self.live.newer_than(current.generation) {
            let view = View::new(next.snapshot, Some(&current.view), &self.timer_wheel);
            *current = CurrentView {
                generation: next.generation,
                view: Rc::new(view),
            };
        }
        current.view.clone()
    }

    /// Drops expired tokens and idle connections.
    pub fn sweep(&self) {
        self.cache.sweep(clock::now().unix);
        for upstream in &self.view().upstreams {
            upstream.sweep();
        }
    }

    /// Returns the timers of this thread. They fire while [`TimerWheel::run`] is polled.
    #[must_use]
    pub fn timer_wheel(&self) -> &Rc<TimerWheel> {
        &self.timer_wheel
    }

    /// Notes that the drain is over: from now on, exchanges that end early were cut off by the
    /// gateway.
    pub fn cut(&self) {
        self.cutting.set(true);
    }

    pub(super) fn is_cutting(&self) -> bool {
        self.cutting.get()
    }

    /// Delivers the lines of the access log in time. It never returns.
    pub async fn deliver_log(&self) {
        self.access_log.deliver().await;
    }

    /// Returns the number of clients that left without a line of the access log since the last
    /// line about one, and forgets it.
    #[must_use]
    pub fn take_skipped_departures(&self) -> u64 {
        self.departure_lines.take_skipped()
    }

    /// Returns the metrics of the process as a whole.
    #[must_use]
    pub fn metrics(&self) -> &GatewayMetrics {
        &self.metrics.gateway
    }

    /// Returns whether more than `limit` requests are being answered, including the current one,
    /// which has already counted itself.
    pub(super) fn is_overloaded(&self, limit: usize) -> bool {
        let workers = ShardSlot::count();
        self.headroom
            .is_exceeded(limit, workers, || self.open_requests())
    }

    /// Returns the number of requests that all workers are answering.
    fn open_requests(&self) -> usize {
        usize::try_from(self.metrics().requests.total()).unwrap_or_default()
    }
}

impl View {
    fn new(snapshot: Arc<Snapshot>, before: Option<&Self>, timer_wheel: &Rc<TimerWheel>) -> Self {
        let before: &[_] = match before {
            Some(view) => &view.upstreams,
            None => &[],
        };
        let mut earlier = CarryOver::new(before, |balance| &*balance.upstream().settings.name);
        let mut upstreams = Vec::with_capacity(snapshot.upstreams.len());
        for upstream in &snapshot.upstreams {
            let balance = match earlier.take(&*upstream.settings.name) {
                Some(same) if same.upstream().id() == upstream.id() => Rc::clone(same),
                replaced => {
                    let replaced = replaced.map(|balance| &**balance);
                    UpstreamClient::new(upstream.clone(), replaced, timer_wheel.clone())
                }
            };
            upstreams.push(balance);
        }
        for removed in earlier.left() {
            removed.retire();
        }
        Self {
            snapshot,
            upstreams,
        }
    }
}

/// The fraction of `limits.requests` by which a burst may exceed the limit: one sixteenth.
const TOLERANCE: usize = 16;

/// The requests that a worker admits before it adds up the open requests of all workers again: the
/// sum reads counters that every worker writes.
///
/// The number is the worker's share of a sixteenth of what was free at the last sum. So a worker
/// adds up for each request while the limit is near, or small. When the limit is exceeded, the
/// other workers admit only the rest of their shares, which is a sixteenth of the limit for all of
/// them together.
#[derive(Debug, Default)]
struct Headroom(Cell<usize>);

impl Headroom {
    /// Returns whether the current request, which is one of `open`, exceeds the limit.
    fn is_exceeded(&self, limit: usize, workers: usize, open: impl FnOnce() -> usize) -> bool {
        if let Some(left) = self.0.get().checked_sub(1) {
            self.0.set(left);
            return false;
        }
        let Some(free) = limit.checked_sub(open()) else {
            self.0.set(0);
            return true;
        };
        self.0.set(free / TOLERANCE / workers.max(1));
        false
    }
}

/// A generator of request ids: UUIDs of version 7 (RFC 9562 §5.7), which are unique and sortable,
/// but not secret.
#[derive(Debug)]
pub(super) struct RequestIds(Cell<u64>);

impl RequestIds {
    fn new() -> Self {
        Self(Cell::new(random()))
    }

    /// Returns a new id for the given time.
    pub(super) fn next(&self, since_epoch: Duration) -> HeaderValue {
        let time = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        let high = (time << 16) | 0x7000 | (self.random() & 0xfff);
        let low = (self.random() & (u64::MAX >> 2)) | (1 << 63);
        // Hexadecimal digits and hyphens always make a valid header value.
        HeaderValue::from_bytes(&hyphenated(high, low))
            .unwrap_or_else(|_| HeaderValue::from_static("none"))
    }

    /// Returns the next number of SplitMix64, which visits every state once.
    fn random(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Returns the text of a UUID (RFC 9562 §4). Every request without an id of its own gets one, and
/// `format!` takes ten times as long.
fn hyphenated(high: u64, low: u64) -> [u8; 36] {
    let mut text = [b'-'; 36];
    let groups = [
        (0, high >> 32, 8),
        (9, high >> 16, 4),
        (14, high, 4),
        (19, low >> 48, 4),
        (24, low, 12),
    ];
    for (start, mut value, digits) in groups {
        for byte in text.iter_mut().skip(start).take(digits).rev() {
            let digit = (value & 0xf) as u8;
            *byte = if digit < 10 {
                b'0' + digit
            } else {
                b'a' + digit - 10
            };
            value >>= 4;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the number of requests that `workers` admit if no request ends; `order` gives the
    /// worker of each request.
    fn admitted(limit: usize, workers: usize, order: impl Fn(usize) -> usize) -> usize {
        let rooms: Vec<_> = (0..workers).map(|_| Headroom::default()).collect();
        let (mut open, mut refused) = (0, 0);
        for turn in 0.. {
            if rooms[order(turn) % workers].is_exceeded(limit, workers, || open + 1) {
                refused += 1;
            } else {
                (open, refused) = (open + 1, 0);
            }
            if refused > workers {
                break;
            }
        }
        open
    }

    #[test]
    fn a_rush_exceeds_the_limit_of_requests_by_a_sixteenth_at_most() {
        for (limit, workers) in [
            (10_000, 1),
            (10_000, 2),
            (10_000, 64),
            (1000, 7),
            (1 << 20, 128),
        ] {
            let by_turns = admitted(limit, workers, |turn| turn);
            let one_and_the_others = admitted(limit, workers, |turn| turn.saturating_sub(limit));
            for open in [by_turns, one_and_the_others] {
                assert!(open >= limit, "{open} of {limit} with {workers}");
                assert!(
                    open <= limit + limit / TOLERANCE,
                    "{open} of {limit} with {workers}"
                );
            }
        }
    }

    #[test]
    fn a_small_limit_of_requests_is_exact() {
        for (limit, workers) in [(1, 1), (2, 2), (15, 1), (16 * 64 - 1, 64)] {
            assert_eq!(
                admitted(limit, workers, |turn| turn),
                limit,
                "{workers} workers"
            );
        }
    }

    #[test]
    fn far_from_the_limit_requests_are_seldom_added_up() {
        let (room, looks) = (Headroom::default(), Cell::new(0));
        let open = || {
            looks.set(looks.get() + 1);
            100
        };
        let exceeded = (0..1000)
            .filter(|_| room.is_exceeded(10_000, 2, open))
            .count();
        assert_eq!((exceeded, looks.get()), (0, 4));
        assert!(
            !room.is_exceeded(0, 2, open),
            "what was free at the last look is still admitted"
        );
    }

    #[test]
    fn a_uuid_is_written_in_five_groups() {
        let text = hyphenated(0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210);
        assert_eq!(
            std::str::from_utf8(&text),
            Ok("01234567-89ab-cdef-fedc-ba9876543210")
        );
    }

    #[test]
    fn request_ids_are_version_7_uuids_and_differ() {
        let ids = RequestIds::new();
        let (first, second) = (
            ids.next(clock::since_epoch()),
            ids.next(clock::since_epoch()),
        );
        let text = first.to_str().unwrap();
        assert_ne!(first, second);
        assert_eq!(text.len(), 36);
        assert_eq!(text.as_bytes()[14], b'7');
        assert!(
            matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b'),
            "{text}"
        );
    }
}
