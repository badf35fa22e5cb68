//! The signals of a process that runs a gateway.

use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedSender;

use super::Command;

/// Signals that end a process which does not take them, and that mean nothing here. Supervisors,
/// log rotation and habit send them: SIGUSR1 reopens the logs of other servers, SIGQUIT makes
/// others drain.
fn unused() -> [(&'static str, SignalKind); 5] {
    [
        ("SIGUSR1", SignalKind::user_defined1()),
        ("SIGUSR2", SignalKind::user_defined2()),
        ("SIGQUIT", SignalKind::quit()),
        ("SIGALRM", SignalKind::alarm()),
        ("SIGIO", SignalKind::io()),
    ]
}

/// The signals that a gateway takes from its start on.
pub struct Signals {
    runtime: Runtime,
    hangup: Signal,
}

impl Signals {
    /// Takes the signals that must not end the process while the gateway starts: SIGHUP, which
    /// reloads as soon as it runs, and those that mean nothing. SIGTERM and SIGINT end a start at
    /// once, as they do by default.
    ///
    /// # Errors
    /// If signals cannot be received.
    pub fn take() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let hangup = {
            let _entered = runtime.enter();
            for (name, kind) in unused() {
                runtime.spawn(note(name, signal(kind)?));
            }
            signal(SignalKind::hangup())?
        };
        Ok(Self { runtime, hangup })
    }

    /// Passes signals on until the gateway has ended: SIGTERM and SIGINT let it drain, and a second
    /// of them ends the drain. `ready` is told when they are taken.
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
                    _ = hangup.recv() => Command::Reload,
                    _ = terminate.recv() => Command::Drain,
                    _ = interrupt.recv() => Command::Drain,
                    () = commands.closed() => return Ok(()),
                };
                match (&command, is_draining) {
                    (Command::Reload, _) => {}
                    (Command::Drain, false) => tracing::info!("draining"),
                    (Command::Drain, true) => {
                        tracing::info!("asked to end again: the drain ends at once");
                    }
                }
                is_draining |= matches!(command, Command::Drain);
                // An error is a gateway that has ended, which the next turn sees.
                let _ = commands.send(command);
            }
        })
    }
}

async fn note(name: &'static str, mut signal: Signal) {
    while signal.recv().await.is_some() {
        tracing::warn!(
            signal = name,
            "the signal is ignored: SIGTERM ends the gateway, SIGHUP reloads"
        );
    }
}
