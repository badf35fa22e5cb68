//! `scopegate explain`: shows the decision for a request, step by step, with the same [`decide`]
//! that serves traffic.
//!
//! Nothing is forwarded. Keys are fetched unless the configuration contains them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use tokio::task::LocalSet;
use zeroize::Zeroizing;

use super::explanation::{Explanation, Outcome};
use super::failure::Failure;
use super::logging;
use super::settings::Settings;
use crate::clock;
use crate::config::Config;
use crate::decision::{Cause, Reason, Refusal, Verdict, admit, decide};
use crate::issuer::{KeyAccess, KeySource, maintain};
use crate::net::{Peer, Proxies, Url, UrlError};
use crate::policy::Requirement;
use crate::route::{Miss, Target};
use crate::snapshot::{RouteMethod, Snapshot};
use crate::telemetry::{Label as _, Metrics, Quoted};
use crate::tls::Fingerprint;
use crate::token::{RequestContext, Source, TokenError};

/// The largest size of a token file in bytes. The gateway refuses tokens that are far shorter, so a
/// larger file is not a token.
const TOKEN_FILE_BYTES: u64 = 1 << 20;

/// A hint for a user whose token is from `dev`: only `dev` has the keys for it.
const DEV_KEYS: &str = "for a token of a running \"scopegate dev\", add --dev, which uses its keys";

/// A hint for a token that is bound to a certificate, which cannot come from a connection here.
const CERTIFICATE: &str = "if the client presents a certificate, add --client-cert-file";

const EXAMPLES: &str = "\
Examples:
  scopegate explain GET /orders
  scopegate explain GET /orders/42 --token-file token.jwt
  scopegate token --scope orders.read | scopegate explain POST /orders --token-file - --dev";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The method, in capitals
    method: Method,
    /// The path as it is sent, with its query
    #[arg(value_parser = target)]
    path: Uri,
    /// The host that the request is for
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    host: HeaderValue,
    /// The origin of the page that makes the request, as a browser sends it; for tokens in cookies
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<HeaderValue>,
    /// A file with a token; "-" for standard input. A token is never an argument, because other
    /// users could read it
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The client certificate of the connection, in PEM; the token may be bound to it
    #[arg(long, value_name = "FILE")]
    client_cert_file: Option<PathBuf>,
    /// Use the keys of a running `scopegate dev` at this URL
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "http://127.0.0.1:9400")]
    #[arg(value_parser = url)]
    dev: Option<Url>,
}

pub(super) fn explain(settings: &Settings, arguments: &Arguments) -> Result<String, Failure> {
    let level = settings.log_level.unwrap_or(tracing::Level::WARN);
    let _log = logging::start(level).map_err(Failure::Runtime)?;
    let mut config = settings.load()?;
    if let Some(dev) = &arguments.dev {
        take_keys_of(dev, &mut config);
    }
    // The file with kept keys belongs to a gateway: this command does not write it, and an error of
    // a fetch should be visible.
    for issuer in &mut config.issuers {
        issuer.entry.fetch.keep_file = None;
    }
    let token = match &arguments.token_file {
        Some(file) => Some(read_token(file)?),
        None => None,
    };
    let certificate = match &arguments.client_cert_file {
        Some(file) => Some(read_certificate(file)?),
        None => None,
    };
    let metrics = Metrics::new(Reason::NAMES).expect("no metric is defined twice");
    let snapshot = Snapshot::compile(config, &metrics, None).map_err(Failure::Compile)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?;
    let question = Question {
        head: arguments.head(),
        peer: None,
        from_page: arguments.origin.is_some(),
        token: token.as_ref().map(|token| token.as_str()),
        certificate: certificate.as_ref(),
    };
    let examination = examine(&snapshot, question, arguments);
    let explanation = LocalSet::new().block_on(&runtime, examination);
    Ok(explanation.text())
}

/// Replaces the key source of each issuer by the running dev issuer. The other settings stay,
/// because its tokens satisfy them.
fn take_keys_of(dev: &Url, config: &mut Config) {
    for issuer in &mut config.issuers {
        let name = percent_encoding::utf8_percent_encode(
            &issuer.entry.name,
            percent_encoding::NON_ALPHANUMERIC,
        );
        // The issuer's own proxy and credential are not for this machine.
        issuer.entry.access = KeyAccess::default();
        issuer.entry.keys =
            KeySource::Uri(dev.with_path(&format!("/{name}/.well-known/jwks.json")));
    }
}

