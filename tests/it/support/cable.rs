//! A relay to an upstream: the upstream is reached at the relay's address, and connections can go
//! dead.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A relay to an upstream.
pub(crate) struct Cable {
    connections: Arc<Connections>,
}

#[derive(Default)]
struct Connections {
    made: AtomicUsize,
    /// The number of connections, from the first, that are dead.
    dead: AtomicUsize,
}

impl Cable {
    /// Starts a relay at an address of its own.
    pub(crate) fn start(upstream: SocketAddr) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<Connections>::default();
        let cable = Self {
            connections: connections.clone(),
        };
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(upstream) else {
                    continue;
                };
                let _ = (near.set_nodelay(true), far.set_nodelay(true));
                let (back, forth) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                connect(&connections, (near, forth), (far, back));
            }
        });
        (cable, address)
    }

    /// Starts a relay at a Unix socket.
    pub(crate) fn start_unix(path: &Path, upstream: SocketAddr) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let connections = Arc::<Connections>::default();
        let cable = Self {
            connections: connections.clone(),
        };
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(upstream) else {
                    continue;
                };
                let _ = far.set_nodelay(true);
                let (back, forth) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                connect(&connections, (near, forth), (far, back));
            }
        });
        cable
    }

    /// Stops relaying on all present connections. Neither side is told that they are dead.
    pub(crate) fn go_dead(&self) {
        let made = self.connections.made.load(Ordering::SeqCst);
        self.connections.dead.store(made, Ordering::SeqCst);
    }

    /// Returns the number of connections ever made.
    pub(crate) fn connections(&self) -> usize {
        self.connections.made.load(Ordering::SeqCst)
    }
}

/// A connection that can report its end.
trait End: Read + Write + Send + 'static {
    fn end(&self);
}

impl End for TcpStream {
    fn end(&self) {
        let _ = self.shutdown(std::net::Shutdown::Both);
    }
}

impl End for UnixStream {
    fn end(&self) {
        let _ = self.shutdown(std::net::Shutdown::Both);
    }
}

fn connect(
    connections: &Arc<Connections>,
    forth: (impl End, impl End),
    back: (impl End, impl End),
) {
    let number = connections.made.fetch_add(1, Ordering::SeqCst);
    let (here, there) = (connections.clone(), connections.clone());
    thread::spawn(move || carry(&here, number, forth));
    thread::spawn(move || carry(&there, number, back));
}

fn carry(connections: &Connections, number: usize, (mut from, mut to): (impl End, impl End)) {
    let is_dead = || number < connections.dead.load(Ordering::SeqCst);
    let mut piece = [0; 16_384];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        if !is_dead() && to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    if !is_dead() {
        from.end();
        to.end();
    }
}
