//! Measures the single steps of the walk, for work on one of them. Times are comparable only within
//! one run on one machine. `budget.sh` counts the cost of a whole request, and `side_by_side`
//! measures it.
//!
//!     cargo bench --bench micro [-- ROOM]         # route, tokens, verification, decide, headers

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

#[path = "../it/support/keys.rs"]
#[allow(dead_code)]
mod keys;
mod stage;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use keys::{Key, Token};

fn main() {
    divan::main();
}

/// Returns the output of a future that never waits.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

fn token(key: &Key) -> String {
    Token::of(stage::ISSUER, stage::SCOPES).signed(key)
}

mod route {
    use divan::{Bencher, black_box};
    use http::{Request, Version};
    use scopegate::route::{
        Access, Ambiguities, Distinct, MethodPattern, Pattern, Rule, Table, Target,
    };

    /// A public route, with a number as its value.
    struct Number(usize);

    impl Access for Number {
        fn allows(&self) -> Ambiguities {
            Ambiguities::default()
        }

        fn same_upstream(&self, _: &Self) -> bool {
            true
        }

        fn is_denied(&self) -> bool {
            false
        }

        fn admits_all_of(&self, _: &Self) -> bool {
            true
        }

        fn class(&self) -> usize {
            self.0
        }
    }

    const ROUTES: [usize; 3] = [10, 1_000, 100_000];
    /// Requests in turn, so that the CPU's caches do not hold a single path only.
    const PATHS: usize = 1_000;

    fn table(routes: usize) -> Table<Number> {
        let rule = |value| Rule {
            host: None,
            pattern: Pattern::parse(&format!("/v1/r{value}/items/{{id}}")).unwrap(),
            method: MethodPattern::Any,
            method_fallthrough: None,
            head: true,
            distinct: Distinct::default(),
            value: Number(value),
        };
        Table::new((0..routes).map(rule).collect()).unwrap()
    }

    fn requests(routes: usize, path: &str) -> Vec<Request<()>> {
        let stride = routes.div_ceil(PATHS);
        let get = |index: usize| {
            let target = format!("/v1/r{}/{path}", index * stride % routes);
            Request::get(target)
                .header("host", "api.example.com")
                .body(())
                .unwrap()
        };
        (0..PATHS).map(get).collect()
    }

    fn target(request: &Request<()>) -> Target<'_> {
        let (method, uri) = (request.method(), request.uri());
        Target::parse(method, uri, Version::HTTP_11, request.headers()).unwrap()
    }

    #[divan::bench]
    fn parse_a_target(bencher: Bencher<'_, '_>) {
        let requests = requests(1, "items/1042");
        bencher.bench_local(|| {
            black_box(target(black_box(&requests[0])));
        });
    }

    #[divan::bench(args = ROUTES)]
    fn find(bencher: Bencher<'_, '_>, routes: usize) {
        look_up(bencher, routes, "items/1042", true);
    }

    #[divan::bench(args = ROUTES)]
    fn find_none(bencher: Bencher<'_, '_>, routes: usize) {
        look_up(bencher, routes, "other/1042", false);
    }

    fn look_up(bencher: Bencher<'_, '_>, routes: usize, path: &str, found: bool) {
        let (table, requests) = (table(routes), requests(routes, path));
        let targets: Vec<_> = requests.iter().map(target).collect();
        let mut turn = targets.iter().cycle();
        bencher.bench_local(|| {
            let result = black_box(&table).find(turn.next().unwrap());
            assert_eq!(black_box(result).is_ok(), found);
        });
    }
}

mod tokens {
    use std::sync::Arc;

    use divan::{Bencher, black_box};
    use scopegate::clock::now;
    use scopegate::token::{
        BearerToken, CacheResult, RequestContext, SharedCache, Source, WorkerCache, authenticate,
    };

    use super::{Key, at_once, stage, token};

    const MAX: usize = 16 << 10;

    #[divan::bench]
    fn parse_a_bearer(bencher: Bencher<'_, '_>) {
        let request = stage::request("/orders", &token(&Key::rsa("key", 0)));
        bencher.bench_local(|| {
            let found = BearerToken::find(&[Source::Bearer], black_box(request.headers()), None);
            black_box(found.unwrap());
        });
    }

    #[divan::bench]
    fn hit_on_this_worker(bencher: Bencher<'_, '_>) {
        hit(bencher, 1, 16, CacheResult::Worker);
    }

    /// The worker keeps one token only, so that two in turn are always found on the shared level.
    #[divan::bench]
    fn hit_on_the_shared_level(bencher: Bencher<'_, '_>) {
        hit(bencher, 2, 1, CacheResult::Shared);
    }

