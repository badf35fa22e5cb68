//! `scopegate reload`: asks a running gateway to read its configuration again, and waits for the
//! outcome.

use std::env;
use std::path::PathBuf;

use clap::Args;

use super::failure::Failure;
use super::reload_failure::ReloadFailure;
use crate::gateway::{ControlError, request_reload};
use crate::reload::Reloaded;

/// The directory of the gateway that systemd made, by `RuntimeDirectory=`.
const RUNTIME_DIRECTORY: &str = "RUNTIME_DIRECTORY";

/// The name of the control socket in that directory.
const NAME: &str = "control.sock";

/// The directory that `deploy/scopegate.service` has.
const USUAL_DIRECTORY: &str = "/run/scopegate";

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    control: ControlSocket,
}

#[derive(Args, Debug)]
pub(super) struct ControlSocket {
    /// Path of the Unix-domain socket by which `scopegate reload` reaches the running gateway
    /// [default: control.sock in $RUNTIME_DIRECTORY, or else /run/scopegate/control.sock for
    /// `reload`, and none for `run`]
    #[arg(long, value_name = "PATH", env = "SCOPEGATE_CONTROL")]
    control: Option<PathBuf>,
}

impl ControlSocket {
    /// Returns the path on which a gateway listens; `None` if it has none.
    pub(super) fn of_gateway(&self) -> Option<PathBuf> {
        let own = self.control.clone();
        own.or_else(|| Some(runtime_directory()?.join(NAME)))
    }

    /// Returns the path at which a gateway is asked.
    fn of_running_gateway(&self) -> PathBuf {
        let path = self.of_gateway();
        path.unwrap_or_else(|| PathBuf::from(USUAL_DIRECTORY).join(NAME))
    }
}

/// Returns the first directory of `RuntimeDirectory=`.
fn runtime_directory() -> Option<PathBuf> {
    let directories = env::var_os(RUNTIME_DIRECTORY)?;
    // systemd separates several by colons. No path that it makes holds one.
    let first = env::split_paths(&directories).next()?;
    first.is_absolute().then_some(first)
}

pub(super) fn reload(arguments: &Arguments) -> Result<String, Failure> {
    let path = arguments.control.of_running_gateway();
    let report = match request_reload(&path) {
        Ok(report) => report,
        Err(ControlError::Connect(error)) => {
            return Err(ReloadFailure::NoGateway(path, error).into());
        }
        Err(ControlError::Answer(error)) => return Err(ReloadFailure::NoAnswer(error).into()),
    };
    match report.outcome {
        Reloaded::Failed => Err(ReloadFailure::Refused(report.text).into()),
        Reloaded::Swapped | Reloaded::Unchanged => Ok(report.text + "\n"),
    }
}
