//! The signals of a process that runs a gateway.

use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedSender;

use super::control::Command;

/// Returns the signals that have no meaning here, but by default end the process. Supervisors, log
/// rotation and operators send them out of habit: SIGUSR1 reopens the logs of other servers,
/// SIGQUIT makes others drain.
fn unused() -> [(&'static str, SignalKind); 5] {
    [
        ("SIGUSR1", SignalKind::user_defined1()),
        ("SIGUSR2", SignalKind::user_defined2()),
        ("SIGQUIT", SignalKind::quit()),
        ("SIGALRM", SignalKind::alarm()),
        ("SIGIO", SignalKind::io()),
    ]
}

/// The signals that a gateway handles from its start on.
pub struct Signals {
    runtime: Runtime,
    hangup: Signal,
}

impl Signals {
    /// Installs handlers for the signals that must not end the process while the gateway starts:
    /// SIGHUP, which reloads as soon as the gateway runs, and those without a meaning. SIGTERM and
    /// SIGINT still end a start at once, as by default.
    ///
    /// # Errors
    /// Returns an error if signals cannot be received.
    pub fn take() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let hangup = {
            let _entered = runtime.enter();
            for (name, kind) in unused() {
                runtime.spawn(warn_of_each(name, signal(kind)?));
            }
            signal(SignalKind::hangup())?
        };
        Ok(Self { runtime, hangup })
    }

    /// Turns signals into commands until the gateway has ended: SIGTERM and SIGINT begin the drain,
    /// and a second one ends it. `ready` is called when all handlers are installed.
    pub(super) fn pass(
        self,
        commands: &UnboundedSender<Command>,
        ready: impl FnOnce(),
    ) -> io::Result<()> {
        let Self {
            runtime,
            mut hangup,
        } = self;
        runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            ready();
            let mut is_draining = false;
            loop {
                let command = tokio::select! {
                    biased;
                    () = commands.closed() => return Ok(()),
                    _ = terminate.recv() => Command::Drain,
                    _ = interrupt.recv() => Command::Drain,
                    _ = hangup.recv() => Command::Reload,
                };
                if matches!(command, Command::Drain) {
                    tell_of_drain(is_draining);
                    is_draining = true;
                }
                // An error means that the gateway has ended, which the next iteration sees.
                let _ = commands.send(command);
            }
        })
    }
}

fn tell_of_drain(is_draining: bool) {
    if is_draining {
        tracing::info!("asked to end again: the drain ends at once");
    } else {
        tracing::info!("draining");
    }
}

/// Logs each arrival of a signal without a meaning.
async fn warn_of_each(name: &'static str, mut signal: Signal) {
    while signal.recv().await.is_some() {
        tracing::warn!(
            signal = name,
            "the signal is ignored: SIGTERM ends the gateway, SIGHUP reloads"
        );
    }
}
