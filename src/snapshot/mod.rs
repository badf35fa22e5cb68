//! The compiled configuration: everything that can be computed before a request arrives.
//!
//! Parts that outlive a reload (key sets, verified tokens, connections) are held by `Arc` and kept
//! by identity: an issuer or upstream whose settings are unchanged is the same one.

mod resource;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderValue, Method};

use crate::config::{self, Config, TokenPlaces};
use crate::issuer::{Issuer, JwksError};
use crate::net::TlsError;
use crate::route::{
    Ambiguities, Conflict, FieldPattern, FieldSet, MethodPattern, Origins, Table, Target,
};
use crate::telemetry::{Kept, Metrics, RouteMetrics};
use crate::token::{ForwardedClaim, Source, Verifier};
use crate::upstream::{HostHeader, Upstream};

pub use crate::config::RouteMethod;
pub use resource::{Resource, Resources};

/// A compiled configuration. It is immutable, and a request uses the one that was in force when it
/// began.
#[derive(Debug)]
pub struct Snapshot {
    /// The configuration that it was compiled from.
    pub config: Config,
    /// Maps the target of a request to a route and a requirement.
    pub table: Table<RouteMethod>,
    /// The routes that the table's entries index.
    pub routes: Vec<Route>,
    /// The issuers, in the order of the configuration.
    pub verifiers: Vec<Arc<Verifier>>,
    /// The upstreams that routes index.
    pub upstreams: Vec<Arc<Upstream>>,
    /// The protected resources that routes index.
    pub resources: Resources,
    /// The headers that some route sets from claims: removed from every request, on every route.
    pub claim_headers: FieldSet,
    /// The request fields that on some route only the gateway writes, or that decide about a
    /// request: no trailer may have one of these names.
    pub own_headers: FieldSet,
    /// Set if any route has CORS rules.
    pub has_cors: bool,
    /// The metrics of requests without a route.
    pub unrouted: Arc<RouteMetrics>,
}

/// The number of routes from which on a snapshot is freed by a thread of its own.
const MANY: usize = 1000;

impl Drop for Snapshot {
    /// Frees a large snapshot in another thread. The last reference is mostly held by a worker,
    /// which has requests to answer, and freeing a hundred thousand routes takes some tenths of a
    /// second.
    fn drop(&mut self) {
        if self.routes.len() < MANY {
            return;
        }
        let large = (
            std::mem::take(&mut self.config.routes),
            std::mem::take(&mut self.routes),
            std::mem::take(&mut self.table),
            std::mem::take(&mut self.resources),
        );
        // If no thread can be created, it is freed here.
        let _ = std::thread::Builder::new()
            .name("free".to_owned())
            .spawn(move || drop(large));
    }
}

/// A compiled route.
#[derive(Debug)]
pub struct Route {
    /// The host and pattern: the label in metrics and logs.
    pub label: Box<str>,
    /// Index into [`Snapshot::upstreams`].
    pub upstream: usize,
    /// The `Host` that the upstream receives; `None` for the client's.
    pub host: Option<HeaderValue>,
    /// Index into [`Snapshot::resources`], for a route whose clients can be told where to get a
    /// token.
    pub resource: Option<usize>,
    /// The number of segments that are removed from the front of the path.
    pub strip: usize,
    /// The verifiers of the issuers whose tokens the route accepts.
    pub verifiers: Vec<Arc<Verifier>>,
    /// The places in a request where the token may be.
    pub token_from: Vec<Source>,
    /// The places, other than `Authorization`, from which all protected routes of its upstream take
    /// tokens; `None` if the route takes tokens from each of them itself.
    pub upstream_token_from: Option<Arc<[Source]>>,
    /// Set if the upstream receives the token; `None` means that it receives only a token in
    /// `Authorization`.
    pub forward_token: Option<bool>,
    /// Set if the upstream receives an `Authorization` that was not verified.
    pub forward_authorization: bool,
    /// The origins whose pages may use a token in a cookie, in addition to the route's own origin
    /// and those of its CORS rules.
    pub cookie_origins: Option<Origins>,
    /// The claims that the upstream receives.
    pub forward: Vec<ForwardedClaim>,
    /// The ambiguities in paths that the route accepts.
    pub allow: Ambiguities,
    /// The limit of a request body, in bytes.
    pub body_bytes: Option<u64>,
    /// The time from the request's last byte to the response head.
    pub response_timeout: Duration,
    /// The metrics of the route.
    pub metrics: Arc<RouteMetrics>,
    /// Set if requests may switch to WebSocket.
    pub websocket: bool,
    /// Set if a route of the configuration answers `OPTIONS` for this path.
    pub answers_options: bool,
    /// The header rules and CORS rules.
    pub heads: config::Heads,
}