    fn hit(bencher: Bencher<'_, '_>, tokens: usize, per_worker: usize, expected: CacheResult) {
        let key = Key::rsa("key", 0);
        let snapshot = stage::snapshot(&stage::toml(&key, "http://127.0.0.1:9"));
        let cache = WorkerCache::new(Arc::new(SharedCache::new(1 << 20)), per_worker);
        let distinct = |number| {
            super::Token::of(stage::ISSUER, stage::SCOPES)
                .with("jti", number)
                .signed(&key)
        };
        let tokens: Vec<_> = (0..tokens).map(distinct).collect();
        let context = RequestContext::at(now().unix);
        let authenticate = |text: &str| {
            let token = BearerToken::new(black_box(text));
            at_once(authenticate(
                &snapshot.verifiers,
                token,
                MAX,
                Some(&cache),
                context,
            ))
            .unwrap()
            .cache
        };
        for text in &tokens {
            authenticate(text);
        }
        let mut turn = tokens.iter().cycle();
        bencher.bench_local(|| assert_eq!(authenticate(turn.next().unwrap()), expected));
    }

    /// A token is looked up on both levels, verified, and stored.
    #[divan::bench]
    fn miss(bencher: Bencher<'_, '_>) {
        let key = Key::rsa("key", 0);
        let snapshot = stage::snapshot(&stage::toml(&key, "http://127.0.0.1:9"));
        let (text, context) = (token(&key), RequestContext::at(now().unix));
        let empty = || WorkerCache::new(Arc::new(SharedCache::new(1 << 20)), 16);
        bencher.with_inputs(empty).bench_local_refs(|cache| {
            let token = BearerToken::new(black_box(&text));
            let found = at_once(authenticate(
                &snapshot.verifiers,
                token,
                MAX,
                Some(cache),
                context,
            ));
            assert_eq!(found.unwrap().cache, CacheResult::Miss);
        });
    }
}

mod verification {
    use divan::{Bencher, black_box};
    use scopegate::clock::now;
    use scopegate::token::{BearerToken, RequestContext, authenticate};

    use super::{Key, Token, at_once, stage};

    /// From the text of a token to an identity, without a cache.
    #[divan::bench(args = ["RS256", "RS512", "PS256", "ES256", "ES384", "EdDSA"])]
    fn verify(bencher: Bencher<'_, '_>, algorithm: &str) {
        let key = match algorithm {
            "ES256" => Key::p256("key"),
            "ES384" => Key::p384("key"),
            "EdDSA" => Key::ed25519("key"),
            _ => Key::rsa("key", 0),
        };
        let token = Token::of(stage::ISSUER, stage::SCOPES)
            .header("alg", algorithm)
            .signed(&key);
        let snapshot = stage::snapshot(&stage::toml(&key, "http://127.0.0.1:9"));
        let context = RequestContext::at(now().unix);
        bencher.bench_local(|| {
            let token = BearerToken::new(black_box(&token));
            at_once(authenticate(
                &snapshot.verifiers,
                token,
                16 << 10,
                None,
                context,
            ))
            .unwrap();
        });
    }
}

mod decide {
    use std::sync::Arc;

    use divan::{Bencher, black_box};
    use http::Request;
    use scopegate::clock::now;
    use scopegate::decision::{Verdict, admit, decide};
    use scopegate::telemetry::Label as _;
    use scopegate::token::{RequestContext, SharedCache, WorkerCache};

    use super::{Key, Token, stage};

    #[divan::bench]
    fn permit_with_a_hot_token(bencher: Bencher<'_, '_>) {
        verdict(bencher, stage::SCOPES, None);
    }

    #[divan::bench]
    fn refuse_a_scope(bencher: Bencher<'_, '_>) {
        verdict(bencher, "orders.readonly", Some("insufficient_scope"));
    }

    fn verdict(bencher: Bencher<'_, '_>, scopes: &str, refused: Option<&str>) {
        let key = Key::rsa("key", 0);
        let request = stage::request("/orders", &Token::of(stage::ISSUER, scopes).signed(&key));
        repeat(bencher, &key, &request, refused);
    }

    #[divan::bench]
    fn refuse_without_a_token(bencher: Bencher<'_, '_>) {
        let request = Request::get("/orders")
            .header("host", "api.example.com")
            .body(())
            .unwrap();
        repeat(
            bencher,
            &Key::rsa("key", 0),
            &request,
            Some("missing_token"),
        );
    }

    fn repeat(bencher: Bencher<'_, '_>, key: &Key, request: &Request<()>, refused: Option<&str>) {
        let snapshot = stage::snapshot(&stage::toml(key, "http://127.0.0.1:9"));
        let cache = WorkerCache::new(Arc::new(SharedCache::new(1 << 20)), 16);
        let (mut head, ()) = request.clone().into_parts();
        let facts = admit(&mut head, None, 100).unwrap();
        let context = RequestContext::at(now().unix);
        bencher.bench_local(|| {
            let verdict =
                super::at_once(decide(&snapshot, black_box(facts), Some(&cache), context));
            let reason = verdict
                .as_ref()
                .err()
                .map(|refusal| refusal.reason().name());
            assert_eq!(reason, refused);
            assert!(reason.is_some() || matches!(verdict, Ok(Verdict::Forward(_))));
        });
    }
}

