//! The hand-over: a gateway that starts receives the listening sockets of the running gateway, and
//! serves before that one stops. Both have the same sockets for a moment, so that no connection is
//! refused in between.
//!
//! The successor connects to a Unix socket of its predecessor. The predecessor sends one message:
//! the version, a byte for each socket, and the sockets. The successor sends `READY` when it
//! serves, and the predecessor answers `GOODBYE` and drains. If anything goes wrong before that,
//! the predecessor keeps serving and logs it. If the predecessor dies in between, the successor has
//! the sockets and serves.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

use super::own_socket::OwnSocket;
use super::start_error::StartError;
use crate::server::Inherited;

/// The version of the protocol, which must be the same on both sides.
const VERSION: u8 = 1;

/// The successor serves.
const READY: u8 = b'r';

/// The predecessor stops.
const GOODBYE: u8 = b'g';

/// The predecessor has waited for too long, and does not stop.
const STAY: u8 = b's';

/// The most sockets that are handed over.
const MAX_SOCKETS: usize = 64;

/// The time that each side has for its next step.
const STEP_TIMEOUT: Duration = Duration::from_secs(2);

/// The connection of a starting gateway to the running one.
#[derive(Debug)]
pub(super) struct Predecessor(StdStream);

impl Predecessor {
    /// Connects to the gateway that listens on the path, and receives its sockets. Returns `None`
    /// if no process listens there.
    ///
    /// # Errors
    /// Returns an error if the process is no gateway of this user and version.
    pub(super) fn find(path: &Path, inherited: &mut Inherited) -> io::Result<Option<Self>> {
        let Ok(file) = fs::symlink_metadata(path) else {
            return Ok(None);
        };
        if !is_own_user(file.uid()) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it belongs to another user",
            ));
        }
        let stream = match StdStream::connect(path) {
            Ok(stream) => stream,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(None),
            Err(error) => return Err(error),
        };
        stream.set_read_timeout(Some(STEP_TIMEOUT))?;
        stream.set_write_timeout(Some(STEP_TIMEOUT))?;
        receive(&stream, inherited)?;
        Ok(Some(Self(stream)))
    }

    /// Tells the predecessor that this gateway serves, and waits for its answer.
    pub(super) fn relieve(mut self) -> io::Result<()> {
        // If the predecessor has ended already, its answer or the end of the stream can still be
        // read.
        let _ = self.0.write_all(&[READY]);
        let mut answer = [0];
        match self.0.read_exact(&mut answer) {
            Ok(()) if answer == [GOODBYE] => Ok(()),
            Ok(()) if answer == [STAY] => Err(strange(
                "the running gateway did not wait for this one, and keeps serving",
            )),
            Ok(()) => Err(strange("another answer was expected")),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
                ) =>
            {
                tracing::warn!("the running gateway ended before it answered");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// Receives the sockets of the predecessor.
fn receive(stream: &StdStream, inherited: &mut Inherited) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 1 + MAX_SOCKETS];
    let slices = &mut [IoSliceMut::new(&mut bytes)];
    let count = recvmsg(stream, slices, &mut control, RecvFlags::empty())?.bytes;
    let mut sockets: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            sockets.extend(received);
        }
    }
    match bytes.get(..count) {
        Some([]) | None => Err(strange("it hands nothing over")),
        Some([VERSION, flags @ ..]) if flags.len() == sockets.len() => {
            inherit(sockets, flags, inherited)
        }
        Some([VERSION, ..]) => Err(strange("sockets are missing")),
        Some(_) => Err(strange("it is of another version: stop it first")),
    }
}

/// Adds the sockets to those that this gateway has inherited. The flag of each tells whether the
/// gateway owns its file.
fn inherit(sockets: Vec<OwnedFd>, flags: &[u8], inherited: &mut Inherited) -> io::Result<()> {
    for (socket, owns_file) in sockets.into_iter().zip(flags) {
        fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
        inherited.add(socket, *owns_file == 1)?;
    }
    Ok(())
}

