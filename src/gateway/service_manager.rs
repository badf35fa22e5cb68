//! Messages to the service manager by the protocol of `sd_notify(3)`: the state of the gateway, as
//! one datagram to the socket that `NOTIFY_SOCKET` names. Without that variable nothing is sent.

use std::env;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::clock;
use crate::reload::Reloaded;

const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// The time for which a message waits if the queue of the service manager is full.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A change of the gateway's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The gateway serves.
    Ready,
    /// A reload begins.
    Reloading,
    /// A reload is over.
    Reloaded(Reloaded),
    /// The drain begins.
    Stopping,
    /// Another process, with this number, has taken over.
    TakenOver(i32),
}

/// Tells the service manager of a change. An error is logged: the gateway serves all the same.
pub(super) fn notify(change: Change) {
    let Some(socket) = env::var_os(NOTIFY_SOCKET).filter(|path| !path.is_empty()) else {
        return;
    };
    if let Err(error) = send(&socket, message(change).as_bytes()) {
        tracing::warn!(%error, ?change, "the service manager cannot be told");
    }
}

/// Returns the assignments of a message, each on a line of its own.
fn message(change: Change) -> String {
    match change {
        Change::Ready => "READY=1\nSTATUS=serving".to_owned(),
        // The time tells the service manager which of its signals this reload answers.
        Change::Reloading => {
            let mut text = "RELOADING=1\nSTATUS=reading the configuration\n".to_owned();
            let _ = write!(text, "MONOTONIC_USEC={}", clock::monotonic_micros());
            text
        }
        // The gateway is ready after a refused configuration, too.
        Change::Reloaded(outcome) => format!("READY=1\nSTATUS={}", status(outcome)),
        Change::Stopping => "STOPPING=1\nSTATUS=draining".to_owned(),
        Change::TakenOver(process) => format!("MAINPID={process}"),
    }
}

fn status(outcome: Reloaded) -> &'static str {
    match outcome {
        Reloaded::Swapped | Reloaded::Unchanged => "serving the configuration of the files",
        Reloaded::Failed => "serving the configuration from before: the changed one was refused",
    }
}

fn send(socket: &OsStr, message: &[u8]) -> io::Result<()> {
    let address = address(socket)?;
    let datagram = UnixDatagram::unbound()?;
    datagram.set_write_timeout(Some(TIMEOUT))?;
    datagram.send_to_addr(message, &address)?;
    Ok(())
}

/// Returns the address of a socket: a path, or an abstract name after `@`.
fn address(socket: &OsStr) -> io::Result<SocketAddr> {
    match socket.as_bytes() {
        [b'@', name @ ..] => of_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(socket),
        _ => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "NOTIFY_SOCKET is neither a path nor an abstract name",
        )),
    }
}

#[cfg(target_os = "linux")]
fn of_abstract_name(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn of_abstract_name(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_one_assignment_on_each_line() {
        for change in [
            Change::Ready,
            Change::Reloading,
            Change::Reloaded(Reloaded::Swapped),
            Change::Reloaded(Reloaded::Unchanged),
            Change::Reloaded(Reloaded::Failed),
            Change::Stopping,
            Change::TakenOver(17),
        ] {
            let text = message(change);
            for line in text.lines() {
                let (name, value) = line.split_once('=').unwrap();
                let is_name = |c: char| c.is_ascii_uppercase() || c == '_';
                assert!(name.chars().all(is_name) && !value.is_empty(), "{line}");
            }
        }
        let reloading = message(Change::Reloading);
        let (_, time) = reloading.split_once("MONOTONIC_USEC=").unwrap();
        assert!(time.parse::<u64>().unwrap() > 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_message_arrives_at_a_path_and_at_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("@scopegate-{}", std::process::id());
        let abstract_name = OsStr::new(&name);
        for socket in [path.as_os_str(), abstract_name] {
            let manager = UnixDatagram::bind_addr(&address(socket).unwrap()).unwrap();
            send(socket, b"READY=1").unwrap();
            let mut text = [0; 16];
            let length = manager.recv(&mut text).unwrap();
            assert_eq!(text.get(..length), Some(&b"READY=1"[..]), "{socket:?}");
        }
        assert!(send(OsStr::new("vsock:2:1"), b"READY=1").is_err());
    }
}
