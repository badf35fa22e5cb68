//! The cases of h2spec, as data: the frames that a client of HTTP/2 may and may not send, and the
//! gateway's reactions.
//!
//! A step is a frame, `TYPE flags stream : payload`. The payload is made of `get` and `post` (the
//! fields of a request), `name=value` (one more field), `h:` and hexadecimal bytes, and `zeros`
//! with a number. Besides, `await n` waits for the head of an answer, `end n` for its end, `data n
//! m` for DATA of m bytes, `streams n` opens that many streams, `hold` makes the upstream withhold
//! its answer, `fresh` takes a connection without a preface, and `raw` sends bytes that are not a
//! frame.

use std::path::Path;

use serde::Deserialize;

use crate::support::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PING, PRIORITY,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, literal, request,
};
use crate::support::{Gateway, Script, Upstream};

#[derive(Deserialize)]
struct Cases {
    case: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    sends: String,
    steps: Vec<String>,
    expect: String,
    /// What the RFC names where the library says something else.
    instead_of: Option<String>,
}

const ERRORS: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

fn payload(text: &str) -> Vec<u8> {
    let part = |part: &str| match part {
        "get" => request("GET", "/"),
        "post" => request("POST", "/"),
        _ => match (
            part.strip_prefix("h:"),
            part.strip_prefix("zeros"),
            part.rsplit_once('='),
        ) {
            (Some(hex), ..) => {
                let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
                (0..hex.len()).step_by(2).map(digit).collect()
            }
            (_, Some(count), _) => vec![0; count.parse().unwrap()],
            (_, _, Some((name, value))) => literal(name, value),
            _ => panic!("what is {part}?"),
        },
    };
    text.split_whitespace().flat_map(part).collect()
}

fn flags(text: &str) -> u8 {
    let flag = |name: &str| match name {
        "-" => 0,
        "ack" => ACK,
        "end_stream" => END_STREAM,
        "end_headers" => END_HEADERS,
        "padded" => 0x8,
        "priority" => 0x20,
        number => number.parse().unwrap(),
    };
    text.split('+').map(flag).fold(0, |all, flag| all | flag)
}

fn kind(text: &str) -> u8 {
    match text {
        "DATA" => DATA,
        "HEADERS" => HEADERS,
        "PRIORITY" => PRIORITY,
        "RST_STREAM" => RST_STREAM,
        "SETTINGS" => SETTINGS,
        "PING" => PING,
        "GOAWAY" => GOAWAY,
        "WINDOW_UPDATE" => WINDOW_UPDATE,
        "CONTINUATION" => CONTINUATION,
        number => number.parse().unwrap(),
    }
}

fn play(case: &Case, gateway: &Gateway, upstream: &Upstream) -> Result<(), String> {
    let fresh = case.steps.first().is_some_and(|step| step == "fresh");
    let mut client = if fresh {
        Frames::silent(gateway.address())
    } else {
        Frames::connect(gateway.address())
    };
    upstream.always(Script::Ok);
    for step in &case.steps {
        let (line, content) = step.split_once(" : ").unwrap_or((step, ""));
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["fresh"] => {}
            ["raw"] => client.write(&payload(content)),
            ["hold"] => upstream.always(Script::Hang),
            ["await", stream] => assert_eq!(client.status(stream.parse().unwrap()), 200),
            ["end", stream] => {
                client.status(stream.parse().unwrap());
                client.body(stream.parse().unwrap());
            }
            ["data", ..] => expect(line, &mut client)?,
            ["streams", count] => {
                (0..count.parse().unwrap()).for_each(|number| client.get(2 * number + 1, "/"));
            }
            [name, names, stream] => {
                client.send(
                    kind(name),
                    flags(names),
                    stream.parse().unwrap(),
                    &payload(content),
                );
            }
            _ => panic!("what is {step}?"),
        }
    }
    expect(&case.expect, &mut client)
}

fn expect(text: &str, client: &mut Frames) -> Result<(), String> {
    let words: Vec<_> = text.split(' ').collect();
    let code = |name: &str| {
        u32::try_from(ERRORS.iter().position(|error| *error == name).unwrap()).unwrap()
    };
    let is_met = match words[..] {
        ["alive"] => client.is_alive(),
        ["closed"] => client.is_closed(),
        ["settled"] => client
            .wait(|frame| frame.kind == SETTINGS && frame.flags == ACK)
            .is_some(),
        ["answer", stream, status] => client.status(stream.parse().unwrap()).to_string() == status,
        ["data", stream, length] => {
            let stream: u32 = stream.parse().unwrap();
            let frame = client.wait(|frame| frame.kind == DATA && frame.stream == stream);
            frame.is_some_and(|frame| frame.payload.len().to_string() == length)
        }
        ["connection", ref codes @ ..] => {
            let (error, closed) = client.ended();
            closed && error.is_some_and(|error| codes.iter().any(|name| code(name) == error))
        }
        // A stream's error may be the connection's (RFC 9113 §5.4).
        ["stream" | "either", stream, ref codes @ ..] => {
            let stream: u32 = stream.parse().unwrap();
            let either = words[0] == "either";
            let frame = client.wait(|frame| {
                frame.kind == RST_STREAM && frame.stream == stream || either && frame.kind == GOAWAY
            });
            frame.is_some_and(|frame| codes.iter().any(|name| code(name) == frame.error()))
                && (either || client.is_alive())
        }
        _ => panic!("what is {text}?"),
    };
    if is_met {
        Ok(())
    } else {
        Err(format!("expected {text}, saw {:?}", client.seen))
    }
}

fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/h2spec");
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let parse = |name: &str| toml::from_str::<Cases>(&read(name)).unwrap().case;
    ["generic.toml", "http2.toml", "hpack.toml"]
        .into_iter()
        .flat_map(parse)
        .collect()
}

#[test]
fn every_case_of_h2spec_is_met() {
    let upstream = Upstream::start();
    let gateway = Gateway::open(&upstream, "");
    let cases = cases();
    assert_eq!(cases.len(), 147);
    let failed: Vec<_> = cases
        .iter()
        .filter_map(|case| {
            Some(format!(
                "{}: {}",
                case.id,
                play(case, &gateway, &upstream).err()?
            ))
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn the_table_of_cases_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reliability/h2spec.md");
    let mut page = String::from(
        "# HTTP/2, case by case\n\nThe cases of h2spec by their ids: what a client sends, and what \
         it hears. The test \
         `every_case_of_h2spec_is_met`\n\
         plays each against a gateway, so that every line holds. `stream n` is RST_STREAM \
         on a connection that lives on,\n\
         `connection` GOAWAY and a close, `either` one of them, `alive` an answer to a PING.\n\n\
         | case | sends | hears | verdict |\n|---|---|---|---|\n",
    );
    for case in cases() {
        let verdict = match &case.instead_of {
            None => "met".to_owned(),
            Some(_) if case.expect.starts_with("answer") => "ignored: it reaches nobody".to_owned(),
            Some(error) => format!("refused, but not as {error}"),
        };
        page.push_str(&format!(
            "| {} | {} | {} | {verdict} |\n",
            case.id, case.sends, case.expect
        ));
    }
    if std::env::var_os("SCOPEGATE_UPDATE_VECTORS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "run the test with SCOPEGATE_UPDATE_VECTORS=1"
    );
}
