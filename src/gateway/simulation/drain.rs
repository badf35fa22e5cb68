//! Hand-overs and the drain: gateways follow each other on one listening socket while clients send,
//! and the last one drains.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::sleep;

use super::Scenario;
use super::client::{Ask, Client, End, Ended, GATEWAY};
use super::instance::{Instance, source};
use super::network::{between, fork, network, run};
use super::trace::{count, now, promise};
use super::upstream::{self, Upstreams};
use crate::proxy::cached_tests::chance::Chance;

const CONFIG: &str = r#"
[server]
listen  = "0.0.0.0:8080"
workers = 2
admin   = "off"
drain   = "3s"

[upstreams.up]
url = "http://up"

[[routes]]
path     = "/r/{pause}"
upstream = "up"
methods  = ["GET", "POST"]
public   = true
"#;

const DRAIN: Duration = Duration::from_secs(3);

/// The time for which a connection without a request is kept in the drain, less a round trip.
const KEPT: Duration = Duration::from_millis(300);

/// The time that cut connections, messages and steps of the simulation may take.
const SLACK: Duration = Duration::from_secs(1);

const TICK: Duration = Duration::from_millis(20);

const NAMES: [&str; 4] = ["first", "second", "third", "fourth"];

const SCENARIO: Scenario = Scenario {
    name: "drain",
    run: simulate,
    share: 35,
    kept: &[],
};

#[test]
fn no_accepted_connection_is_unanswered_and_nothing_is_left_after_the_deadline() {
    SCENARIO.hold();
}

/// The hand-overs and drains of a run, with their times.
#[derive(Default)]
struct History {
    /// The times at which gateways began to drain.
    drains: RefCell<Vec<Duration>>,
    /// The beginning of the last drain, which no gateway follows.
    last: Cell<Option<Duration>>,
    is_over: Cell<bool>,
}

fn simulate(seed: u64) {
    let mut chance = Chance::new(seed);
    let mut sim = network(seed, &mut chance, TICK);
    let upstreams = Rc::new(Upstreams::default());
    sim.host("up", move || {
        upstream::serve("up".to_owned(), upstreams.clone())
    });
    let history = Rc::new(History::default());
    let operator = operate(history.clone(), fork(&mut chance));
    sim.client("gateway", async move {
        operator.await;
        Ok(())
    });
    let traffic: Vec<_> = (0..2 + chance.below(6))
        .map(|client| send(client, history.clone(), fork(&mut chance)))
        .collect();
    sim.client("clients", async move {
        let running: Vec<_> = traffic.into_iter().map(spawn_local).collect();
        for client in running {
            client.await?;
        }
        Ok(())
    });
    run(&mut sim);
}

/// Runs up to four gateways, each of which takes over from the one before.
async fn operate(history: Rc<History>, mut chance: Chance) {
    let text = source(CONFIG.to_owned());
    let mut current = Instance::start(NAMES[0], &text);
    let mut all = vec![current.clone()];
    let successors = chance.below(NAMES.len());
    for name in &NAMES[1..=successors] {
        sleep(between(&mut chance, 200, 4000)).await;
        let successor = current.succeed(name, &text);
        // Both accept for a while.
        sleep(between(&mut chance, 0, 300)).await;
        history.drains.borrow_mut().push(now());
        current.relieve();
        count("hand-overs");
        spawn_local(expect_end(current.clone()));
        all.push(successor.clone());
        current = successor;
    }
    sleep(between(&mut chance, 200, 4000)).await;
    history.drains.borrow_mut().push(now());
    history.last.set(Some(now()));
    current.drain();
    expect_end(current).await;
    sleep(DRAIN + SLACK).await;
    history.is_over.set(true);
    // The host refuses connections for as long as it runs.
    sleep(SLACK).await;
    let left = turmoil::established_tcp_stream_count_on(GATEWAY);
    promise(left == 0, format_args!("{left} connections are left"));
    all.iter().for_each(|instance| instance.close_books());
}

/// A gateway that drains has ended after the deadline, at the latest.
async fn expect_end(instance: Rc<Instance>) {
    sleep(DRAIN + SLACK).await;
    let name = instance.name;
    promise(instance.has_ended(), format_args!("{name} has not ended"));
}

/// Sends the requests of a client.
async fn send(number: usize, history: Rc<History>, mut chance: Chance) {
    let mut client = Client::new(format!("client{number}"));
    while !history.is_over.get() {
        sleep(between(&mut chance, 5, 400)).await;
        if history.is_over.get() {
            return;
        }
        if chance.one_in(4) {
            client.leave();
        }
        let ask = draw(&mut chance);
        let ended = client.ask(&ask).await;
        judge(&history, &ended);
    }
}

/// Draws a request. One in twelve takes longer than the drain.
fn draw(chance: &mut Chance) -> Ask {
    let pause = if chance.one_in(12) {
        chance.of(&[3500, 5000])
    } else {
        chance.of(&[0, 0, 50, 300, 1500])
    };
    let path = format!("/r/{pause}");
    if chance.one_in(3) {
        Ask::post(&path, 1 + chance.below(5000), between(chance, 0, 600))
    } else {
        Ask::get(&path)
    }
}

fn judge(history: &History, ended: &Ended) {
    let id = &ended.id;
    match &ended.end {
        End::Answered(answer) => {
            let status = answer.status();
            promise(
                status == 200,
                format_args!("{id} was answered with {status}"),
            );
        }
        End::Refused => {
            let is_after = history.last.get().is_some_and(|last| now() >= last);
            promise(
                is_after,
                format_args!("{id} was refused while a gateway served"),
            );
        }
        End::Lost(why) => {
            count("lost in drains");
            let drains = history.drains.borrow();
            let may_be = drains.iter().any(|drain| may_be_lost(*drain, ended));
            promise(may_be, format_args!("{id} was accepted and lost: {why}"));
        }
    }
}

/// Returns whether a drain explains that a request got no answer: it was cut at the deadline, or its
/// connection had no request for so long that it was closed while the request was on its way.
fn may_be_lost(drain: Duration, ended: &Ended) -> bool {
    let deadline = drain + DRAIN;
    let is_cut = ended.begun < deadline && (deadline..deadline + SLACK).contains(&now());
    let is_late = !ended.is_first && ended.begun >= drain + KEPT;
    is_cut || is_late
}