/// The reason why a valid configuration cannot be compiled.
#[derive(Debug)]
pub enum CompileError {
    /// The keys in the configuration of an issuer are invalid.
    Keys(Arc<str>, JwksError),
    /// The trusted roots of an upstream are invalid.
    Roots(Arc<str>, TlsError),
    /// Two routes are equal; the check of the configuration should have found it.
    Routes(Conflict),
    /// A name is not defined; the check of the configuration should have found it.
    Undefined(Arc<str>),
}

impl Snapshot {
    /// Compiles a configuration, and keeps the parts of `before` that have not changed. Does not
    /// change `before`.
    ///
    /// # Errors
    /// [`CompileError`]
    pub fn compile(
        config: Config,
        metrics: &Metrics,
        before: Option<&Self>,
    ) -> Result<Self, CompileError> {
        let earlier = Earlier::new(before);
        let verifiers = config
            .issuers
            .iter()
            .map(|issuer| verifier(issuer, metrics, &earlier))
            .collect::<Result<Vec<_>, _>>()?;
        let upstreams = config
            .upstreams
            .iter()
            .map(|settings| upstream(settings, metrics, &earlier))
            .collect::<Result<Vec<_>, _>>()?;
        let resources = Resources::new(&config);
        let places = TokenPlaces::of(&config.routes);
        let parts = Parts::new(&verifiers, &upstreams, &resources, &places);
        let routes = config
            .routes
            .iter()
            .map(|route| compile_route(route, metrics, &parts))
            .collect::<Result<Vec<_>, _>>()?;
        let table = Table::new(config::rules(&config.routes)).map_err(CompileError::Routes)?;
        let ruled_headers = config
            .routes
            .iter()
            .flat_map(|route| route.heads.request.claimed());
        let token_headers = token_headers(&config.routes);
        let own_headers = claim_headers(&config.routes)
            .chain(ruled_headers)
            .chain(token_headers)
            .collect();
        let claim_headers = claim_headers(&config.routes).collect();
        let has_cors = config.routes.iter().any(|route| route.heads.cors.is_some());
        let unrouted = metrics.route(UNROUTED);
        Ok(Self {
            config,
            table,
            routes,
            verifiers,
            upstreams,
            resources,
            claim_headers,
            own_headers,
            has_cors,
            unrouted,
        })
    }

    /// Removes the metrics of routes, issuers and upstreams that this snapshot does not have. The
    /// time grows with the number of routes.
    pub fn prune(&self, metrics: &Metrics) {
        let routes: HashSet<&str> = self
            .routes
            .iter()
            .map(|route| &*route.label)
            .chain([UNROUTED])
            .collect();
        let issuers: HashSet<&str> = self
            .verifiers
            .iter()
            .map(|verifier| &**verifier.name())
            .collect();
        let upstreams: HashSet<&str> = self
            .upstreams
            .iter()
            .map(|upstream| &*upstream.settings.name)
            .collect();
        metrics.retain(&Kept {
            routes,
            issuers,
            upstreams,
        });
    }

    /// Returns the issuers, each once.
    pub fn issuers(&self) -> impl Iterator<Item = &Arc<Issuer>> {
        self.verifiers.iter().map(|verifier| verifier.issuer())
    }

    /// Returns the resource whose metadata the request asks for, unless a route has exactly that
    /// path.
    #[must_use]
    pub fn metadata_at(&self, target: &Target<'_>) -> Option<&Resource> {
        let is_read = *target.method() == Method::GET || *target.method() == Method::HEAD;
        self.resources
            .find(target.host(), target.path())
            .filter(|_| is_read)
    }