mod headers {
    use divan::{Bencher, black_box};
    use http::{HeaderMap, HeaderName, HeaderValue, Request};
    use scopegate::clock::now;
    use scopegate::decision::{Verdict, admit, decide};
    use scopegate::net::Peer;
    use scopegate::proxy::{head_to_client, head_to_upstream};
    use scopegate::token::RequestContext;
    use scopegate::transform::Direction;

    use super::{Key, at_once, stage, token};

    const ID: HeaderValue = HeaderValue::from_static("0123456789abcdef");

    const FORWARD: &str = "forward = { \"x-user\" = \"sub\", \"x-scopes\" = \"scope\" }\n";

    /// The fields that a browser sends beside its token.
    const BROWSER: [(&str, &str); 11] = [
        ("accept", "application/json"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("accept-language", "de-DE,de;q=0.9,en;q=0.8"),
        ("cookie", "session=0123456789abcdef; theme=dark"),
        ("origin", "https://app.example.com"),
        ("referer", "https://app.example.com/orders"),
        ("sec-ch-ua-platform", "\"Linux\""),
        ("sec-fetch-dest", "empty"),
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-site", "same-site"),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/142.0.0.0",
        ),
    ];

    const ANSWER: [(&str, &str); 5] = [
        ("server", "upstream"),
        ("date", "Tue, 25 Nov 2025 10:00:00 GMT"),
        ("content-type", "application/json"),
        ("content-length", "27"),
        ("cache-control", "no-store"),
    ];

    fn fields<'f>(of: impl IntoIterator<Item = &'f (&'static str, &'static str)>) -> HeaderMap {
        let field = |(name, value): &(&'static str, &'static str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        of.into_iter().map(field).collect()
    }

    #[divan::bench]
    fn to_upstream_from_wrk(bencher: Bencher<'_, '_>) {
        to_upstream(bencher, "", &[]);
    }

    #[divan::bench]
    fn to_upstream_from_a_browser(bencher: Bencher<'_, '_>) {
        to_upstream(bencher, "", &BROWSER);
    }

    #[divan::bench]
    fn to_upstream_with_claims(bencher: Bencher<'_, '_>) {
        to_upstream(bencher, FORWARD, &BROWSER);
    }

    fn to_upstream(bencher: Bencher<'_, '_>, more: &str, fields: &[(&'static str, &'static str)]) {
        let key = Key::rsa("key", 0);
        let snapshot = stage::snapshot(&(stage::toml(&key, "http://127.0.0.1:9") + more));
        let mut request = stage::request("/orders", &token(&key));
        request.headers_mut().extend(self::fields(fields));
        let (mut head, ()) = request.clone().into_parts();
        let facts = admit(&mut head, None, 100).unwrap();
        let decision = at_once(decide(
            &snapshot,
            facts,
            None,
            RequestContext::at(now().unix),
        ));
        let Ok(Verdict::Forward(decision)) = decision else {
            panic!("it is not forwarded")
        };
        let peer = Peer::new("192.0.2.1:4711".parse().unwrap());
        bencher
            .with_inputs(|| request.clone())
            .bench_local_refs(|request: &mut Request<()>| {
                head_to_upstream(&snapshot, &decision, &peer, &ID, black_box(request))
            });
    }

    #[divan::bench]
    fn to_client(bencher: Bencher<'_, '_>) {
        let answer = fields(&ANSWER);
        bencher
            .with_inputs(|| answer.clone())
            .bench_local_refs(|fields| head_to_client(black_box(fields), &ID));
    }

    const RULES: &str =
        "[routes.request_headers]\nset = { \"x-env\" = \"prod\" }\nremove = [\"x-debug\"]\n";

    /// Applies the rules of a route to a request of six fields.
    #[divan::bench]
    fn apply_the_rules_of_a_route(bencher: Bencher<'_, '_>) {
        let key = Key::rsa("key", 0);
        let snapshot = stage::snapshot(&(stage::toml(&key, "http://127.0.0.1:9") + RULES));
        let rules = &snapshot.routes[0].config.heads.request;
        let mut headers = stage::request("/orders", &token(&key)).headers().clone();
        for (name, value) in [
            ("accept", "*/*"),
            ("user-agent", "bench"),
            ("x-debug", "1"),
            ("x-env", "test"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        bencher
            .with_inputs(|| headers.clone())
            .bench_local_refs(|headers| {
                rules.apply(Direction::Request, black_box(headers));
            });
    }
}
