use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;

use tokio::task::LocalSet;
use tokio::time::Instant;

use super::*;
use crate::telemetry::Metrics;

/// The subject of a task, whose name is that of the configuration.
struct Subject(&'static str);

/// A supervisor, and the starts of its tasks: the name of the subject, and the seconds since the
/// beginning of the test.
struct Stage {
    supervisor: Supervisor,
    metrics: Metrics,
    began: Instant,
    starts: Rc<RefCell<Vec<(&'static str, u64)>>>,
    ends: Rc<RefCell<Vec<&'static str>>>,
}

/// Notes the end of a task.
struct End(&'static str, Rc<RefCell<Vec<&'static str>>>);

impl Drop for End {
    fn drop(&mut self) {
        self.1.borrow_mut().push(self.0);
    }
}

impl Stage {
    fn new() -> Self {
        let metrics = Metrics::new(&[], &[]).unwrap();
        Self {
            supervisor: Supervisor::new(metrics.gateway.clone()),
            metrics,
            began: Instant::now(),
            starts: Rc::default(),
            ends: Rc::default(),
        }
    }

    /// Returns a task that notes its starts and its end. It runs as `run` does.
    fn task<F>(&self, subject: &Arc<Subject>, run: impl Fn() -> F + Clone + 'static) -> Task
    where
        F: Future<Output = ()> + 'static,
    {
        let (began, starts, ends) = (self.began, self.starts.clone(), self.ends.clone());
        Task::new("test", subject, move |subject: Weak<Subject>| {
            let name = subject.upgrade().map_or("gone", |subject| subject.0);
            starts.borrow_mut().push((name, began.elapsed().as_secs()));
            let (run, end) = (run.clone(), End(name, ends.clone()));
            async move {
                let _end = end;
                run().await;
            }
        })
    }

    /// Follows tasks that run until they are ended.
    async fn follow(&mut self, subjects: &[&Arc<Subject>]) {
        let tasks = subjects
            .iter()
            .map(|subject| self.task(subject, pending::<()>))
            .collect();
        self.supervisor.follow(tasks);
        pass(Duration::ZERO).await;
    }

    /// Returns the starts since the last call.
    fn starts(&self) -> Vec<(&'static str, u64)> {
        self.starts.take()
    }

    fn started(&self) -> Vec<&'static str> {
        self.starts().into_iter().map(|(name, _)| name).collect()
    }

    fn ended(&self) -> Vec<&'static str> {
        self.ends.take()
    }

    fn panics(&self) -> u64 {
        self.metrics.gateway.panics.get()
    }
}

fn subject(name: &'static str) -> Arc<Subject> {
    Arc::new(Subject(name))
}

/// Lets time pass and all tasks run. Time is advanced in steps, each to the next timer.
async fn pass(time: Duration) {
    sleep(time).await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

/// Runs a test on a paused clock.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, test);
}

#[test]
fn what_is_new_starts_what_stays_is_kept_and_what_leaves_ends() {
    run(async {
        let mut stage = Stage::new();
        let (a, b, c) = (subject("a"), subject("b"), subject("c"));
        stage.follow(&[&a, &b]).await;
        assert_eq!(stage.started(), ["a", "b"]);
        stage.follow(&[&b, &c]).await;
        assert_eq!((stage.started(), stage.ended()), (vec!["c"], vec!["a"]));
        stage.follow(&[&c, &b]).await;
        assert_eq!((stage.started(), stage.ended()), (vec![], vec![]));
        stage.follow(&[]).await;
        let mut ended = stage.ended();
        ended.sort_unstable();
        assert_eq!(ended, ["b", "c"]);
        stage.follow(&[&a]).await;
        assert_eq!(stage.started(), ["a"], "it may come back");
        assert_eq!(stage.panics(), 0);
    });
}

#[test]
fn another_thing_of_the_same_name_has_a_task_of_its_own() {
    run(async {
        let mut stage = Stage::new();
        stage.follow(&[&subject("a")]).await;
        // The first subject is gone, and its memory is not used for the second one.
        stage.follow(&[&subject("a")]).await;
        assert_eq!(
            (stage.started(), stage.ended()),
            (vec!["a", "a"], vec!["a"])
        );
    });
}

#[test]
fn one_thing_may_have_several_tasks() {
    run(async {
        let mut stage = Stage::new();
        let thing = subject("a");
        let tasks = ["keys", "probes"].map(|purpose| {
            let ends = stage.ends.clone();
            Task::new(purpose, &thing, move |_: Weak<Subject>| {
                let end = End(purpose, ends.clone());
                async move {
                    let _end = end;
                    pending::<()>().await;
                }
            })
        });
        let [keys, probes] = tasks;
        stage.supervisor.follow(vec![keys, probes]);
        pass(Duration::ZERO).await;
        let keys = Task::new("keys", &thing, |_: Weak<Subject>| pending());
        stage.supervisor.follow(vec![keys]);
        pass(Duration::ZERO).await;
        assert_eq!(stage.ended(), ["probes"]);
    });
}

#[test]
fn a_task_that_returns_is_not_started_again() {
    run(async {
        let mut stage = Stage::new();
        let a = subject("a");
        for _ in 0..2 {
            let task = stage.task(&a, || async {});
            stage.supervisor.follow(vec![task]);
            pass(HEALTHY_AFTER * 2).await;
        }
        assert_eq!((stage.started(), stage.ended()), (vec!["a"], vec!["a"]));
        assert_eq!(stage.panics(), 0);
    });
}

#[test]
fn a_task_that_panics_starts_again_after_a_delay_that_doubles() {
    run(async {
        let mut stage = Stage::new();
        let (a, b) = (subject("a"), subject("b"));
        let broken = stage.task(&a, || async { panic!("made up") });
        let good = stage.task(&b, pending::<()>);
        stage.supervisor.follow(vec![broken, good]);
        pass(Duration::from_secs(200)).await;
        let (good, broken): (Vec<_>, Vec<_>) = stage
            .starts()
            .into_iter()
            .partition(|(name, _)| *name == "b");
        assert_eq!(good, [("b", 0)], "the others do not notice");
        let times: Vec<u64> = broken.into_iter().map(|(_, time)| time).collect();
        assert_eq!(times, [0, 1, 3, 7, 15, 31, 63, 123, 183]);
        assert_eq!(stage.panics(), 9);
    });
}

#[test]
fn a_panic_before_the_first_wait_is_caught_as_well() {
    run(async {
        let mut stage = Stage::new();
        let task = Task::new(
            "test",
            &subject("a"),
            |_: Weak<Subject>| -> std::future::Ready<()> { panic!("made up") },
        );
        stage.supervisor.follow(vec![task]);
        pass(Duration::from_millis(1100)).await;
        assert_eq!(stage.panics(), 2);
    });
}

#[test]
fn the_delay_is_short_again_after_a_task_ran_well_for_a_while() {
    run(async {
        let mut stage = Stage::new();
        let run_time = Rc::new(RefCell::new(vec![
            HEALTHY_AFTER + Duration::from_secs(1),
            Duration::ZERO,
            Duration::ZERO,
        ]));
        let task = stage.task(&subject("a"), move || {
            let time = run_time.borrow_mut().pop();
            async move {
                match time {
                    Some(time) => sleep(time).await,
                    None => pending().await,
                }
                panic!("made up")
            }
        });
        stage.supervisor.follow(vec![task]);
        pass(Duration::from_secs(1000)).await;
        let times: Vec<u64> = stage.starts().into_iter().map(|(_, time)| time).collect();
        // It panics at 0 s, 1 s and 3 s + 61 s.
        assert_eq!(times, [0, 1, 3, 3 + 61 + 1]);
        assert_eq!(stage.panics(), 3);
    });
}

#[test]
fn a_task_that_leaves_while_it_waits_for_its_restart_does_not_start() {
    run(async {
        let mut stage = Stage::new();
        let a = subject("a");
        let broken = stage.task(&a, || async { panic!("made up") });
        stage.supervisor.follow(vec![broken]);
        pass(Duration::ZERO).await;
        stage.follow(&[]).await;
        pass(Duration::from_secs(10)).await;
        assert_eq!((stage.started(), stage.panics()), (vec!["a"], 1));
    });
}

#[test]
fn a_reload_does_not_hasten_a_restart() {
    run(async {
        let mut stage = Stage::new();
        let a = subject("a");
        for _ in 0..3 {
            let broken = stage.task(&a, || async { panic!("made up") });
            stage.supervisor.follow(vec![broken]);
            pass(Duration::from_millis(300)).await;
        }
        assert_eq!(stage.starts(), [("a", 0)]);
        pass(Duration::from_millis(200)).await;
        assert_eq!(stage.starts(), [("a", 1)]);
    });
}