/// A request whose decision is explained.
struct Question<'a> {
    head: Parts,
    peer: Option<&'a Peer>,
    /// Set if a page makes the request.
    from_page: bool,
    token: Option<&'a str>,
    certificate: Option<&'a Fingerprint>,
}

async fn examine(
    snapshot: &Snapshot,
    question: Question<'_>,
    arguments: &Arguments,
) -> Explanation {
    let mut explanation = Explanation::default();
    let Question {
        mut head, token, ..
    } = question;
    let line = format!("{} {}", head.method, Quoted(&head.uri.to_string()));
    explanation.step("request", Outcome::Note, line);
    let entry = entry(snapshot, &head);
    if let (Some(entry), Some(token)) = (entry, token) {
        let source = source_of(snapshot, entry, question.from_page);
        if let Some(Source::Cookie(name)) = source {
            let says = format!("the token is in the cookie \"{name}\"");
            explanation.step("", Outcome::Note, says);
        }
        put_token(&mut head, source, token);
    }
    let needs_token = entry.is_some_and(|entry| entry.requirement != Requirement::Public);
    if needs_token {
        fetch_keys(snapshot);
    }
    let context = RequestContext {
        now: clock::now().unix,
        certificate: question.certificate,
    };
    let max_fields = snapshot.config.server.limits.head_fields;
    let verdict = match admit(&mut head, question.peer, max_fields) {
        Ok(facts) => decide(snapshot, facts, None, context).await,
        Err(refusal) => Err(refusal),
    };
    // A refusal without a route came before any route was looked for.
    let is_routed = !matches!(&verdict, Err(refusal) if refusal.route.is_none());
    if let Some(entry) = entry
        && is_routed
    {
        explanation.routed(snapshot, entry);
    }
    if needs_token && is_routed {
        explanation.outline(token, context);
    }
    match verdict {
        Ok(Verdict::Forward(decision)) => explanation.permitted(snapshot, &decision),
        Ok(Verdict::Answer(answer)) => explanation.answered(&answer),
        Err(refusal) => {
            explanation.refused(snapshot, &refusal);
            if let Some(hint) = hint(&refusal, arguments) {
                explanation.step("", Outcome::Note, hint);
            }
        }
    }
    explanation
}

/// Starts the tasks that fetch the issuers' keys.
fn fetch_keys(snapshot: &Snapshot) {
    let proxies = Proxies::from_environment();
    for issuer in snapshot.issuers() {
        tokio::task::spawn_local(maintain(Arc::downgrade(issuer), proxies.clone()));
    }
}

/// Returns the option that may lead to another verdict.
fn hint(refusal: &Refusal<'_>, arguments: &Arguments) -> Option<&'static str> {
    let Cause::Token { error, .. } = &refusal.cause else {
        return None;
    };
    match error {
        TokenError::UnknownKey(_) | TokenError::KeysUnavailable { .. }
            if arguments.dev.is_none() =>
        {
            Some(DEV_KEYS)
        }
        TokenError::ClientCertificate { .. } if arguments.client_cert_file.is_none() => {
            Some(CERTIFICATE)
        }
        _ => None,
    }
}

/// Finds the rule for the request, whose sources decide where the token is put. If there is none,
/// [`decide`] reports the reason.
fn entry<'s>(snapshot: &'s Snapshot, head: &Parts) -> Option<&'s RouteMethod> {
    let target = Target::parse(&head.method, &head.uri, head.version, &head.headers).ok()?;
    match snapshot.table.find(&target) {
        Ok(entry) | Err(Miss::Shadowed { found: entry, .. }) => Some(entry),
        Err(_) => None,
    }
}

impl Arguments {
    /// Returns the head of the request as the gateway would parse it.
    fn head(&self) -> Parts {
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = self.method.clone();
        head.uri = self.path.clone();
        head.headers.insert(HOST, self.host.clone());
        if let Some(origin) = &self.origin {
            head.headers.insert(ORIGIN, origin.clone());
        }
        head
    }
}

