//! Where the frames of HTTP/2 are in a stream of bytes (RFC 9113 §4.1): their heads alone, nothing
//! of what they hold; and how many of them may bring nothing forward.

use std::io::IoSlice;
use std::time::{Duration, Instant};

use crate::clock;

/// What a client begins with (RFC 9113 §3.4), before its first frame.
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The length of a frame's head.
const HEAD: usize = 9;

/// Types of frames (RFC 9113 §6).
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub(crate) mod flag {
    pub(crate) const END_STREAM: u8 = 0x1;
    pub(crate) const END_HEADERS: u8 = 0x4;
    pub(crate) const PADDED: u8 = 0x8;
}

/// The first `count` bytes of several slices: what a vectored write has taken.
pub(crate) fn taken<'a>(
    slices: &'a [IoSlice<'_>],
    mut count: usize,
) -> impl Iterator<Item = &'a [u8]> {
    slices.iter().map(move |slice| {
        let taken = count.min(slice.len());
        count -= taken;
        slice.get(..taken).unwrap_or_default()
    })
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) length: usize,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

impl Frame {
    fn parse(head: [u8; HEAD]) -> Self {
        let [a, b, c, kind, flags, s0, s1, s2, s3] = head;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let stream = u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff;
        Self {
            length,
            kind,
            flags,
            stream,
        }
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether a DATA frame may hold no data; how much of it is padding its head does not tell.
    pub(crate) fn is_perhaps_empty(&self) -> bool {
        !self.has(flag::END_STREAM)
            && (self.length == 0 || self.has(flag::PADDED) && self.length <= 256)
    }
}

/// Frames that bring nothing forward, within [`SECOND`].
pub(crate) const FRAMES: u32 = 1000;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What a frame that brings something forward makes up for. A client that downloads answers each
/// frame with two updates of windows at most, and measures the line with a ping now and then.
const EARNED: u32 = 4;

/// How many frames may bring nothing forward.
#[derive(Debug)]
pub(crate) struct RateGuard {
    left: u32,
    pub(crate) filled: Instant,
}

impl RateGuard {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            left: FRAMES,
            filled: now,
        }
    }

    /// Notes a frame that brings something forward.
    pub(crate) fn earn(&mut self) {
        self.earn_more(EARNED);
    }

    /// Notes one that makes up for so many.
    pub(crate) fn earn_more(&mut self, count: u32) {
        self.left = FRAMES.min(self.left.saturating_add(count));
    }

    /// Notes one that does not; whether it is one too many.
    pub(crate) fn spend(&mut self) -> bool {
        if self.left == 0 {
            let now = clock::monotonic();
            if now < self.filled + SECOND {
                return true;
            }
            (self.left, self.filled) = (FRAMES, now);
        }
        self.left -= 1;
        false
    }
}

/// Follows the frames of one direction, in pieces as they come.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    head: [u8; HEAD],
    /// Bytes of the head that are there.
    have: usize,
    /// Bytes that come before the next head.
    skip: usize,
}

impl Frames {
    /// Frames after so many other bytes.
    pub(crate) fn after(skip: usize) -> Self {
        Self {
            skip,
            ..Self::default()
        }
    }

    /// Takes the next bytes and tells of each frame that begins with them.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut begins: impl FnMut(Frame)) {
        self.feed_with(bytes, |frame, _| begins(frame));
    }

    /// The same, with the bytes behind the frame's head that are there: those of the frame, or the
    /// first of them, and of others.
    pub(crate) fn feed_with(&mut self, mut bytes: &[u8], mut begins: impl FnMut(Frame, &[u8])) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            let Some(room) = self.head.get_mut(self.have..) else {
                return;
            };
            let taken = room.len().min(bytes.len());
            let (piece, rest) = bytes.split_at(taken);
            room.iter_mut()
                .zip(piece)
                .for_each(|(to, from)| *to = *from);
            self.have += taken;
            bytes = rest;
            if self.have == HEAD {
                let frame = Frame::parse(self.head);
                (self.have, self.skip) = (0, frame.length);
                begins(frame, bytes);
            }
        }
    }

    /// Whether the last frame is whole and no other has begun.
    pub(crate) fn is_between(&self) -> bool {
        self.have == 0 && self.skip == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_however_the_bytes_are_cut() {
        let mut bytes = PREFACE.to_vec();
        bytes.extend([0, 0, 6, 4, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6]);
        bytes.extend([0, 0, 0, 4, 1, 0, 0, 0, 0]);
        bytes.extend([0, 0, 2, 1, 5, 0x80, 0, 0, 3, 7, 7]);
        for size in 1..=bytes.len() {
            let mut frames = Frames::after(PREFACE.len());
            let mut found = Vec::new();
            for piece in bytes.chunks(size) {
                frames.feed(piece, |frame| {
                    found.push((frame.kind, frame.length, frame.flags, frame.stream));
                });
            }
            assert_eq!(
                found,
                [(4, 6, 0, 0), (4, 0, 1, 0), (1, 2, 5, 3)],
                "pieces of {size}"
            );
            assert!(frames.is_between());
            frames.feed(&[0], |_| {});
            assert!(!frames.is_between());
        }
    }
}
