//! A Unix-domain socket that only the gateway's own user may connect to. It is made under a
//! temporary name and moved to its path when the gateway serves, so that a gateway that is replaced
//! keeps its own until then.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::net::Address;
use crate::server::{Binding, Socket, bind};

/// The mode of the socket file: only the user of the gateway may connect.
const MODE: u32 = 0o600;

/// A listening socket for the gateway's own user.
#[derive(Debug)]
pub(super) struct OwnSocket {
    listener: UnixListener,
    /// The path on which the socket is bound before it is moved to `path`.
    temporary: PathBuf,
    path: PathBuf,
}

impl OwnSocket {
    /// Listens on a temporary path. The path itself may belong to a running gateway.
    ///
    /// # Errors
    /// Returns an error if the socket cannot be bound, or a file that is no socket is in its place.
    pub(super) fn prepare(path: &Path) -> io::Result<Self> {
        if fs::symlink_metadata(path).is_ok_and(|file| !file.file_type().is_socket()) {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "a file that is no socket is there",
            ));
        }
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}", std::process::id()));
        let temporary = PathBuf::from(temporary);
        let socket = bind(
            &Address::Unix(temporary.clone()),
            Binding {
                unix_mode: MODE,
                ..Binding::default()
            },
        )?;
        socket.listen()?;
        let Socket::Unix(listener) = socket else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        Ok(Self {
            listener,
            temporary,
            path: path.into(),
        })
    }

    /// Returns another handle to the socket, for the event loop that accepts on it.
    pub(super) fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves the socket to its path, in place of the one of a gateway before.
    pub(super) fn publish(&self) -> io::Result<()> {
        fs::rename(&self.temporary, &self.path)
    }
}

impl Drop for OwnSocket {
    fn drop(&mut self) {
        // An error means that the file was moved to its path.
        let _ = fs::remove_file(&self.temporary);
    }
}
