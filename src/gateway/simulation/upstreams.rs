//! Upstreams: endpoints crash, are cut off, hang, fail and recover, one at a time, while clients
//! send.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::sleep;
use turmoil::Sim;

use super::Scenario;
use super::client::{Ask, Client, Ended};
use super::instance::{Instance, source};
use super::network::{between, failed, fork, network};
use super::trace::{count, dialled, note, now, promise};
use super::upstream::{self, Mood, Upstreams};
use crate::proxy::cached_tests::chance::Chance;

const ENDPOINTS: [&str; 3] = ["up-a", "up-b", "up-c"];

const WORKERS: u64 = 2;
const RETRIES: usize = 2;
const RETRY_PERCENT: u64 = 3;
const FAILURES: usize = 3;
const EJECTION: Duration = Duration::from_secs(2);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The times at which the last fault begins, at which requests end, and at which the run does.
const FAULTS: Duration = Duration::from_secs(14);
const LENGTH: Duration = Duration::from_secs(36);
const END: Duration = Duration::from_secs(39);

/// The end of the run in which every endpoint has its share again.
const RECOVERED: Duration = Duration::from_secs(6);

/// The time that messages and steps of the simulation may take.
const SLACK: Duration = Duration::from_secs(1);

const TICK: Duration = Duration::from_millis(40);

const SCENARIO: Scenario = Scenario {
    name: "upstreams",
    run: simulate,
    share: 15,
    kept: &[],
};

#[test]
fn failing_endpoints_are_ejected_retries_are_within_their_budget_and_no_post_arrives_twice() {
    SCENARIO.hold();
}

/// The parts of the configuration that the seed draws.
#[derive(Clone, Copy)]
struct Settings {
    balance: &'static str,
    is_ejecting: bool,
    clients: usize,
}

impl Settings {
    fn draw(chance: &mut Chance) -> Self {
        Self {
            balance: chance.of(&["round_robin", "least_requests"]),
            is_ejecting: !chance.one_in(3),
            clients: 3 + chance.below(4),
        }
    }

    fn config(self) -> String {
        let failures = if self.is_ejecting { FAILURES } else { 0 };
        let (balance, workers) = (self.balance, WORKERS);
        format!(
            r#"
[server]
listen  = "0.0.0.0:8080"
workers = {workers}
admin   = "off"

[upstreams.up]
endpoints        = ["http://up-a", "http://up-b", "http://up-c"]
balance          = "{balance}"
retries          = {RETRIES}
retry_percent    = {RETRY_PERCENT}
retry_min        = 0
connect_timeout  = "300ms"
response_timeout = "1s"
idle_timeout     = "3s"

[upstreams.up.ejection]
failures    = {failures}
time        = "2s"
max_percent = 67

[[routes]]
path     = "/r/{{pause}}"
upstream = "up"
methods  = ["GET", "POST"]
public   = true
"#
        )
    }
}

/// A fault of an endpoint.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Crash,
    CutOff,
    Held,
    Mood(Mood),
}

/// A time in which an endpoint fails.
#[derive(Clone, Debug)]
struct Outage {
    endpoint: &'static str,
    begin: Duration,
    end: Duration,
}

/// The events that the end of a run is compared with.
#[derive(Default)]
struct History {
    /// Hosts that are to be stopped, and started again.
    stop: RefCell<Vec<&'static str>>,
    start: RefCell<Vec<&'static str>>,
    outages: RefCell<Vec<Outage>>,
    /// The times at which requests began that were not answered with 200.
    failed: RefCell<Vec<Duration>>,
}

fn simulate(seed: u64) {
    let mut chance = Chance::new(seed);
    let mut sim = network(seed, &mut chance, TICK);
    let settings = Settings::draw(&mut chance);
    let upstreams = Rc::new(Upstreams::default());
    for name in ENDPOINTS {
        let upstreams = upstreams.clone();
        sim.host(name, move || {
            upstream::serve(name.to_owned(), upstreams.clone())
        });
    }
    let history = Rc::new(History::default());
    sim.client("gateway", async move {
        let instance = Instance::start("gateway", &source(settings.config()));
        sleep(END).await;
        expect_budget(&instance);
        instance.close_books();
        Ok(())
    });
    let faults = fail(history.clone(), upstreams.clone(), fork(&mut chance));
    let traffic: Vec<_> = (0..settings.clients)
        .map(|client| {
            send(
                client,
                history.clone(),
                upstreams.clone(),
                fork(&mut chance),
            )
        })
        .collect();
    let over = history.clone();
    sim.client("clients", async move {
        spawn_local(faults);
        let running: Vec<_> = traffic.into_iter().map(spawn_local).collect();
        for client in running {
            client.await?;
        }
        expect_all_back(&upstreams);
        if settings.is_ejecting {
            over.expect_few_attempts(settings.clients);
        }
        Ok(())
    });
    drive(&mut sim, &history);
}

/// Runs the simulation, and stops and starts hosts between its steps.
fn drive(sim: &mut Sim<'_>, history: &History) {
    loop {
        match sim.step() {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => return failed(&error.to_string()),
        }
        for host in history.stop.take() {
            sim.crash(host);
        }
        for host in history.start.take() {
            sim.bounce(host);
        }
    }
}

