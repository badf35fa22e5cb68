//! Configurations for the tests of this module.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{
    AccessLog, Config, Dev, ForwardedFields, Handler, Heads, Http2, Issuer, Limits, Listener, Log,
    Ready, Reload, Route, Server, Timeouts, TokenCache,
};
use crate::issuer::{Algorithm, FetchPolicy, IssuerSettings, KeyAccess, KeySource};
use crate::net::{Address, DialTimeouts, TrustedProxies, Url};
use crate::policy::{Requirement, Rule, Scope};
use crate::route::{Ambiguities, Distinct, MethodPattern, Pattern};
use crate::tls::TlsSettings;
use crate::token::{Audience, LoggedClaims, Rules, Source, TypPolicy};
use crate::upstream::{
    EndpointSettings, HeadLimits, HostHeader, OutlierDetection, Protocol, Retry, Settings, Strategy,
};

/// Returns a configuration with these issuers and routes and one upstream, `orders`, on another
/// host.
pub(super) fn config(issuers: Vec<Issuer>, routes: Vec<Route>) -> Config {
    let second = Duration::from_secs(1);
    Config {
        server: Server {
            listeners: ["0.0.0.0:8080", "[::]:8080"]
                .map(|address| Listener {
                    address: Address::Ip(address.parse().unwrap()),
                    tls: None,
                    proxy_protocol_from: Vec::new(),
                    unix_mode: 0o660,
                })
                .into(),
            admin: Some("10.1.2.3:9090".parse().unwrap()),
            admin_hosts: Vec::new(),
            workers: 1,
            drain: second,
            handover: None,
            public_url: None,
            trusted_proxies: TrustedProxies::default(),
            forwarded: ForwardedFields::Common,
            ready: Ready::Tried,
            timeouts: Timeouts {
                request_head: second,
                idle: second,
                idle_body: second,
                request: None,
                tunnel: second,
                connection_age: None,
            },
            limits: Limits {
                head_bytes: 1 << 16,
                head_fields: 100,
                target_bytes: 1 << 13,
                body_bytes: None,
                token_bytes: 1 << 14,
                connections: 1024,
                connection_requests: 1000,
                requests: 1000,
                write_buffer: 1 << 16,
            },
            http2: Http2 {
                streams: 100,
                stream_window: 1 << 16,
                connection_window: 1 << 20,
                pending_resets: 20,
                error_resets: 1024,
            },
        },
        issuers,
        upstreams: vec![Settings {
            name: "orders".into(),
            url: Url::parse("https://orders.internal:8443/").unwrap(),
            endpoints: EndpointSettings::alone(
                Url::parse("https://orders.internal:8443/").unwrap(),
            ),
            balance: Strategy::RoundRobin,
            retry: Retry {
                attempts: 1,
                percent: 20,
                floor: 3,
            },
            ejection: OutlierDetection {
                failures: 5,
                time: second,
                max_percent: 50,
            },
            health: None,
            host: HostHeader::Upstream,
            protocol: Protocol::Http1,
            dial_timeouts: DialTimeouts::each(second),
            queue_timeout: second,
            dns_refresh: second,
            response_timeout: second,
            idle_timeout: second,
            max_idle: 8,
            connection_age: second,
            max_connections: 8,
            max_pending: 8,
            max_requests: None,
            resend_bytes: 64 << 10,
            response_head: HeadLimits {
                bytes: 64 << 10,
                fields: 100,
            },
            lambda: None,
            terms: TlsSettings {
                roots: Some("a certificate".into()),
                ..TlsSettings::default()
            },
        }],
        routes: routes.into_iter().map(Arc::new).collect(),
        groups: vec![],
        token_cache: TokenCache {
            bytes: 1 << 20,
            per_worker: 64,
        },
        reload: Reload {
            watch: true,
            settle: second,
        },
        errors: Arc::default(),
        log: Log {
            level: tracing::Level::INFO,
            access: AccessLog::Off,
            claims: LoggedClaims::NONE,
            format: None,
        },
        dev: Dev::default(),
        files: vec![],
        hash: "".into(),
        variables: vec![],
        notes: vec![],
    }
}

/// Returns an issuer in Cognito's style, without an audience. Keys for its algorithm are fast to
/// generate.
pub(super) fn cognito(name: &str) -> Issuer {
    let second = Duration::from_secs(1);
    Issuer {
        name: name.into(),
        entry: IssuerSettings {
            issuer: "https://cognito-idp.ap-northeast-2.amazonaws.com/ap-northeast-2_EXAMPLE01"
                .into(),
            keys: KeySource::Discovery(Url::parse("https://idp.example.com/").unwrap()),
            algorithms: vec![Algorithm::ES256],
            access: KeyAccess::default(),
            fetch: FetchPolicy {
                timeout: second,
                cooldown: second,
                wait: second,
                refresh: second,
                refresh_min: second,
                refresh_max: second,
                keep_stale: second,
                keep_file: None,
                max_bytes: 1 << 19,
                max_keys: 64,
                allow_http: false,
            },
        },
        rules: Rules {
            audience: Audience::Any,
            audience_claims: vec!["aud".into()],
            client_ids: vec![],
            token_use: Some("access".into()),
            leeway: Duration::ZERO,
            typ: TypPolicy::Access,
            required_claims: Vec::new(),
            scope_claims: vec!["scope".into(), "scp".into()],
        },
    }
}

/// Returns a route of the issuer `idp`, by bearer token, with one scope for each method; `""` makes
/// a method public.
pub(super) fn route(path: &str, methods: &[(&str, &str)]) -> Route {
    let requirement = |scope: &str| match scope {
        "" => Requirement::Public,
        scope => Requirement::Scopes(Rule::one(Scope::parse(scope).unwrap())),
    };
    Route {
        host: None,
        pattern: Pattern::parse(path).unwrap(),
        methods: methods
            .iter()
            .map(|(method, scope)| (MethodPattern::parse(method).unwrap(), requirement(scope)))
            .collect(),
        handler: Handler::Upstream("orders".into()),
        strip: None,
        issuers: vec![Arc::from("idp")],
        token_from: vec![Source::Bearer],
        forward_token: None,
        forward_authorization: false,
        cookie_origins: None,
        resource: None,
        forward: vec![],
        allow: Ambiguities::default(),
        distinct: Distinct::default(),
        method_fallthrough: None,
        head: true,
        body_bytes: None,
        response_timeout: None,
        websocket: false,
        heads: Heads::default(),
        errors: Arc::default(),
        place: "gateway.toml:1:1".into(),
    }
}
