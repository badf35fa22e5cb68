//! Requests of HTTP/2, field by field, for an upstream of HTTP/1.1: each is refused, or translated
//! into a text with the same meaning.

use serde::Deserialize;

use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, Frame, Frames, HEADERS, RST_STREAM, frame, literal,
};
use crate::support::{Expected, Gateway, Request, Script, Upstream};

/// A request, and what becomes of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    /// Places in `docs/design` that it is for.
    #[serde(rename = "source")]
    _source: Vec<String>,
    fields: Vec<(String, String)>,
    #[serde(default)]
    data: String,
    #[serde(default)]
    trailers: Vec<(String, String)>,
    /// What arrives; without it the request is refused, and the connection goes on.
    forwarded: Option<Expected>,
}

fn block(fields: &[(String, String)]) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|(name, value)| literal(name, value))
        .collect()
}

impl Vector {
    /// The request as frames of stream 1.
    fn frames(&self) -> Vec<u8> {
        let (data, trailers) = (self.data.as_bytes(), !self.trailers.is_empty());
        let end = |is_last: bool| if is_last { END_STREAM } else { 0 };
        let mut bytes = frame(
            HEADERS,
            END_HEADERS | end(data.is_empty() && !trailers),
            1,
            &block(&self.fields),
        );
        if !data.is_empty() {
            bytes.extend(frame(DATA, end(!trailers), 1, data));
        }
        if trailers {
            bytes.extend(frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                1,
                &block(&self.trailers),
            ));
        }
        bytes
    }

    /// What is wrong with how the gateway took it, if anything is.
    fn run(&self, gateway: &Gateway, upstream: &Upstream) -> Result<(), String> {
        let before = upstream.arrivals().len();
        let mut client = Frames::connect(gateway.address());
        client.write(&self.frames());
        let is_answer =
            |frame: &Frame| frame.stream == 1 && matches!(frame.kind, HEADERS | RST_STREAM);
        // None where the connection has ended.
        let answer = client.wait(is_answer);
        let status = answer
            .filter(|frame| frame.kind == HEADERS)
            .map(|frame| frame.status());
        let is_as_expected = match self.forwarded {
            Some(_) => status == Some(200),
            None => status.is_none_or(|status| (400..600).contains(&status)),
        };
        let next = gateway.send(&Request::get("/next"));
        let arrivals = &upstream.arrivals()[before..];
        let arrived: Vec<_> = arrivals
            .iter()
            .filter(|arrival| arrival.target != "/next")
            .collect();
        let is_there = match (&self.forwarded, &arrived[..]) {
            (Some(expected), [arrival]) => expected.is(arrival) && arrival.trailers.is_empty(),
            (None, []) => true,
            _ => false,
        };
        if is_as_expected && is_there && next.text() == "/next" {
            return Ok(());
        }
        Err(format!(
            "answered: {status:?}; arrived: {arrived:?}; then {:?}",
            next.text()
        ))
    }
}

#[test]
fn every_request_of_http_2_is_refused_or_put_into_one_text() {
    let vectors: Vec<Vector> =
        serde_json::from_str(include_str!("../vectors/wire/http2.json")).unwrap();
    assert!(vectors.len() > 130, "vectors went missing");
    let upstream = Upstream::start();
    upstream.always(Script::Echo);
    let gateway = Gateway::open(&upstream, "");
    let run = |vector: &Vector| {
        let problem = vector.run(&gateway, &upstream).err()?;
        Some(format!("{}: {problem}", vector.name))
    };
    let wrong: Vec<_> = vectors.iter().filter_map(run).collect();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        vectors.len(),
        wrong.join("\n")
    );
}
