//! Compares this parser with hyper's client on thousands of responses: a response that hyper
//! refuses is refused here, and one that both accept is read equally. Each rule that is stricter
//! here has a name.

use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_LENGTH, Entry};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1 as hyper_http1;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::task::{LocalSet, spawn_local};

use super::tests::{arrives, body, connection, get, in_time, upstream};
use super::*;
use crate::upstream::Upstream;

const RESPONSES: u64 = 4000;

/// The result of reading a response.
#[derive(Debug, PartialEq)]
pub(super) enum Read {
    Refused(String),
    /// The head was accepted, and the body failed.
    Broken(String),
    Whole(Box<(StatusCode, http::Version, HeaderMap, Vec<u8>, HeaderMap)>),
}

fn whole<T>(response: Response<T>, body: Vec<u8>, trailers: HeaderMap) -> Read {
    let (head, _) = response.into_parts();
    Read::Whole(Box::new((
        head.status,
        head.version,
        head.headers,
        body,
        trailers,
    )))
}

/// Sends a response as the upstream, and closes the connection.
async fn answer(far: &mut UnixStream, bytes: &[u8]) {
    arrives(far, "\r\n\r\n").await;
    // The client may have closed the connection after it has read enough.
    let _ = far.write_all(bytes).await;
    let _ = far.shutdown().await;
}

pub(super) async fn read_here(upstream: &Arc<Upstream>, method: &Method, bytes: &[u8]) -> Read {
    let (mut http1, mut far) = connection(upstream);
    let mut request = get(method.clone());
    let read = async {
        let response = match http1.send(&mut request).await {
            Ok(response) => response,
            Err(failed) => return Read::Refused(failed.fault.to_string()),
        };
        match body(&mut http1).await {
            Ok((body, trailers)) => whole(response, body, trailers),
            Err(broken) => Read::Broken(broken.to_string()),
        }
    };
    tokio::join!(read, answer(&mut far, bytes)).0
}

pub(super) async fn read_by_hyper(method: &Method, bytes: &[u8]) -> Read {
    let (near, mut far) = UnixStream::pair().unwrap();
    let (mut sender, driver) = hyper_http1::handshake(TokioIo::new(near)).await.unwrap();
    let driver = spawn_local(driver);
    let request = Request::builder()
        .method(method)
        .uri("/")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let read = async {
        let response = match sender.send_request(request).await {
            Ok(response) => response,
            Err(error) => return Read::Refused(format!("{error:?}")),
        };
        let (mut head, incoming) = response.into_parts();
        leave_out_options(&mut head.headers);
        // This parser passes one of several equal lengths on.
        if let Some(length) = head.headers.get(CONTENT_LENGTH).cloned() {
            head.headers.insert(CONTENT_LENGTH, length);
        }
        match incoming.collect().await {
            Ok(all) => {
                let trailers = all.trailers().cloned().unwrap_or_default();
                whole(
                    Response::from_parts(head, ()),
                    all.to_bytes().to_vec(),
                    trailers,
                )
            }
            Err(error) => Read::Broken(format!("{error:?}")),
        }
    };
    let (read, ()) = tokio::join!(read, answer(&mut far, bytes));
    driver.abort();
    read
}

/// Removes a `Connection` that names no other field, which hyper passes on and this parser does
/// not.
fn leave_out_options(headers: &mut HeaderMap) {
    let is_option = |option: &[u8]| {
        let option = option.trim_ascii();
        option.eq_ignore_ascii_case(b"close") || option.eq_ignore_ascii_case(b"keep-alive")
    };
    let Entry::Occupied(connection) = headers.entry(CONNECTION) else {
        return;
    };
    let (_, values) = connection.remove_entry_mult();
    let names_fields = |value: &HeaderValue| !value.as_bytes().split(|b| *b == b',').all(is_option);
    let kept: Vec<_> = values.filter(names_fields).collect();
    for value in kept {
        headers.append(CONNECTION, value);
    }
}

/// A response as text, in which each character stands for a byte, and the method of its request.
struct Sample<'a> {
    method: &'a Method,
    text: String,
}

impl Sample<'_> {
    fn values(&self, name: &str) -> Vec<String> {
        let text = self.text.to_ascii_lowercase();
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        fields
            .filter(|(of, _)| *of == name)
            .map(|(_, value)| value.trim().to_owned())
            .collect()
    }

    fn has_no_body(&self) -> bool {
        let has_status = |status| self.text.contains(&format!(".1 {status}"));
        *self.method == Method::HEAD || [101, 204, 304].into_iter().any(has_status)
    }
}

