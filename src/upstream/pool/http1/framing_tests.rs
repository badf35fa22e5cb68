use super::*;

/// Decodes a body that arrives in these parts, after which the connection ends. Returns its bytes,
/// its trailers, and whether it has ended.
fn come(mut framing: Framing, pieces: &[&[u8]]) -> Result<(Vec<u8>, usize, bool), Malformed> {
    let (mut read, mut body, mut trailers) = (BytesMut::new(), Vec::new(), 0);
    for piece in pieces {
        read.extend_from_slice(piece);
        loop {
            match framing.next(&mut read)? {
                Next::Frame(frame) => match frame.into_data() {
                    Ok(data) => body.extend_from_slice(&data),
                    Err(frame) => {
                        trailers += frame.into_trailers().map_or(0, |fields| fields.len());
                    }
                },
                Next::More => break,
                Next::End => return Ok((body, trailers, true)),
            }
        }
    }
    let ended = framing.close();
    Ok((body, trailers, ended))
}

/// Decodes the bytes in every division into two parts and one byte at a time, with equal results.
fn however_cut(framing: Framing, bytes: &[u8]) -> Result<(Vec<u8>, usize, bool), Malformed> {
    let whole = come(framing, &[bytes]);
    for at in 0..=bytes.len() {
        let (first, second) = bytes.split_at(at);
        assert_eq!(come(framing, &[first, second]), whole, "cut at {at}");
    }
    assert_eq!(
        come(framing, &bytes.chunks(1).collect::<Vec<_>>()),
        whole,
        "one by one"
    );
    whole
}

// RFC 9112 §6, §7.
#[test]
fn a_body_ends_where_its_framing_says_however_it_comes() {
    let chunked = Framing::chunked();
    for (framing, bytes, body, trailers, ended) in [
        (Framing::Length(5), &b"hello"[..], &b"hello"[..], 0, true),
        (Framing::Length(5), b"hell", b"hell", 0, false),
        (Framing::Length(5), b"hello, and more", b"hello", 0, true),
        (Framing::Length(0), b"", b"", 0, true),
        (Framing::UntilClose, b"hello", b"hello", 0, true),
        (chunked, b"5\r\nhello\r\n0\r\n\r\n", b"hello", 0, true),
        (
            chunked,
            b"2\r\nhe\r\n003\r\nllo\r\n0\r\n\r\n",
            b"hello",
            0,
            true,
        ),
        (
            chunked,
            b"A;a=\"b\"\r\n0123456789\r\n0;x\r\n\r\n",
            b"0123456789",
            0,
            true,
        ),
        (
            chunked,
            b"1\r\na\r\n0\r\nx-a: 1\r\nx-b: 2\r\n\r\n",
            b"a",
            2,
            true,
        ),
        (chunked, b"5\r\nhello\r\n0\r\n", b"hello", 0, false),
        (chunked, b"5\r\nhel", b"hel", 0, false),
        (chunked, b"", b"", 0, false),
    ] {
        let expected = Ok((body.to_vec(), trailers, ended));
        assert_eq!(
            however_cut(framing, bytes),
            expected,
            "{}",
            String::from_utf8_lossy(bytes)
        );
    }
}

#[test]
fn a_chunk_that_can_be_read_in_two_ways_is_none() {
    for bytes in [
        &b"\r\nhello\r\n"[..],
        b";a\r\n\r\n",
        b" 5\r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"-1\r\n\r\n",
        b"0x5\r\nhello\r\n",
        b"5 5\r\nhello\r\n",
        b"5\nhello\r\n",
        b"5;a\nb\r\nhello\r\n",
        b"5;\0\r\nhello\r\n",
        b"5;a\x0b\r\nhello\r\n",
        b"5;a\x7fb\r\nhello\r\n",
        b"5\rhello\r\n",
        b"5\r\nhelloX\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"11111111111111111\r\n",
        b"00000000000000005\r\nhello\r\n0\r\n\r\n",
        b"0\r\nx y: 1\r\n\r\n",
        b"0\r\nx: 1\n\r\n",
    ] {
        assert!(
            however_cut(Framing::chunked(), bytes).is_err(),
            "{}",
            String::from_utf8_lossy(bytes)
        );
    }
}

#[test]
fn what_stands_beside_the_body_has_a_bound() {
    let line = |length: usize| [b"5;".to_vec(), vec![b'a'; length]].concat();
    assert!(come(Framing::chunked(), &[&line(MAX_LINE - 100)]).is_ok());
    assert!(come(Framing::chunked(), &[&line(MAX_LINE)]).is_err());
    let trailers = |length: usize| [b"0\r\nx: ".to_vec(), vec![b'a'; length]].concat();
    assert!(come(Framing::chunked(), &[&trailers(MAX_TRAILERS - 100)]).is_ok());
    assert!(come(Framing::chunked(), &[&trailers(MAX_TRAILERS)]).is_err());
}
