//! Byte-exact requests and their expected results.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, RST_STREAM, literal};
use super::{Arrival, Client, Gateway, Request, Upstream, raw};

/// The text that a client sends, and its expected result.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vector {
    pub(crate) name: String,
    /// The entries of `docs/design` that the case belongs to.
    #[serde(rename = "source")]
    _source: Vec<String>,
    /// The text to send, in which each character is a byte. `${repeat 3 ab}` is `ababab`, and
    /// `${token read}` a good token with these scopes.
    send: String,
    /// The status of the refusal; 0 if the connection is closed without an answer.
    refused: Option<u16>,
    /// The code of the refusal, if the gateway and not the parser refuses.
    code: Option<String>,
    /// The requests that arrive instead, in order.
    #[serde(default)]
    forwarded: Vec<Expected>,
    /// Set if the connection continues; by default a refusal closes it.
    #[serde(default)]
    then: Then,
}

/// A request as it must arrive.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    target: String,
    #[serde(default)]
    body: String,
    /// The lines of each of these fields; empty for a field that must be absent.
    #[serde(default)]
    fields: BTreeMap<String, Vec<String>>,
}

#[derive(Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Then {
    #[default]
    Closed,
    Open,
}

impl Vector {
    /// Reads the vectors of a file, which must have more than `least`.
    #[track_caller]
    pub(crate) fn read(text: &str, least: usize) -> Vec<Self> {
        let vectors: Vec<Self> = serde_json::from_str(text).unwrap();
        assert!(
            vectors.len() > least,
            "vectors went missing: {} are left",
            vectors.len()
        );
        for vector in &vectors {
            assert!(
                vector.refused.is_some() == vector.forwarded.is_empty(),
                "{}",
                vector.name
            );
        }
        vectors
    }

    /// Sends the vector and returns an error if the gateway's reaction is wrong. Every forwarded
    /// request is echoed, and `/next` and `/after` are public. `token` makes tokens.
    pub(crate) fn run(
        &self,
        gateway: &Gateway,
        upstream: &Upstream,
        token: &dyn Fn(&str) -> String,
    ) -> Result<(), String> {
        let before = upstream.arrivals().len();
        let bytes = bytes(&filled(&self.send, token));
        match self.then {
            Then::Closed => self.run_to_the_end(gateway, &bytes)?,
            Then::Open => self.run_and_go_on(&mut gateway.connect(), &bytes)?,
        }
        let arrivals = upstream.arrivals();
        let arrived: Vec<_> = arrivals[before..]
            .iter()
            .filter(|arrival| arrival.target != "/after")
            .collect();
        let is_as_expected = arrived.len() == self.forwarded.len()
            && self
                .forwarded
                .iter()
                .zip(&arrived)
                .all(|(expected, arrival)| expected.is(arrival));
        if !is_as_expected {
            return Err(format!("arrived: {arrived:?}"));
        }
        let next = gateway.send(&Request::get("/next"));
        if next.text() == "/next" {
            Ok(())
        } else {
            Err(format!("the next request got {next:?}"))
        }
    }

    /// Sends the same request over HTTP/2 and returns an error if the gateway's reaction is wrong;
    /// `None` if HTTP/2 has no such request.
    pub(crate) fn run_over_http_2(
        &self,
        gateway: &Gateway,
        upstream: &Upstream,
        token: &dyn Fn(&str) -> String,
    ) -> Option<Result<(), String>> {
        let block = block(&filled(&self.send, token))?;
        let before = upstream.arrivals().len();
        let mut client = Frames::connect(gateway.address());
        client.send(HEADERS, END_STREAM | END_HEADERS, 1, &block);
        let answer =
            client.wait(|frame| frame.stream == 1 && matches!(frame.kind, HEADERS | RST_STREAM))?;
        let status = (answer.kind == HEADERS).then(|| answer.status());
        let is_as_expected = match (self.refused, status) {
            // A request that the parser of HTTP/1.1 refuses is also malformed here, or refused with
            // another code.
            (Some(_), None) => self.code.is_none(),
            (Some(expected), Some(status)) if self.code.is_none() => {
                status == expected || (400..500).contains(&status)
            }
            (Some(expected), status) => status == Some(expected),
            (None, status) => status == Some(200),
        };
        let arrivals = &upstream.arrivals()[before..];
        let all_expected = self.forwarded.len() == arrivals.len()
            && self
                .forwarded
                .iter()
                .zip(arrivals)
                .all(|(expected, arrival)| expected.is(arrival));
        let is_right = is_as_expected && all_expected && client.is_alive();
        Some(if is_right {
            Ok(())
        } else {
            Err(format!("answered: {status:?}; arrived: {arrivals:?}"))
        })
    }

