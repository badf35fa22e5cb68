//! The command line of `scopegate explain`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use http::{HeaderValue, Method};

use crate::net::{Url, UrlError};

const AFTER_HELP: &str = "\
Examples:
  scopegate explain GET /orders
  scopegate explain GET /orders/42 --token-file token.jwt
  scopegate explain --request-file request.txt --json
  scopegate token --scope orders.read | scopegate explain POST /orders --token-file - --dev

Exit codes:
  0  the request would be forwarded, or answered by the gateway itself
  1  the configuration has problems, or a file cannot be read
  2  the command line is wrong
  4  the request would be refused";

/// The address of the issuer of a `scopegate dev` that runs with its defaults.
const DEV: &str = "http://127.0.0.1:9400";

/// The options of the command.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(in crate::cli) struct Arguments {
    /// The method, in capitals
    #[arg(required_unless_present = "request_file")]
    pub(super) method: Option<Method>,
    /// The target as it is sent: a path with its query, or a whole URL as clients send it to a
    /// proxy
    #[arg(required_unless_present = "request_file", value_parser = target)]
    pub(super) target: Option<String>,
    /// The host that the request is for [default: that of the target, or else localhost]
    #[arg(long, value_name = "NAME")]
    pub(super) host: Option<HeaderValue>,
    /// The origin of the page that makes the request, as a browser sends it; for tokens in cookies
    #[arg(long, value_name = "ORIGIN")]
    pub(super) origin: Option<HeaderValue>,
    /// A file with a token, alone, after "Bearer", or in the JSON of a token endpoint; "-" for
    /// standard input. A token is never an argument, because other users could read it
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// A file with the head of a request of HTTP/1.1, as a proxy logs it or `curl -v` shows it; "-"
    /// for standard input. The head is read as that of a connection, with the token where it stands
    #[arg(long, value_name = "FILE")]
    #[arg(conflicts_with_all = ["method", "target", "host", "origin", "token_file"])]
    pub(super) request_file: Option<PathBuf>,
    /// The address that the request comes from, or "unix"; a trusted proxy may state more
    #[arg(long, value_name = "ADDRESS", value_parser = peer)]
    pub(super) peer: Option<PeerAddress>,
    /// The client certificate of the connection, in PEM; the token may be bound to it
    #[arg(long, value_name = "FILE")]
    pub(super) client_cert_file: Option<PathBuf>,
    /// Use the keys of a running `scopegate dev`, at another URL with --dev=URL
    #[arg(long, value_name = "URL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = DEV, value_parser = url)]
    pub(super) dev: Option<Url>,
    /// Print one JSON object; docs/explain.md describes its members
    #[arg(long)]
    pub(super) json: bool,
}

/// The address of the other end of a connection; `None` on a Unix-domain socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PeerAddress(pub(super) Option<IpAddr>);

fn peer(text: &str) -> Result<PeerAddress, &'static str> {
    if text == "unix" {
        return Ok(PeerAddress(None));
    }
    match text.parse() {
        Ok(address) => Ok(PeerAddress(Some(address))),
        Err(_) => Err("neither \"unix\" nor an IP address like 192.0.2.1"),
    }
}

/// Accepts a target that can be sent at all: a blank or a line break would end it.
fn target(text: &str) -> Result<String, &'static str> {
    let is_end = |char: char| char.is_ascii_whitespace() || char.is_ascii_control();
    if text.is_empty() || text.contains(is_end) {
        return Err("a target has no blanks and no control characters; a blank is written as %20");
    }
    Ok(text.to_owned())
}

fn url(text: &str) -> Result<Url, UrlError> {
    Url::parse(text)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(line: &[&str]) -> Result<Arguments, clap::Error> {
        let line = ["explain"].iter().chain(line);
        Line::try_parse_from(line).map(|line| line.arguments)
    }

    #[test]
    fn dev_does_not_swallow_the_next_word() {
        let arguments = parse(&["--dev", "GET", "/orders"]).unwrap();
        assert_eq!(arguments.dev, Some(Url::parse(DEV).unwrap()));
        assert_eq!(arguments.method, Some(Method::GET));
        let arguments = parse(&["GET", "/orders", "--dev=http://127.0.0.1:1"]).unwrap();
        assert_eq!(
            arguments.dev,
            Some(Url::parse("http://127.0.0.1:1").unwrap())
        );
        assert!(parse(&["GET", "/orders", "--dev", "http://127.0.0.1:1"]).is_err());
    }

    #[test]
    fn a_request_is_given_by_arguments_or_by_a_file() {
        assert!(parse(&["--request-file", "-"]).is_ok());
        for line in [
            &["GET"][..],
            &[],
            &["GET", "/", "--request-file", "-"],
            &["--request-file", "-", "--token-file", "t"],
            &["--request-file", "-", "--host", "a"],
            &["GET", "/a b"],
            &["GET", "/a\r\nX: y"],
            &["GET", ""],
            &["G T", "/"],
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line:?}");
        }
    }
}