type Rule = (&'static str, fn(&Sample<'_>) -> bool, &'static str);

/// The rules by which this parser refuses responses that hyper accepts: the message, the property
/// of the response, and the reason.
const STRICTER: &[Rule] = &[
    (
        "it is not HTTP/1",
        |it| it.text.starts_with(['\r', '\n']) || it.text.starts_with("HTTP/1.1 1"),
        "an empty line before a head belongs to nothing",
    ),
    (
        "a transfer coding other than chunked",
        |it| !it.values("transfer-encoding").is_empty(),
        "the client would get what was coded and not be told",
    ),
    (
        "two lengths",
        |it| it.values("content-length").len() > 1,
        "5 and 05 are not the same to everybody",
    ),
    (
        "a length that is not a number",
        |it| {
            it.values("content-length")
                .iter()
                .any(|value| value.contains(','))
        },
        "a list is no number to everybody",
    ),
    (
        "a length that is not a number",
        |it| {
            it.values("content-length").iter().any(|value| {
                value
                    .parse()
                    .is_ok_and(|length: u64| i64::try_from(length).is_err())
            })
        },
        "a length that many cannot count to",
    ),
    (
        "a length that is not a number",
        |it| it.has_no_body() || !it.values("transfer-encoding").is_empty(),
        "a lie about a body is one, whatever frames it",
    ),
    (
        "the size of a chunk is not a number",
        |it| it.text.contains("00000000"),
        "zeros without end before a size",
    ),
    (
        "the size of a chunk is not a number",
        |it| {
            it.text
                .contains(|of: char| of.is_ascii_control() && !"\r\n\t".contains(of))
        },
        "a control character within an extension ends its line for some",
    ),
    (
        "its trailers are broken",
        |it| has_lone_lf(&it.text),
        "a lone LF ends no line of a chunked body",
    ),
];

fn has_lone_lf(text: &str) -> bool {
    text.split_inclusive('\n')
        .any(|line| line.ends_with('\n') && !line.ends_with("\r\n"))
}

/// Pseudo-random numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % bound
    }

    fn of<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }
}

const LINES: &[&str] = &[
    "HTTP/1.1 200 OK",
    "HTTP/1.1 200 OK",
    "HTTP/1.1 200 OK",
    "HTTP/1.0 200 OK",
    "HTTP/1.1 200",
    "HTTP/1.1 404 ",
    "HTTP/1.1 204 No Content",
    "HTTP/1.1 304 Not Modified",
    "HTTP/1.1 500 \u{e9}",
    "HTTP/1.1 999 x",
    "HTTP/1.1 099 x",
    "HTTP/2.0 200 OK",
    "HTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK",
    "\r\nHTTP/1.1 200 OK",
];
const FIELDS: &[&str] = &[
    "x-a: 1",
    "X-A:\t2 ",
    "x-empty:",
    "connection: close",
    "Connection: keep-alive",
    "server: \u{e9}",
    "x a: 1",
    "x : 1",
    " folded",
    "x-b: 1\n",
    "set-cookie: a=b; c",
    "\u{e9}: 1",
    ": 1",
];
const FRAMINGS: &[&str] = &[
    "content-length: 5",
    "content-length: 5",
    "Content-Length:5 ",
    "content-length: 0",
    "content-length: 7",
    "transfer-encoding: chunked",
    "transfer-encoding: chunked",
    "transfer-encoding: chunked",
    "Transfer-Encoding: Chunked",
    "transfer-encoding: gzip, chunked",
    "transfer-encoding: gzip",
    "transfer-encoding: chunked\r\ncontent-length: 5",
    "content-length: 5\r\ntransfer-encoding: chunked",
    "content-length: 5\r\ncontent-length: 5",
    "content-length: 5\r\ncontent-length: 05",
    "content-length: 5\r\ncontent-length: 6",
    "content-length: 5, 5",
    "content-length: +5",
    "content-length: 99999999999999999999",
    "content-length: 9999999999999999999",
    "content-length: 18446744073709551615",
    "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
    "x-none: 1",
];
const BODIES: &[&str] = &[
    "hello",
    "hello",
    "",
    "hello, and more",
    "5\r\nhello\r\n0\r\n\r\n",
    "5;\x01\r\nhello\r\n0\r\n\r\n",
    "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    "5;a=b\r\nhello\r\n0;x\r\n\r\n",
    "5 \t;x\r\nhello\r\n00\r\n\r\n",
    "0\r\n\r\n",
    "5\r\nhello\r\n0\r\nx-sum: 1\r\nx-sum: 2\r\n\r\n",
    "5\r\nhello\r\n0\r\nx-sum: 1\n\r\n",
    "5;a\nb\r\nhello\r\n0\r\n\r\n",
    "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    "00000000000000000005\r\nhello\r\n0\r\n\r\n",
    "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "5\nhello\n0\n\n",
    "5\r\nhello0\r\n\r\n",
    "5\r\nhello\r\n0\r\n\n",
    "5\r\nhello\r\n0\r\n x: 1\r\n\r\n",
    "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n0\r\n\nx-sum: 1\r\n\r\n",
];
const SPICES: &[&str] = &[
    "\r", "\n", "\r\n", "\0", " ", "\t", ";", ":", ",", "0", "f", "5", "+", "-", "\x7f", "\u{e9}",
    "x", "\"", "\n\n",
];

