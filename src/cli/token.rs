//! `scopegate token`: prints a token of a running `scopegate dev`, and nothing else, on standard
//! output.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::Args;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, SERVER};
use http::{HeaderValue, Request};
use http_body_util::Full;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::dev::{CLIENT_ID, CLIENT_SECRET, SERVER_NAME};
use super::token_changes::TokenChanges;
use super::token_failure::TokenFailure;
use crate::net::{Url, UrlError, dial};
use crate::tls::Tls;
use crate::web::{Answer, Protocol, send};

/// The time limit for the whole exchange. The issuer is on this machine, and signing takes a
/// millisecond.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest size of an answer in bytes.
const ANSWER_BYTES: u64 = 1 << 20;
/// The path of a token endpoint, after the name of its issuer.
const ENDPOINT: &str = "/oauth2/token";

const EXAMPLE: &str = "\
Examples:
  TOKEN=$(scopegate token --scope orders.read)
  curl -i -H \"Authorization: Bearer $TOKEN\" http://127.0.0.1:8080/orders

  scopegate token --expired                           an hour too old
  scopegate token --not-yet-valid                     an hour too early
  scopegate token --aud https://other.example.com     for another audience
  scopegate token --iss https://other.example.com/    of an issuer that is not configured
  scopegate token --claim client_id=other             of another client
  scopegate token --claim tenant=acme --claim 'roles=[\"admin\"]'
  scopegate token --without exp                       that never ends
  scopegate token --typ dpop+jwt                      of another kind
  scopegate token --kid other                         by a key that is not there
  scopegate token --other-key                         by another key than its \"kid\" names
  scopegate token --alg none                          without a signature
  scopegate token --alg HS256                         with the public key as a secret
  scopegate token --alg ES512                         by an algorithm that is not configured";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(super) struct Arguments {
    /// A scope for the token; may be repeated. Without it an access token has every scope of the
    /// client, and an ID token (token_use = "id") none
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// The name of the issuer in the configuration; needed if there are several
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// The id of the client
    #[arg(long, value_name = "ID", default_value = CLIENT_ID)]
    client_id: String,
    /// The secret of the client
    #[arg(long, value_name = "SECRET", default_value = CLIENT_SECRET)]
    client_secret: String,
    /// The URL of the dev issuer
    #[arg(long, default_value = "http://127.0.0.1:9400", value_parser = url)]
    url: Url,
    #[command(flatten)]
    changes: TokenChanges,
}

/// Requests a token and returns it with a line end.
pub(super) fn token(arguments: &Arguments) -> Result<String, TokenFailure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(TokenFailure::Runtime)?;
    let address = arguments.url.authority();
    let asked = runtime.block_on(async { tokio::time::timeout(TIMEOUT, ask(arguments)).await });
    asked.unwrap_or_else(|_| Err(TokenFailure::TimedOut(address.into())))
}

async fn ask(arguments: &Arguments) -> Result<String, TokenFailure> {
    let address = arguments.url.authority();
    let stream = dial(&arguments.url, &Tls::system(), TIMEOUT)
        .await
        .map_err(|error| TokenFailure::Unreachable(address.as_str().into(), error))?;
    let answer = send(stream, Protocol::Http1, request(arguments))
        .await
        .map_err(|error| TokenFailure::Broken(address.as_str().into(), error))?;
    let is_dev = answer.headers().get(SERVER) == Some(&HeaderValue::from_static(SERVER_NAME));
    if is_dev {
        read(answer, &address).await
    } else {
        Err(TokenFailure::NotDevIssuer(address.into()))
    }
}

