//! The hand-over: a gateway that starts takes the listening sockets of the one that runs, and
//! serves before that one stops. Since both have the same sockets for a moment, nobody is refused
//! in between.
//!
//! The newcomer connects. It is sent one message: the version, a byte for each socket, and the
//! sockets. When it serves it answers with a byte, and gets one back: from then on it is alone.
//! Whatever goes wrong before that, the gateway that ran goes on, and says so; if it has ended
//! without a word, the newcomer has its sockets and serves.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream as StdStream;
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

use super::StartError;
use crate::net::Address;
use crate::server::{Binding, Inherited, Socket, bind};

/// What both sides must speak.
const VERSION: u8 = 1;

/// The newcomer serves.
const READY: u8 = b'r';

/// The one before it stops.
const GOODBYE: u8 = b'g';

/// The one before it has waited for too long, and does not stop.
const STAY: u8 = b's';

/// Sockets that are handed over.
const MAX_SOCKETS: usize = 64;

/// How long either side waits for the other's next step.
const STEP: Duration = Duration::from_secs(2);

/// Who may connect: the user whom the gateway runs as.
const MODE: u32 = 0o600;

/// The gateway that runs, as the newcomer sees it.
#[derive(Debug)]
pub(super) struct Predecessor(StdStream);

impl Predecessor {
    /// Whoever answers on the path, and its sockets. `None` when nobody does.
    ///
    /// # Errors
    /// When somebody answers who is no gateway of this user and version.
    pub(super) fn find(path: &Path, inherited: &mut Inherited) -> io::Result<Option<Self>> {
        let Ok(file) = fs::symlink_metadata(path) else {
            return Ok(None);
        };
        if !is_own(file.uid()) {
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
        stream.set_read_timeout(Some(STEP))?;
        stream.set_write_timeout(Some(STEP))?;
        receive(&stream, inherited)?;
        Ok(Some(Self(stream)))
    }

    /// Says that this gateway serves, and waits until the other one knows.
    pub(super) fn relieve(mut self) -> io::Result<()> {
        // It may have left already: then its last word is there, or its end.
        let _ = self.0.write_all(&[READY]);
        let mut answer = [0];
        match self.0.read_exact(&mut answer) {
            Ok(()) if answer == [GOODBYE] => Ok(()),
            Ok(()) if answer == [STAY] => Err(strange(
                "the gateway before this one did not wait, and stays",
            )),
            Ok(()) => Err(strange("another answer was expected")),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
                ) =>
            {
                tracing::warn!("the gateway before this one ended without a word");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

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
        Some([]) | None => return Err(strange("it hands nothing over")),
        Some([VERSION, ours @ ..]) if ours.len() == sockets.len() => {
            for (socket, is_ours) in sockets.into_iter().zip(ours) {
                fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
                inherited.add(socket, *is_ours == 1)?;
            }
        }
        Some([VERSION, ..]) => return Err(strange("sockets are missing")),
        Some(_) => return Err(strange("it is of another version: stop it first")),
    }
    Ok(())
}

/// The place where this gateway's successor will ask.
#[derive(Debug)]
pub(super) struct Offer {
    socket: Socket,
    /// Where it listens before it is shown.
    hidden: PathBuf,
    path: PathBuf,
}

impl Offer {
    /// Listens, but not on the path yet: that is its predecessor's until the hand-over is done.
    pub(super) fn prepare(path: &Path) -> io::Result<Self> {
        if fs::symlink_metadata(path).is_ok_and(|file| !file.file_type().is_socket()) {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "a file that is no socket is there",
            ));
        }
        let mut hidden = path.as_os_str().to_owned();
        hidden.push(format!(".{}", std::process::id()));
        let hidden = PathBuf::from(hidden);
        let socket = bind(
            &Address::Unix(hidden.clone()),
            Binding {
                unix_mode: MODE,
                ..Binding::default()
            },
        )?;
        socket.listen()?;
        Ok(Self {
            socket,
            hidden,
            path: path.into(),
        })
    }

    /// Takes the path, whoever had it.
    fn show(&self) -> io::Result<()> {
        fs::rename(&self.hidden, &self.path)
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        // Gone already where it was shown.
        let _ = fs::remove_file(&self.hidden);
    }
}

/// The sockets of a gateway, and whether the files of Unix-domain ones go when it does.
pub(super) type HandedOverSockets = Vec<(OwnedFd, bool)>;

/// Waits for a newcomer of the same user.
pub(super) async fn successor(listener: Option<&UnixListener>) -> UnixStream {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) if is_same_user(&stream) => return stream,
            Ok(_) => tracing::warn!("another user asked for the listening sockets"),
            Err(error) => {
                tracing::warn!(%error, "a newcomer cannot be heard");
                tokio::time::sleep(STEP).await;
            }
        }
    }
}

fn is_same_user(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| is_own(peer.uid()))
}

