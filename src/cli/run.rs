//! `scopegate run`: serves a configuration until a signal ends it.

use super::failure::Failure;
use super::logging;
use super::settings::Settings;
use crate::gateway::{Gateway, Signals, StartError};
use crate::server::{check_descriptor_limit, raise_descriptor_limit};

pub(super) fn run(settings: &Settings) -> Result<(), Failure> {
    // The configuration is read here for the log level and the limit of open files. The gateway
    // reads it again, now and at each reload, with the same options.
    let config = settings.load()?;
    let raised = raise_descriptor_limit();
    // With a lower limit, a later step would fail with a message that does not name the cause.
    if let Err(error) = check_descriptor_limit(&config.server) {
        return Err(Failure::Start(StartError::Descriptors(error)));
    }
    let log = logging::start(config.log.level).map_err(Failure::Runtime)?;
    log.note_panics();
    let signals = Signals::take().map_err(Failure::Runtime)?;
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let settings = settings.clone();
    let gateway = Gateway::start(Box::new(move || settings.load())).map_err(Failure::Start)?;
    gateway.run_until_signal(signals).map_err(Failure::Runtime)
}