fn request(arguments: &Arguments) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::from(form(arguments)));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::try_from(path(arguments))
        .expect("an encoded name below the path of a URL is a path");
    let (id, secret) = (&arguments.client_id, &arguments.client_secret);
    let credentials = STANDARD.encode(format!("{}:{}", encode(id), encode(secret)));
    let fields = [
        (HOST, arguments.url.authority()),
        (AUTHORIZATION, format!("Basic {credentials}")),
        (CONTENT_TYPE, "application/x-www-form-urlencoded".into()),
    ];
    for (name, value) in fields {
        let value = value
            .parse()
            .expect("a host and base64 hold only what a field may");
        request.headers_mut().insert(name, value);
    }
    request
}

fn form(arguments: &Arguments) -> String {
    let mut form = String::from("grant_type=client_credentials");
    if !arguments.scope.is_empty() {
        add(&mut form, "scope", &arguments.scope.join(" "));
    }
    for (name, value) in arguments.changes.parameters() {
        add(&mut form, name, &value);
    }
    form
}

fn add(form: &mut String, name: &str, value: &str) {
    form.push('&');
    form.push_str(name);
    form.push('=');
    form.push_str(&encode(value));
}

fn path(arguments: &Arguments) -> String {
    let base = arguments.url.path_and_query().trim_end_matches('/');
    match &arguments.issuer {
        Some(name) => format!("{base}/{}{ENDPOINT}", encode(name)),
        None => format!("{base}{ENDPOINT}"),
    }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

async fn read(answer: Answer, address: &str) -> Result<String, TokenFailure> {
    let Some(answer) = read_json(answer).await else {
        return Err(TokenFailure::NotDevIssuer(address.into()));
    };
    if let Some(token) = text(&answer, "access_token") {
        // A token is visible ASCII (RFC 6749 appendix A.12), so that it is safe on a terminal.
        let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        return match is_token {
            true => Ok(format!("{token}\n")),
            false => Err(TokenFailure::NotDevIssuer(address.into())),
        };
    }
    if text(&answer, "error") == Some("not_found") {
        let endpoints = answer.get("token_endpoints").and_then(Value::as_array);
        let endpoints = endpoints.map(Vec::as_slice).unwrap_or_default();
        return Err(TokenFailure::NoSuchIssuer(issuer_names(endpoints)));
    }
    match text(&answer, "error_description").or(text(&answer, "error")) {
        Some(refusal) => Err(TokenFailure::Refused(refusal.into())),
        None => Err(TokenFailure::NotDevIssuer(address.into())),
    }
}

async fn read_json(answer: Answer) -> Option<Value> {
    let body = answer.read(ANSWER_BYTES).await.ok()?;
    serde_json::from_slice(&body).ok()
}

fn text<'a>(answer: &'a Value, name: &str) -> Option<&'a str> {
    answer.get(name)?.as_str()
}

/// Returns the issuers of a list of token endpoints.
fn issuer_names(endpoints: &[Value]) -> Vec<Box<str>> {
    let mut names = Vec::new();
    for path in endpoints.iter().filter_map(Value::as_str) {
        let path = path.strip_suffix(ENDPOINT);
        if let Some(name) = path.and_then(|path| path.strip_prefix('/')) {
            names.push(name.into());
        }
    }
    names
}

