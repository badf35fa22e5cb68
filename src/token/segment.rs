//! Parts of a text that end at a separator for one parser, and go on beyond it for another.

/// A part, up to the next separator.
pub(super) struct Segment<'t> {
    /// Without the separator.
    pub(super) text: &'t [u8],
    /// From the part's first byte to the end of the whole text.
    pub(super) rest: &'t [u8],
    /// Whether no part comes before it.
    pub(super) is_first: bool,
}

/// The parts of `whole`.
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
