//! The comparison of the gateway's decisions with the oracle's.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::pin;
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::request::Parts;
use http::{Request as HttpRequest, header};
use scopegate::clock::now;
use scopegate::config::Config;
use scopegate::decision::{self, Cause, Reason, Refusal, Verdict, admit};
use scopegate::policy::Denial;
use scopegate::snapshot::Snapshot;
use scopegate::telemetry::{Label as _, Metrics};
use scopegate::token::{RequestContext, SharedCache, WorkerCache};
use serde_json::json;

use crate::decide::{Answer, Entry, Request, decide};
use crate::keys::{Key, Token};
use crate::reading::Path;
use crate::space::{Layer, Variant, toml};

const ISSUER: &str = "https://idp.example.com";

/// The most differences that are described.
const MOST_DESCRIBED: u64 = 5;

/// The issuer of the tokens.
pub(crate) struct Actors {
    key: Key,
    header: String,
}

impl Actors {
    pub(crate) fn new() -> Self {
        let key = Key::ed25519("k");
        let jwks = json!({ "keys": [key.jwk()] });
        let header = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"off\"\n[log]\naccess = \"off\"\n\
             [issuers.idp]\nissuer = \"{ISSUER}\"\naudience = \"api\"\njwks = '{jwks}'\n\
             [upstreams.u]\nurl = \"http://127.0.0.1:9\"\n[upstreams.v]\n\
             url = \"http://127.0.0.1:10\"\n"
        );
        Self { key, header }
    }

    fn configuration(&self, routes: &[&Variant]) -> String {
        format!("{}{}", self.header, toml(routes))
    }
}

/// What was compared.
#[derive(Default)]
pub(crate) struct Count {
    pub(crate) configurations: u64,
    /// Sets of routes that only rename another one.
    pub(crate) renamed: u64,
    /// Sets of routes that `check` refuses: two of them conflict.
    pub(crate) invalid: u64,
    pub(crate) requests: u64,
    pub(crate) pairs: u64,
    pub(crate) differences: u64,
    pub(crate) report: String,
    described: u64,
    /// The number of answers of each kind.
    pub(crate) kinds: BTreeMap<&'static str, u64>,
}

impl Count {
    pub(crate) fn add(&mut self, other: Self) {
        self.configurations += other.configurations;
        self.renamed += other.renamed;
        self.invalid += other.invalid;
        self.requests = self.requests.max(other.requests);
        self.pairs += other.pairs;
        self.differences += other.differences;
        self.report += &other.report;
        self.described += other.described;
        for (kind, number) in other.kinds {
            *self.kinds.entry(kind).or_default() += number;
        }
    }
}

/// One request in both forms.
struct Question {
    method: &'static str,
    hosts: [String; 3],
    path: usize,
    scopes: Option<&'static [&'static str]>,
    head: Parts,
}

/// The requests of a layer, and the gateway to which they are sent.
pub(crate) struct Stage<'l> {
    layer: &'l Layer,
    actors: Arc<Actors>,
    paths: &'l [Path],
    questions: Vec<Question>,
    metrics: Metrics,
    cache: WorkerCache,
    before: Option<Snapshot>,
}

impl<'l> Stage<'l> {
    pub(crate) fn new(layer: &'l Layer, paths: &'l [Path], actors: &Arc<Actors>) -> Self {
        let mut tokens = Vec::new();
        for scopes in layer.tokens {
            let token =
                scopes.map(|scopes| Token::of(ISSUER, &scopes.join(" ")).signed(&actors.key));
            tokens.push((scopes, token));
        }
        let mut questions = Vec::new();
        for (path, text) in layer.paths.iter().enumerate() {
            for host in layer.hosts {
                for method in layer.methods {
                    for (scopes, token) in &tokens {
                        let mut head = HttpRequest::builder()
                            .method(*method)
                            .uri(text)
                            .header("host", *host);
                        if let Some(token) = token {
                            head = head.header(header::AUTHORIZATION, format!("Bearer {token}"));
                        }
                        questions.push(Question {
                            method,
                            hosts: hosts(host),
                            path,
                            scopes: **scopes,
                            head: head.body(()).unwrap().into_parts().0,
                        });
                    }
                }
            }
        }
        Self {
            layer,
            actors: actors.clone(),
            paths,
            questions,
            metrics: Metrics::new(Reason::NAMES).unwrap(),
            cache: WorkerCache::new(Arc::new(SharedCache::new(1 << 20)), 16),
            before: None,
        }
    }

    /// Compares all requests of the layer on one set of its routes.
    pub(crate) fn compare(&mut self, routes: usize, number: u64, count: &mut Count) {
        let Some(mut routes) = self.layer.set(routes, number) else {
            count.renamed += 1;
            return;
        };
        // The order in the file means nothing.
        if number % 2 == 1 {
            routes.reverse();
        }
        let Some(different) = self.differences(&routes, &mut count.kinds) else {
            count.invalid += 1;
            return;
        };
        count.configurations += 1;
        count.requests = self.questions.len() as u64;
        count.pairs += count.requests;
        count.differences += different.len() as u64;
        if let Some(first) = different.first()
            && count.described < MOST_DESCRIBED
        {
            count.described += 1;
            count.report += &self.describe(routes, first.question);
        }
    }

