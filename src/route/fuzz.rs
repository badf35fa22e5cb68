//! Fuzz targets: the target of a request and the ambiguities of its path, tables of rules, and the
//! tolerant readings of a path.

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use percent_encoding::percent_decode;

use super::readers::decode_to_the_end;
use super::reference_tests::{Reference, rules, rules_again};
use super::tolerance_tests::{Case, PATTERNS, enumerate};
use super::{Ambiguities, Ambiguity, Table, Target, is_authority};
use crate::fuzz::{Choices, check};

/// A request as an input has it: the version, the target, and a line for each `Host`.
struct Request {
    version: Version,
    uri: Uri,
    headers: HeaderMap,
}

impl Request {
    fn of(input: &[u8]) -> Option<Self> {
        let (version, rest) = input.split_first()?;
        let mut lines = rest.split(|byte| *byte == b'\n');
        let uri = Uri::try_from(lines.next()?).ok()?;
        let mut headers = HeaderMap::new();
        for line in lines.take(3) {
            headers.append(HOST, HeaderValue::from_bytes(line).ok()?);
        }
        let version = match version {
            b'0' => Version::HTTP_10,
            b'2' => Version::HTTP_2,
            _ => Version::HTTP_11,
        };
        Some(Self {
            version,
            uri,
            headers,
        })
    }

    fn target(&self) -> Option<Target<'_>> {
        Target::parse(&Method::GET, &self.uri, self.version, &self.headers).ok()
    }
}

#[test]
fn request_target() {
    check("request_target", |input| {
        let Some(request) = Request::of(input) else {
            return;
        };
        let Some(target) = request.target() else {
            return;
        };
        is_borrowed(&request, target);
        is_read_again(target);
        has_its_ambiguities(target.path());
        if target.ambiguities().first_beyond(allowable()).is_none() {
            no_reader_climbs(target.path());
        }
    });
}

/// The path and the host are parts of the request, and hold nothing of what stands around them.
fn is_borrowed(request: &Request, target: Target<'_>) {
    let whole = request.uri.to_string();
    assert!(target.path() == "/" || whole.contains(target.path()));
    assert!(target.path().starts_with('/'));
    assert!(!target.path().contains(['?', '#']));
    match target.host() {
        Some(host) => {
            assert!(is_authority(host), "{host}");
            assert!(!host.contains(['@', '/', '?', '#', ',', ' ']), "{host}");
        }
        None => assert_eq!(request.version, Version::HTTP_10),
    }
}

/// The path in origin form beside the same host is the same target.
fn is_read_again(target: Target<'_>) {
    let uri: Uri = target.path().parse().unwrap();
    let mut headers = HeaderMap::new();
    if let Some(host) = target.host() {
        headers.append(HOST, host.parse().unwrap());
    }
    let again = Target::parse(&Method::GET, &uri, Version::HTTP_10, &headers).unwrap();
    assert_eq!(again.path(), target.path());
    assert_eq!(again.host(), target.host());
    assert_eq!(again.ambiguities(), target.ambiguities());
}

fn allowable() -> Ambiguities {
    Ambiguity::ALLOWABLE.into_iter().collect()
}

/// Each ambiguity is what a search in the text says, but for dot segments, which have readers of
/// their own.
fn has_its_ambiguities(path: &str) {
    let text = path.to_ascii_lowercase();
    let decoded: Vec<u8> = percent_decode(path.as_bytes()).collect();
    let is_control = |byte: &u8| matches!(byte, 0x00..=0x20 | 0x7f);
    let is_escaped_control = |byte: &u8| is_control(byte) && *byte != b' ';
    let expected = [
        (Ambiguity::EncodedSlash, text.contains("%2f")),
        (Ambiguity::EncodedBackslash, text.contains("%5c")),
        (Ambiguity::Backslash, text.contains('\\')),
        (Ambiguity::EmptySegment, text.contains("//")),
        (Ambiguity::Matrix, decoded.contains(&b';')),
        (Ambiguity::DoubleEncoding, escapes(&decoded).any(|of| of)),
        (
            Ambiguity::Control,
            text.bytes().any(|byte| is_control(&byte)) || decoded.iter().any(is_escaped_control),
        ),
        (
            Ambiguity::InvalidEncoding,
            escapes(path.as_bytes()).any(|of| !of) || str::from_utf8(&decoded).is_err(),
        ),
    ];
    let found: Vec<Ambiguity> = Ambiguities::of_path(path).iter().collect();
    for (ambiguity, is_there) in expected {
        assert_eq!(found.contains(&ambiguity), is_there, "{ambiguity}: {path}");
    }
    if found.contains(&Ambiguity::DotSegment) {
        assert!(text.contains(['.', '%']), "{path}");
    }
}

/// Returns for each `%` whether two hexadecimal digits follow.
fn escapes(text: &[u8]) -> impl Iterator<Item = bool> {
    let percents = text.iter().enumerate().filter(|(_, byte)| **byte == b'%');
    percents.map(|(at, _)| {
        let digits = text.get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// No reader of a path that a route may allow finds a step to the parent directory, however often
/// it decodes, wherever it splits or cuts, and whatever it trims.
fn no_reader_climbs(path: &str) {
    let mut text = path.to_owned();
    for _ in 0..6 {
        for part in text.split(['/', '\\', ';']) {
            let cut = part.split(['?', '#']).next().unwrap();
            for reading in [part, part.trim(), cut, cut.trim()] {
                assert!(!matches!(reading, "." | ".."), "{path}");
            }
        }
        text = percent_decode(text.as_bytes())
            .decode_utf8_lossy()
            .into_owned();
    }
}

#[test]
fn route_table() {
    check("route_table", |input| {
        let mut choices = Choices::new(input);
        let rules = rules(&mut choices);
        let reference = Reference::new(&rules);
        let table = Table::new(rules_again(&rules)).unwrap();
        while !choices.has_ended() {
            reference.agrees(&table, &mut choices);
        }
    });
}

/// The bytes of a path whose readers are compared.
const MAX_READ: usize = 32;

#[test]
fn tolerant_readings() {
    check("tolerant_readings", |input| {
        let mut choices = Choices::new(input);
        let texts = [(); 3].map(|()| choices.one_of(&PATTERNS));
        let Ok(path) = str::from_utf8(choices.bytes(MAX_READ)) else {
            return;
        };
        let are_different = texts[0] != texts[1] && texts[0] != texts[2] && texts[1] != texts[2];
        if are_different && may_be_routed(path) {
            enumerate(texts, &[Case::new(path.to_owned())]);
        }
    });
}

/// Returns whether a path may reach a rule, and whether the readers of the tests know all of its
/// characters.
fn may_be_routed(path: &str) -> bool {
    let is_known = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    path.starts_with('/')
        && path.parse::<Uri>().is_ok_and(|uri| uri.path() == path)
        && Ambiguities::of_path(path)
            .first_beyond(allowable())
            .is_none()
        && is_known(&decode_to_the_end(path))
}
