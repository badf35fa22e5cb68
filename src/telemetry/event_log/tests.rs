use std::sync::mpsc::{self, Receiver};

use super::*;

/// A deadline that no test reaches unless it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// The text that was written.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Returns the lines without their times; each line must have one.
    fn events(&self) -> Vec<String> {
        let event = |line: &str| {
            let (time, event) = line.split_once(' ').unwrap();
            humantime::parse_rfc3339(time).expect("a line begins with its time");
            event.trim_start().to_owned()
        };
        self.text().lines().map(event).collect()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An output that blocks until the test drops its other end.
struct Stuck(Receiver<()>, Paper);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        self.1.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An output that always fails.
struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn events_of_several_threads_are_whole_and_in_their_order() {
    const EACH: usize = 200;
    let paper = Paper::default();
    let log = EventLog::to(paper.clone()).unwrap();
    thread::scope(|scope| {
        for name in ["a", "b", "c"] {
            let log = log.clone();
            scope.spawn(move || {
                (0..EACH).for_each(|number| log.write(&format!(" INFO {name} {number}\n")));
            });
        }
    });
    log.finish();
    let events = paper.events();
    assert_eq!((events.len(), log.dropped()), (3 * EACH, 0));
    for name in ["a", "b", "c"] {
        let start = format!("INFO {name} ");
        let of_one: Vec<_> = events
            .iter()
            .filter_map(|event| event.strip_prefix(&start))
            .collect();
        let expected: Vec<_> = (0..EACH).map(|number| number.to_string()).collect();
        assert_eq!(of_one, expected);
    }
}

#[test]
fn a_reader_that_is_stuck_loses_lines_and_holds_nobody_up() {
    let (go_on, told) = mpsc::channel();
    let paper = Paper::default();
    let log = EventLog::to(Stuck(told, paper.clone())).unwrap();
    let mut written = 0;
    while log.dropped() < 3 {
        log.write(&format!(" INFO event {written} {}\n", "x".repeat(500)));
        written += 1;
        assert!(written < 4 * BACKLOG / 500, "there is a bound");
    }
    assert!(log.0.lock().lines.len() <= BACKLOG + 1_000);
    // A flood of one event takes no room in the buffer.
    (0..10_000).for_each(|_| log.write(" WARN full\n"));
    drop(go_on);
    let began = clock::monotonic();
    while paper.events().len() < written - 3 {
        assert!(
            clock::monotonic() < began + PATIENCE,
            "a reader that goes on gets what was kept"
        );
        thread::sleep(Duration::from_millis(1));
    }
    log.write(" INFO after\n");
    log.finish();
    let events = paper.events();
    assert!(events.contains(&"INFO after".to_owned()));
    assert!(
        events
            .iter()
            .any(|event| event.starts_with("WARN full repeated="))
    );
    let told = events
        .iter()
        .filter_map(|event| event.split_once("standard error was not read count="));
    let told: u64 = told.map(|(_, count)| count.parse::<u64>().unwrap()).sum();
    assert_eq!(told, log.dropped(), "it says how many are missing");
    let whole = events
        .iter()
        .filter(|event| event.starts_with("INFO event "))
        .count();
    assert_eq!(whole + 3, written, "what was not dropped is whole");
}

#[test]
fn the_end_of_the_process_does_not_wait_for_a_reader_that_is_stuck() {
    let (go_on, told) = mpsc::channel();
    let log = EventLog::to(Stuck(told, Paper::default())).unwrap();
    log.write(" INFO last\n");
    log.finish();
    drop(go_on);
}

#[test]
fn an_output_that_is_gone_loses_lines() {
    let log = EventLog::to(Gone).unwrap();
    log.write(" INFO one\n");
    log.write(" INFO two\n");
    log.finish();
    assert_eq!(log.dropped(), 2);
}

#[test]
fn the_last_lines_tell_what_was_folded() {
    let paper = Paper::default();
    let log = EventLog::to(paper.clone()).unwrap();
    (0..100).for_each(|_| log.write(" WARN full error=a\n"));
    log.write(" INFO draining\n");
    log.finish();
    let events = paper.events();
    assert_eq!(
        events
            .iter()
            .filter(|event| *event == "WARN full error=a")
            .count(),
        5,
        "{events:?}"
    );
    assert!(
        events.contains(&"WARN full error=a repeated=95".to_owned()),
        "{events:?}"
    );
    assert_eq!((events.len(), log.dropped()), (7, 0), "{events:?}");
}
