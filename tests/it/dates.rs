//! `Date` follows the clock, also when the clock is set back (RFC 9110 §6.6.1): the HTTP library
//! alone would repeat the later time until the clock has caught up.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::support::{Client, Process, Request, Upstream, raw};

/// Shifts the wall clock of a program by the seconds in a file, whenever it asks.
const SHIFTED: &str = r"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *shift;

__attribute__((constructor)) static void map_shift(void) {
    int file = open(SHIFT, O_RDONLY | O_CLOEXEC);
    void *memory = mmap(0, sizeof *shift, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (memory != MAP_FAILED) shift = memory;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    long result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_REALTIME && shift) now->tv_sec += *shift;
    return (int)result;
}
";

/// The clock of a process, which a test can set.
struct Clock {
    directory: tempfile::TempDir,
    shift: File,
}

impl Clock {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("shift");
        fs::write(&path, 0_i64.to_ne_bytes()).unwrap();
        let shift = File::options().write(true).open(&path).unwrap();
        let source = directory.path().join("clock.c");
        fs::write(&source, SHIFTED).unwrap();
        let clock = Self { directory, shift };
        let mut compiler = Command::new("cc");
        compiler
            .args(["-shared", "-fPIC", "-o"])
            .arg(clock.preload())
            .arg(&source);
        compiler.arg(format!("-DSHIFT=\"{}\"", path.display()));
        assert!(compiler.status().expect("there is a C compiler").success());
        clock
    }

    fn preload(&self) -> PathBuf {
        self.directory.path().join("clock.so")
    }

    fn shift(&self, seconds: i64) {
        self.shift.write_all_at(&seconds.to_ne_bytes(), 0).unwrap();
    }
}

/// The field of a head that came as text.
fn date_of(head: &str) -> Option<&str> {
    head.lines().find_map(|line| line.strip_prefix("date: "))
}

/// Asserts that a date is that of now, shifted by so many seconds.
#[track_caller]
fn assert_date(what: &str, date: Option<&str>, shift: i64) {
    let date = date.unwrap_or_else(|| panic!("{what}: there is no date"));
    let date = httpdate::parse_http_date(date).unwrap_or_else(|_| panic!("{what}: {date}"));
    let now = SystemTime::now();
    let expected = if shift < 0 {
        now - Duration::from_secs(shift.unsigned_abs())
    } else {
        now + Duration::from_secs(shift.unsigned_abs())
    };
    let off = date
        .duration_since(expected)
        .unwrap_or_else(|error| error.duration());
    assert!(
        off < Duration::from_secs(120),
        "{what}: {off:?} off, with the clock shifted by {shift} s"
    );
}

/// The date of an answer over HTTP/2.
fn date_over_http2(process: &Process, path: &str) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(process.address())
            .await
            .unwrap();
        let handshake =
            http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        let uri = format!("http://api.test{path}");
        let request = http::Request::get(uri).body(Empty::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        response
            .headers()
            .get("date")
            .map(|date| date.to_str().unwrap().to_owned())
    })
}

/// Asserts the date of every kind of answer. `kept` are connections of earlier times.
#[track_caller]
fn assert_dates(process: &Process, kept: &mut [Client], shift: i64) {
    for path in ["/a", "/none//"] {
        for client in &mut *kept {
            let answer = client.send(&Request::get(path));
            assert_date(path, answer.field("date"), shift);
        }
        assert_date(path, process.send(&Request::get(path)).field("date"), shift);
        assert_date(path, date_over_http2(process, path).as_deref(), shift);
    }
    let too_long = "x".repeat(70 << 10);
    let good = "GET /a HTTP/1.1\r\nHost: api.test\r\n\r\n";
    for (status, bytes) in [
        (400, "GET /a HTTP/9.9\r\n\r\n".to_owned()),
        (
            414,
            format!("GET /{too_long} HTTP/1.1\r\nHost: api.test\r\n\r\n"),
        ),
        (
            431,
            format!(
                "GET /a HTTP/1.1\r\nHost: api.test\r\na: {}\r\n\r\n",
                too_long.repeat(8)
            ),
        ),
        // Behind another request.
        (400, [good, "GET /a HTTP/9.9\r\n\r\n"].concat()),
    ] {
        let answers = raw(process.address(), bytes.as_bytes());
        let start = answers
            .rfind("HTTP/1.1 ")
            .unwrap_or_else(|| panic!("{bytes:.80}: {answers}"));
        let head = &answers[start..];
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answers}"
        );
        assert_date(&format!("the parser's {status}"), date_of(head), shift);
        assert!(
            head.ends_with("\r\n\r\n") && head.contains("content-length: 0\r\n"),
            "{head:?}"
        );
    }
    let live = raw(
        process.admin(),
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    assert_date("the admin listener", date_of(&live), shift);
}

/// A gateway whose clock can be set.
fn gateway(clock: &Clock, upstream: &Upstream) -> Process {
    let route =
        "[[routes]]\npath = \"/a\"\nupstream = \"orders\"\nmethods = \"ANY\"\npublic = true\n";
    let limits = "[server.limits]\nhead_bytes = \"128KiB\"\n";
    let toml = format!("{limits}{}{route}", upstream.toml("orders"));
    Process::run_with("LD_PRELOAD", &clock.preload(), &toml)
}

#[test]
fn the_date_of_every_answer_follows_a_clock_that_goes_back() {
    let (clock, upstream) = (Clock::new(), Upstream::start());
    let process = gateway(&clock, &upstream);
    let mut kept: Vec<_> = (0..4).map(|_| Client::connect(process.address())).collect();
    for shift in [0, -3600, -86_400, 7200, 60] {
        clock.shift(shift);
        assert_dates(&process, &mut kept, shift);
    }
}

// The library's date also moves on with connections that ask nothing.
#[test]
fn the_date_of_the_first_answer_follows_a_clock_that_went_back_before_it() {
    let (clock, upstream) = (Clock::new(), Upstream::start());
    let process = gateway(&clock, &upstream);
    let mut begun: Vec<_> = (0..4).map(|_| Client::connect(process.address())).collect();
    clock.shift(7200);
    let head = Request::get("/a").bytes();
    for client in &mut begun {
        client.write(&head[..9]);
    }
    process.wait_for_metric("scopegate_connections_resting", 0.0);
    clock.shift(3600);
    for client in &mut begun {
        client.write(&head[9..]);
        assert_date(
            "the first answer",
            client.read("GET").unwrap().field("date"),
            3600,
        );
    }
}

// The date is that of the answer, not of its request, whatever others were answered meanwhile.
#[test]
fn a_late_answer_is_not_dated_back() {
    let (clock, upstream) = (Clock::new(), Upstream::start());
    let process = gateway(&clock, &upstream);
    let body = "POST /a HTTP/1.1\r\nHost: api.test\r\nContent-Length: 2\r\n\r\n";
    let mut waiting: Vec<_> = (0..4).map(|_| Client::connect(process.address())).collect();
    for client in &mut waiting {
        client.write(body.as_bytes());
    }
    process.wait_for_metric("scopegate_requests_open", 4.0);
    clock.shift(3600);
    assert_dates(&process, &mut [], 3600);
    for client in &mut waiting {
        client.write(b"ok");
        assert_date(
            "a late answer",
            client.read("POST").unwrap().field("date"),
            3600,
        );
    }
}
