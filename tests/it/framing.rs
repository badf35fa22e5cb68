//! Requests as raw bytes: each is refused, or reaches the upstream in the one canonical framing that everybody reads
//! the same. The vectors say which; the upstream of the cast checks every arrival besides (P01).

use serde::Deserialize;

use crate::cast::{Client, Gateway, Request, Script, Upstream, raw};

/// One text that a client sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    /// Rows of the reference.
    #[serde(rename = "why")]
    _why: String,
    /// Each character is a byte.
    send: String,
    /// The status with which it is refused; 0 where the connection is closed without a word.
    refused: Option<u16>,
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
    body: String,
}

#[derive(Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Then {
    #[default]
    Closed,
    Open,
}

impl Vector {
    fn bytes(&self) -> Vec<u8> {
        self.send.chars().map(|character| u8::try_from(u32::from(character)).expect("a byte")).collect()
    }

    /// What is wrong with how the gateway took it, if anything is.
    fn run(&self, gateway: &Gateway, upstream: &Upstream) -> Result<(), String> {
        let before = upstream.arrivals().len();
        match self.then {
            Then::Closed => self.run_to_the_end(gateway)?,
            Then::Open => self.run_and_go_on(&mut gateway.connect())?,
        }
        let arrived: Vec<_> = upstream.arrivals()[before..]
            .iter()
            .filter(|arrival| arrival.target != "/after")
            .map(|arrival| (arrival.target.clone(), String::from_utf8_lossy(&arrival.body).into_owned()))
            .collect();
        let expected: Vec<_> =
            self.forwarded.iter().map(|expected| (expected.target.clone(), expected.body.clone())).collect();
        if arrived != expected {
            return Err(format!("arrived: {arrived:?}"));
        }
        let next = gateway.send(&Request::get("/next"));
        if next.text() == "/next" { Ok(()) } else { Err(format!("the next request got {next:?}")) }
    }

    /// The connection closes after the answers, and there are no more than were asked for.
    fn run_to_the_end(&self, gateway: &Gateway) -> Result<(), String> {
        let answers = raw(gateway.address(), &self.bytes());
        let statuses: Vec<_> = answers
            .split("HTTP/1.")
            .skip(1)
            .filter_map(|answer| answer.split(' ').nth(1)?.parse::<u16>().ok())
            .collect();
        if statuses == self.statuses() { Ok(()) } else { Err(format!("answered: {answers:?}")) }
    }

    /// The connection stays, and what is sent next is taken for what it is.
    fn run_and_go_on(&self, client: &mut Client) -> Result<(), String> {
        client.write(&self.bytes());
        for status in self.statuses() {
            match client.read("GET") {
                Some(answer) if answer.status == status => {}
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

// D69: what a chunk says besides its size is nobody's, and may not go on and on, in one chunk or in many.
#[test]
fn chunk_extensions_are_ignored_and_have_a_bound() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let request = |chunks: usize, length: usize| {
        let chunk = format!("2;{}\r\nhi\r\n", "x".repeat(length));
        let body = format!("{}0\r\n\r\n", chunk.repeat(chunks));
        Request::new("POST", "/a").field("Transfer-Encoding", "chunked").body(body)
    };
    for (chunks, length) in [(1, 8_000), (8, 1_000)] {
        assert_eq!(gateway.send(&request(chunks, length)).status, 200);
        assert_eq!(upstream.last().body, "hi".repeat(chunks).as_bytes());
    }
    for (chunks, length) in [(1, 20_000), (20, 1_000), (20_000, 1)] {
        let answer = gateway.send(&request(chunks, length));
        assert_eq!((answer.status, answer.code().as_str()), (400, "malformed_body"), "{chunks} of {length}");
    }
    assert_eq!(upstream.arrivals().len(), 2);
}

// attacks.md row 18; P01, P02, P04, P08.
#[test]
fn every_request_is_refused_or_framed_in_one_way() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../vectors/wire/requests.json")).unwrap();
    assert!(vectors.len() > 100, "the vectors were not read");
    let upstream = Upstream::start();
    upstream.always(Script::Echo);
    let gateway = Gateway::open(&upstream, "");
    let mut wrong = Vec::new();
    for vector in &vectors {
        assert!(vector.refused.is_some() == vector.forwarded.is_empty(), "{}", vector.name);
        if let Err(problem) = vector.run(&gateway, &upstream) {
            wrong.push(format!("{}: {problem}", vector.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), vectors.len(), wrong.join("\n"));
}
