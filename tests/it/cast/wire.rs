//! What a client sends byte by byte, and what has to become of it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Arrival, Client, Gateway, Request, Upstream, raw};

/// One text that a client sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vector {
    pub(crate) name: String,
    /// Rows of the reference.
    #[serde(rename = "why")]
    _why: String,
    /// Each character is a byte. `${repeat 3 ab}` is `ababab`, and `${token read}` a good token with these scopes.
    send: String,
    /// The status with which it is refused; 0 where the connection is closed without a word.
    refused: Option<u16>,
    /// The code of the refusal, where it is not the parser's own.
    code: Option<String>,
    /// What arrives instead, in order.
    #[serde(default)]
    forwarded: Vec<Expected>,
    /// Whether the connection goes on; what was refused closes it unless it says otherwise.
    #[serde(default)]
    then: Then,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    target: String,
    #[serde(default)]
    body: String,
    /// What a field of this name holds, line by line; none where it must not be there.
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
    /// The vectors of a file, which has more than `least`.
    #[track_caller]
    pub(crate) fn read(text: &str, least: usize) -> Vec<Self> {
        let vectors: Vec<Self> = serde_json::from_str(text).unwrap();
        assert!(vectors.len() > least, "vectors went missing: {} are left", vectors.len());
        for vector in &vectors {
            assert!(vector.refused.is_some() == vector.forwarded.is_empty(), "{}", vector.name);
        }
        vectors
    }

    /// What is wrong with how the gateway took it, if anything is. Whatever is forwarded is echoed, and `/next` and
    /// `/after` are for everybody. `token` makes tokens.
    pub(crate) fn run(
        &self,
        gateway: &Gateway,
        upstream: &Upstream,
        token: &dyn Fn(&str) -> String,
    ) -> Result<(), String> {
        let before = upstream.arrivals().len();
        let bytes = bytes(&self.send, token);
        match self.then {
            Then::Closed => self.run_to_the_end(gateway, &bytes)?,
            Then::Open => self.run_and_go_on(&mut gateway.connect(), &bytes)?,
        }
        let arrivals = upstream.arrivals();
        let arrived: Vec<_> =
            arrivals[before..].iter().filter(|arrival| arrival.target != "/after").collect();
        let is_as_expected = arrived.len() == self.forwarded.len()
            && self.forwarded.iter().zip(&arrived).all(|(expected, arrival)| expected.is(arrival));
        if !is_as_expected {
            return Err(format!("arrived: {arrived:?}"));
        }
        let next = gateway.send(&Request::get("/next"));
        if next.text() == "/next" { Ok(()) } else { Err(format!("the next request got {next:?}")) }
    }

    /// The connection closes after the answers, and there are no more than were asked for.
    fn run_to_the_end(&self, gateway: &Gateway, bytes: &[u8]) -> Result<(), String> {
        let answers = raw(gateway.address(), bytes);
        let statuses: Vec<_> = answers
            .split("HTTP/1.")
            .skip(1)
            .filter_map(|answer| answer.split(' ').nth(1)?.parse::<u16>().ok())
            .collect();
        let has_code =
            self.code.as_ref().is_none_or(|code| answers.contains(&format!("\"code\":\"{code}\"")));
        if statuses == self.statuses() && has_code { Ok(()) } else { Err(format!("answered: {answers:?}")) }
    }

    /// The connection stays, and what is sent next is taken for what it is.
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
    fn is(&self, arrival: &Arrival) -> bool {
        let values = |name: &str| -> Vec<_> {
            arrival.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value).collect()
        };
        arrival.target == self.target
            && arrival.body == self.body.as_bytes()
            && self.fields.iter().all(|(name, expected)| values(name).into_iter().eq(expected))
    }
}

/// The bytes of a text, with what stands in `${…}` filled in.
fn bytes(text: &str, token: &dyn Fn(&str) -> String) -> Vec<u8> {
    let mut filled = String::new();
    let mut parts = text.split("${");
    filled.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (place, rest) = part.split_once('}').expect("a place ends");
        match place.split_once(' ').expect("a place has a verb and its object") {
            ("token", scope) => filled.push_str(&token(scope)),
            ("repeat", times) => {
                let (count, piece) = times.split_once(' ').expect("a count and a piece");
                filled.push_str(&piece.repeat(count.parse().unwrap()));
            }
            (verb, _) => panic!("nobody knows ${{{verb}}}"),
        }
        filled.push_str(rest);
    }
    filled.chars().map(|character| u8::try_from(u32::from(character)).expect("a byte")).collect()
}
