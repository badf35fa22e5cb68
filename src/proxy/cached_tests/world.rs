//! The world that can change a verdict: the clock, the keys of issuers, the configuration and the
//! workers of the gateway, each changed by chance.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};

use super::chance::Chance;
use super::keys::{IssuerKeys, Published, key_set, rotate};
use super::model::{ISSUERS, Settings, Token, certificate, issuer_with};
use super::{Observed, SEED, Tally};
use crate::clock::UnixTime;
use crate::config::Config;
use crate::decision::{Decision, Reason, RequestFacts, Verdict, admit, decide};
use crate::issuer::{Issuer, fixture};
use crate::proxy::{SharedState, View, Worker};
use crate::reload::{self, Reloaded, Reloader};
use crate::snapshot::{Live, Snapshot};
use crate::telemetry::{AccessLog, Label as _, Metrics};
use crate::token::{RequestContext, SharedCache};

/// The number of changes for each seed, and of requests after each change.
const ROUNDS: usize = 120;
const REQUESTS: usize = 10;

/// The number of tokens in use, and of changes that a failure prints.
const TOKENS: usize = 24;
const HISTORY: usize = 16;

/// A snapshot as the model knows it: its settings, and the keys of its issuers.
#[derive(Clone)]
struct KnownState {
    settings: Settings,
    /// Indices into [`World::trusts`].
    trusts: BTreeMap<&'static str, usize>,
    config: Rc<Config>,
    /// The same configuration, compiled again after the last change. It has no cache.
    fresh: Rc<OnceCell<Snapshot>>,
}

/// A request that began on a worker before the last reloads, and is still to be decided.
struct PendingRequest {
    worker: usize,
    view: Rc<View>,
    known_state: KnownState,
}

/// The gateway and its environment.
pub(super) struct World {
    chance: Chance,
    seed: u64,
    history: VecDeque<String>,
    now: u64,
    published: BTreeMap<&'static str, Vec<Published>>,
    is_down: BTreeSet<&'static str>,
    tokens: Vec<Token>,
    trusts: Vec<IssuerKeys>,
    known_state: KnownState,
    text: Arc<Mutex<String>>,
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    /// The metrics of snapshots that are compiled again.
    other_metrics: Arc<Metrics>,
    reloader: Reloader,
    shared: Arc<SharedCache>,
    workers: Vec<Rc<Worker>>,
    pending: Vec<PendingRequest>,
    /// The tokens and paths that the caches have recently let through.
    allowed: VecDeque<(Token, &'static str)>,
    /// The entries that have let each token through.
    entries: BTreeMap<String, BTreeSet<Arc<str>>>,
}

fn metrics_of_its_own() -> Arc<Metrics> {
    Arc::new(Metrics::new(Reason::NAMES).unwrap())
}

fn parse(text: &str) -> Config {
    Config::parse(text, "gateway.toml").unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let settings = Settings::draw(&mut chance);
        let metrics = metrics_of_its_own();
        let config = Rc::new(parse(&settings.toml()));
        let text = Arc::new(Mutex::new(settings.toml()));
        let live = Arc::new(Live::new(
            reload::first(Config::clone(&config), &metrics).unwrap(),
        ));
        let load = {
            let text = text.clone();
            move || Config::parse(&text.lock().unwrap(), "gateway.toml")
        };
        let mut published = BTreeMap::new();
        for issuer in ISSUERS {
            let keys: &mut Vec<_> = published.entry(issuer).or_default();
            (0..3).for_each(|_| rotate(keys, &mut chance));
        }
        published.insert("fixed", settings.fixed.clone());
        let mut world = Self {
            chance,
            seed,
            history: VecDeque::new(),
            now: 1_700_000_000,
            published,
            is_down: BTreeSet::new(),
            tokens: Vec::new(),
            trusts: Vec::new(),
            known_state: KnownState {
                settings,
                trusts: BTreeMap::new(),
                config,
                fresh: Rc::default(),
            },
            text,
            reloader: Reloader::new(Box::new(load), live.clone(), metrics.clone()),
            live,
            metrics,
            other_metrics: metrics_of_its_own(),
            shared: Arc::new(SharedCache::new(0)),
            workers: Vec::new(),
            pending: Vec::new(),
            allowed: VecDeque::new(),
            entries: BTreeMap::new(),
        };
        world.trust();
        world.restart(1 << 20);
        world.tokens = (0..TOKENS)
            .map(|_| Token::draw(&world.published, world.now, &mut world.chance))
            .collect();
        world
    }

    pub(super) async fn run(mut self, tally: &mut Tally) {
        for round in 0..ROUNDS {
            let change = self.change();
            self.history.push_back(format!("{round}: {change}"));
            if self.history.len() > HISTORY {
                self.history.pop_front();
            }
            for _ in 0..REQUESTS {
                self.ask(tally).await;
            }
        }
    }

    // Changes.

