use std::io::Write;
use std::sync::Mutex;
use std::thread;

use http::Version;
use serde_json::Value;

use super::*;

/// A deadline that no test reaches unless it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// The lines that were written, shared with the test.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Returns the paths of the lines, each of which must be complete.
    fn paths(&self) -> Vec<String> {
        let path = |line: &str| {
            let line: Value = serde_json::from_str(line).expect("a line is whole");
            line["path"].as_str().unwrap().to_owned()
        };
        self.text().lines().map(path).collect()
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

/// An output that accepts the number of bytes that the test sends, or returns the error. It accepts
/// everything when the test has dropped the sender.
struct Slow(Receiver<io::Result<usize>>, Paper);

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = self.0.recv().unwrap_or(Ok(usize::MAX))?;
        self.1.write(&bytes[..most.min(bytes.len())])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new(&["reason"]).unwrap())
}

fn dropped(metrics: &Metrics) -> usize {
    let exposition = metrics.render().unwrap();
    let line = exposition
        .lines()
        .find_map(|line| line.strip_prefix("scopegate_access_log_dropped_total "));
    line.unwrap().parse().unwrap()
}

fn log(worker: &WorkerLog, path: &str) {
    worker.write(&AccessLine {
        ended: Duration::ZERO,
        request_id: "id",
        peer: None,
        client: None,
        client_certificate: None,
        protocol: Version::HTTP_11,
        method: "GET",
        path,
        route: None,
        status: 200,
        upstream_status: None,
        reason: None,
        detail: None,
        issuer: None,
        token: None,
        skipped: None,
        took: Duration::ZERO,
    });
}

#[test]
fn lines_of_several_workers_are_whole_and_in_their_order() {
    const EACH: usize = 5_000;
    let (metrics, paper) = (metrics(), Paper::default());
    let (access_log, writer) = AccessLog::to(paper.clone(), metrics.clone()).unwrap();
    let run = |name: &'static str| {
        let access_log = access_log.clone();
        thread::spawn(move || {
            let worker = WorkerLog::new(access_log);
            (0..EACH).for_each(|number| log(&worker, &format!("{name}{number}")));
        })
    };
    let workers = ["a", "b", "c"].map(run);
    drop(access_log);
    workers
        .into_iter()
        .for_each(|worker| worker.join().unwrap());
    writer.finish();
    let paths = paper.paths();
    assert_eq!((paths.len(), dropped(&metrics)), (3 * EACH, 0));
    for name in ["a", "b", "c"] {
        let of_one: Vec<_> = paths
            .iter()
            .filter_map(|path| path.strip_prefix(name))
            .collect();
        let expected: Vec<_> = (0..EACH).map(|number| number.to_string()).collect();
        assert_eq!(of_one, expected, "of {name}");
    }
}

#[test]
fn a_lone_line_comes_without_another() {
    let paper = Paper::default();
    let (access_log, _writer) = AccessLog::to(paper.clone(), metrics()).unwrap();
    let worker = WorkerLog::new(access_log);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let seen = async {
        for number in 1..=3 {
            log(&worker, "/lone");
            while paper.paths().len() < number {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    runtime.block_on(async {
        tokio::select! {
            () = worker.deliver() => {}
            () = seen => {}
            () = tokio::time::sleep(PATIENCE) => panic!("it did not come"),
        }
    });
}

#[test]
fn who_reads_slowly_loses_lines_and_holds_nobody_up() {
    let (metrics, paper) = (metrics(), Paper::default());
    let (go_on, told) = mpsc::channel();
    let (access_log, writer) = AccessLog::to(Slow(told, paper.clone()), metrics.clone()).unwrap();
    let worker = WorkerLog::new(access_log);
    let mut written = 0;
    while dropped(&metrics) < 3 {
        log(&worker, "/slow");
        written += 1;
        assert!(written < 4 * BACKLOG / 100, "there is a bound");
    }
    let waiting = worker.waiting();
    assert!((BACKLOG..BACKLOG + 1_000).contains(&waiting), "{waiting}");
    drop(go_on);
    let taken = (0..PATIENCE.as_millis()).any(|_| {
        thread::sleep(Duration::from_millis(1));
        worker.hand_over();
        worker.waiting() == 0
    });
    assert!(taken, "who reads again gets what was kept");
    log(&worker, "/after");
    drop(worker);
    writer.finish();
    let paths = paper.paths();
    assert_eq!(
        paths.len() + 3,
        written + 1,
        "what was not dropped is whole"
    );
    assert_eq!(paths.last().map(String::as_str), Some("/after"));
}

/// Writes three lines, `/one` to `/three`, each in a batch of its own. Returns what was written,
/// and how many lines were dropped.
fn three(told: impl IntoIterator<Item = io::Result<usize>>) -> (String, usize) {
    let (metrics, paper) = (metrics(), Paper::default());
    let (tell, reader) = mpsc::channel();
    told.into_iter().for_each(|word| tell.send(word).unwrap());
    drop(tell);
    let (access_log, writer) = AccessLog::to(Slow(reader, paper.clone()), metrics.clone()).unwrap();
    for path in ["/one", "/two", "/three"] {
        let worker = WorkerLog::new(access_log.clone());
        log(&worker, path);
    }
    drop(access_log);
    writer.finish();
    (paper.text(), dropped(&metrics))
}

#[test]
fn a_line_that_was_written_in_part_does_not_spoil_the_next() {
    let full = || Err(io::ErrorKind::StorageFull.into());
    let (text, dropped) = three([Ok(10), full(), full(), Ok(usize::MAX)]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        (dropped, lines.len(), lines[0]),
        (2, 2, "{\"time\":\"1"),
        "{text}"
    );
    assert!(lines[1].contains("/three"), "{text}");
}

#[test]
fn the_end_of_such_a_line_waits_for_a_reader_like_any_other() {
    let full = Err(io::ErrorKind::StorageFull.into());
    let (text, dropped) = three([Ok(10), full, Err(io::ErrorKind::WouldBlock.into())]);
    let paths: Vec<_> = text
        .lines()
        .skip(1)
        .map(|line| line.contains("/two") || line.contains("/three"))
        .collect();
    assert_eq!((dropped, paths), (1, vec![true, true]), "{text}");
}

#[test]
fn an_output_that_was_full_for_a_moment_loses_nothing() {
    let again = |kind: io::ErrorKind| Err(kind.into());
    let told = [
        again(io::ErrorKind::WouldBlock),
        Ok(7),
        again(io::ErrorKind::Interrupted),
        Ok(1),
    ];
    let (text, dropped) = three(told);
    let whole = text
        .lines()
        .all(|line| serde_json::from_str::<Value>(line).is_ok());
    assert_eq!(
        (dropped, text.lines().count(), whole),
        (0, 3, true),
        "{text}"
    );
}

#[test]
fn without_a_line_there_is_no_memory_for_any() {
    let (access_log, _writer) = AccessLog::to(Paper::default(), metrics()).unwrap();
    let worker = WorkerLog::new(access_log);
    assert_eq!(worker.filling.borrow().lines.capacity(), 0);
    log(&worker, "/");
    assert!(worker.filling.borrow().lines.capacity() < 1_000);
}