    /// Checks that the connection closes after the expected answers and no others.
    fn run_to_the_end(&self, gateway: &Gateway, bytes: &[u8]) -> Result<(), String> {
        let answers = raw(gateway.address(), bytes);
        let statuses: Vec<_> = answers
            .split("HTTP/1.")
            .skip(1)
            .filter_map(|answer| answer.split(' ').nth(1)?.parse::<u16>().ok())
            .collect();
        let has_code = self
            .code
            .as_ref()
            .is_none_or(|code| answers.contains(&format!("\"code\":\"{code}\"")));
        if statuses == self.statuses() && has_code {
            Ok(())
        } else {
            Err(format!("answered: {answers:?}"))
        }
    }

    /// Checks that the connection continues, and that the next request is read as such.
    fn run_and_go_on(&self, client: &mut Client, bytes: &[u8]) -> Result<(), String> {
        client.write(bytes);
        for status in self.statuses() {
            match client.read("GET") {
                Some(answer)
                    if answer.status == status
                        && self.code.as_ref().is_none_or(|code| answer.code() == *code) => {}
                answer => return Err(format!("answered: {answer:?}")),
            }
        }
        client.write_request(&Request::get("/after"));
        match client.read("GET") {
            Some(answer) if answer.text() == "/after" => Ok(()),
            answer => Err(format!("what came after got {answer:?}")),
        }
    }

    fn statuses(&self) -> Vec<u16> {
        match self.refused {
            Some(0) => Vec::new(),
            Some(status) => vec![status],
            None => vec![200; self.forwarded.len()],
        }
    }
}

impl Expected {
    pub(crate) fn is(&self, arrival: &Arrival) -> bool {
        let values = |name: &str| -> Vec<_> {
            arrival
                .fields
                .iter()
                .filter(|(field, _)| field == name)
                .map(|(_, value)| value)
                .collect()
        };
        arrival.target == self.target
            && arrival.body == self.body.as_bytes()
            && self
                .fields
                .iter()
                .all(|(name, expected)| values(name).into_iter().eq(expected))
    }
}

/// Replaces the `${…}` parts of a text.
fn filled(text: &str, token: &dyn Fn(&str) -> String) -> String {
    let mut filled = String::new();
    let mut parts = text.split("${");
    filled.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (place, rest) = part.split_once('}').expect("a place ends");
        match place
            .split_once(' ')
            .expect("a place has a verb and its object")
        {
            ("token", scope) => filled.push_str(&token(scope)),
            ("repeat", times) => {
                let (count, piece) = times.split_once(' ').expect("a count and a piece");
                filled.push_str(&piece.repeat(count.parse().unwrap()));
            }
            (verb, _) => panic!("nobody knows ${{{verb}}}"),
        }
        filled.push_str(rest);
    }
    filled
}

fn bytes(text: &str) -> Vec<u8> {
    text.chars()
        .map(|character| u8::try_from(u32::from(character)).expect("a byte"))
        .collect()
}

/// Encodes the head of a request as a block of HTTP/2. The request must be in origin form, without
/// a body and without connection-specific fields, with valid names, and fit into one frame.
fn block(text: &str) -> Option<Vec<u8>> {
    const ABOUT_THE_CONNECTION: [&str; 7] = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
        "content-length",
    ];
    const FRAME: usize = 16_000;
    let head = text
        .strip_suffix("\r\n\r\n")
        .filter(|head| !head.contains("\r\n\r\n"))?;
    let mut lines = head.split("\r\n");
    let [method, target, "HTTP/1.1"] = lines.next()?.split(' ').collect::<Vec<_>>()[..] else {
        return None;
    };
    if !target.starts_with('/') {
        return None;
    }
    let fields: Vec<_> = lines
        .map(|line| line.split_once(':'))
        .collect::<Option<_>>()?;
    let is_name = |name: &str| {
        name.bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let is_told = |name: &str| {
        is_name(name) && !ABOUT_THE_CONNECTION.contains(&name.to_ascii_lowercase().as_str())
    };
    if !fields.iter().all(|(name, _)| is_told(name)) {
        return None;
    }
    let host = fields.iter().find(|(name, _)| *name == "Host")?.1.trim();
    let mut block = [
        (":method", method),
        (":scheme", "http"),
        (":path", target),
        (":authority", host),
    ]
    .iter()
    .flat_map(|(name, value)| literal(name, value))
    .collect::<Vec<_>>();
    for (name, value) in fields.iter().filter(|(name, _)| *name != "Host") {
        block.extend(literal(&name.to_ascii_lowercase(), value.trim()));
    }
    (block.len() < FRAME).then_some(block)
}
