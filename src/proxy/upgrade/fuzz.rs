//! Fuzz target: the frames of a WebSocket, between which the gateway may send its close frame.

use super::frames::Frames;
use crate::fuzz::{Choices, check};

#[test]
fn websocket_frames() {
    check("websocket_frames", |input| {
        let mut choices = Choices::new(input);
        let lengths = [(); 4].map(|()| choices.below(24));
        let bytes = choices.bytes(usize::MAX);
        let boundaries = boundaries(bytes);
        let mut frames = Frames::default();
        let mut at = 0;
        let mut turns = lengths.iter().cycle();
        while at < bytes.len() {
            // Pieces of all lengths, down to one byte.
            let end = (at + 1 + turns.next().unwrap()).min(bytes.len());
            let ended = frames.follow(&bytes[at..end]).map(|count| at + count);
            let last = boundaries
                .iter()
                .rfind(|boundary| (at + 1..=end).contains(*boundary));
            assert_eq!(ended.as_ref(), last);
            assert_eq!(frames.is_between(), boundaries.contains(&end));
            at = end;
        }
    });
}

/// Returns the ends of the frames in some bytes (RFC 6455 §5.2), read from their beginning.
fn boundaries(bytes: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut at = 0;
    while let Some(head) = bytes.get(at..at + 2) {
        let (long, mask) = (head[1] & 0x7f, usize::from(head[1] >> 7) * 4);
        let extension = match long {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some(digits) = bytes.get(at + 2..at + 2 + extension) else {
            break;
        };
        let length = match extension {
            0 => u128::from(long),
            _ => digits
                .iter()
                .fold(0, |length, digit| length << 8 | u128::from(*digit)),
        };
        let end = (at + 2 + extension + mask) as u128 + length;
        match usize::try_from(end) {
            Ok(end) if end <= bytes.len() => at = end,
            _ => break,
        }
        ends.push(at);
    }
    ends
}