/// A socket that is handed over.
#[derive(Debug)]
pub(super) struct HandedOverSocket {
    pub(super) socket: OwnedFd,
    /// Set if the successor has to remove the file of a Unix-domain socket when it closes it.
    pub(super) owns_file: bool,
}

/// Waits for a successor that runs as the same user.
pub(super) async fn accept_successor(successors: Option<&SuccessorListener>) -> UnixStream {
    let Some(successors) = successors else {
        return std::future::pending().await;
    };
    loop {
        match successors.listener.accept().await {
            Ok((stream, _)) if is_same_user(&stream) => return stream,
            Ok(_) => tracing::warn!("another user asked for the listening sockets"),
            Err(error) => {
                tracing::warn!(%error, "a successor cannot be accepted");
                tokio::time::sleep(STEP_TIMEOUT).await;
            }
        }
    }
}

fn is_same_user(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| is_own_user(peer.uid()))
}

/// Returns whether this gateway runs as the user. Not even root may take the sockets of another
/// user's gateway: the successor would keep the rights of root.
fn is_own_user(user: u32) -> bool {
    user == rustix::process::geteuid().as_raw()
}

/// A hand-over in progress, in a task of its own.
pub(super) struct HandingOver {
    leave: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

impl HandingOver {
    pub(super) fn begin(successor: UnixStream, sockets: Vec<HandedOverSocket>) -> Self {
        let (leave, leaves) = oneshot::channel();
        Self {
            leave,
            task: spawn_local(hand_over(successor, sockets, leaves)),
        }
    }

    /// Begins a hand-over in a simulation, which ends when the successor serves. An error of `ready`
    /// means that it does not.
    #[cfg(test)]
    pub(super) fn simulated(ready: oneshot::Receiver<()>) -> Self {
        let (leave, _leaves) = oneshot::channel();
        Self {
            leave,
            task: spawn_local(async { ready.await.map_err(io::Error::other) }),
        }
    }

    /// Waits for the end of the current hand-over, and returns whether the successor serves.
    /// Without a hand-over the future never completes.
    pub(super) async fn ended(current: &mut Option<Self>) -> bool {
        let Some(this) = current else {
            return std::future::pending().await;
        };
        let result = (&mut this.task).await;
        *current = None;
        is_taken_over(result)
    }

    /// Ends the hand-over without waiting for the successor, since this gateway stops. Returns
    /// whether the successor was told.
    pub(super) async fn hasten(self) -> bool {
        let _ = self.leave.send(());
        is_taken_over(self.task.await)
    }
}

fn is_taken_over(result: Result<io::Result<()>, tokio::task::JoinError>) -> bool {
    match result.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(()) => {
            tracing::info!("another gateway has taken over: draining");
            true
        }
        Err(error) => {
            tracing::warn!(%error, "the successor did not take over");
            false
        }
    }
}

/// Hands the sockets over to a successor. Afterwards the successor serves, or will serve if
/// `leaves` has fired before.
///
/// # Errors
/// Returns an error if the successor went away or was too slow: it does not serve.
async fn hand_over(
    mut stream: UnixStream,
    sockets: Vec<HandedOverSocket>,
    leaves: oneshot::Receiver<()>,
) -> io::Result<()> {
    if sockets.len() > MAX_SOCKETS {
        return Err(strange("there are more than 64 sockets"));
    }
    step(stream.async_io(Interest::WRITABLE, || send(&stream, &sockets))).await?;
    // These are duplicates, which would keep a socket open that a reload closes.
    drop(sockets);
    let answer = tokio::select! {
        biased;
        answer = step(stream.read_u8()) => answer,
        _ = leaves => Ok(READY),
    };
    match answer {
        Ok(READY) => step(stream.write_u8(GOODBYE)).await,
        Ok(_) => Err(strange("another answer was expected")),
        Err(error) => {
            let _ = step(stream.write_u8(STAY)).await;
            Err(error)
        }
    }
}

