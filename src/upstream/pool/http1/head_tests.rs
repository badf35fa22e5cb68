use super::*;

const LIMITS: HeadLimits = HeadLimits {
    bytes: 64 * 1024,
    fields: 100,
};

/// Parses a head that arrives byte by byte. Returns its status, the framing of the body, and
/// whether the connection persists.
fn says(method: &Method, text: &str) -> Result<Option<(u16, Framing, bool)>, Malformed> {
    let (mut read, mut scanned, mut taken) = (BytesMut::new(), 0, None);
    for byte in text.bytes() {
        read.extend_from_slice(&[byte]);
        if taken.is_none() {
            taken = take(&mut read, &mut scanned, method, LIMITS, HeaderMap::new)?;
        }
    }
    let whole = take(
        &mut BytesMut::from(text),
        &mut 0,
        method,
        LIMITS,
        HeaderMap::new,
    )?;
    let said = |head: Head| (head.response.status().as_u16(), head.framing, head.persists);
    let (taken, whole) = (taken.map(said), whole.map(said));
    assert_eq!(taken, whole, "{text}");
    Ok(whole)
}

fn get(head: &str) -> Result<Option<(u16, Framing, bool)>, Malformed> {
    says(&Method::GET, head)
}

// RFC 9112 §6.3, §9.3.
#[test]
fn a_head_says_what_follows_it_and_whether_the_connection_goes_on() {
    for (head, framing, persists) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
            Framing::Length(5),
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\n",
            Framing::Length(5),
            true,
        ),
        (
            "HTTP/1.1 200\r\ncontent-length: 5\r\nconnection: Close\r\n\r\n",
            Framing::Length(5),
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nconnection: x, close\r\ncontent-length: 0\r\n\r\n",
            Framing::Length(0),
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n",
            Framing::chunked(),
            true,
        ),
        ("HTTP/1.1 200 OK\r\n\r\n", Framing::UntilClose, false),
        (
            "HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\n",
            Framing::Length(5),
            false,
        ),
        (
            "HTTP/1.0 200 OK\r\ncontent-length: 5\r\nconnection: keep-alive\r\n\r\n",
            Framing::Length(5),
            true,
        ),
        (
            "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n",
            Framing::Length(0),
            true,
        ),
        (
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
            Framing::Length(0),
            true,
        ),
        // The transfer coding frames the body, and no bytes after it are trusted.
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n",
            Framing::chunked(),
            false,
        ),
        (
            "HTTP/1.1 200 OK\ncontent-length: 5\n\n",
            Framing::Length(5),
            true,
        ),
    ] {
        let (_, said, goes_on) = get(head).unwrap().unwrap();
        assert_eq!((said, goes_on), (framing, persists), "{head}");
    }
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
    assert_eq!(
        says(&Method::HEAD, head),
        Ok(Some((200, Framing::Length(0), true)))
    );
}

#[test]
fn what_can_be_read_in_two_ways_is_no_head() {
    for fields in [
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: 5, 5\r\n",
        "content-length: +5\r\n",
        "content-length: -5\r\n",
        "content-length: 0x5\r\n",
        "content-length:\r\n",
        "content-length: 99999999999999999999\r\n",
        "content-length: 9223372036854775808\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "x y: 1\r\n",
        "x : 1\r\n",
        "x: 1\r\n folded\r\n",
        "x: a\0b\r\n",
        ": 1\r\n",
    ] {
        assert!(
            get(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).is_err(),
            "{fields}"
        );
    }
    for head in [
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
    ] {
        assert!(get(head).is_err(), "{head}");
    }
}

// The limits are exact.
#[test]
fn a_head_has_the_limits_that_are_configured() {
    let taken = |head: &str, limits: HeadLimits| {
        take(
            &mut BytesMut::from(head),
            &mut 0,
            &Method::GET,
            limits,
            HeaderMap::new,
        )
        .map(|head| head.map(|head| head.response.headers().len()))
    };
    for fields in [8, 99, 100, 101, 300] {
        let limits = HeadLimits { fields, ..LIMITS };
        let head = |count: usize| {
            format!(
                "HTTP/1.1 204 No Content\r\n{}\r\n",
                "x: 1\r\n".repeat(count)
            )
        };
        assert_eq!(taken(&head(fields), limits), Ok(Some(fields)));
        assert_eq!(
            taken(&head(fields + 1), limits),
            Err(Malformed(HeadLimits::TOO_MANY))
        );
    }
    for bytes in [8 * 1024, 64 * 1024, 200 * 1024] {
        let limits = HeadLimits { bytes, ..LIMITS };
        let begun =
            |length: usize| format!("HTTP/1.1 204 No Content\r\nx: {}", "x".repeat(length - 28));
        let head = |length: usize| begun(length - 4) + "\r\n\r\n";
        assert_eq!(head(bytes).len(), bytes);
        assert_eq!(taken(&head(bytes), limits), Ok(Some(1)));
        assert_eq!(taken(&head(bytes + 1), limits), Err(TOO_LONG));
        assert_eq!(taken(&begun(bytes - 1), limits), Ok(None));
        assert_eq!(taken(&begun(bytes), limits), Err(TOO_LONG));
    }
}

// RFC 9110 §8.6; RFC 9112 §3.2.
#[test]
fn a_request_is_written_in_origin_form_with_one_framing() {
    let written = |request: http::Request<()>, coding: Option<Coding>| {
        let mut out = Vec::new();
        let own = vec![(CONNECTION, HeaderValue::from_static("x"))];
        write(&request.into_parts().0, &own, coding.as_ref(), &mut out);
        String::from_utf8(out).unwrap()
    };
    let request = |method: &str, uri: &str| {
        http::Request::builder()
            .method(method)
            .uri(uri)
            .body(())
            .unwrap()
    };
    for (method, uri, coding, expected) in [
        (
            "GET",
            "/a?b",
            None,
            "GET /a?b HTTP/1.1\r\nconnection: x\r\n\r\n",
        ),
        (
            "GET",
            "http://host?b",
            None,
            "GET /?b HTTP/1.1\r\nconnection: x\r\n\r\n",
        ),
        (
            "GET",
            "http://host",
            None,
            "GET / HTTP/1.1\r\nconnection: x\r\n\r\n",
        ),
        (
            "POST",
            "/",
            None,
            "POST / HTTP/1.1\r\nconnection: x\r\ncontent-length: 0\r\n\r\n",
        ),
        (
            "PUT",
            "/",
            Some(Coding::Length(7)),
            "PUT / HTTP/1.1\r\nconnection: x\r\ncontent-length: 7\r\n\r\n",
        ),
    ] {
        assert_eq!(
            written(request(method, uri), coding),
            expected,
            "{method} {uri}"
        );
    }
}

// RFC 9110 §7.6.1: a `Connection` that names no other field is for the gateway alone.
#[test]
fn connection_is_passed_on_where_it_names_fields() {
    for (value, is_passed_on) in [
        ("close", false),
        ("Keep-Alive", false),
        ("close , keep-alive", false),
        ("upgrade", true),
        ("close, x-a", true),
    ] {
        let head = format!("HTTP/1.1 200 OK\r\nconnection: {value}\r\ncontent-length: 0\r\n\r\n");
        let head = take(
            &mut BytesMut::from(&*head),
            &mut 0,
            &Method::GET,
            LIMITS,
            HeaderMap::new,
        )
        .unwrap()
        .unwrap();
        assert_eq!(
            head.response.headers().contains_key(CONNECTION),
            is_passed_on,
            "{value}"
        );
    }
}
