//! The compiled configuration: everything that can be computed before a request arrives.
//!
//! Parts that outlive a reload (key sets, verified tokens, connections) are held by `Arc` and kept
//! by identity: an issuer or upstream whose settings are unchanged is the same one.

mod groups;
mod live;
mod resource;
mod verifiers;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method};

use crate::carry_over::CarryOver;
use crate::config::{self, Config, ErrorProfile, TokenPlaces};
use crate::issuer::{EntryHandle, Issuer, JwksError};
use crate::route::{Conflict, MethodPattern, Table, Target};
use crate::telemetry::{KeptLabels, Metrics, RouteMetrics};
use crate::tls::TlsError;
use crate::token::{AcceptedKind, Source, Verifier};
use crate::transform::{FieldPattern, FieldSet, Respond};
use crate::upstream::{HostHeader, Settings, Upstream};

pub use crate::config::RouteMethod;
pub use groups::Groups;
pub use live::{InForce, Live};
pub use resource::{Resource, Resources, is_metadata_path};
use verifiers::InvalidKeys;

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
    /// The entries of issuers, in the order of the configuration.
    pub verifiers: Vec<Arc<Verifier>>,
    /// The issuers, each once: several entries may have one.
    issuers: Vec<Arc<Issuer>>,
    /// The groups to which requests belong that no route answers.
    pub groups: Groups,
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
    /// Set if any answer has another profile than `rfc6750`.
    pub has_profiles: bool,
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
            std::mem::take(&mut self.groups),
        );
        // If no thread can be created, it is freed here.
        let _ = std::thread::Builder::new()
            .name("free".to_owned())
            .spawn(move || drop(large));
    }
}

/// The position of a route in its snapshot: it stands for the route in a record that outlives the
/// borrow. All workers would contend for a reference count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteIndex(usize);

/// A compiled route: the route of the configuration, and what can be worked out from it.
#[derive(Debug)]
pub struct Route {
    /// The route of the configuration.
    pub config: Arc<config::Route>,
    /// Its own position.
    pub index: RouteIndex,
    /// The host and pattern: the label in metrics and logs.
    pub label: Box<str>,
    /// The answerer of permitted requests.
    pub handler: Handler,
    /// The `Host` that the upstream receives; `None` for the client's.
    pub host: Option<HeaderValue>,
    /// The `Host` for a client that named none, which only HTTP/1.0 allows: every request of
    /// HTTP/1.1 has one (RFC 9112 §3.2).
    pub unnamed_host: Option<HeaderValue>,
    /// Index into [`Snapshot::resources`], for a route whose clients can be told where to get a
    /// token.
    pub resource: Option<usize>,
    /// The number of segments that are removed from the front of the path.
    pub strip: usize,
    /// The verifiers of the issuers whose tokens the route accepts.
    pub verifiers: Vec<Arc<Verifier>>,
    /// The places, other than `Authorization`, from which all protected routes of its upstream take
    /// tokens; `None` if the route takes tokens from each of them itself.
    pub upstream_token_from: Option<Arc<[Source]>>,
    /// The time from the request's last byte to the response head.
    pub response_timeout: Duration,
    /// The metrics of the route.
    pub metrics: Arc<RouteMetrics>,
    /// Set if its header rules or its rewrite refer to the request.
    pub has_templates: bool,
    /// Set if a route of the configuration answers `OPTIONS` for this path.
    pub answers_options: bool,
}

/// The answerer of the requests that a route permits.
#[derive(Debug)]
pub enum Handler {
    /// An upstream: its index into [`Snapshot::upstreams`].
    Upstream(usize),
    /// A function, which requests invoke: the index of its upstream.
    Function(usize),
    /// The gateway itself, with this answer.
    Respond(Arc<Respond>),
    /// No answerer: the route denies every method.
    Nobody,
}

impl Route {
    /// Returns the kind of token that the route accepts.
    #[must_use]
    pub fn accepted_kind(&self) -> AcceptedKind {
        let verifiers = self.verifiers.iter();
        AcceptedKind::of_all(verifiers.map(|verifier| verifier.rules().accepted_kind()))
    }
}

