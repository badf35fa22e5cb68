//! The refusals that hyper's HTTP/1.1 parser writes by itself: 400, 414 and 431, a head without a
//! body.

use crate::clock;
use crate::proxy::http_date;

/// The end of such a head: its last field is `Date`.
const END: &[u8] = b" GMT\r\n\r\n";

/// Corrects the date in the parser's own refusals. Hyper caches the date that it rendered last and
/// has no way to set another. After the clock was set back, that date is in the future (RFC 9110
/// §6.6.1).
#[derive(Debug, Default)]
pub(super) struct Bare {
    /// The date and the end of the head. Both pieces of a head that is written in two must have the
    /// same date.
    tail: Option<String>,
}

impl Bare {
    /// Returns the last piece of such a head with the current date, or `None` if the piece does not
    /// end with a date. The length stays the same, because all dates are of one length.
    pub(super) fn redated(&mut self, piece: &[u8]) -> Option<Vec<u8>> {
        let known = END.len().min(piece.len());
        if piece.is_empty() || !piece.ends_with(END.get(END.len() - known..)?) {
            return None;
        }
        let tail = self
            .tail
            .get_or_insert_with(|| http_date(clock::since_epoch()) + "\r\n\r\n");
        let shared = tail.len().min(piece.len());
        let before = piece.get(..piece.len() - shared)?;
        Some([before, tail.as_bytes().get(tail.len() - shared..)?].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_replaced_wherever_the_head_is_cut() {
        let old = "HTTP/1.1 400 Bad Request\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";
        let whole = Bare::default().redated(old.as_bytes()).unwrap();
        let whole = String::from_utf8(whole).unwrap();
        assert_eq!(whole.len(), old.len());
        assert!(
            whole.starts_with("HTTP/1.1 400 Bad Request\r\ndate: ")
                && whole.ends_with(" GMT\r\n\r\n")
        );
        assert!(!whole.contains("1994"), "{whole}");
        for at in 0..old.len() {
            // The same date in both pieces.
            let mut bare = Bare {
                tail: Some("Mon, 07 Nov 1994 01:02:03 GMT\r\n\r\n".to_owned()),
            };
            let first = bare.redated(old.as_bytes()).unwrap();
            let second = bare.redated(&old.as_bytes()[at..]).unwrap();
            let both = [&first[..at], &second].concat();
            let expected =
                "HTTP/1.1 400 Bad Request\r\ndate: Mon, 07 Nov 1994 01:02:03 GMT\r\n\r\n";
            assert_eq!(String::from_utf8(both).unwrap(), expected, "{at}");
        }
    }

    #[test]
    fn what_ends_in_no_date_stays() {
        for piece in [
            "",
            "ok",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
        ] {
            assert_eq!(Bare::default().redated(piece.as_bytes()), None, "{piece}");
        }
    }
}
