//! Keys: the issuer rotates them, is unavailable now and then, and clients send tokens of every
//! kind, floods of unknown key ids included.
//!
//! The promises are worked out from what the issuer has published and served, and from the four
//! times of the configuration.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::sleep;
use turmoil::net::TcpListener;

use super::Scenario;
use super::client::{Ask, Client, Ended};
use super::http::{Connection, response};
use super::instance::{Instance, source};
use super::network::{between, fork, network, run};
use super::tokens::{key_set, kid, token};
use super::trace::{count, note, now, promise};
use super::upstream::{self, Upstreams};
use crate::proxy::cached_tests::chance::Chance;

const CONFIG: &str = r#"
[server]
listen = "0.0.0.0:8080"
workers = 2
admin   = "off"

[issuers.idp]
issuer        = "https://issuer.test/"
audience      = "api"
jwks_uri      = "http://issuer/keys"
allow_http    = true
fetch_timeout = "1s"
cooldown      = "2s"
wait          = "1s"
refresh       = "5s"
refresh_min   = "2s"
keep_stale    = "12s"

[upstreams.up]
url = "http://up"

[[routes]]
path     = "/r"
upstream = "up"
methods  = { GET = "read" }
"#;

const FETCH_TIMEOUT: Duration = Duration::from_secs(1);
const COOLDOWN: Duration = Duration::from_secs(2);
const REFRESH: Duration = Duration::from_secs(5);
const KEEP_STALE: Duration = Duration::from_secs(12);

/// The time that messages and steps of the simulation may take where a promise has a bound.
const SLACK: Duration = Duration::from_secs(1);

/// The length of a run, and the time in which the last requests end.
const LENGTH: Duration = Duration::from_secs(36);
const END: Duration = Duration::from_secs(39);

const TICK: Duration = Duration::from_millis(40);

/// The key that no issuer has.
const FORGERS: u8 = 255;

/// The most keys that are published at a time.
const MOST_KEYS: usize = 4;

const SCENARIO: Scenario = Scenario {
    name: "keys",
    run: simulate,
    share: 20,
    kept: &[],
};

#[test]
fn a_good_key_is_never_refused_a_removed_one_is_and_fetches_stay_within_their_bounds() {
    SCENARIO.hold();
}

/// The behaviour of the issuer when its keys are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Good,
    Slow(Duration),
    Fails,
    Garbage,
    HangsUp,
    Silent,
}

/// A key, and the time for which it is published.
#[derive(Clone, Copy)]
struct Key {
    number: u8,
    since: Duration,
    until: Option<Duration>,
    /// Set when one of its tokens was accepted.
    is_known: bool,
}

/// The issuer.
struct Issuer {
    keys: RefCell<Vec<Key>>,
    mood: Cell<Mood>,
    is_cut_off: Cell<bool>,
    /// The time since which every fetch can succeed.
    healthy_since: Cell<Option<Duration>>,
    fetches: RefCell<Vec<Duration>>,
    /// The last fetch that has certainly succeeded, and the last that may have.
    certain: Cell<Option<Duration>>,
    possible: Cell<Option<Duration>>,
}

fn simulate(seed: u64) {
    let mut chance = Chance::new(seed);
    let mut sim = network(seed, &mut chance, TICK);
    let issuer = Rc::new(Issuer::new());
    let upstreams = Rc::new(Upstreams::default());
    let served = issuer.clone();
    sim.host("issuer", move || serve(served.clone()));
    sim.host("up", move || {
        upstream::serve("up".to_owned(), upstreams.clone())
    });
    sim.client("gateway", async {
        let instance = Instance::start("gateway", &source(CONFIG.to_owned()));
        sleep(END).await;
        instance.close_books();
        Ok(())
    });
    let (clients, watched) = (2 + chance.below(3), issuer.clone());
    let rotation = rotate(issuer.clone(), fork(&mut chance));
    let traffic: Vec<_> = (0..clients)
        .map(|client| send(client, issuer.clone(), fork(&mut chance)))
        .collect();
    sim.client("clients", async move {
        spawn_local(rotation);
        let running: Vec<_> = traffic.into_iter().map(spawn_local).collect();
        for client in running {
            client.await?;
        }
        watched.expect_few_fetches();
        Ok(())
    });
    run(&mut sim);
}

impl Issuer {
    fn new() -> Self {
        Self {
            keys: RefCell::new(vec![Key::new(1, Duration::ZERO)]),
            mood: Cell::new(Mood::Good),
            is_cut_off: Cell::new(false),
            healthy_since: Cell::new(Some(Duration::ZERO)),
            fetches: RefCell::default(),
            certain: Cell::default(),
            possible: Cell::default(),
        }
    }

    /// Notes a change of its health.
    fn changed(&self) {
        let is_healthy = self.mood.get() == Mood::Good && !self.is_cut_off.get();
        let since = self.healthy_since.get().unwrap_or_else(now);
        self.healthy_since.set(is_healthy.then_some(since));
        let (mood, is_cut_off) = (self.mood.get(), self.is_cut_off.get());
        note(format_args!(
            "the issuer is {mood:?}, cut off: {is_cut_off}"
        ));
    }