fn url(text: &str) -> Result<Url, UrlError> {
    Url::parse(text)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(line: &str) -> Arguments {
        try_parse(line).unwrap()
    }

    fn try_parse(line: &str) -> Result<Arguments, clap::Error> {
        let line = Line::try_parse_from(std::iter::once("token").chain(line.split(' ')));
        line.map(|line| line.arguments)
    }

    /// Starts a server that answers one request with these fields and this body, and returns the
    /// request.
    fn answering(fields: &str, body: &str) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}content-length: {length}\r\n\r\n{body}");
        let serve = move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut request, mut piece) = (Vec::new(), [0; 4096]);
            while !request.ends_with(b"&alg=ES256") {
                let read = stream.read(&mut piece).unwrap();
                assert_ne!(read, 0, "the request ends with its body");
                request.extend_from_slice(&piece[..read]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        };
        (url, std::thread::spawn(serve))
    }

    fn ask(fields: &str, body: &str) -> (String, Result<String, TokenFailure>) {
        let (url, server) = answering(fields, body);
        let line =
            format!("--scope orders.read --scope a/b --issuer my/idp --alg ES256 --url {url}");
        let asked = token(&parse(&line));
        (server.join().unwrap(), asked)
    }

    const OURS: &str = "server: scopegate-dev\r\n";

    #[test]
    fn the_token_alone_is_printed() {
        let (request, token) = ask(
            OURS,
            "{\"access_token\":\"eyJ.a.b\",\"token_type\":\"Bearer\"}",
        );
        assert_eq!(token.unwrap(), "eyJ.a.b\n");
        assert!(
            request.starts_with("POST /my%2Fidp/oauth2/token HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(
            request.contains("authorization: Basic ZGV2OmRldiUyRHNlY3JldA=="),
            "{request}"
        );
        assert!(
            request
                .ends_with("grant_type=client_credentials&scope=orders%2Eread%20a%2Fb&alg=ES256"),
            "{request}"
        );
    }

    #[test]
    fn a_token_needs_no_scope() {
        let ask = "grant_type=client_credentials";
        assert_eq!(form(&parse("--issuer idp")), ask);
        assert_eq!(form(&parse("--expired")), format!("{ask}&time=expired"));
        let scopes = form(&parse("--scope a --scope b"));
        assert_eq!(scopes, format!("{ask}&scope=a%20b"));
        assert!(try_parse("--expired --not-yet-valid").is_err());
        assert!(try_parse("--claim name").is_err());
    }

    #[test]
    fn changes_are_parameters_of_the_request() {
        assert_eq!(
            form(&parse(
                "--expired --aud a --aud b --without sub --other-key"
            )),
            "grant_type=client_credentials&time=expired&key=other&\
             aud=%5B%22a%22%2C%22b%22%5D&omit=sub"
        );
    }

    #[test]
    fn a_refusal_is_told_in_the_issuers_words() {
        let (_, refused) = ask(
            OURS,
            "{\"error\":\"invalid_scope\",\"error_description\":\"not a/b\"}",
        );
        assert_eq!(
            refused.unwrap_err().to_string(),
            "the dev issuer refuses: \"not a/b\""
        );
        let (_, unknown) = ask(
            OURS,
            "{\"error\":\"not_found\",\"token_endpoints\":[\"/oauth2/token\",\"/idp/oauth2/token\"]}",
        );
        assert_eq!(
            unknown.unwrap_err().to_string(),
            "name one of the issuers with --issuer: \"idp\""
        );
        let (_, early) = ask(OURS, "{\"error\":\"not_found\"}");
        assert!(
            early
                .unwrap_err()
                .to_string()
                .ends_with("still starting, or the configuration names none")
        );
    }

    #[test]
    fn whoever_else_answers_is_no_dev_issuer() {
        for (fields, body) in [
            ("", "{\"access_token\":\"eyJ\"}"),
            (OURS, "<html>"),
            (OURS, "{\"access_token\":\"eyJ\\u001b[2J\"}"),
            (OURS, "{\"access_token\":\"eyJ\\nok\"}"),
            (OURS, "{}"),
        ] {
            let (_, answer) = ask(fields, body);
            assert!(
                matches!(answer, Err(TokenFailure::NotDevIssuer(_))),
                "{answer:?}"
            );
        }
    }

    #[test]
    fn without_a_dev_issuer_it_says_how_to_start_one() {
        // No process listens on port 1, and the system never gives it to a test that asks for any
        // port.
        let error = token(&parse("--scope a --url http://127.0.0.1:1")).unwrap_err();
        assert!(matches!(error, TokenFailure::Unreachable(..)), "{error:?}");
        assert!(
            error
                .to_string()
                .ends_with("start one with \"scopegate dev\""),
            "{error}"
        );
    }
}