/// Returns the source that the token is put in: the first of the route, or its cookie if the
/// request comes from a page.
fn source_of<'s>(
    snapshot: &'s Snapshot,
    entry: &RouteMethod,
    from_page: bool,
) -> Option<&'s Source> {
    let sources = &snapshot.routes.get(entry.route)?.config.token_from;
    for source in sources {
        if from_page && matches!(source, Source::Cookie(_)) {
            return Some(source);
        }
    }
    sources.first()
}

/// Puts the token in the source that the route reads. A token that no header can carry is left out,
/// since no client could send it.
fn put_token(head: &mut Parts, source: Option<&Source>, token: &str) {
    let headers = &mut head.headers;
    match source {
        Some(Source::Raw) => set(headers, AUTHORIZATION, token),
        Some(Source::Header(name)) => set(headers, name.clone(), token),
        Some(Source::Cookie(name)) => {
            set(headers, COOKIE, &Zeroizing::new(format!("{name}={token}")));
        }
        Some(Source::Query(name)) => {
            let uri = &head.uri;
            let separator = if uri.query().is_some() { '&' } else { '?' };
            if let Ok(uri) = format!("{uri}{separator}{name}={token}").parse() {
                head.uri = uri;
            }
        }
        Some(Source::Bearer) | None => {
            let value = Zeroizing::new(format!("Bearer {token}"));
            set(headers, AUTHORIZATION, &value);
        }
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(mut value) = HeaderValue::from_str(value) {
        value.set_sensitive(true);
        headers.insert(name, value);
    }
}

/// Reads the token in a file. The buffer is overwritten after use, and has its full capacity from
/// the start because growing would leave copies behind.
fn read_token(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::with_capacity(TOKEN_FILE_BYTES as usize));
    match read_text(file, &mut text) {
        Ok(()) => Ok(Zeroizing::new(text.trim().to_owned())),
        Err(error) => Err(Failure::TokenFile(file.to_owned(), error)),
    }
}

fn read_text(file: &Path, text: &mut String) -> io::Result<()> {
    if file == Path::new("-") {
        io::stdin().take(TOKEN_FILE_BYTES).read_to_string(text)?;
    } else {
        File::open(file)?
            .take(TOKEN_FILE_BYTES)
            .read_to_string(text)?;
    }
    Ok(())
}

fn read_certificate(file: &Path) -> Result<Fingerprint, Failure> {
    let error = match std::fs::read_to_string(file) {
        Ok(text) => match Fingerprint::of_pem(&text) {
            Some(fingerprint) => return Ok(fingerprint),
            None => io::Error::new(io::ErrorKind::InvalidData, "there is no certificate in PEM"),
        },
        Err(error) => error,
    };
    Err(Failure::CertificateFile(file.to_owned(), error))
}

/// Parses a request target in origin form (RFC 9112 §3.2.1).
fn target(text: &str) -> Result<Uri, &'static str> {
    let refused = "not a valid path of a request, which the gateway would answer with 400: a path \
                   begins with \"/\" and has no spaces";
    let uri: Uri = text.parse().map_err(|_| refused)?;
    if text.starts_with('/') {
        Ok(uri)
    } else {
        Err(refused)
    }
}