    fn published(&self) -> Vec<u8> {
        let keys = self.keys.borrow();
        let published = keys.iter().filter(|key| key.until.is_none());
        published.map(|key| key.number).collect()
    }

    /// Adds a key, or removes one.
    fn rotate(&self, chance: &mut Chance) {
        let published = self.published();
        let is_full = published.len() >= MOST_KEYS;
        if is_full || (published.len() > 1 && chance.one_in(2)) {
            let removed = chance.of(&published);
            let mut keys = self.keys.borrow_mut();
            for key in keys.iter_mut().filter(|key| key.number == removed) {
                key.until = Some(now());
            }
        } else {
            let mut keys = self.keys.borrow_mut();
            let number = keys.len() as u8 + 1;
            keys.push(Key::new(number, now()));
        }
        note(format_args!("the issuer publishes {:?}", self.published()));
    }

    /// Few fetches may begin in any ten seconds: for each of the two reasons one per cool-down that
    /// brings nothing, the routine ones, and one for each new key.
    fn expect_few_fetches(&self) {
        let window = Duration::from_secs(10);
        let per_reason = window.as_secs() / COOLDOWN.as_secs() + 1;
        let fetches = self.fetches.borrow();
        for (index, begin) in fetches.iter().enumerate() {
            let end = *begin + window;
            let rest = &fetches[index..];
            let fetched = rest.iter().take_while(|at| **at < end).count() as u64;
            let is_new = |key: &&Key| key.since + window > *begin && key.since < end;
            let new = self.keys.borrow().iter().filter(is_new).count() as u64;
            let most = 3 * per_reason + new;
            promise(
                fetched <= most,
                format_args!("{fetched} fetches within {window:?} from {begin:?}, {most} at most"),
            );
        }
    }

    fn key(&self, number: u8) -> Option<Key> {
        let keys = self.keys.borrow();
        keys.iter().copied().find(|key| key.number == number)
    }

    fn learnt(&self, number: u8) {
        let mut keys = self.keys.borrow_mut();
        for key in keys.iter_mut().filter(|key| key.number == number) {
            key.is_known = true;
        }
    }
}

impl Key {
    fn new(number: u8, since: Duration) -> Self {
        Self {
            number,
            since,
            until: None,
            is_known: false,
        }
    }
}

/// Serves the key set.
async fn serve(issuer: Rc<Issuer>) -> turmoil::Result {
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        spawn_local(answer(issuer.clone(), Connection::new(stream)));
    }
}

async fn answer(issuer: Rc<Issuer>, mut connection: Connection) {
    let Ok(Some(_)) = connection.next().await else {
        return;
    };
    let mood = issuer.mood.get();
    issuer.fetches.borrow_mut().push(now());
    count("fetches");
    note(format_args!("the issuer is asked, and is {mood:?}"));
    match mood {
        Mood::Good => {}
        Mood::Slow(pause) => sleep(pause).await,
        Mood::Fails => return drop(connection.send(&response(500, "", "no")).await),
        Mood::Garbage => return drop(connection.send(&response(200, "", "{")).await),
        Mood::HangsUp => return,
        Mood::Silent => return sleep(END).await,
    }
    let keys = issuer.published();
    if issuer.is_cut_off.get() {
        return;
    }
    issuer.possible.set(Some(now()));
    if mood == Mood::Good {
        issuer.certain.set(Some(now()));
    }
    note(format_args!("the issuer gives {keys:?}"));
    let fields = "Content-Type: application/json\r\n";
    let _ = connection
        .send(&response(200, fields, &key_set(&keys)))
        .await;
}

/// Rotates keys, and makes the issuer fail and recover.
async fn rotate(issuer: Rc<Issuer>, mut chance: Chance) {
    while now() < LENGTH {
        sleep(between(&mut chance, 500, 6000)).await;
        match chance.below(5) {
            0..3 => issuer.rotate(&mut chance),
            3 => cut_off(&issuer, between(&mut chance, 500, 20_000)).await,
            _ => fail(&issuer, &mut chance).await,
        }
    }
}

/// Lets no message pass between the gateway and the issuer for some time.
async fn cut_off(issuer: &Issuer, time: Duration) {
    turmoil::partition("gateway", "issuer");
    issuer.is_cut_off.set(true);
    issuer.changed();
    sleep(time).await;
    turmoil::repair("gateway", "issuer");
    issuer.is_cut_off.set(false);
    issuer.changed();
}

async fn fail(issuer: &Issuer, chance: &mut Chance) {
    let moods = [
        Mood::Slow(between(chance, 100, 1500)),
        Mood::Fails,
        Mood::Garbage,
        Mood::HangsUp,
        Mood::Silent,
    ];
    issuer.mood.set(chance.of(&moods));
    issuer.changed();
    sleep(between(chance, 500, 20_000)).await;
    issuer.mood.set(Mood::Good);
    issuer.changed();
}

