//! `scopegate run`: serves a configuration until a signal ends it.

use super::failure::Failure;
use super::logging;
use super::settings::Settings;
use crate::gateway::{Gateway, Signals};
use crate::server::raise_descriptor_limit;

pub(super) fn run(settings: &Settings) -> Result<(), Failure> {
    // Read once for the level of the log. The gateway reads again, now and at each reload, by the same way.
    let level = settings.load()?.log.level;
    let log = logging::start(level).map_err(Failure::Runtime)?;
    log.note_panics();
    let signals = Signals::take().map_err(Failure::Runtime)?;
    if let Err(error) = raise_descriptor_limit() {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let settings = settings.clone();
    let gateway = Gateway::start(Box::new(move || settings.load())).map_err(Failure::Start)?;
    gateway.run_until_signal(signals).map_err(Failure::Runtime)
}