impl Handler {
    /// Returns the index of the upstream.
    #[must_use]
    pub fn upstream(&self) -> Option<usize> {
        match self {
            Self::Upstream(index) | Self::Function(index) => Some(*index),
            Self::Respond(_) | Self::Nobody => None,
        }
    }
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
        let (earlier_verifiers, earlier_upstreams): (&[_], &[_]) = match before {
            Some(before) => (&before.verifiers, &before.upstreams),
            None => (&[], &[]),
        };
        let verifiers = verifiers::compile(&config.issuers, metrics, earlier_verifiers)
            .map_err(|InvalidKeys { issuer, error }| CompileError::Keys(issuer, error))?;
        let upstreams = upstreams(&config.upstreams, metrics, earlier_upstreams)?;
        let resources = Resources::new(&config);
        let places = TokenPlaces::of(&config.routes);
        let parts = Parts::new(&verifiers, &upstreams, &resources, &places);
        let mut routes = Vec::with_capacity(config.routes.len());
        for (index, route) in config.routes.iter().enumerate() {
            routes.push(compile_route(RouteIndex(index), route, metrics, &parts)?);
        }
        let table = Table::new(config::rules(&config.routes)).map_err(CompileError::Routes)?;
        let issuers = verifiers::issuers(&verifiers);
        let groups = Groups::new(&config).map_err(CompileError::Routes)?;
        let claim_headers = claim_headers(&config.routes);
        let own_headers = own_headers(&config.routes, &claim_headers);
        Ok(Self {
            table,
            routes,
            groups,
            verifiers,
            issuers,
            upstreams,
            resources,
            claim_headers: claim_headers.into_iter().collect(),
            own_headers: own_headers.into_iter().collect(),
            has_cors: has_cors(&config),
            has_profiles: has_profiles(&config),
            unrouted: metrics.route(UNROUTED),
            config,
        })
    }

    /// Removes the metrics of routes, issuers and upstreams that this snapshot does not have. The
    /// time grows with the number of routes.
    pub fn prune(&self, metrics: &Metrics) {
        let mut routes = HashSet::from([UNROUTED]);
        for route in &self.routes {
            routes.insert(&*route.label);
        }
        let mut issuers = HashSet::new();
        for verifier in &self.verifiers {
            issuers.insert(&**verifier.name());
        }
        let mut upstreams = HashSet::new();
        for upstream in &self.upstreams {
            upstreams.insert(&*upstream.settings.name);
        }
        metrics.retain(&KeptLabels {
            routes,
            issuers,
            upstreams,
        });
    }

    /// Returns the issuers, each once.
    pub fn issuers(&self) -> impl Iterator<Item = &Arc<Issuer>> {
        self.issuers.iter()
    }

    /// Tells each issuer which entries it has. An issuer that a reload has kept may have had others
    /// before.
    fn name_entries(&self) {
        let mut entries: HashMap<*const Issuer, Vec<EntryHandle>> = HashMap::new();
        for verifier in &self.verifiers {
            let issuer = Arc::as_ptr(verifier.issuer());
            let entries = entries.entry(issuer).or_default();
            entries.push(verifier.handle().clone());
        }
        for issuer in &self.issuers {
            if let Some(entries) = entries.remove(&Arc::as_ptr(issuer)) {
                issuer.set_entries(entries);
            }
        }
    }

    /// Returns the resource whose metadata the request asks for, unless a route has exactly that
    /// path.
    #[must_use]
    pub fn metadata_at(&self, target: &Target<'_>) -> Option<&Resource> {
        if !matches!(*target.method(), Method::GET | Method::HEAD) {
            return None;
        }
        self.metadata_of(target)
    }

    /// Returns the resource whose metadata has the path of a request, whatever its method.
    #[must_use]
    pub fn metadata_of(&self, target: &Target<'_>) -> Option<&Resource> {
        self.resources.find(target.host(), target.path())
    }

    /// Returns the metadata URL of a route's resource, for the clients of the route.
    #[must_use]
    pub fn metadata_url(&self, route: &Route) -> Option<&str> {
        let resource = self.resources.list.get(route.resource?)?;
        Some(&resource.metadata_url)
    }

    /// Returns the route at a position; `None` if it is of another snapshot.
    #[must_use]
    pub fn route(&self, index: RouteIndex) -> Option<&Route> {
        self.routes.get(index.0)
    }
}

/// The label of requests without a route. No pattern equals it.
const UNROUTED: &str = "none";

fn has_cors(config: &Config) -> bool {
    let routes = config.routes.iter().map(|route| &route.heads.cors);
    let groups = config.groups.iter().map(|group| &group.cors);
    routes.chain(groups).any(Option::is_some)
}

fn has_profiles(config: &Config) -> bool {
    let routes = config.routes.iter().map(|route| &route.errors);
    let groups = config.groups.iter().map(|group| &group.errors);
    let mut all = routes.chain(groups).chain([&config.errors]);
    all.any(|errors| errors.profile != ErrorProfile::Rfc6750)
}

/// Returns the headers in which routes forward claims.
fn claim_headers(routes: &[Arc<config::Route>]) -> Vec<FieldPattern> {
    let mut headers = Vec::new();
    for route in routes {
        for claim in &route.forward {
            headers.push(claim.header.clone().into());
        }
        let with_claims = route.heads.request.with_claims();
        headers.extend(with_claims.map(|name| name.clone().into()));
    }
    headers
}

