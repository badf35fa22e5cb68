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
pub(super) fn segments(whole: &[u8], separator: u8) -> impl Iterator<Item = Segment<'_>> {
    let mut begin = 0;
    whole.split(move |b| *b == separator).map(move |text| {
        let rest = whole.get(begin..).unwrap_or_default();
        let is_first = begin == 0;
        begin += text.len() + 1;
        Segment {
            text,
            rest,
            is_first,
        }
    })
}