    fn change(&mut self) -> String {
        match self.chance.below(20) {
            0..5 => self.pass_time(),
            5..10 => self.rotate(),
            10..15 => self.reload(),
            15 => {
                self.shared.sweep(UnixTime(self.now));
                self.workers
                    .iter()
                    .for_each(|worker| worker.cache.sweep(UnixTime(self.now)));
                "a sweep".into()
            }
            16 => {
                let bytes = self.chance.of(&[0, 8 << 10, 1 << 20, 1 << 20]);
                self.restart(bytes);
                format!("a restart with {bytes} bytes")
            }
            17 => {
                let worker = self.chance.below(self.workers.len());
                let view = self.workers[worker].view();
                self.pending.truncate(2);
                self.pending.insert(
                    0,
                    PendingRequest {
                        worker,
                        view,
                        known_state: self.known_state.clone(),
                    },
                );
                "a request that takes its time".into()
            }
            _ => {
                let place = self.chance.below(TOKENS);
                self.tokens[place] = Token::draw(&self.published, self.now, &mut self.chance);
                format!("a new token: {}", self.tokens[place].description())
            }
        }
    }

    /// Moves the time some seconds forth or back, or to the second at which a token's validity
    /// changes.
    fn pass_time(&mut self) -> String {
        let token = self.chance.below(TOKENS);
        let token = &self.tokens[token];
        let (end, start) = (token.expires, token.not_before);
        let places = [
            self.now + 7,
            self.now - 7,
            end - 1,
            end,
            end + 29,
            end + 30,
            start - 1,
            start,
            start - 31,
        ];
        self.now = self.chance.of(&places);
        for place in 0..TOKENS {
            if !self.tokens[place].is_of(self.now) && !self.chance.one_in(4) {
                self.tokens[place] = Token::draw(&self.published, self.now, &mut self.chance);
            }
        }
        format!("it is {}", self.now)
    }

    /// Lets an issuer publish other keys, become unreachable, or withdraw its keys; then the
    /// gateway mostly fetches them.
    fn rotate(&mut self) -> String {
        let name = self.chance.of(&ISSUERS);
        match self.chance.below(8) {
            0 => drop(self.is_down.insert(name)),
            1 | 2 => drop(self.is_down.remove(name)),
            3 if self.chance.one_in(2) => self.published.get_mut(name).unwrap().clear(),
            _ => rotate(self.published.get_mut(name).unwrap(), &mut self.chance),
        }
        if self.chance.one_in(6) {
            return format!(
                "{name} publishes {:?}, and nobody knows",
                self.published[name]
            );
        }
        self.fetch(name);
        let is_down = self.is_down.contains(name);
        format!(
            "{name} publishes {:?}, down: {is_down}",
            self.published[name]
        )
    }

    fn issuer(&self, name: &str) -> Arc<Issuer> {
        let snapshot = self.live.load();
        let mut issuers = snapshot.issuers();
        let named = issuers.find(|issuer| issuer_with(&issuer.entry().issuer) == name);
        named.unwrap().clone()
    }

    /// Fetches the keys of an issuer of the snapshot in force, as the control thread does.
    fn fetch(&mut self, name: &'static str) {
        let Some(place) = self
            .known_state
            .trusts
            .get(name)
            .copied()
            .filter(|place| self.trusts[*place].is_fetched)
        else {
            return;
        };
        let (issuer, trust, keys) = (
            self.issuer(name),
            &mut self.trusts[place],
            &self.published[name],
        );
        let is_up = !self.is_down.contains(name);
        // An empty set withdraws the keys, and no token can be verified.
        trust.last_fetch_succeeded = is_up && !keys.is_empty();
        if is_up {
            trust.keys.clone_from(keys);
            fixture::end_fetch(&issuer, Some(&key_set(keys)));
        } else {
            fixture::end_fetch(&issuer, None);
            if self.chance.one_in(4) {
                trust.keys.clear();
                fixture::drop_keys(&issuer);
            }
        }
        self.forget_fresh();
    }

    fn forget_fresh(&mut self) {
        self.known_state.fresh = Rc::default();
        self.pending
            .iter_mut()
            .for_each(|pending| pending.known_state.fresh = Rc::default());
    }

    fn reload(&mut self) -> String {
        for _ in 0..=self.chance.below(2) {
            self.known_state.settings.change(&mut self.chance);
        }
        self.published
            .insert("fixed", self.known_state.settings.fixed.clone());
        *self.text.lock().unwrap() = self.known_state.settings.toml();
        let outcome = self.reloader.reload();
        assert_ne!(
            outcome,
            Reloaded::Failed,
            "{}",
            self.known_state.settings.toml()
        );
        if outcome == Reloaded::Swapped {
            self.known_state.config = Rc::new(parse(&self.known_state.settings.toml()));
            self.trust();
        }
        format!("{outcome:?}: {:?}", self.known_state.settings)
    }

