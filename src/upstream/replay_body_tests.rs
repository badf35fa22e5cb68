use std::collections::VecDeque;
use std::task::Waker;

use http::HeaderValue;

use super::*;

/// A body whose frames are available at once, followed by its end or an error.
struct Frames {
    frames: VecDeque<Frame<Bytes>>,
    fails: bool,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = ();

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ()>>> {
        let this = self.get_mut();
        Poll::Ready(match this.frames.pop_front() {
            Some(frame) => Some(Ok(frame)),
            None => this.fails.then_some(Err(())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && !self.fails
    }
}

fn body(pieces: &[&'static str]) -> Frames {
    let frames = pieces
        .iter()
        .map(|piece| Frame::data(Bytes::from_static(piece.as_bytes())));
    Frames {
        frames: frames.collect(),
        fails: false,
    }
}

fn trailers() -> HeaderMap {
    [(http::header::ETAG, HeaderValue::from_static("x"))]
        .into_iter()
        .collect()
}

/// Polls at most `frames` frames of an attempt. Returns their bytes, and whether there were
/// trailers.
fn send(
    kept: &ReplayBody<Frames>,
    position: &mut Position,
    frames: usize,
) -> Option<(String, bool)> {
    let (mut text, mut has_trailers) = (String::new(), false);
    for _ in 0..frames {
        match kept.poll_frame(position, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Ok(frame))) => {
                has_trailers |= frame.is_trailers();
                text.push_str(str::from_utf8(frame.data_ref().map_or(&[], |data| data)).unwrap());
            }
            Poll::Ready(Some(Err(Interrupted))) => return None,
            Poll::Ready(None) => {
                assert!(kept.is_end_stream(position));
                return Some((text, has_trailers));
            }
            Poll::Pending => panic!("everything is there at once"),
        }
    }
    Some((text, has_trailers))
}

const ALL: usize = 1000;

#[test]
fn each_attempt_sends_the_whole_from_its_first_byte() {
    // The part that earlier attempts have sent does not matter.
    for sent in 0..6 {
        let mut frames = body(&["ab", "", "c", "def"]);
        frames.frames.push_back(Frame::trailers(trailers()));
        let kept = ReplayBody::new(frames, 100);
        for _ in 0..3 {
            send(&kept, &mut kept.begin(), sent);
            assert!(kept.is_whole());
        }
        assert_eq!(
            send(&kept, &mut kept.begin(), ALL),
            Some(("abcdef".to_owned(), true)),
            "after {sent}"
        );
    }
    let long = ReplayBody::new(body(&["x"; 40_000]), 40_000);
    for _ in 0..3 {
        let (text, has_trailers) = send(&long, &mut long.begin(), 50_000).unwrap();
        assert_eq!((text.len(), has_trailers), (40_000, false));
    }
}

#[test]
fn an_end_is_told_with_the_last_piece() {
    let kept = ReplayBody::new(body(&["ab", "c"]), 100);
    for _ in 0..2 {
        let mut position = kept.begin();
        assert!(!kept.is_end_stream(&position));
        // The second attempt sends it in one part.
        while !kept.is_end_stream(&position) {
            send(&kept, &mut position, 1).unwrap();
        }
        assert_eq!(
            send(&kept, &mut position, ALL),
            Some((String::new(), false))
        );
    }
}

#[test]
fn only_the_last_attempt_gets_anything() {
    let kept = ReplayBody::new(body(&["ab", "c"]), 100);
    let mut stale = kept.begin();
    send(&kept, &mut stale, 1).unwrap();
    let mut position = kept.begin();
    assert_eq!(send(&kept, &mut stale, 1), None);
    assert!(kept.is_end_stream(&stale));
    assert_eq!(
        send(&kept, &mut position, ALL),
        Some(("abc".to_owned(), false))
    );
}

// Everything that a peer can make grow has a bound: trailers count as well, and the capacity of the
// vector does not exceed it.
#[test]
fn no_more_is_kept_than_may_be() {
    for (limit, is_kept) in [(0, false), (5, false), (6, true)] {
        let kept = ReplayBody::new(body(&["abc", "def"]), limit);
        let mut position = kept.begin();
        assert_eq!(
            send(&kept, &mut position, ALL),
            Some(("abcdef".to_owned(), false)),
            "it goes on"
        );
        assert_eq!(kept.is_whole(), is_kept, "{limit}");
        assert!(kept.0.borrow().bytes.capacity() <= limit, "{limit}");
        assert_eq!(kept.take_back().is_some(), is_kept);
    }
    for (limit, is_kept) in [(38, false), (39, true)] {
        let mut frames = body(&["ab"]);
        frames.frames.push_back(Frame::trailers(trailers()));
        let kept = ReplayBody::new(frames, limit);
        assert_eq!(
            send(&kept, &mut kept.begin(), ALL),
            Some(("ab".to_owned(), true))
        );
        assert_eq!(kept.is_whole(), is_kept, "{limit}");
    }
    let kept = ReplayBody::new(body(&["x"; 1000]), 700);
    send(&kept, &mut kept.begin(), 700).unwrap();
    assert!(kept.is_whole());
    assert_eq!(kept.0.borrow().bytes.capacity(), 700);
}

#[test]
fn what_failed_or_was_released_is_not_sent_again() {
    let failing = ReplayBody::new(
        Frames {
            fails: true,
            ..body(&["ab"])
        },
        100,
    );
    assert_eq!(send(&failing, &mut failing.begin(), ALL), None);
    assert!(failing.has_failed() && !failing.is_whole() && failing.take_back().is_none());

    let released = ReplayBody::new(body(&["ab", "c"]), 100);
    let mut position = released.begin();
    send(&released, &mut position, 1).unwrap();
    released.release();
    assert_eq!(
        send(&released, &mut position, ALL),
        Some(("c".to_owned(), false)),
        "the attempt goes on"
    );
    assert!(!released.is_whole() && released.0.borrow().bytes.capacity() == 0);
}

#[test]
fn what_is_taken_back_is_gone_for_every_attempt() {
    let kept = ReplayBody::new(body(&["ab", "c"]), 100);
    let mut position = kept.begin();
    send(&kept, &mut position, 1).unwrap();
    let taken = kept.take_back().unwrap();
    assert_eq!(
        (&*taken.bytes, taken.body.frames.len(), taken.has_ended),
        (&b"ab"[..], 1, false)
    );
    assert_eq!(send(&kept, &mut position, 1), None);
    assert!(kept.take_back().is_none());
}