/// Sends the sockets to the successor.
fn send(stream: &UnixStream, sockets: &[HandedOverSocket]) -> io::Result<()> {
    let descriptors: Vec<BorrowedFd<'_>> = sockets.iter().map(|one| one.socket.as_fd()).collect();
    let flags: Vec<u8> = sockets.iter().map(|one| one.owns_file.into()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(strange("the sockets do not fit"));
    }
    let bytes = [IoSlice::new(&[VERSION]), IoSlice::new(&flags)];
    let sent = sendmsg(stream, &bytes, &mut control, SendFlags::NOSIGNAL)?;
    if sent == 1 + flags.len() {
        Ok(())
    } else {
        Err(strange("the message was cut"))
    }
}

/// Runs one step of the hand-over within its timeout.
async fn step<T>(step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(STEP_TIMEOUT, step)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Returns the error of a peer that breaks the protocol.
fn strange(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The hand-over from the side of a starting gateway; `None` without `server.handover`.
#[derive(Debug)]
pub(super) struct Takeover(Option<Start>);

/// A starting gateway, between its predecessor and its successor.
#[derive(Debug)]
struct Start {
    path: PathBuf,
    predecessor: Option<Predecessor>,
    offer: OwnSocket,
}

impl Takeover {
    /// Receives the sockets of a running gateway, if there is one, and prepares the next hand-over.
    pub(super) fn begin(
        path: Option<&Path>,
        inherited: &mut Inherited,
    ) -> Result<Self, StartError> {
        let Some(path) = path else {
            return Ok(Self(None));
        };
        let start = Predecessor::find(path, inherited).and_then(|predecessor| {
            Ok(Start {
                path: path.into(),
                predecessor,
                offer: OwnSocket::prepare(path)?,
            })
        });
        match start {
            Ok(start) => Ok(Self(Some(start))),
            Err(error) => Err(StartError::Handover(path.into(), error)),
        }
    }

    /// Returns the socket on which the successor of this gateway will connect.
    pub(super) fn successor_socket(&self) -> Result<Option<SuccessorSocket>, StartError> {
        let Some(start) = &self.0 else {
            return Ok(None);
        };
        let path = start.path.clone();
        match start.offer.listener() {
            Ok(socket) => Ok(Some(SuccessorSocket { socket, path })),
            Err(error) => Err(StartError::Handover(path, error)),
        }
    }

    /// Completes the hand-over, since this gateway serves: the predecessor stops, and the path
    /// becomes this gateway's.
    pub(super) fn complete(mut self) -> Result<(), StartError> {
        let Some(start) = self.0.take() else {
            return Ok(());
        };
        let relieved = start.predecessor.map_or(Ok(()), Predecessor::relieve);
        relieved
            .and_then(|()| start.offer.publish())
            .map_err(|error| StartError::Handover(start.path, error))
    }
}

/// The socket on which the successor of this gateway will connect.
#[derive(Debug)]
pub(super) struct SuccessorSocket {
    socket: StdListener,
    path: PathBuf,
}

/// The same socket, registered with the event loop of the control thread.
#[derive(Debug)]
pub(super) struct SuccessorListener {
    listener: UnixListener,
    pub(super) path: PathBuf,
}

impl SuccessorSocket {
    /// Registers the socket with the event loop of this thread.
    pub(super) fn listen(self) -> io::Result<SuccessorListener> {
        Ok(SuccessorListener {
            listener: UnixListener::from_std(self.socket)?,
            path: self.path,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The kernel tells the user of the peer (SO_PEERCRED); this is the decision about it.
    #[test]
    fn no_other_user_is_handed_anything() {
        let own = rustix::process::geteuid().as_raw();
        assert!(is_own_user(own));
        assert!(!is_own_user(own + 1) && !is_own_user(own.wrapping_sub(1)));
    }
}