    /// Finds the issuers that the snapshot in force has taken over from the one before, and fetches
    /// the keys of the others.
    fn trust(&mut self) {
        let before = std::mem::take(&mut self.known_state.trusts);
        let mut new = Vec::new();
        for (name, identity) in self.known_state.settings.issuers() {
            let same = |place: &&usize| self.trusts[**place].identity == identity;
            let place = before.get(name).filter(same).copied().unwrap_or_else(|| {
                new.push(name);
                self.trusts
                    .push(IssuerKeys::new(name, identity, &self.known_state.settings));
                self.trusts.len() - 1
            });
            self.known_state.trusts.insert(name, place);
        }
        self.known_state.fresh = Rc::default();
        new.into_iter().for_each(|name| self.fetch(name));
    }

    /// Starts another process with the same configuration, whose caches are empty.
    fn restart(&mut self, bytes: u64) {
        self.pending.clear();
        self.allowed.clear();
        self.entries.clear();
        self.shared = Arc::new(SharedCache::new(bytes));
        let (log, _) = AccessLog::start(self.metrics.clone()).unwrap();
        let worker = || {
            Worker::new(SharedState {
                live: self.live.clone(),
                tokens: self.shared.clone(),
                metrics: self.metrics.clone(),
                access_log: log.clone(),
            })
        };
        self.workers = (0..3).map(|_| worker()).collect();
    }

    // Requests.

    async fn ask(&mut self, tally: &mut Tally) {
        let (worker, view, known_state) = match self.pending.len() {
            pending @ 1.. if self.chance.one_in(4) => {
                let PendingRequest {
                    worker,
                    view,
                    known_state,
                } = &self.pending[self.chance.below(pending)];
                (*worker, view.clone(), known_state.clone())
            }
            _ => {
                let worker = self.chance.below(self.workers.len());
                (
                    worker,
                    self.workers[worker].view(),
                    self.known_state.clone(),
                )
            }
        };
        let (token, path) = if self.allowed.is_empty() || self.chance.one_in(2) {
            let token = self.chance.of(&self.tokens);
            let path = known_state.settings.path_for(&token, &mut self.chance);
            (token, path)
        } else {
            self.allowed[self.chance.below(self.allowed.len())].clone()
        };
        let request = Request::get(path).header("host", "api.example.com");
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        let text = HeaderValue::from_bytes(format!("Bearer {}", token.text).as_bytes()).unwrap();
        head.headers.insert(AUTHORIZATION, text);
        let facts: RequestFacts<'_> = admit(&mut head, None, 100).unwrap();
        let client = token.sender(&mut self.chance);
        let trust = |name: &str| &self.trusts[known_state.trusts[name]];
        let expected = token.verdict(path, &known_state.settings, trust, self.now, client);
        let certificate = client.map(certificate);
        let context = RequestContext {
            now: UnixTime(self.now),
            certificate: certificate.as_ref(),
        };

        let fresh = known_state.fresh.get_or_init(|| self.compile(&known_state));
        let without = Observed::of(fresh, decide(fresh, facts, None, context).await);
        let verdict = decide(
            &view.snapshot,
            facts,
            Some(&self.workers[worker].cache),
            context,
        )
        .await;
        if let Ok(Verdict::Forward(Decision {
            cache: Some(found),
            verifier: Some(verifier),
            ..
        })) = &verdict
        {
            let entries = self.entries.entry(token.text.clone()).or_default();
            entries.insert(verifier.name().clone());
            tally.found[*found as usize] += 1;
            tally.found_for_two[*found as usize] += usize::from(entries.len() == 2);
        }
        let cached = Observed::of(&view.snapshot, verdict);

        let history = || {
            let history = self
                .history
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join("\n");
            format!(
                "{SEED}={}\n{history}\n{path} on worker {worker} at {} by {client:?}: {}\n",
                self.seed,
                self.now,
                token.description()
            )
        };
        assert_eq!(
            without.reason,
            expected,
            "the verdict without a cache is not what follows\n{}",
            history()
        );
        assert_eq!(
            cached,
            without,
            "the verdict with a cache is another\n{}",
            history()
        );
        if self
            .allowed
            .iter()
            .any(|(known, at)| known.text == token.text && *at == path)
        {
            *tally.later_refusals.entry(expected).or_default() += 1;
        } else if cached.principal.is_some() {
            self.allowed.push_front((token, path));
            self.allowed.truncate(TOKENS);
        }
    }

    /// Compiles a snapshot that takes over no state, and gives its issuers their keys.
    fn compile(&self, known_state: &KnownState) -> Snapshot {
        let snapshot = Snapshot::compile(
            Config::clone(&known_state.config),
            &self.other_metrics,
            None,
        )
        .unwrap();
        for issuer in snapshot.issuers() {
            let trust = &self.trusts[known_state.trusts[issuer_with(&issuer.entry().issuer)]];
            if trust.is_fetched && !trust.keys.is_empty() {
                fixture::end_fetch(issuer, Some(&key_set(&trust.keys)));
            }
            if !trust.last_fetch_succeeded {
                fixture::end_fetch(issuer, None);
            }
        }
        snapshot
    }
}
