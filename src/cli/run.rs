//! `scopegate run`: serves a configuration until a signal ends it.

use clap::Args;

use super::failure::Failure;
use super::logging;
use super::reload::ControlSocket;
use super::settings::ServerOptions;
use crate::gateway::{Gateway, Signals, StartError};
use crate::server::{check_descriptor_limit, raise_descriptor_limit};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    options: ServerOptions,
    #[command(flatten)]
    control: ControlSocket,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = arguments.options.settings()?;
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
    let load = Box::new(move || settings.load());
    let gateway = Gateway::start_with_control(load, arguments.control.of_gateway().as_deref());
    let gateway = gateway.map_err(Failure::Start)?;
    gateway.run_until_signal(signals).map_err(Failure::Runtime)
}
