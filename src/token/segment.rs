//! Segments of a text that some parsers end at a separator, and others continue after it.

/// A segment, up to the next separator.
pub(super) struct Segment<'t> {
    /// The segment without the separator.
    pub(super) text: &'t [u8],
    /// The text from the segment's first byte to the end of the whole.
    pub(super) rest: &'t [u8],
    /// Set for the first segment.
    pub(super) is_first: bool,
}

/// Returns the segments of `whole`.
pub(super) fn segments(whole: &[u8], separator: u8) -> Segments<'_> {
    Segments {
        rest: Some(whole),
        separator,
        is_first: true,
    }
}

/// The iterator of [`segments`].
pub(super) struct Segments<'t> {
    rest: Option<&'t [u8]>,
    separator: u8,
    is_first: bool,
}

impl<'t> Iterator for Segments<'t> {
    type Item = Segment<'t>;

    fn next(&mut self) -> Option<Segment<'t>> {
        let rest = self.rest.take()?;
        let mut text = rest;
        if let Some(end) = rest.iter().position(|b| *b == self.separator) {
            text = rest.get(..end)?;
            self.rest = rest.get(end + 1..);
        }
        let is_first = std::mem::replace(&mut self.is_first, false);
        Some(Segment {
            text,
            rest,
            is_first,
        })
    }
}
