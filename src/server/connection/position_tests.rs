use super::*;

/// Returns the parts in which hyper gets a text, beginning with a head or a body in chunks; `Err`
/// with those before a malformed line. The result must be the same however the text arrives.
fn parts(start: Position, text: &str) -> Result<Vec<&str>, Vec<&str>> {
    let whole = in_pieces(start, text, text.len());
    for size in 1..text.len() {
        assert_eq!(in_pieces(start, text, size), whole, "{size} of {text:?}");
    }
    whole
}

fn in_pieces(start: Position, text: &str, size: usize) -> Result<Vec<&str>, Vec<&str>> {
    let mut position = start;
    let (mut found, mut from, mut at) = (Vec::new(), 0, 0);
    while at < text.len() {
        let piece = &text.as_bytes()[at..text.len().min(at + size)];
        let Ok(count) = position.advance(piece) else {
            return Err(found);
        };
        at += count;
        if position == Position::default() {
            found.push(&text[from..at]);
            from = at;
        }
    }
    found.extend(Some(&text[from..]).filter(|rest| !rest.is_empty()));
    Ok(found)
}

#[test]
fn a_head_ends_with_the_first_empty_line_behind_another() {
    for (text, expected) in [
        (
            "GET / HTTP/1.1\r\nA: b\r\n\r\nGET",
            &["GET / HTTP/1.1\r\nA: b\r\n\r\n", "GET"][..],
        ),
        ("GET / HTTP/1.1\n\n5\r\n", &["GET / HTTP/1.1\n\n", "5\r\n"]),
        ("a\n\r\nb\r\n\nc", &["a\n\r\n", "b\r\n\n", "c"]),
        ("a\r\r\n\r\n", &["a\r\r\n\r\n"]),
        ("a\r\n\r\r\n\r\n", &["a\r\n\r\r\n\r\n"]),
    ] {
        assert_eq!(parts(Position::default(), text).unwrap(), expected);
    }
}

#[test]
fn the_preface_of_http_2_is_read_in_one_go() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut position = Position::default();
    assert_eq!(position.advance(preface), Ok(preface.len()));
}

// They would be one read each: a client could send them without end.
#[test]
fn empty_lines_before_a_head_are_read_in_one_go() {
    let mut position = Position::default();
    assert_eq!(position.advance(&b"\r\n".repeat(100)), Ok(200));
    assert_eq!(position.advance(b"\n\n\na\r\n\r\nb"), Ok(8));
}

#[test]
fn a_body_with_a_length_ends_there() {
    let mut position = Position::body(Some(3));
    assert_eq!(position.advance(b"\n\n"), Ok(2));
    assert_eq!(position.advance(b"\nGET / HTTP/1.1\n\n"), Ok(1));
    assert_eq!(position, Position::default());
}

#[test]
fn a_body_in_chunks_ends_where_every_reader_finds_its_end() {
    for body in [
        "0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "A\r\n0\r\n\r\n\n\n\n\n\n\r\n00;x\r\n\r\n",
        "0000000000000000000005 \t;a=\"b\"\r\n\n\n\n\n\n\r\n0\r\nX-T: \t1\r\nX-U: 2\r\n\r\n",
    ] {
        let text = format!("{body}GET / HTTP/1.1\r\n\r\n");
        let expected = ["GET / HTTP/1.1\r\n\r\n"];
        let parts = parts(Position::body(None), &text).unwrap();
        assert_eq!((parts[0], &parts[1..]), (body, &expected[..]), "{body:?}");
    }
}

#[test]
fn a_line_that_readers_end_elsewhere_is_malformed() {
    for body in [
        "0\r\n\n",
        "0\r\n\r\r\n",
        "0\r\nX-T: 1\n\r\n",
        "0\r\nX-T: 1\r\n\n",
        "0\r\nX-T: 1\rX-U: 2\r\n",
        "0\r\nX-T: \0\r\n",
        "0\r\n\0\r\n",
        "0\n\r\n",
        "0\r\r\n",
        "5;\n",
        "5;\0\r\n",
        "5;x\x7f\r\n",
        "5\n",
        "5\r\nhello\n",
        "5\r\nhello\r\r",
        "5\r\nhello0\r\n",
        "ffffffffffffffff1\r\n",
    ] {
        assert_eq!(parts(Position::body(None), body), Err(vec![]), "{body:?}");
    }
}