fn url(text: &str) -> Result<Url, UrlError> {
    Url::parse(text)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use clap::Parser;
    use http::Version;

    use super::*;
    use crate::decision::fixture;

    const FILE: &str = "[issuers.idp]\nissuer = \"https://idp.example.com/\"\naudience = \"api\"\n\
                        jwks_uri = \"http://127.0.0.1:1/keys\"\n\
                        [upstreams.orders]\nurl = \"http://orders:8080\"\n\
                        [[routes]]\npath = \"/orders/{id}\"\nupstream = \"orders\"\n\
                        methods = { GET = \"orders.read\" }\n\
                        [[routes]]\npath = \"/cookie\"\nupstream = \"orders\"\nscopes = \"orders.write\"\n\
                        token_from = [\"authorization:bearer\", \"cookie:session\"]\n\
                        [[groups]]\nprefix = \"/dev\"\nupstream = \"orders\"\npublic = true\n\
                        [[groups.routes]]\npath = \"/tests\"\nmethods = [\"GET\"]\n";

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    async fn explained(line: &str, token: Option<&str>) -> Vec<(&'static str, String)> {
        let line = Line::try_parse_from(std::iter::once("explain").chain(line.split(' '))).unwrap();
        let question = Question {
            head: line.arguments.head(),
            peer: None,
            from_page: line.arguments.origin.is_some(),
            token,
            certificate: None,
        };
        steps_of(question, &line.arguments).await
    }

    async fn steps_of(
        question: Question<'_>,
        arguments: &Arguments,
    ) -> Vec<(&'static str, String)> {
        let config = Config::parse(FILE, "gateway.toml").unwrap();
        let metrics = Metrics::new(Reason::NAMES).unwrap();
        let snapshot = Snapshot::compile(config, &metrics, None).unwrap();
        let explanation = LocalSet::new()
            .run_until(examine(&snapshot, question, arguments))
            .await;
        explanation
            .steps
            .into_iter()
            .map(|step| (step.name, step.says))
            .collect()
    }

    fn steps(expected: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
        expected
            .iter()
            .map(|(name, says)| (*name, (*says).to_owned()))
            .collect()
    }

    #[tokio::test]
    async fn a_permitted_request_says_where_it_goes() {
        let expected = steps(&[
            ("request", "GET \"/dev/tests\""),
            ("route", "/dev/tests is public"),
            ("token", "not checked"),
            (
                "verdict",
                "forwarded to orders (http://orders:8080/), without /dev",
            ),
        ]);
        assert_eq!(explained("GET /dev/tests", None).await, expected);
    }

    #[tokio::test]
    async fn a_refused_request_says_at_which_step_and_what_its_client_hears() {
        let route = (
            "route",
            "/orders/{id} asks for orders.read, in a token of idp from authorization:bearer",
        );
        let missing = steps(&[
            ("request", "GET \"/orders/1\""),
            route,
            (
                "token",
                "there is no token where this route looks for one (missing_token)",
            ),
            ("verdict", "401 Unauthorized"),
            (
                "",
                "www-authenticate: Bearer realm=\"scopegate\", scope=\"orders.read\"",
            ),
        ]);
        assert_eq!(explained("GET /orders/1", None).await, missing);
        let broken = explained("GET /orders/1", Some("eyJ")).await;
        let names: Vec<_> = broken.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["request", "route", "token", "form", "verdict", ""]);
        assert!(broken[3].1.ends_with("(malformed_token)"), "{broken:?}");
        let method = steps(&[
            ("request", "PUT \"/orders/1\""),
            (
                "route",
                "the route is there for other methods: GET, HEAD (method_not_allowed)",
            ),
            ("verdict", "405 Method Not Allowed"),
            ("", "allow: GET, HEAD"),
        ]);
        assert_eq!(explained("PUT /orders/1", None).await, method);
        assert_eq!(explained("GET /a/../b", None).await[1].0, "target");
        assert_eq!(explained("GET /none", None).await[2].1, "404 Not Found");
    }

    #[tokio::test]
    async fn a_head_that_is_not_admitted_is_explained_as_well() {
        let line = Line::try_parse_from(["explain", "GET", "/dev/tests", "--host", "b.test"]);
        let arguments = line.unwrap().arguments;
        let peer = fixture::tls_peer(&["a.test"], "a.test");
        let mut framing = arguments.head();
        framing
            .headers
            .insert("transfer-encoding", HeaderValue::from_static("gzip"));
        let mut fields = arguments.head();
        fields.version = Version::HTTP_2;
        for _ in 0..1000 {
            fields.headers.append("x-a", HeaderValue::from_static("b"));
        }
        let plain = arguments.head();
        for (head, peer, says, status) in [
            (
                framing,
                None,
                "the transfer coding is not \"chunked\" alone (invalid_framing)",
                "400 Bad Request",
            ),
            (
                fields,
                None,
                "the request has more fields than the limit (too_many_fields)",
                "431 Request Header Fields Too Large",
            ),
            (
                plain,
                Some(&peer),
                "the TLS connection was opened for another host (misdirected)",
                "421 Misdirected Request",
            ),
        ] {
            let question = Question {
                head,
                peer,
                from_page: false,
                token: None,
                certificate: None,
            };
            let steps = steps_of(question, &arguments).await;
            assert_eq!(
                steps[1..],
                [("request", says.to_owned()), ("verdict", status.to_owned())]
            );
        }
    }

    #[tokio::test]
    async fn no_route_is_named_for_a_target_that_was_refused_unread() {
        let line = format!("GET /dev/tests?{}", "x".repeat(9000));
        let explained = explained(&line, None).await;
        assert!(explained.iter().all(|(name, _)| *name != "route"));
        let verdict = explained.iter().find(|(name, _)| *name == "verdict");
        assert_eq!(verdict.unwrap().1, "414 URI Too Long");
    }

    #[tokio::test]
    async fn a_request_of_a_foreign_page_says_that_it_is_one() {
        let line = "POST /cookie --origin https://evil.test";
        let explained = explained(line, Some("eyJ")).await;
        let says = "the token is in a cookie, and a page of another origin may have made the \
                    request (cross_site_request)";
        assert_eq!(
            explained[1..2],
            steps(&[("", "the token is in the cookie \"session\"")])
        );
        assert_eq!(
            explained[3..],
            steps(&[
                ("token", "present in a source of the route"),
                ("origin", says),
                ("verdict", "403 Forbidden"),
                ("", "www-authenticate: Bearer realm=\"scopegate\""),
            ])
        );
    }

    #[tokio::test]
    async fn who_has_a_token_of_dev_is_told_where_its_keys_are() {
        let encode = |text| URL_SAFE_NO_PAD.encode(text);
        let header = encode("{\"alg\":\"RS256\",\"kid\":\"dev\"}");
        let claims = encode("{\"iss\":\"https://idp.example.com/\",\"exp\":4000000000}");
        let token = format!("{header}.{claims}.AA");
        let last = explained("GET /orders/1", Some(&token)).await.pop();
        assert_eq!(last, Some(("", DEV_KEYS.to_owned())));
        // The counterparts: a command line with `--dev`, and a token that is malformed.
        let last = explained("GET /orders/1 --dev http://127.0.0.1:1", Some(&token))
            .await
            .pop();
        assert_eq!(last, Some(("", "retry-after: 10".to_owned())));
        let last = explained("GET /orders/1", Some("eyJ")).await.pop().unwrap();
        assert!(last.1.starts_with("www-authenticate"), "{last:?}");
    }

    #[test]
    fn a_token_is_put_where_the_route_looks() {
        let put = |source: &str| {
            let (mut head, ()) = Request::get("/a?b=1").body(()).unwrap().into_parts();
            put_token(&mut head, Some(&Source::parse(source).unwrap()), "eyJ");
            head
        };
        for (source, name, value) in [
            ("authorization:bearer", "authorization", "Bearer eyJ"),
            ("authorization:raw", "authorization", "eyJ"),
            ("header:x-token", "x-token", "eyJ"),
            ("cookie:session", "cookie", "session=eyJ"),
        ] {
            let head = put(source);
            assert_eq!(head.headers[name], value);
            assert!(head.headers[name].is_sensitive());
        }
        assert_eq!(put("query:token").uri, "/a?b=1&token=eyJ");
    }

    #[test]
    fn the_keys_of_a_dev_issuer_are_asked_for_by_name() {
        let mut config = Config::parse(FILE, "gateway.toml").unwrap();
        take_keys_of(&Url::parse("http://127.0.0.1:9400").unwrap(), &mut config);
        let expected = Url::parse("http://127.0.0.1:9400/idp/.well-known/jwks.json").unwrap();
        assert_eq!(config.issuers[0].entry.keys, KeySource::Uri(expected));
        assert!(
            Line::try_parse_from(["explain", "GET", "/a", "--dev"])
                .unwrap()
                .arguments
                .dev
                .is_some()
        );
    }

    #[test]
    fn a_token_file_is_read_without_the_white_space_around() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, " eyJ.a.b\n").unwrap();
        assert_eq!(read_token(&file).unwrap().as_str(), "eyJ.a.b");
        assert!(matches!(
            read_token(folder.path()),
            Err(Failure::TokenFile(..))
        ));
    }
}
