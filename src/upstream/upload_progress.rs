//! The progress of an upload, from which a timeout tells a slow client from a slow upstream.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use crate::clock;

/// The progress of a request with a body. The body and the future that waits for the response share
/// it.
#[derive(Clone, Debug, Default)]
pub struct UploadProgress(Rc<Cell<Progress>>);

/// The side that an upload waits for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Progress {
    /// The next part has not come from the client. The timeout of the request body covers that
    /// wait.
    #[default]
    Awaited,
    /// A part was handed over at this time, and the upstream has not taken more since.
    Taken(Instant),
    /// The last part was handed over at this time.
    Ended(Instant),
}

impl UploadProgress {
    /// Notes that the upload waits for the next part.
    pub fn awaited(&self) {
        self.0.set(Progress::Awaited);
    }

    /// Notes that a part was handed over.
    pub fn taken(&self) {
        self.0.set(Progress::Taken(clock::monotonic()));
    }

    /// Notes that the last part was handed over.
    pub fn ended(&self) {
        self.0.set(Progress::Ended(clock::monotonic()));
    }

    pub(super) fn progress(&self) -> Progress {
        self.0.get()
    }

    /// Returns whether the last part was handed over.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.0.get(), Progress::Ended(_))
    }

    /// Returns the time at which the last part was handed over, if it was.
    pub(super) fn ended_at(&self) -> Option<Instant> {
        match self.0.get() {
            Progress::Ended(at) => Some(at),
            Progress::Awaited | Progress::Taken(_) => None,
        }
    }
}
