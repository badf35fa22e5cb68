//! Reloads under traffic: the configuration changes again and again, and is broken now and then.
//!
//! Each configuration has a number, which it writes in four places: the scope that its route
//! requires, the upstream that the route leads to, a field of requests, and a field of answers. In
//! every answer the four agree. What was in force before a request began is not used any more.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::sleep;

use super::Scenario;
use super::client::{Ask, Client, End, Ended};
use super::http::Message;
use super::instance::{Instance, source};
use super::network::{between, fork, network, run};
use super::tokens::{ISSUER, key_set, kid, token};
use super::trace::{count, note, now, promise};
use super::upstream::{self, Mood, Upstreams};
use crate::config::Config;
use crate::proxy::cached_tests::chance::Chance;

/// The port that some configurations have, and others have not.
const OTHER_PORT: u16 = 8081;

/// The length of a run, and the time in which the last requests end.
const LENGTH: Duration = Duration::from_secs(10);
const END: Duration = Duration::from_secs(13);

const TICK: Duration = Duration::from_millis(20);

/// The tokens: one has the scopes of every third configuration.
const TOKENS: u64 = 3;

/// The most configurations of a run.
const MOST: u64 = 120;

const UPSTREAMS: [&str; 2] = ["up-a", "up-b"];

const SCENARIO: Scenario = Scenario {
    name: "reload",
    run: simulate,
    share: 30,
    kept: &[],
};

#[test]
fn each_request_is_judged_by_one_configuration_and_every_accepted_connection_is_answered() {
    SCENARIO.hold();
}

/// The configurations that may be in force.
#[derive(Default)]
struct Generations {
    /// The last that was certainly in force.
    confirmed: Cell<u64>,
    /// The last that was written.
    written: Cell<u64>,
}

/// Returns the text of a configuration.
fn config(generation: u64) -> String {
    let other = if generation % 4 == 1 {
        format!(", \"0.0.0.0:{OTHER_PORT}\"")
    } else {
        String::new()
    };
    let (keys, up) = (key_set(&[1]), upstream_of(generation));
    format!(
        r#"
[server]
listen  = ["0.0.0.0:8080"{other}]
workers = 2
admin   = "off"

[issuers.idp]
issuer   = "{ISSUER}"
audience = "api"
jwks     = '{keys}'

[upstreams.up]
url = "http://{up}"

[[routes]]
path     = "/r/{{pause}}"
upstream = "up"
methods  = {{ GET = "s{generation}", POST = "s{generation}" }}

[routes.request_headers]
set = {{ "x-judged-by" = "{generation}" }}

[routes.response_headers]
set = {{ "x-answered-by" = "{generation}" }}
"#
    )
}

fn upstream_of(generation: u64) -> &'static str {
    UPSTREAMS[(generation % 2) as usize]
}