/// Returns the request fields that only the gateway writes on some route, or in which it looks for
/// a token.
fn own_headers(routes: &[Arc<config::Route>], claim_headers: &[FieldPattern]) -> Vec<FieldPattern> {
    let mut headers = claim_headers.to_vec();
    for route in routes {
        headers.extend(route.heads.request.claimed());
        for source in &route.token_from {
            if let Source::Header(name) = source {
                headers.push(name.clone().into());
            }
        }
    }
    headers
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
        let mut parts = Self {
            verifiers: HashMap::new(),
            upstreams: HashMap::new(),
            resources,
            places,
        };
        for verifier in verifiers {
            parts.verifiers.insert(verifier.name(), verifier);
        }
        for (index, upstream) in upstreams.iter().enumerate() {
            parts
                .upstreams
                .insert(&upstream.settings.name, (index, upstream));
        }
        parts
    }

    fn verifier(&self, name: &Arc<str>) -> Result<Arc<Verifier>, CompileError> {
        match self.verifiers.get(&**name) {
            Some(verifier) => Ok(Arc::clone(verifier)),
            None => Err(CompileError::Undefined(name.clone())),
        }
    }

    fn verifiers(&self, names: &[Arc<str>]) -> Result<Vec<Arc<Verifier>>, CompileError> {
        names.iter().map(|name| self.verifier(name)).collect()
    }

    /// Returns the answerer of a route, and the settings of the upstream if it is one.
    fn handler(
        &self,
        handler: &config::Handler,
    ) -> Result<(Handler, Option<&'s Settings>), CompileError> {
        Ok(match handler {
            config::Handler::Upstream(name) => {
                let (index, upstream) = self.upstream(name)?;
                let settings = &upstream.settings;
                let handler = match settings.lambda {
                    Some(_) => Handler::Function(index),
                    None => Handler::Upstream(index),
                };
                (handler, Some(settings))
            }
            config::Handler::Respond(respond) => (Handler::Respond(Arc::clone(respond)), None),
            config::Handler::Nobody => (Handler::Nobody, None),
        })
    }

    fn upstream(&self, name: &Arc<str>) -> Result<(usize, &'s Upstream), CompileError> {
        match self.upstreams.get(&**name) {
            Some((index, upstream)) => Ok((*index, upstream)),
            None => Err(CompileError::Undefined(name.clone())),
        }
    }
}

/// Returns the compiled upstreams. Names are unique in a configuration.
fn upstreams(
    configured: &[Settings],
    metrics: &Metrics,
    before: &[Arc<Upstream>],
) -> Result<Vec<Arc<Upstream>>, CompileError> {
    let mut earlier = CarryOver::new(before, |upstream| &*upstream.settings.name);
    let mut upstreams = Vec::with_capacity(configured.len());
    for settings in configured {
        let before = earlier.take(&*settings.name);
        upstreams.push(upstream(settings, metrics, before)?);
    }
    Ok(upstreams)
}

/// Returns the previous upstream, if its settings did not change; otherwise a new one.
fn upstream(
    settings: &Settings,
    metrics: &Metrics,
    before: Option<&Arc<Upstream>>,
) -> Result<Arc<Upstream>, CompileError> {
    if let Some(same) = before
        && same.settings == *settings
    {
        return Ok(Arc::clone(same));
    }
    let name = &settings.name;
    let before = before.map(|before| &**before);
    match Upstream::new(settings.clone(), metrics.upstream(name), before) {
        Ok(upstream) => Ok(Arc::new(upstream)),
        Err(error) => Err(CompileError::Roots(name.clone(), error)),
    }
}

fn compile_route(
    index: RouteIndex,
    route: &Arc<config::Route>,
    metrics: &Metrics,
    parts: &Parts<'_>,
) -> Result<Route, CompileError> {
    let label = match &route.host {
        Some(host) => format!("{host}{}", route.pattern),
        None => route.pattern.to_string(),
    };
    let (handler, settings) = parts.handler(&route.handler)?;
    Ok(Route {
        config: Arc::clone(route),
        index,
        metrics: metrics.route(&label),
        label: label.into(),
        handler,
        host: settings.and_then(host),
        unnamed_host: settings
            .and_then(|settings| HeaderValue::try_from(settings.url.authority()).ok()),
        resource: match &route.resource {
            Some(url) => parts.resources.position(url),
            None => None,
        },
        strip: match &route.strip {
            Some(prefix) => prefix.matches('/').count(),
            None => 0,
        },
        verifiers: parts.verifiers(&route.issuers)?,
        upstream_token_from: parts.places.beyond(route).cloned(),
        response_timeout: response_timeout(route, settings),
        has_templates: route.heads.has_templates(),
        answers_options: answers_options(route),
    })
}

/// Returns the time that a route gives its upstream: its own, or that of the upstream.
fn response_timeout(route: &config::Route, settings: Option<&Settings>) -> Duration {
    let of_upstream = settings.map(|settings| settings.response_timeout);
    route.response_timeout.or(of_upstream).unwrap_or_default()
}

/// Returns the `Host` that an upstream receives; `None` for the client's.
fn host(settings: &Settings) -> Option<HeaderValue> {
    let host = match &settings.host {
        HostHeader::Upstream => settings.url.authority(),
        HostHeader::Named(name) => name.to_string(),
        HostHeader::Preserve => return None,
    };
    HeaderValue::try_from(host).ok()
}

fn answers_options(route: &config::Route) -> bool {
    let options = MethodPattern::One(Method::OPTIONS);
    route.methods.iter().any(|(method, _)| *method == options)
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
