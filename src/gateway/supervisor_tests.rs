use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;

use tokio::task::LocalSet;

use super::*;
use crate::telemetry::Metrics;

/// The subject of a task, whose name is that of the configuration.
struct Subject(&'static str);

/// A supervisor, and the names of the subjects whose tasks started and ended.
struct Stage {
    supervisor: Supervisor,
    metrics: Metrics,
    starts: Rc<RefCell<Vec<&'static str>>>,
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
        let metrics = Metrics::new(&[]).unwrap();
        Self {
            supervisor: Supervisor::new(metrics.gateway.clone()),
            metrics,
            starts: Rc::default(),
            ends: Rc::default(),
        }
    }

    /// Returns a task that notes its starts and its end. It runs as `run` does.
    fn task<F>(&self, subject: &Arc<Subject>, run: impl Fn() -> F + Clone + 'static) -> Task
    where
        F: Future<Output = ()> + 'static,
    {
        let (starts, ends) = (self.starts.clone(), self.ends.clone());
        Task::new("test", subject, move |subject: Weak<Subject>| {
            let name = subject.upgrade().map_or("gone", |subject| subject.0);
            starts.borrow_mut().push(name);
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
        settle().await;
    }

    /// Returns the starts since the last call.
    fn started(&self) -> Vec<&'static str> {
        self.starts.take()
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

/// Lets all tasks run until they wait.
async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

/// Waits until a condition holds.
async fn until(holds: impl Fn() -> bool) {
    let waited = async {
        while !holds() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, waited).await.unwrap();
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
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
        settle().await;
        let keys = Task::new("keys", &thing, |_: Weak<Subject>| pending());
        stage.supervisor.follow(vec![keys]);
        settle().await;
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
            settle().await;
        }
        assert_eq!((stage.started(), stage.ended()), (vec!["a"], vec!["a"]));
        assert_eq!(stage.panics(), 0);
    });
}

#[test]
fn the_delay_doubles_up_to_a_limit_and_is_short_again_after_a_healthy_time() {
    let mut back_off = BackOff::new(FIRST_DELAY);
    let healthy = HEALTHY_AFTER.as_secs();
    for (ran, delay) in [
        (0, 1),
        (0, 2),
        (healthy - 1, 4),
        (0, 8),
        (0, 16),
        (0, 32),
        (0, 60),
        (0, 60),
        (healthy, 1),
        (0, 2),
        (healthy + 1, 1),
    ] {
        let found = back_off.after_panic(Duration::from_secs(ran));
        assert_eq!(found, Duration::from_secs(delay), "{ran}");
    }
}

#[test]
fn a_task_that_panics_starts_again_and_the_others_do_not_notice() {
    run(async {
        let mut stage = Stage::new();
        stage.supervisor.back_off = BackOff::new(Duration::from_millis(1));
        let (a, b) = (subject("a"), subject("b"));
        let broken = stage.task(&a, || async { panic!("made up") });
        let good = stage.task(&b, pending::<()>);
        stage.supervisor.follow(vec![broken, good]);
        until(|| stage.panics() >= 3).await;
        let (good, broken): (Vec<_>, Vec<_>) =
            stage.started().into_iter().partition(|name| *name == "b");
        assert_eq!((good.len(), broken.len() >= 3), (1, true));
        assert!(!stage.ended().contains(&"b"));
    });
}

#[test]
fn a_panic_before_the_first_wait_is_caught_as_well() {
    run(async {
        let mut stage = Stage::new();
        stage.supervisor.back_off = BackOff::new(Duration::from_millis(1));
        let thing = subject("a");
        let task = Task::new(
            "test",
            &thing,
            |_: Weak<Subject>| -> std::future::Ready<()> { panic!("made up") },
        );
        stage.supervisor.follow(vec![task]);
        until(|| stage.panics() >= 2).await;
    });
}

#[test]
fn a_task_that_leaves_while_it_waits_for_its_restart_does_not_start() {
    run(async {
        let mut stage = Stage::new();
        let a = subject("a");
        let alive = Rc::new(());
        let held = Rc::downgrade(&alive);
        let broken = stage.task(&a, move || {
            let _alive = alive.clone();
            async { panic!("made up") }
        });
        stage.supervisor.follow(vec![broken]);
        settle().await;
        assert!(held.upgrade().is_some(), "it waits for its restart");
        stage.follow(&[]).await;
        assert!(held.upgrade().is_none(), "it can start no more");
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
            settle().await;
        }
        assert_eq!((stage.started(), stage.panics()), (vec!["a"], 1));
    });
}