/// A response that may be valid, with a few random changes.
fn response(numbers: &mut Numbers) -> Vec<u8> {
    let mut text = numbers.of(LINES).to_owned() + "\r\n";
    let count = numbers.below(3);
    for part in 0..=count {
        text += if part == count {
            numbers.of(FRAMINGS)
        } else {
            numbers.of(FIELDS)
        };
        text += "\r\n";
    }
    text += "\r\n";
    text += numbers.of(BODIES);
    let mut bytes = text.into_bytes();
    for _ in 0..numbers.below(4).saturating_sub(1) {
        let at = numbers.below(bytes.len());
        match numbers.below(5) {
            0 => drop(bytes.remove(at)),
            1 => bytes[at] ^= 1 << numbers.below(8),
            2 => bytes.truncate(at.max(1)),
            3 => {
                let end = (at + 1 + numbers.below(12)).min(bytes.len());
                let again = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, again));
            }
            _ => drop(bytes.splice(at..at, numbers.of(SPICES).bytes())),
        }
    }
    bytes
}

/// Compares the two results. Returns the rule by which this parser was stricter, or an error if
/// they differ otherwise.
pub(super) fn judge(
    method: &Method,
    bytes: &[u8],
    here: &Read,
    there: &Read,
) -> Result<Option<&'static str>, &'static str> {
    let why = match (here, there) {
        (Read::Whole(here), Read::Whole(there)) if here == there => return Ok(None),
        (Read::Whole(_), Read::Whole(_)) => return Err("it was read as something else"),
        (Read::Whole(_), _) => return Err("hyper does not take it"),
        (Read::Broken(_), Read::Refused(_)) => return Err("hyper does not take its head"),
        (Read::Refused(_), Read::Refused(_)) | (Read::Broken(_), Read::Broken(_)) => {
            return Ok(None);
        }
        (Read::Refused(why) | Read::Broken(why), _) => why,
    };
    let sample = Sample {
        method,
        text: bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    let rule = STRICTER
        .iter()
        .find(|(reason, is_like, _)| why.ends_with(reason) && is_like(&sample));
    rule.map(|(.., name)| Some(*name)).ok_or("hyper takes it")
}

#[tokio::test]
async fn a_response_is_read_as_hyper_reads_it_or_refused_for_a_reason() {
    let (mut numbers, mut taken, mut strict) = (Numbers(0x5c09_e6a7), 0, Vec::new());
    let (upstream, mut wrong) = (upstream(), Vec::new());
    let all = async {
        for _ in 0..RESPONSES {
            let bytes = response(&mut numbers);
            let method = numbers.of(&[
                &Method::GET,
                &Method::GET,
                &Method::GET,
                &Method::HEAD,
                &Method::POST,
            ]);
            let here = in_time("read here", read_here(&upstream, method, &bytes)).await;
            let there = in_time("read by hyper", read_by_hyper(method, &bytes)).await;
            taken += usize::from(matches!(here, Read::Whole(_)));
            match judge(method, &bytes, &here, &there) {
                Ok(rule) => strict.extend(rule),
                Err(what) => {
                    wrong.push(format!(
                        "{method} {}\n  {what}: {here:?}, {there:?}",
                        bytes.escape_ascii()
                    ));
                }
            }
        }
    };
    LocalSet::new().run_until(all).await;
    assert!(
        wrong.is_empty(),
        "{} of {RESPONSES}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    // Not all responses were refused, and every rule was used.
    assert!(taken > 500, "{taken}");
    let unmet: Vec<_> = STRICTER
        .iter()
        .map(|(.., name)| name)
        .filter(|name| !strict.contains(name))
        .collect();
    assert!(unmet.is_empty(), "no response met {unmet:?}");
}