    /// Returns the metadata URL of a route's resource, for the clients of the route.
    #[must_use]
    pub fn metadata_url(&self, route: Option<usize>) -> Option<&str> {
        let resource = self.routes.get(route?)?.resource?;
        self.resources
            .list
            .get(resource)
            .map(|resource| &*resource.metadata_url)
    }

    /// Returns the index of an issuer among the verifiers.
    #[must_use]
    pub fn issuer(&self, name: &str) -> Option<usize> {
        self.verifiers
            .iter()
            .position(|verifier| **verifier.name() == *name)
    }

    /// Returns the metrics of a route, or those of requests without a route.
    #[must_use]
    pub fn route_metrics(&self, route: Option<usize>) -> &RouteMetrics {
        route
            .and_then(|index| self.routes.get(index))
            .map_or(&self.unrouted, |route| &route.metrics)
    }
}

/// The label of requests without a route. No pattern equals it.
const UNROUTED: &str = "none";

/// Returns the headers in which routes forward claims.
fn claim_headers(routes: &[config::Route]) -> impl Iterator<Item = FieldPattern> {
    routes
        .iter()
        .flat_map(|route| &route.forward)
        .map(|claim| claim.header.clone().into())
}

/// Returns the fields in which some route looks for a token.
fn token_headers(routes: &[config::Route]) -> impl Iterator<Item = FieldPattern> {
    routes
        .iter()
        .flat_map(|route| &route.token_from)
        .filter_map(|source| match source {
            Source::Header(name) => Some(name.clone().into()),
            _ => None,
        })
}

/// The parts of the previous snapshot, by their names in the configuration, which are unique.
struct Earlier<'s> {
    verifiers: HashMap<&'s str, &'s Arc<Verifier>>,
    upstreams: HashMap<&'s str, &'s Arc<Upstream>>,
}

impl<'s> Earlier<'s> {
    fn new(before: Option<&'s Snapshot>) -> Self {
        let verifiers = before.iter().flat_map(|snapshot| &snapshot.verifiers);
        let upstreams = before.iter().flat_map(|snapshot| &snapshot.upstreams);
        Self {
            verifiers: verifiers
                .map(|verifier| (&**verifier.name(), verifier))
                .collect(),
            upstreams: upstreams
                .map(|upstream| (&*upstream.settings.name, upstream))
                .collect(),
        }
    }
}

/// The parts that routes refer to, by name. Thus compiling a route does not search the lists of
/// routes or upstreams.
struct Parts<'s> {
    verifiers: HashMap<&'s str, &'s Arc<Verifier>>,
    upstreams: HashMap<&'s str, (usize, &'s Arc<Upstream>)>,
    resources: &'s Resources,
    places: &'s TokenPlaces<'s>,
}

impl<'s> Parts<'s> {
    fn new(
        verifiers: &'s [Arc<Verifier>],
        upstreams: &'s [Arc<Upstream>],
        resources: &'s Resources,
        places: &'s TokenPlaces<'s>,
    ) -> Self {
        let numbered = upstreams.iter().enumerate();
        Self {
            verifiers: verifiers
                .iter()
                .map(|verifier| (&**verifier.name(), verifier))
                .collect(),
            upstreams: numbered
                .map(|(index, one)| (&*one.settings.name, (index, one)))
                .collect(),
            resources,
            places,
        }
    }

    fn verifier(&self, name: &Arc<str>) -> Result<Arc<Verifier>, CompileError> {
        let found = self
            .verifiers
            .get(&**name)
            .map(|verifier| Arc::clone(verifier));
        found.ok_or_else(|| CompileError::Undefined(name.clone()))
    }

    fn upstream(&self, name: &Arc<str>) -> Result<(usize, &'s Upstream), CompileError> {
        let found = self
            .upstreams
            .get(&**name)
            .map(|(index, upstream)| (*index, &***upstream));
        found.ok_or_else(|| CompileError::Undefined(name.clone()))
    }
}

