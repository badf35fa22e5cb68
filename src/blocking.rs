//! Work that takes long, or waits for the system: it runs on a thread of the runtime's blocking
//! pool, so that the tasks of the calling thread go on.

use tokio::task::{JoinError, spawn_blocking};

/// Runs work on another thread, and returns its result. In a simulation, which has one thread, the
/// work runs at once.
///
/// # Errors
/// Returns an error if the work panics.
pub async fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    #[cfg(test)]
    if turmoil::in_simulation() {
        return Ok(work());
    }
    spawn_blocking(work).await
}
