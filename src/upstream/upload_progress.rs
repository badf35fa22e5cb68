//! How an upload goes.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use crate::clock;

/// How far a request with a body has got; shared between the body and who waits for the response.
#[derive(Clone, Debug, Default)]
pub struct UploadProgress(Rc<Cell<Progress>>);

/// Whose turn it is in an upload.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Progress {
    /// The next piece has not come: its lateness is its body's to notice.
    #[default]
    Awaited,
    /// A piece was handed over at this time, and the upstream has not asked for another.
    Taken(Instant),
    /// The last one was.
    Ended(Instant),
}

impl UploadProgress {
    /// Notes that the next piece is waited for.
    pub fn awaited(&self) {
        self.0.set(Progress::Awaited);
    }

    /// Notes that a piece was handed over.
    pub fn taken(&self) {
        self.0.set(Progress::Taken(clock::monotonic()));
    }

    /// Notes that the last piece was.
    pub fn ended(&self) {
        self.0.set(Progress::Ended(clock::monotonic()));
    }

    pub(super) fn progress(&self) -> Progress {
        self.0.get()
    }

    /// Whether the last piece was handed over.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.0.get(), Progress::Ended(_))
    }
}
