//! The boundaries of WebSocket frames (RFC 6455 §5.2), so that the gateway can send a frame of its
//! own between two others. Payloads are not inspected.

/// The length of the longest frame header: two bytes, eight for the length, and four for the mask.
const LONGEST_HEAD: usize = 14;

/// The parser's state for one direction of a WebSocket.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; LONGEST_HEAD],
    /// The number of bytes in `head`.
    seen: usize,
    /// The number of payload bytes that have not arrived yet.
    left: u64,
}

impl Frames {
    /// Returns whether the last byte ended a frame.
    pub(super) fn is_between(&self) -> bool {
        self.seen == 0 && self.left == 0
    }

    /// Follows bytes that are relayed. Returns the number of bytes up to the end of the last frame
    /// that ended in them, if any did.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut rest = bytes;
        let mut ended = None;
        while let Some((&first, tail)) = rest.split_first() {
            if self.left > 0 {
                let taken = usize::try_from(self.left)
                    .unwrap_or(usize::MAX)
                    .min(rest.len());
                self.left -= taken as u64;
                rest = rest.get(taken..).unwrap_or_default();
            } else {
                self.head_byte(first);
                rest = tail;
            }
            if self.is_between() {
                ended = Some(bytes.len() - rest.len());
            }
        }
        ended
    }

    fn head_byte(&mut self, byte: u8) {
        if let Some(place) = self.head.get_mut(self.seen) {
            *place = byte;
        }
        self.seen += 1;
        let [_, second, long @ ..] = self.head;
        let mask = if second & 0x80 != 0 { 4 } else { 0 };
        let (extended, length) = match second & 0x7f {
            126 => (2, u64::from(u16::from_be_bytes([long[0], long[1]]))),
            127 => {
                let [a, b, c, d, e, f, g, h, ..] = long;
                (8, u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
            short => (0, u64::from(short)),
        };
        if self.seen >= 2 && self.seen == 2 + extended + mask {
            self.seen = 0;
            self.left = length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x82];
        match payload {
            0..=125 => frame.push(mask | u8::try_from(payload).unwrap()),
            126..=0xffff => {
                frame.push(mask | 126);
                frame.extend(u16::try_from(payload).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend((payload as u64).to_be_bytes());
            }
        }
        frame.extend(vec![0xff; if masked { 4 } else { 0 } + payload]);
        frame
    }

    #[test]
    fn frames_end_where_their_length_says() {
        for masked in [false, true] {
            for payload in [0, 1, 125, 126, 127, 0xffff, 0x10000] {
                let bytes = frame(payload, masked);
                let mut whole = Frames::default();
                assert_eq!(
                    whole.follow(&bytes),
                    Some(bytes.len()),
                    "{payload} {masked}"
                );
                let mut bit_by_bit = Frames::default();
                let (last, before) = bytes.split_last().unwrap();
                assert!(
                    before
                        .iter()
                        .all(|byte| bit_by_bit.follow(&[*byte]).is_none()
                            && !bit_by_bit.is_between())
                );
                assert_eq!(bit_by_bit.follow(&[*last]), Some(1));
            }
        }
    }

    #[test]
    fn the_end_of_the_last_whole_frame_is_returned() {
        let (one, two) = (frame(3, true), frame(300, false));
        let cut = [&*one, &two[..100]].concat();
        let mut frames = Frames::default();
        assert_eq!(frames.follow(&cut), Some(one.len()));
        assert!(!frames.is_between());
        assert_eq!(frames.follow(&two[100..]), Some(two.len() - 100));
    }
}
