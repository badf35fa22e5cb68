//! The seam in a simulation, for tests of this library only: sockets of a simulated network, and
//! random numbers that a seed determines. Outside of a simulation nothing here has an effect.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::io::AsyncWrite as _;
use turmoil::net::{TcpListener, TcpStream};

use super::{DialError, Stream};

thread_local! {
    /// The state of the generator; `None` outside of a simulation.
    static RANDOM: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Makes the random numbers of this thread follow from a seed until this is dropped.
pub(crate) struct Seeded(());

impl Seeded {
    pub(crate) fn with(seed: u64) -> Self {
        RANDOM.set(Some(seed));
        Self(())
    }
}

impl Drop for Seeded {
    fn drop(&mut self) {
        RANDOM.set(None);
    }
}

/// Returns the next number of the seed (SplitMix64).
pub(super) fn random() -> Option<u64> {
    let state = RANDOM.get()?.wrapping_add(0x9e37_79b9_7f4a_7c15);
    RANDOM.set(Some(state));
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Some(mixed ^ (mixed >> 31))
}

/// Returns the address of a simulated host.
pub(super) fn resolve(host: &str) -> Option<IpAddr> {
    turmoil::in_simulation().then(|| turmoil::lookup(host))
}

/// Connects to the first of the addresses; simulated hosts have one each.
pub(super) async fn connect(addresses: &[SocketAddr]) -> Result<Stream, DialError> {
    let address = *addresses.first().expect("a simulated host has an address");
    match TcpStream::connect(address).await {
        Ok(stream) => Ok(Stream::Simulated(stream)),
        Err(error) => Err(DialError::Connect { address, error }),
    }
}

/// Shuts the sending side down. As for a socket of the system, a second time has no effect.
pub(super) fn poll_shutdown(stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    match Pin::new(stream).poll_shutdown(cx) {
        Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::NotConnected => {
            Poll::Ready(Ok(()))
        }
        shutdown => shutdown,
    }
}

/// A listening socket, with any number of handles.
#[derive(Clone)]
pub struct Listener(Arc<TcpListener>);

impl Listener {
    /// Binds a port of the current host.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let bind = pin!(TcpListener::bind(address));
        match bind.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(listener) => Ok(Self(Arc::new(listener?))),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    pub(crate) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.0.accept().await
    }

    /// Accepts a connection that waits; fails if there is none.
    pub(crate) fn accept_waiting(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let accept = pin!(self.0.accept());
        match accept.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(accepted) => accepted,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listener").field(&self.address()).finish()
    }
}
