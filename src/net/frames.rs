//! The frames of HTTP/2 in a stream of bytes (RFC 9113 §4.1), of which only the headers are read,
//! and a rate limit for frames that carry no request or data (§10.5).

use std::time::{Duration, Instant};

use crate::clock;

/// The connection preface of a client (RFC 9113 §3.4), which comes before its first frame.
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The length of a frame's header.
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

/// The header of a frame.
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

    /// Returns whether a DATA frame may have no data. The header does not tell how much of a padded
    /// frame is padding.
    pub(crate) fn is_perhaps_empty(&self) -> bool {
        !self.has(flag::END_STREAM)
            && (self.length == 0 || self.has(flag::PADDED) && self.length <= 256)
    }
}

/// The most frames without progress within [`SECOND`]: frames that carry neither a request nor
/// data.
pub(crate) const FRAMES: u32 = 1000;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// The number of frames without progress that each frame with progress allows. A client that
/// downloads answers each DATA frame with two WINDOW_UPDATE frames at most, and sends a PING now
/// and then to measure the connection.
const EARNED: u32 = 4;

/// The rate limit of frames without progress.
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

    /// Counts a frame with progress.
    pub(crate) fn earn(&mut self) {
        self.earn_more(EARNED);
    }

    /// Counts a frame with progress that allows `count` frames without.
    pub(crate) fn earn_more(&mut self, count: u32) {
        self.left = FRAMES.min(self.left.saturating_add(count));
    }

    /// Counts a frame without progress, and returns whether it is one too many.
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

/// Finds the frames of one direction in pieces of bytes.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    head: [u8; HEAD],
    /// The bytes of the header that have arrived.
    have: usize,
    /// The bytes before the next header.
    skip: usize,
}

impl Frames {
    /// Expects the first frame after `skip` other bytes.
    pub(crate) fn after(skip: usize) -> Self {
        Self {
            skip,
            ..Self::default()
        }
    }

    /// Reads the next bytes, and calls `begins` for each frame whose header they complete.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut begins: impl FnMut(Frame)) {
        self.feed_with(bytes, |frame, _| begins(frame));
    }

    /// Reads the next bytes like [`Self::feed`], and also passes the bytes behind each header: some
    /// or all bytes of the frame, and perhaps of further frames.
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

    /// Returns whether the last frame is complete and no other has begun.
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
