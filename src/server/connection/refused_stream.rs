//! Recognition of the streams that the HTTP/2 library refuses by itself. It has no interface that
//! tells of them: they show in the frames that it writes.
//!
//! It assumes that the library
//! - writes such a frame in one piece. A socket that is nearly full may take only a part of it: then
//!   the refusal is not counted;
//! - answers a head that is too long with a HEADERS frame that has `:status: 431` and nothing else,
//!   and then resets the stream with PROTOCOL_ERROR unless the request has ended.

use crate::net::frames::{Frame, flag, kind};
use crate::telemetry::ConnectionError;

/// Error codes (RFC 9113 §7).
const PROTOCOL_ERROR: [u8; 4] = [0, 0, 0, 1];
const FLOW_CONTROL_ERROR: [u8; 4] = [0, 0, 0, 3];
const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];

/// The longest block of fields that can have a status only: its name by index, and its value.
const LONGEST: usize = 8;

/// The refusals of one connection.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// The stream whose head was too long, the last of them; 0 if there was none.
    too_large: u32,
}

impl Refusals {
    /// Returns the reason of a refusal, if the library refuses a stream by this frame to the
    /// client.
    pub(super) fn of_frame(&mut self, frame: Frame, payload: &[u8]) -> Option<ConnectionError> {
        if frame.kind == kind::RST_STREAM {
            return self.of_reset(frame.stream, payload);
        }
        if frame.length > LONGEST || !frame.has(flag::END_STREAM) {
            return None;
        }
        let block = payload.get(..frame.length)?;
        let is_refusal = is_status_alone(block) || self.too_large > 0 && is_indexed(block);
        if !is_refusal {
            return None;
        }
        self.too_large = frame.stream;
        Some(ConnectionError::Http2HeadTooLarge)
    }

    fn of_reset(&self, stream: u32, payload: &[u8]) -> Option<ConnectionError> {
        match *payload.first_chunk()? {
            PROTOCOL_ERROR if stream != self.too_large => {
                Some(ConnectionError::Http2MalformedRequest)
            }
            FLOW_CONTROL_ERROR => Some(ConnectionError::Http2FlowControl),
            REFUSED_STREAM => Some(ConnectionError::Http2TooManyStreams),
            _ => None,
        }
    }
}

/// Returns whether a block has one field, `:status` with a value that is written out (RFC 7541
/// §6.2). All other answers have a date as well, and trailers have no status.
fn is_status_alone(block: &[u8]) -> bool {
    match without_size_updates(block) {
        // The name is that of entry 8, and the entry is added to the table or not.
        [0x08 | 0x18 | 0x48, length, value @ ..] => usize::from(length & 0x7f) == value.len(),
        _ => false,
    }
}

/// Returns whether a block has one field, of the dynamic table. After the first status of 431 the
/// next ones have this form. Trailers of one field can have it, too, so that it counts only on a
/// connection that has had such a status.
fn is_indexed(block: &[u8]) -> bool {
    matches!(without_size_updates(block), [0xbe..=0xff])
}

/// Removes changes of the size of the dynamic table from the start of a block (RFC 7541 §6.3).
fn without_size_updates(mut block: &[u8]) -> &[u8] {
    while let [first @ 0x20..=0x3f, rest @ ..] = block {
        block = rest;
        if *first == 0x3f {
            let end = block.iter().position(|byte| *byte < 0x80);
            block = end.and_then(|end| block.get(end + 1..)).unwrap_or_default();
        }
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: usize, stream: u32) -> Frame {
        Frame {
            length,
            kind,
            flags,
            stream,
        }
    }

    fn head(refusals: &mut Refusals, block: &[u8], stream: u32) -> Option<ConnectionError> {
        let flags = flag::END_STREAM | flag::END_HEADERS;
        refusals.of_frame(frame(kind::HEADERS, flags, block.len(), stream), block)
    }

    #[test]
    fn a_status_alone_is_a_refusal() {
        let too_large = Some(ConnectionError::Http2HeadTooLarge);
        for block in [
            &[0x48, 0x83, 0x69, 0x90, 0xff][..],
            &[0x08, 3, b'4', b'3', b'1'],
            &[0x20, 0x08, 3, b'4', b'3', b'1'],
            &[0x3f, 0xe1, 0x1f, 0x48, 1, b'4'],
        ] {
            assert_eq!(head(&mut Refusals::default(), block, 1), too_large);
        }
        for block in [
            &[][..],
            &[0xbe],
            &[0x88, 0xbe],
            &[0x48, 0x83, 0x69, 0x90, 0xff, 0xbe],
            &[0x48, 0x82, 0x69, 0x90, 0xbe],
        ] {
            assert_eq!(head(&mut Refusals::default(), block, 1), None, "{block:?}");
        }
    }

    #[test]
    fn the_next_status_is_indexed_and_its_reset_is_no_second_refusal() {
        let mut refusals = Refusals::default();
        let too_large = Some(ConnectionError::Http2HeadTooLarge);
        let reset = frame(kind::RST_STREAM, 0, 4, 3);
        let malformed = Some(ConnectionError::Http2MalformedRequest);
        assert_eq!(refusals.of_frame(reset, &PROTOCOL_ERROR), malformed);
        assert_eq!(head(&mut refusals, &[0x08, 1, b'4'], 1), too_large);
        assert_eq!(head(&mut refusals, &[0xbf], 3), too_large);
        assert_eq!(refusals.of_frame(reset, &PROTOCOL_ERROR), None);
        let other = frame(kind::RST_STREAM, 0, 4, 5);
        assert_eq!(refusals.of_frame(other, &PROTOCOL_ERROR), malformed);
        assert_eq!(
            refusals.of_frame(other, &REFUSED_STREAM),
            Some(ConnectionError::Http2TooManyStreams)
        );
        assert_eq!(refusals.of_frame(other, &[0, 0, 0, 8]), None, "CANCEL");
    }
}