/// The key of a token, and what is wrong with it.
#[derive(Clone, Copy)]
enum Kind {
    /// It is signed with the key that it names, which is or was published.
    Of(u8),
    /// It names a key that was never published.
    Unknown,
    /// It names a published key, and is signed with another.
    Forged,
}

/// Sends the requests of a client. Every other one is a flood: it sends tokens that name no key.
async fn send(number: usize, issuer: Rc<Issuer>, mut chance: Chance) {
    let mut client = Client::new(format!("client{number}"));
    let is_flood = number % 2 == 1;
    let mut made = Vec::new();
    while now() < LENGTH {
        let most = if is_flood { 300 } else { 900 };
        sleep(between(&mut chance, 10, most)).await;
        if chance.one_in(10) {
            client.leave();
        }
        let kind = draw(&issuer, is_flood, &mut chance);
        let token = token_of(kind, &issuer, &mut made, &mut chance);
        let before = Known::of(&issuer, kind);
        let ended = client.ask(&Ask::get("/r").bearer(token)).await;
        judge(&issuer, kind, before, &ended);
    }
}

fn draw(issuer: &Issuer, is_flood: bool, chance: &mut Chance) -> Kind {
    if is_flood && !chance.one_in(8) {
        return if chance.one_in(4) {
            Kind::Forged
        } else {
            Kind::Unknown
        };
    }
    let keys = issuer.keys.borrow();
    // The last ones, which are new or were removed lately.
    let recent = &keys[keys.len().saturating_sub(6)..];
    Kind::Of(recent[chance.below(recent.len())].number)
}

/// Returns a token. One in two is a token that was sent before, so that caches are used.
fn token_of(
    kind: Kind,
    issuer: &Issuer,
    made: &mut Vec<(u8, String)>,
    chance: &mut Chance,
) -> String {
    match kind {
        Kind::Unknown => token(FORGERS, &format!("unknown-{}", chance.below(1000)), "read"),
        Kind::Forged => {
            let published = issuer.published();
            token(FORGERS, &kid(chance.of(&published)), "read")
        }
        Kind::Of(key) => {
            let earlier = made.iter().find(|(number, _)| *number == key);
            if let Some((_, token)) = earlier
                && chance.one_in(2)
            {
                return token.clone();
            }
            let new = token(key, &kid(key), "read");
            made.push((key, new.clone()));
            new
        }
    }
}

/// The state of a key at the time when a request is sent.
struct Known {
    key: Option<Key>,
    healthy_since: Option<Duration>,
    certain: Option<Duration>,
    possible: Option<Duration>,
}

impl Known {
    fn of(issuer: &Issuer, kind: Kind) -> Self {
        let key = match kind {
            Kind::Of(number) => issuer.key(number),
            Kind::Unknown | Kind::Forged => None,
        };
        Self {
            key,
            healthy_since: issuer.healthy_since.get(),
            certain: issuer.certain.get(),
            possible: issuer.possible.get(),
        }
    }
}

/// Holds the answer of a request against what was known before it, and is known now.
fn judge(issuer: &Issuer, kind: Kind, before: Known, ended: &Ended) {
    let (id, status, begun) = (&ended.id, ended.status(), ended.begun);
    promise(
        matches!(status, 200 | 401 | 503),
        format_args!("{id} was answered with {status}"),
    );
    let Known {
        key: Some(key),
        healthy_since,
        certain,
        possible,
    } = before
    else {
        promise(
            status != 200,
            format_args!("{id} passed with a forged token"),
        );
        return;
    };
    let Kind::Of(number) = kind else { return };
    if status == 200 {
        issuer.learnt(number);
        count("accepted");
    }
    let after = issuer.key(number).unwrap_or(key);
    let is_published = after.until.is_none();
    let is_served = certain.is_some_and(|at| now() < at + KEEP_STALE - SLACK);
    if key.is_known && is_published && is_served {
        count("known keys");
        promise(
            status == 200,
            format_args!("{id}: {number} is known and published, and got {status}"),
        );
    }
    if possible.is_some_and(|at| begun > at + KEEP_STALE + SLACK)
        && issuer.possible.get() == possible
    {
        count("stale keys");
        promise(
            status == 503,
            format_args!("{id}: the keys are stale, and it got {status}"),
        );
    }
    let Some(since) = healthy_since.filter(|_| issuer.healthy_since.get() == healthy_since) else {
        return;
    };
    let settled = since + FETCH_TIMEOUT;
    if is_published && begun >= key.since.max(settled) + COOLDOWN + SLACK {
        count("new keys");
        promise(
            status == 200,
            format_args!(
                "{id}: {number} is published since {:?}, and got {status}",
                key.since
            ),
        );
    }
    if let Some(until) = key.until
        && begun >= until.max(settled) + REFRESH + SLACK
    {
        count("removed keys");
        promise(
            status == 401,
            format_args!("{id}: {number} was removed at {until:?}, and got {status}"),
        );
    }
}
