//! The trace of a run: what happened, with the simulated time. The same seed must give the same
//! trace, byte for byte.
//!
//! Each line also has a digest of every segment that was sent on the simulated network up to then,
//! down to its bytes. So a difference that no line tells, such as another order of two
//! segments, shows in the next line.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hasher as _};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata, Subscriber};

/// The target of the events of the simulated network.
const NETWORK: &str = "turmoil";

/// The lines before a failure that are printed with it.
const LAST_LINES: usize = 40;

thread_local! {
    static CURRENT: RefCell<Recording> = RefCell::default();
}

/// The trace of a run, with its counts and the rules that it broke.
#[derive(Default)]
struct Recording {
    text: String,
    digest: DefaultHasher,
    now: Duration,
    broken: Vec<String>,
    counts: BTreeMap<&'static str, u64>,
    /// The times at which connections to each address were begun.
    dialled: BTreeMap<String, Vec<Duration>>,
}

/// Records the run of this thread until it is finished.
pub(super) struct Trace {
    _events: DefaultGuard,
}

/// The result of a run.
pub(super) struct Recorded {
    pub(super) text: String,
    /// The promises that were broken.
    pub(super) broken: Vec<String>,
    pub(super) counts: BTreeMap<&'static str, u64>,
}

impl Trace {
    pub(super) fn begin() -> Self {
        CURRENT.take();
        Self {
            _events: tracing::subscriber::set_default(Events),
        }
    }

    pub(super) fn finish(self) -> Recorded {
        let Recording {
            text,
            broken,
            counts,
            ..
        } = CURRENT.take();
        Recorded {
            text,
            broken,
            counts,
        }
    }
}

impl Recorded {
    /// Returns the last lines of the trace.
    pub(super) fn end(&self) -> String {
        let lines: Vec<_> = self.text.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }
}

/// Returns the simulated time of the current host.
pub(super) fn now() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

/// Adds a line.
pub(super) fn note(line: fmt::Arguments<'_>) {
    let now = turmoil::sim_elapsed();
    CURRENT.with_borrow_mut(|record| {
        record.now = now.unwrap_or(record.now);
        let (micros, digest) = (record.now.as_micros(), record.digest.finish());
        let _ = writeln!(record.text, "{micros:>9} {digest:016x} {line}");
    });
}

/// Counts an event.
pub(super) fn count(name: &'static str) {
    CURRENT.with_borrow_mut(|record| *record.counts.entry(name).or_default() += 1);
}

/// Records a broken promise, unless it is kept.
pub(super) fn promise(is_kept: bool, text: fmt::Arguments<'_>) {
    if is_kept {
        return;
    }
    note(format_args!("BROKEN {text}"));
    let now = now();
    CURRENT.with_borrow_mut(|record| record.broken.push(format!("at {now:?}: {text}")));
}

/// Returns the times at which connections to a host were begun.
pub(super) fn dialled(host: &str) -> Vec<Duration> {
    let address = turmoil::lookup(host).to_string();
    CURRENT.with_borrow(|record| record.dialled.get(&address).cloned().unwrap_or_default())
}

/// Records the events of the network in the digest, and those of the gateway as lines.
struct Events;

impl Subscriber for Events {
    /// Of the events of the network, those of sending are enough: what is delivered follows from
    /// them, and each event costs as much as a request.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        match metadata.target() {
            NETWORK => metadata.file().is_some_and(|file| file.ends_with("top.rs")),
            target => target.starts_with("scopegate") && *metadata.level() <= Level::INFO,
        }
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        if event.metadata().target() != NETWORK {
            note(format_args!("log {}{}", event.metadata().level(), text.all));
            return;
        }
        CURRENT.with_borrow_mut(|record| {
            record.digest.write(text.all.as_bytes());
            if text.is_dialled() {
                let now = turmoil::sim_elapsed().unwrap_or(record.now);
                record.dialled.entry(text.to).or_default().push(now);
            }
        });
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The fields of an event.
#[derive(Default)]
struct Text {
    all: String,
    /// The message of an event of the network.
    what: String,
    protocol: String,
    /// The address that an event of the network leads to.
    to: String,
}

impl Text {
    /// Returns whether a connection is begun.
    fn is_dialled(&self) -> bool {
        self.what == "Send" && self.protocol == "TCP SYN"
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        match field.name() {
            "message" => self.what.clone_from(&value),
            "protocol" => self.protocol.clone_from(&value),
            "dst" => self.to = value.split(':').next().unwrap_or_default().to_owned(),
            _ => {}
        }
        let _ = write!(self.all, " {}={value}", field.name());
    }
}