/// Makes one endpoint after the other fail for some time.
async fn fail(history: Rc<History>, upstreams: Rc<Upstreams>, mut chance: Chance) {
    loop {
        sleep(between(&mut chance, 200, 3000)).await;
        if now() > FAULTS {
            return;
        }
        let endpoint = chance.of(&ENDPOINTS);
        let fault = chance.of(&[
            Fault::Crash,
            Fault::CutOff,
            Fault::Held,
            Fault::Mood(Mood::HangsUp),
            Fault::Mood(Mood::Overloaded),
            Fault::Mood(Mood::Silent),
        ]);
        let begin = now();
        note(format_args!("{endpoint} fails: {fault:?}"));
        count("faults");
        history.begin(fault, endpoint, &upstreams);
        sleep(between(&mut chance, 300, 8000)).await;
        history.end(fault, endpoint, &upstreams);
        note(format_args!("{endpoint} recovers"));
        history.outages.borrow_mut().push(Outage {
            endpoint,
            begin,
            end: now(),
        });
    }
}

impl History {
    fn begin(&self, fault: Fault, endpoint: &'static str, upstreams: &Upstreams) {
        match fault {
            Fault::Crash => self.stop.borrow_mut().push(endpoint),
            Fault::CutOff => turmoil::partition("gateway", endpoint),
            Fault::Held => turmoil::hold("gateway", endpoint),
            Fault::Mood(mood) => upstreams.set(endpoint, mood),
        }
    }

    fn end(&self, fault: Fault, endpoint: &'static str, upstreams: &Upstreams) {
        match fault {
            Fault::Crash => self.start.borrow_mut().push(endpoint),
            Fault::CutOff => turmoil::repair("gateway", endpoint),
            Fault::Held => turmoil::release("gateway", endpoint),
            Fault::Mood(_) => upstreams.set(endpoint, Mood::Answers(Duration::ZERO)),
        }
    }

    /// An endpoint that fails gets the requests that fail until it is ejected, and then one at a
    /// time, whenever its ejection ends. So no more requests fail, either.
    fn expect_few_attempts(&self, clients: usize) {
        for outage in self.outages.borrow().iter() {
            let Outage { begin, end, .. } = *outage;
            let during = |at: &&Duration| (begin..end).contains(*at);
            let most = clients + FAILURES + probes_within(end - begin) + 1;
            let attempts = dialled(outage.endpoint);
            let attempts = attempts.iter().filter(during).count();
            let failed = self.failed.borrow().iter().filter(during).count();
            promise(
                attempts <= most && failed <= most,
                format_args!(
                    "{attempts} attempts and {failed} failures, {most} at most: {outage:?}"
                ),
            );
        }
    }
}

/// Returns the number of ejections, each longer than the one before, that end within a time.
fn probes_within(time: Duration) -> usize {
    let (mut probes, mut end) = (0, EJECTION);
    while end < time {
        probes += 1;
        end += EJECTION * (probes + 1);
    }
    probes as usize
}

/// The retries are a share of the requests.
fn expect_budget(instance: &Instance) {
    let retries = instance.metric("scopegate_upstream_retries_total");
    let requests = instance.metric("scopegate_requests_total");
    let most = requests * RETRY_PERCENT as f64 / 100.0;
    promise(
        retries <= most,
        format_args!("{retries} retries of {requests} requests, {most} at most"),
    );
    (0..retries as u64).for_each(|_| count("retries"));
}

/// At the end every endpoint gets requests again.
fn expect_all_back(upstreams: &Upstreams) {
    let arrivals = upstreams.arrivals.borrow();
    for endpoint in ENDPOINTS {
        let mut all = arrivals.values().flatten();
        let is_back = all.any(|one| one.upstream == endpoint && one.at + RECOVERED > LENGTH);
        promise(
            is_back,
            format_args!("{endpoint} gets no requests at the end"),
        );
    }
}

/// Sends the requests of a client.
async fn send(number: usize, history: Rc<History>, upstreams: Rc<Upstreams>, mut chance: Chance) {
    let mut client = Client::new(format!("client{number}"));
    while now() < LENGTH {
        sleep(between(&mut chance, 20, 400)).await;
        if chance.one_in(5) {
            client.leave();
        }
        let ask = draw(&mut chance);
        let ended = client.ask(&ask).await;
        if ended.status() != 200 {
            history.failed.borrow_mut().push(ended.begun);
            count("failed");
        }
        judge(&upstreams, &ask, &ended);
    }
}

fn draw(chance: &mut Chance) -> Ask {
    let path = format!("/r/{}", chance.of(&[0, 0, 0, 30, 200]));
    if chance.one_in(3) {
        let length = chance.of(&[0, 0, 1, 5000]);
        Ask::post(&path, length, between(chance, 0, 200))
    } else {
        Ask::get(&path)
    }
}

fn judge(upstreams: &Upstreams, ask: &Ask, ended: &Ended) {
    let (id, status) = (&ended.id, ended.status());
    promise(
        matches!(status, 200 | 502..=504),
        format_args!("{id} ended with {}", ended.end),
    );
    let pause = ask.body.map_or(Duration::ZERO, |(_, pause)| pause);
    let took = now() - ended.begun;
    promise(
        took <= RESPONSE_TIMEOUT + pause + SLACK,
        format_args!("{id} took {took:?}"),
    );
    let arrivals = upstreams.arrivals.borrow();
    let arrived = arrivals.get(id).map_or(0, Vec::len);
    // A request on an open connection that the endpoint had closed is sent on a new one.
    let most = if ask.method == "POST" {
        1
    } else {
        2 * (1 + RETRIES)
    };
    promise(
        arrived <= most,
        format_args!("{id}, a {}, arrived {arrived} times", ask.method),
    );
    if let Some(answer) = ended.answer().filter(|_| status == 200) {
        let by = answer.field("x-served-by").unwrap_or_default();
        let has_it = arrivals
            .get(id)
            .is_some_and(|all| all.iter().any(|one| one.upstream == by));
        promise(
            has_it,
            format_args!("{id} was answered by {by}, which did not get it"),
        );
    }
}