/// Whether that is the user whom this gateway runs as. Not even root may ask for another's sockets:
/// it would not let go of its rights.
fn is_own(user: u32) -> bool {
    user == rustix::process::geteuid().as_raw()
}

/// A hand-over that is under way, beside everything else that this gateway does.
pub(super) struct HandingOver {
    leave: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

impl HandingOver {
    pub(super) fn begin(successor: UnixStream, sockets: HandedOverSockets) -> Self {
        let (leave, leaves) = oneshot::channel();
        Self {
            leave,
            task: spawn_local(hand_over(successor, sockets, leaves)),
        }
    }

    /// Waits for the end of what is under way, if anything is: whether the newcomer serves.
    pub(super) async fn ended(current: &mut Option<Self>) -> bool {
        let Some(this) = current else {
            return std::future::pending().await;
        };
        let result = (&mut this.task).await;
        *current = None;
        is_taken_over(result)
    }

    /// This gateway does not wait for the newcomer: whether that one has been told.
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
            tracing::warn!(%error, "a newcomer did not take over");
            false
        }
    }
}

/// Hands over to a newcomer. Afterwards it serves, or will if this gateway `leaves` before.
///
/// # Errors
/// When it went away or was too slow: it does not serve.
async fn hand_over(
    mut stream: UnixStream,
    sockets: HandedOverSockets,
    leaves: oneshot::Receiver<()>,
) -> io::Result<()> {
    if sockets.len() > MAX_SOCKETS {
        return Err(strange("there are more than 64 sockets"));
    }
    step(stream.async_io(Interest::WRITABLE, || send(&stream, &sockets))).await?;
    // Closed with the listeners, if those are.
    drop(sockets);
    let answer = tokio::select! {
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

fn send(stream: &UnixStream, sockets: &HandedOverSockets) -> io::Result<()> {
    let (sockets, ours): (Vec<BorrowedFd<'_>>, Vec<u8>) = sockets
        .iter()
        .map(|(socket, is_ours)| (socket.as_fd(), u8::from(*is_ours)))
        .unzip();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&sockets)) {
        return Err(strange("the sockets do not fit"));
    }
    let bytes = [IoSlice::new(&[VERSION]), IoSlice::new(&ours)];
    let sent = sendmsg(stream, &bytes, &mut control, SendFlags::NOSIGNAL)?;
    if sent == 1 + ours.len() {
        Ok(())
    } else {
        Err(strange("the message was cut"))
    }
}

async fn step<T>(doing: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(STEP, doing)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn strange(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A start between the gateway before and the one after.
#[derive(Debug)]
pub(super) struct Takeover(Option<(PathBuf, Option<Predecessor>, Offer)>);

impl Takeover {
    /// Takes the sockets of whoever answers on the path.
    pub(super) fn begin(
        path: Option<&Path>,
        inherited: &mut Inherited,
    ) -> Result<Self, StartError> {
        let Some(path) = path else {
            return Ok(Self(None));
        };
        let fail = |error| StartError::Handover(path.into(), error);
        let predecessor = Predecessor::find(path, inherited).map_err(fail)?;
        let offer = Offer::prepare(path).map_err(fail)?;
        Ok(Self(Some((path.into(), predecessor, offer))))
    }

    /// Where the next gateway will ask.
    pub(super) fn offered(&self) -> Result<Option<Offered>, StartError> {
        let Some((path, _, offer)) = &self.0 else {
            return Ok(None);
        };
        let socket = offer.socket.try_clone();
        let socket = socket.map_err(|error| StartError::Handover(path.clone(), error))?;
        Ok(Some(Offered {
            socket,
            path: path.clone(),
        }))
    }

    /// This gateway serves: the one before may go.
    pub(super) fn complete(mut self) -> Result<(), StartError> {
        let Some((path, predecessor, offer)) = self.0.take() else {
            return Ok(());
        };
        let relieved = predecessor.map_or(Ok(()), Predecessor::relieve);
        let shown = relieved.and_then(|()| offer.show());
        shown.map_err(|error| StartError::Handover(path, error))
    }
}

/// Where the next gateway will ask, as the control thread takes it.
#[derive(Debug)]
pub(super) struct Offered {
    socket: Socket,
    path: PathBuf,
}

impl Offered {
    /// The listener as the runtime has it, and its path.
    pub(super) fn listen(self) -> io::Result<(UnixListener, PathBuf)> {
        match self.socket {
            Socket::Unix(listener) => Ok((UnixListener::from_std(listener)?, self.path)),
            Socket::Tcp(_) => Err(strange("it is no Unix-domain socket")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Who it is comes from the kernel (SO_PEERCRED); what is decided is decided here.
    #[test]
    fn no_other_user_is_handed_anything() {
        let own = rustix::process::geteuid().as_raw();
        assert!(is_own(own));
        assert!(!is_own(own + 1) && !is_own(own.wrapping_sub(1)));
    }
}
