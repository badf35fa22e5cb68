//! The gateway's own events, on standard error. Standard output is for results and for the access
//! log.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::panic::{self, PanicHookInfo};
use std::thread;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{fmt, registry};

use crate::config::printable;
use crate::telemetry::EventLog;

/// The target of the gateway's own events. Events of libraries are not logged at any level: at
/// "debug" the HTTP/2 library quotes requests, and with them tokens.
const OWN: &str = "scopegate";

/// The largest size of an event in bytes; a longer one is cut. The backlog of the log has room for
/// several dozen such events.
const MAX_EVENT: usize = 4 << 10;

/// Beginnings of messages of the standard library that continue with numbers only.
const PLAIN: [&str; 4] = [
    "index out of bounds: the len is ",
    "range start index ",
    "range end index ",
    "slice index starts at ",
];

/// The event log, which is flushed when this is dropped.
#[must_use]
pub(super) struct Logging(EventLog);

impl Logging {
    /// Logs the panics of all threads from now on. The standard library would write them itself and
    /// block on the reader of standard error.
    pub(super) fn note_panics(&self) {
        let log = self.0.clone();
        panic::set_hook(Box::new(move |panic| log.write(&described(panic))));
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// Starts logging at this level. A second call changes nothing: the first subscriber stays.
///
/// # Errors
/// If a thread or a descriptor cannot be created.
pub(super) fn start(level: tracing::Level) -> io::Result<Logging> {
    let log = EventLog::of_process()?;
    // The log adds the time itself, so that it can compare an event with the one before.
    let lines = fmt::layer()
        .without_time()
        .with_ansi(false)
        .with_target(false)
        .with_writer(OneLine(log.clone()));
    let started = registry()
        .with(Targets::new().with_target(OWN, level))
        .with(lines)
        .try_init();
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
    Ok(Logging(log))
}

/// The writer of formatted events, each of which becomes one line without characters that a
/// terminal would act on: the fields of an event may quote what an issuer or an upstream sent.
struct OneLine(EventLog);

impl<'a> MakeWriter<'a> for OneLine {
    type Writer = Event<'a>;

    fn make_writer(&'a self) -> Event<'a> {
        Event(&self.0)
    }
}

/// A writer that takes one formatted event in one piece.
struct Event<'a>(&'a EventLog);

impl Write for Event<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&one_line(&String::from_utf8_lossy(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns an event as one line of at most [`MAX_EVENT`] bytes.
fn one_line(event: &str) -> String {
    let event = event.strip_suffix('\n').unwrap_or(event);
    let mut line = printable(event).into_owned();
    if line.len() > MAX_EVENT {
        let mut end = MAX_EVENT;
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
        line.push('…');
    }
    line.push('\n');
    line
}

/// Describes a panic: its thread, its source location, and its message if that cannot quote a
/// client's data. The backtrace is included if `RUST_BACKTRACE` is set.
fn described(panic: &PanicHookInfo<'_>) -> String {
    let thread = thread::current();
    let name = thread.name().unwrap_or("unnamed");
    let mut event =
        format!("ERROR a thread panicked, which is a defect of the gateway thread={name}");
    if let Some(place) = panic.location() {
        let _ = write!(event, " place={place}");
    }
    if let Some(message) = plain_message(panic.payload()) {
        let _ = write!(event, " message={message:?}");
    }
    event.push('\n');
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        let _ = writeln!(event, "{backtrace}");
    }
    event
}

/// Returns the message of a panic if it is a literal, or continues with numbers only.
fn plain_message(payload: &dyn Any) -> Option<&str> {
    if let Some(literal) = payload.downcast_ref::<&'static str>() {
        return Some(literal);
    }
    let formatted = payload.downcast_ref::<String>()?;
    PLAIN
        .iter()
        .any(|beginning| formatted.starts_with(beginning))
        .then_some(formatted)
}

/// Returns whether standard error is a terminal, unless the user opts out of colours
/// (<https://no-color.org>).
pub(super) fn colour() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !unwanted && io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Output, Stdio};

    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_it_quotes() {
        let event = "WARN keys error=a\n2026 ERROR fake\r\u{1b}[2J\u{9b}\u{202e}\n";
        let line = one_line(event);
        assert_eq!(
            line,
            "WARN keys error=a\\n2026 ERROR fake\\r\\u{1b}[2J\\u{9b}\\u{202e}\n"
        );
        let long = one_line(&"é".repeat(MAX_EVENT));
        assert_eq!(long.len(), MAX_EVENT + "…\n".len());
    }

    /// A text that must not appear in the log.
    const SECRET: &str = "eyJhbGciOi";

    /// Set in the process that a test starts, so that the test panics there.
    const PANICS: &str = "SCOPEGATE_TEST_PANICS";

    fn is_to_panic() -> bool {
        std::env::var_os(PANICS).is_some()
    }

    /// Runs a test of this module in its own process, with this standard error.
    fn panicking(test: &str, errors: Stdio) -> Output {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([
            "--exact",
            &format!("cli::logging::tests::{test}"),
            "--nocapture",
        ]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors);
        command.env(PANICS, "1").env_remove("RUST_BACKTRACE");
        command.spawn().unwrap().wait_with_output().unwrap()
    }

    fn panic_in_threads() {
        let log = start(tracing::Level::INFO).unwrap();
        log.note_panics();
        let token = SECRET.to_owned();
        let panics: [Box<dyn FnOnce() + Send>; 3] = [
            Box::new(|| panic!("made up")),
            Box::new(move || panic!("of {token}")),
            Box::new(|| assert_eq!(std::hint::black_box(Vec::<u8>::new())[7], 0)),
        ];
        for panic in panics {
            let thread = thread::Builder::new().name("worker-7".into());
            assert!(thread.spawn(panic).unwrap().join().is_err());
        }
    }

    #[test]
    fn a_panic_is_logged_with_its_place_and_without_what_it_quotes() {
        if is_to_panic() {
            return panic_in_threads();
        }
        let output = panicking(
            "a_panic_is_logged_with_its_place_and_without_what_it_quotes",
            Stdio::piped(),
        );
        let text = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<_> = text
            .lines()
            .filter(|line| line.contains(" ERROR a thread panicked, "))
            .collect();
        assert_eq!((lines.len(), output.status.success()), (3, true), "{text}");
        for (line, message) in lines.iter().zip([
            Some("\"made up\""),
            None,
            Some("\"index out of bounds: the len is 0 but the index is 7\""),
        ]) {
            assert!(
                line.contains(" thread=worker-7 place=src/cli/logging.rs:"),
                "{line}"
            );
            assert_eq!(
                line.split_once(" message=").map(|(_, message)| message),
                message,
                "{line}"
            );
        }
        assert!(!text.contains(SECRET), "{text}");
    }

    // The standard library would block on the reader.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_panic_waits_for_no_reader() {
        if is_to_panic() {
            return panic_in_threads();
        }
        let (_reader, mut errors) = io::pipe().unwrap();
        // Fills the pipe.
        Write::write_all(&mut errors, &[b'x'; 64 << 10]).unwrap();
        let output = panicking("a_panic_waits_for_no_reader", errors.into());
        assert!(output.status.success());
    }
}