    /// Returns the requests that the gateway and the oracle answer differently; `None` if the
    /// routes are no configuration.
    fn differences(
        &mut self,
        routes: &[&Variant],
        kinds: &mut BTreeMap<&'static str, u64>,
    ) -> Option<Vec<Difference>> {
        let text = self.actors.configuration(routes);
        let config = Config::parse(&text, "gateway.toml").ok()?;
        let snapshot = Snapshot::compile(config, &self.metrics, self.before.as_ref()).unwrap();
        snapshot.prune(&self.metrics);
        let entries = entries(&snapshot.config);
        let context = RequestContext::at(now().unix);
        let mut different = Vec::new();
        for (index, question) in self.questions.iter_mut().enumerate() {
            let request = Request {
                method: question.method,
                hosts: &question.hosts,
                path: &self.paths[question.path],
                scopes: question.scopes,
            };
            let expected = decide(&entries, &request);
            *kinds.entry(expected.kind()).or_default() += 1;
            let facts = admit(&mut question.head, None, 100).unwrap();
            let decision = decision::decide(&snapshot, facts, Some(&self.cache), context);
            let found = answer(&snapshot, at_once(decision));
            if !found.is_one_of(&expected) {
                let answers = format!("the gateway: {found}\nthe oracle:  {expected}");
                different.push(Difference {
                    question: index,
                    answers,
                });
            }
        }
        drop(entries);
        self.before = Some(snapshot);
        Some(different)
    }

    /// Describes a difference, without the routes that it does not need.
    fn describe(&mut self, mut routes: Vec<&Variant>, question: usize) -> String {
        let mut answers = String::new();
        let mut index = routes.len();
        loop {
            let mut fewer = routes.clone();
            if index < routes.len() {
                fewer.remove(index);
            }
            let different = self
                .differences(&fewer, &mut BTreeMap::new())
                .unwrap_or_default();
            let same = different
                .into_iter()
                .find(|difference| difference.question == question);
            if let Some(same) = same {
                (routes, answers) = (fewer, same.answers);
            }
            let Some(next) = index.checked_sub(1) else {
                break;
            };
            index = next;
        }
        let question = &self.questions[question];
        let path = &self.layer.paths[question.path];
        format!(
            "\n--- {}\n{}{} {path} of {} with {:?}\n{answers}\n",
            self.layer.name,
            toml(&routes),
            question.method,
            question.hosts[0],
            question.scopes
        )
    }
}

/// A request that the gateway and the oracle answer differently.
struct Difference {
    question: usize,
    answers: String,
}

/// Returns the hosts of which a request takes the first that a route has.
fn hosts(field: &str) -> [String; 3] {
    let name = field.split(':').next().unwrap_or_default();
    let own = name.trim_end_matches('.').to_lowercase();
    let parent = own.split_once('.').map(|(_, parent)| format!("*.{parent}"));
    [own, parent.unwrap_or_default(), String::new()]
}

/// Returns the entries of a configuration, the more specific before the others.
fn entries(config: &Config) -> Vec<Entry<'_>> {
    let mut entries = Vec::new();
    for route in &config.routes {
        for (method, asks) in &route.methods {
            entries.push(Entry {
                host: route
                    .host
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                path: Path::of_route(route.pattern.as_str()),
                method: method.to_string(),
                route,
                asks,
            });
        }
    }
    entries.sort_by_cached_key(|entry| {
        let path = &entry.path;
        (entry.host.clone(), path.rank(false), path.segments.clone())
    });
    entries
}

/// Returns the answer of the gateway in the oracle's terms.
fn answer<'s>(snapshot: &'s Snapshot, decided: Result<Verdict<'s>, Refusal<'s>>) -> Answer<'s> {
    match decided {
        Ok(Verdict::Forward(decision)) => {
            Answer::Forward(&snapshot.config.routes[decision.entry.route])
        }
        Ok(Verdict::Answer(answer)) => panic!("{answer:?}"),
        Err(refusal) => {
            let reason = refusal.reason();
            let needed = match &refusal.cause {
                Cause::Token { needed, .. } => Some(needed),
                Cause::Denied(Denial::InsufficientScope { needed, .. }) => Some(needed),
                _ => None,
            };
            let names = needed.map(|needed| needed.iter().map(ToString::to_string).collect());
            Answer::Refuse(
                reason.status().as_u16(),
                reason.name(),
                Vec::from_iter(names),
            )
        }
    }
}

impl Answer<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::Forward(_) => "forwarded",
            Self::Refuse(_, reason, _) => reason,
        }
    }

    /// Returns whether this answer, which names at most one set of scopes, is one of those that the
    /// oracle gives.
    fn is_one_of(&self, expected: &Self) -> bool {
        match (self, expected) {
            (Self::Forward(own), Self::Forward(expected)) => ptr::eq(*own, *expected),
            (Self::Refuse(status, reason, own), Self::Refuse(expected, because, sets)) => {
                (status, reason) == (expected, because)
                    && own.is_empty() == sets.is_empty()
                    && own.iter().all(|set| sets.contains(set))
            }
            _ => false,
        }
    }
}

impl fmt::Display for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forward(route) => write!(f, "forwarded by {}", route.pattern),
            Self::Refuse(status, reason, scopes) => write!(f, "{status} {reason} {scopes:?}"),
        }
    }
}

/// Returns the output of a future that never waits.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}
