//! The actors of the integration tests: a gateway, issuers, upstreams and clients, over real
//! sockets on ports that the system chooses.
//!
//! The client checks every answer, and the upstream every arrival, against the invariants, so that
//! each test checks these besides its own promise.

mod authority;
mod cable;
mod chance;
mod client;
mod folder;
mod forward_proxy;
pub(crate) mod framed;
pub(crate) mod frames;
mod function;
mod gateway;
mod issuer;
mod keys;
mod load;
mod multiplexed;
mod pair;
mod ports;
mod process;
mod scene;
mod secured;
mod shell;
mod upstream;
mod wire;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

pub(crate) use authority::{Authority, Identity, TlsClient, connect, offering};
pub(crate) use cable::Cable;
pub(crate) use chance::Chance;
pub(crate) use client::{Answer, Client, Request, raw};
pub(crate) use folder::Folder;
pub(crate) use forward_proxy::{ForwardProxy, tls_front};
pub(crate) use function::Function;
pub(crate) use gateway::Gateway;
pub(crate) use issuer::{Issuer, Jwks};
pub(crate) use keys::{Key, Token, encode, now};
pub(crate) use load::Load;
pub(crate) use multiplexed::{Multiplexed, Play};
pub(crate) use pair::{ISS, Pair};
pub(crate) use ports::{KeptPort, has_ipv6};
pub(crate) use process::{Process, scopegate};
pub(crate) use scene::Scene;
pub(crate) use secured::Secured;
pub(crate) use shell::Shell;
pub(crate) use upstream::{Arrival, Script, Upstream};
pub(crate) use wire::{Expected, Vector};

/// The time in which a condition must become true before a test fails. It is long, because the
/// machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` is true. Tests never wait for a time alone.
#[track_caller]
pub(crate) fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    wait_within(PATIENCE, what, condition);
}

/// Waits with another limit, for a test that must fail before a default timeout of the gateway
/// ends.
#[track_caller]
pub(crate) fn wait_within(patience: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !condition() {
        assert!(
            Instant::now() < deadline,
            "still not so after {patience:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Returns an address that no socket listens on.
#[track_caller]
pub(crate) fn free_address() -> SocketAddr {
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    wait_until_closed(address);
    address
}

/// Waits until no socket listens on an address. A process that another test starts holds copies of
/// this one's sockets for a moment, even of closed ones.
#[track_caller]
pub(crate) fn wait_until_closed(address: SocketAddr) {
    wait_until("an address is closed", || {
        TcpStream::connect(address).is_err()
    });
}
