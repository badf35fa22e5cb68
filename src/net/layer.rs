//! Layers over a byte stream, which see or change what is read and written.

use std::io::{self, IoSlice};
use std::iter;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A layer over a stream. A method that a layer does not define does what the stream below does.
pub trait Layer: Unpin {
    /// The stream below.
    type Below: AsyncRead + AsyncWrite + Unpin;

    /// Returns the stream below.
    ///
    /// # Errors
    /// Returns an error if the layer has given its stream away.
    fn below(&mut self) -> io::Result<Pin<&mut Self::Below>>;

    /// Reads bytes into a buffer.
    ///
    /// # Errors
    /// Returns the error of the stream below, or the layer's own.
    fn read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.below()?.poll_read(cx, buffer)
    }

    /// Writes bytes, and returns how many of them were accepted.
    ///
    /// # Errors
    /// Returns the error of the stream below, or the layer's own.
    fn write(&mut self, cx: &mut Context<'_>, output: Output<'_>) -> Poll<io::Result<usize>> {
        output.write_to(self.below()?, cx)
    }

    /// Flushes what was written.
    ///
    /// # Errors
    /// Returns the error of the stream below, or the layer's own.
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.below()?.poll_flush(cx)
    }

    /// Ends the writing side.
    ///
    /// # Errors
    /// Returns the error of the stream below, or the layer's own.
    fn shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.below()?.poll_shutdown(cx)
    }
}

/// The bytes of one write.
#[derive(Clone, Copy, Debug)]
pub enum Output<'a> {
    /// One piece.
    One(&'a [u8]),
    /// Several pieces, for one vectored write.
    Several(&'a [IoSlice<'a>]),
}

impl<'a> Output<'a> {
    /// Returns the number of bytes.
    #[must_use]
    pub fn length(self) -> usize {
        match self {
            Self::One(bytes) => bytes.len(),
            Self::Several(slices) => slices.iter().map(|slice| slice.len()).sum(),
        }
    }

    /// Returns the bytes if they are one piece.
    #[must_use]
    pub fn single(self) -> Option<&'a [u8]> {
        match self {
            Self::One(bytes) => Some(bytes),
            Self::Several([alone]) => Some(alone),
            Self::Several(_) => None,
        }
    }

    /// Returns the first `count` bytes: those that a write has accepted.
    pub fn accepted(self, mut count: usize) -> impl Iterator<Item = &'a [u8]> {
        let (one, several): (&[u8], &[IoSlice<'_>]) = match self {
            Self::One(bytes) => (bytes, &[]),
            Self::Several(slices) => (&[], slices),
        };
        iter::once(one)
            .chain(several.iter().map(|slice| &**slice))
            .map(move |piece| {
                let accepted = count.min(piece.len());
                count -= accepted;
                piece.get(..accepted).unwrap_or_default()
            })
    }

    /// Writes the bytes in one call.
    ///
    /// # Errors
    /// Returns the error of the stream.
    pub fn write_to<S: AsyncWrite>(
        self,
        stream: Pin<&mut S>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::One(bytes) => stream.poll_write(cx, bytes),
            Self::Several(slices) => stream.poll_write_vectored(cx, slices),
        }
    }
}

/// The stream of a [`Layer`].
#[derive(Debug)]
pub struct Layered<L>(pub L);

impl<L: Layer> AsyncRead for Layered<L> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().0.read(cx, buffer)
    }
}

impl<L: Layer> AsyncWrite for Layered<L> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().0.write(cx, Output::One(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().0.write(cx, Output::Several(slices))
    }

    /// Returns true: every socket takes several pieces at once, and so does TLS.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().0.flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().0.shutdown(cx)
    }
}

/// Bytes that were read too early, and are read again first.
#[derive(Debug, Default)]
pub struct Unread(Bytes);

impl Unread {
    /// Puts bytes back, in front of those that were put back before.
    pub fn put_back(&mut self, bytes: Bytes) {
        // An empty piece is not kept: it may keep a large buffer in memory.
        if !bytes.is_empty() {
            self.0 = if self.0.is_empty() {
                bytes
            } else {
                [&*bytes, &*self.0].concat().into()
            };
        }
    }

    /// Returns whether no bytes are left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the bytes that are left.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Moves bytes into a buffer, as many as there is room for. Returns whether there were any.
    pub fn read(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        self.read_at_most(usize::MAX, buffer)
    }

    /// Moves at most `count` bytes into a buffer. Returns whether there were any.
    pub fn read_at_most(&mut self, count: usize, buffer: &mut ReadBuf<'_>) -> bool {
        if !self.0.has_remaining() {
            return false;
        }
        let count = self.0.len().min(buffer.remaining()).min(count);
        buffer.put_slice(&self.0.split_to(count));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_bytes_are_the_first_of_all_pieces() {
        let slices = [b"ab", &b""[..], b"cde"].map(IoSlice::new);
        let output = Output::Several(&slices);
        assert_eq!(output.length(), 5);
        for count in 0..=5 {
            let accepted: Vec<u8> = output.accepted(count).flatten().copied().collect();
            assert_eq!(accepted, b"abcde"[..count]);
            let accepted: Vec<u8> = Output::One(b"abcde")
                .accepted(count)
                .flatten()
                .copied()
                .collect();
            assert_eq!(accepted, b"abcde"[..count]);
        }
        assert_eq!(output.single(), None);
        assert_eq!(Output::Several(&slices[..1]).single(), Some(&b"ab"[..]));
    }

    #[test]
    fn bytes_that_were_put_back_are_read_first() {
        let mut unread = Unread::default();
        unread.put_back(Bytes::from_static(b"cd"));
        unread.put_back(Bytes::new());
        unread.put_back(Bytes::from_static(b"ab"));
        let mut room = [0; 3];
        let mut buffer = ReadBuf::new(&mut room);
        assert!(unread.read(&mut buffer));
        assert_eq!(buffer.filled(), b"abc");
        buffer.clear();
        assert!(unread.read(&mut buffer));
        assert_eq!(buffer.filled(), b"d");
        assert!(unread.is_empty() && !unread.read(&mut buffer));
        unread.put_back(Bytes::from_static(b"efg"));
        buffer.clear();
        assert!(unread.read_at_most(2, &mut buffer));
        assert_eq!((buffer.filled(), unread.bytes()), (&b"ef"[..], &b"g"[..]));
    }
}