/// Returns the previous verifier, if nothing about the issuer changed; a verifier with the previous
/// keys, if only its rules changed; otherwise a new one.
fn verifier(
    issuer: &config::Issuer,
    metrics: &Metrics,
    earlier: &Earlier<'_>,
) -> Result<Arc<Verifier>, CompileError> {
    let name = &issuer.entry.name;
    let named = earlier.verifiers.get(&**name);
    if let Some(verifier) = named.filter(|verifier| *verifier.issuer().entry() == issuer.entry) {
        if *verifier.rules() == issuer.rules {
            return Ok(Arc::clone(verifier));
        }
        return Ok(Arc::new(Verifier::new(
            verifier.issuer().clone(),
            issuer.rules.clone(),
        )));
    }
    let keys = Issuer::new(issuer.entry.clone(), metrics.issuer(name));
    let keys = keys.map_err(|error| CompileError::Keys(name.clone(), error))?;
    Ok(Arc::new(Verifier::new(keys, issuer.rules.clone())))
}

fn upstream(
    settings: &crate::upstream::Settings,
    metrics: &Metrics,
    earlier: &Earlier<'_>,
) -> Result<Arc<Upstream>, CompileError> {
    let name = &settings.name;
    let former = earlier.upstreams.get(&**name);
    if let Some(same) = former.filter(|upstream| upstream.settings == *settings) {
        return Ok(Arc::clone(same));
    }
    let upstream = Upstream::new(
        settings.clone(),
        metrics.upstream(name),
        former.map(|former| &***former),
    );
    upstream
        .map(Arc::new)
        .map_err(|error| CompileError::Roots(name.clone(), error))
}

fn compile_route(
    route: &config::Route,
    metrics: &Metrics,
    parts: &Parts<'_>,
) -> Result<Route, CompileError> {
    let label = match &route.host {
        Some(host) => format!("{host}{}", route.pattern),
        None => route.pattern.to_string(),
    };
    let (index, upstream) = parts.upstream(&route.upstream)?;
    let settings = &upstream.settings;
    let host = match &settings.host {
        HostHeader::Upstream => Some(settings.url.authority()),
        HostHeader::Named(name) => Some(name.to_string()),
        HostHeader::Preserve => None,
    };
    Ok(Route {
        metrics: metrics.route(&label),
        label: label.into(),
        upstream: index,
        host: host.and_then(|host| HeaderValue::try_from(host).ok()),
        resource: route
            .resource
            .as_ref()
            .and_then(|url| parts.resources.position(url)),
        strip: route
            .strip
            .as_deref()
            .map_or(0, |prefix| prefix.matches('/').count()),
        verifiers: route
            .issuers
            .iter()
            .map(|name| parts.verifier(name))
            .collect::<Result<_, _>>()?,
        token_from: route.token_from.clone(),
        upstream_token_from: parts.places.beyond(route).cloned(),
        forward_token: route.forward_token,
        forward_authorization: route.forward_authorization,
        cookie_origins: route.cookie_origins.clone(),
        forward: route.forward.clone(),
        allow: route.allow,
        body_bytes: route.body_bytes,
        response_timeout: route.response_timeout.unwrap_or(settings.response_timeout),
        websocket: route.websocket,
        answers_options: route
            .methods
            .iter()
            .any(|(method, _)| *method == MethodPattern::One(Method::OPTIONS)),
        heads: route.heads.clone(),
    })
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys(name, error) => write!(f, "issuer \"{name}\": {error}"),
            Self::Roots(name, error) => write!(f, "upstream \"{name}\": {error}"),
            Self::Routes(Conflict(first, second)) => {
                write!(f, "routes {first} and {second} are the same")
            }
            Self::Undefined(name) => write!(f, "\"{name}\" is not defined"),
        }
    }
}

impl std::error::Error for CompileError {}

/// The snapshot in force, and the number of times that it changed.
#[derive(Debug)]
pub struct Live {
    current: ArcSwap<Snapshot>,
    generation: AtomicU64,
}

impl Live {
    /// Starts with a snapshot.
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Self {
        Self {
            current: ArcSwap::from_pointee(snapshot),
            generation: AtomicU64::new(0),
        }
    }

    /// Returns the snapshot in force.
    #[must_use]
    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Puts another snapshot in force, for every request that begins from now on.
    pub fn swap(&self, snapshot: Snapshot) {
        self.current.store(Arc::new(snapshot));
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Returns a number that changes with every swap, so that a worker can tell whether its copy of
    /// the snapshot is still in force.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}