fn simulate(seed: u64) {
    let mut chance = Chance::new(seed);
    let mut sim = network(seed, &mut chance, TICK);
    let upstreams = Rc::new(Upstreams::default());
    for name in UPSTREAMS {
        upstreams.set(name, Mood::Answers(between(&mut chance, 0, 100)));
        let upstreams = upstreams.clone();
        sim.host(name, move || {
            upstream::serve(name.to_owned(), upstreams.clone())
        });
    }
    let generations = Rc::new(Generations::default());
    let operator = operate(generations.clone(), fork(&mut chance));
    sim.client("gateway", async move {
        operator.await;
        Ok(())
    });
    let traffic: Vec<_> = (0..2 + chance.below(4))
        .map(|client| send(client, generations.clone(), fork(&mut chance)))
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

/// Runs the gateway, and changes its configuration.
async fn operate(generations: Rc<Generations>, mut chance: Chance) {
    let text = source(config(0));
    let instance = Instance::start("gateway", &text);
    while now() < LENGTH && generations.written.get() < MOST {
        sleep(between(&mut chance, 20, 1000)).await;
        match chance.below(8) {
            0 => break_it(&instance, &text, &mut chance).await,
            1 => instance.reload(),
            2 => {
                // Two at once: the first may come into force or not.
                write_next(&instance, &text, &generations);
                sleep(between(&mut chance, 0, 2)).await;
                change(&instance, &text, &generations).await;
            }
            _ => change(&instance, &text, &generations).await,
        }
    }
    sleep(END.saturating_sub(now())).await;
    instance.close_books();
}

fn write_next(instance: &Instance, text: &Arc<Mutex<String>>, generations: &Generations) {
    let next = generations.written.get() + 1;
    generations.written.set(next);
    *text.lock().unwrap() = config(next);
    note(format_args!("configuration {next} is written"));
    instance.reload();
}

/// Writes the next configuration, and waits until it is in force.
async fn change(instance: &Instance, text: &Arc<Mutex<String>>, generations: &Generations) {
    write_next(instance, text, generations);
    let wanted = generations.written.get();
    let hash = Config::parse(&config(wanted), "gateway.toml").unwrap().hash;
    for _ in 0..1000 {
        if instance.shared.live.load().config.hash == hash {
            generations.confirmed.set(wanted);
            note(format_args!("configuration {wanted} is in force"));
            count("reloads");
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
    promise(
        false,
        format_args!("configuration {wanted} is not in force"),
    );
}

/// Writes a configuration that is refused, or cannot take effect, and then the one before.
async fn break_it(instance: &Instance, text: &Arc<Mutex<String>>, chance: &mut Chance) {
    let good = text.lock().unwrap().clone();
    let before = instance.shared.live.load();
    let broken = match chance.below(3) {
        0 => good.replace("methods", "# methods"),
        1 => good.replace("[upstreams.up]", "[upstreams.down]"),
        _ => good.replace("0.0.0.0:8080", "203.0.113.7:8080"),
    };
    *text.lock().unwrap() = broken;
    instance.reload();
    count("broken reloads");
    sleep(between(chance, 10, 300)).await;
    let is_kept = Arc::ptr_eq(&before, &instance.shared.live.load());
    promise(is_kept, format_args!("a broken configuration is in force"));
    *text.lock().unwrap() = good;
}

/// Sends the requests of a client.
async fn send(number: usize, generations: Rc<Generations>, mut chance: Chance) {
    let mut client = Client::new(format!("client{number}"));
    let tokens: Vec<_> = (0..TOKENS).map(token_with).collect();
    while now() < LENGTH {
        sleep(between(&mut chance, 5, 300)).await;
        if chance.one_in(6) {
            client.leave();
        }
        let which = chance.below(tokens.len());
        let ask = draw(&mut chance).bearer(tokens[which].clone());
        let confirmed = generations.confirmed.get();
        let ended = client.ask(&ask).await;
        let judge = Judge {
            ended: &ended,
            token: which as u64,
            least: confirmed,
            most: generations.written.get(),
        };
        judge.judge(ask.port);
    }
}

/// Returns the token with the scopes of every third configuration.
fn token_with(first: u64) -> String {
    let scopes: Vec<_> = (0..=MOST)
        .filter(|generation| generation % TOKENS == first)
        .map(|generation| format!("s{generation}"))
        .collect();
    token(1, &kid(1), &scopes.join(" "))
}

fn draw(chance: &mut Chance) -> Ask {
    let path = format!("/r/{}", chance.of(&[0, 0, 20, 200, 700]));
    let ask = if chance.one_in(3) {
        Ask::post(&path, 1 + chance.below(5000), between(chance, 0, 600))
    } else {
        Ask::get(&path)
    };
    if chance.one_in(8) {
        return ask.at(OTHER_PORT);
    }
    ask
}

/// The answer of a request, and what may have decided about it.
struct Judge<'a> {
    ended: &'a Ended,
    token: u64,
    /// The configurations that may have been in force during the request.
    least: u64,
    most: u64,
}

impl Judge<'_> {
    fn judge(&self, port: u16) {
        let id = &self.ended.id;
        match &self.ended.end {
            End::Answered(answer) => self.judge_answer(answer),
            End::Refused => promise(port == OTHER_PORT, format_args!("{id} was not accepted")),
            End::Lost(why) => promise(false, format_args!("{id} was accepted and lost: {why}")),
        }
    }

    fn judge_answer(&self, answer: &Message) {
        let id = &self.ended.id;
        let number = |name| answer.field(name).and_then(|text| text.parse::<u64>().ok());
        let Some(by) = number("x-answered-by") else {
            return promise(
                false,
                format_args!("{id} has no configuration: {}", answer.head),
            );
        };
        let (least, most) = (self.least, self.most);
        promise(
            (least..=most).contains(&by),
            format_args!("{id} was judged by {by}, of {least} to {most}"),
        );
        let may_pass = by % TOKENS == self.token;
        match answer.status() {
            200 => {
                count("permitted");
                let (judged, served) = (number("x-judged-by"), answer.field("x-served-by"));
                promise(
                    may_pass && judged == Some(by) && served == Some(upstream_of(by)),
                    format_args!("{id} passed by {by}, {judged:?} and {served:?}"),
                );
            }
            403 => {
                count("denied");
                let challenge = answer.field("www-authenticate").unwrap_or_default();
                let names = challenge.contains(&format!("scope=\"s{by}\""));
                promise(
                    !may_pass && names,
                    format_args!("{id} was denied by {by}: {challenge}"),
                );
            }
            status => promise(false, format_args!("{id} was answered with {status}")),
        }
    }
}
