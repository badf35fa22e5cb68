//! File descriptors: their limit, the number that the gateway needs for itself, and the number of
//! clients for which the rest suffices.

use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Server;

/// Descriptors for one client: its connection, and one to an upstream.
const PER_CLIENT: u64 = 2;

/// Descriptors for an event loop: epoll, its handle for registrations, and the two that wake it for
/// another thread and for a signal.
const EVENT_LOOP: u64 = 4;

/// Descriptors for a listening socket: one to accept on, and one to hand over.
const LISTENER: u64 = 2;

/// Descriptors for the admin listener: the socket, a reserve for the case that all others are in
/// use, a scraper, and a probe.
const ADMIN: u64 = LISTENER + 3;

/// Descriptors for the access log.
const LOG: u64 = 1;

/// Descriptors for a hand-over: the socket on which a successor asks, the successor's connection,
/// and the connection to the predecessor.
const HANDOVER: u64 = 3;

/// Descriptors that `run` opens before the gateway starts: for its log, signals, and the watch of
/// the configuration.
const STARTUP: u64 = 11;

/// Descriptors that are open for a short time: files of a reload, DNS queries, key fetches, probes.
const PASSING: u64 = 8;

/// The most further descriptors that are kept free, if the limit is high enough.
const RESERVED: u64 = 24;

/// A limit of open files that is too low for a single client.
#[derive(Debug, PartialEq, Eq)]
pub struct DescriptorError {
    limit: u64,
    needed: u64,
}

impl fmt::Display for DescriptorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, needed } = self;
        write!(
            f,
            "the limit of open files is {limit}, and this configuration needs {needed} at least: \
             raise it (`ulimit -n`, LimitNOFILE= of systemd)"
        )
    }
}

impl std::error::Error for DescriptorError {}

/// Raises the soft limit of file descriptors to the hard limit. Soft limits are low (1024) for
/// programs that use `select(2)`, which cannot handle a higher number. This program does not use
/// it.
///
/// # Errors
/// Returns the error of the system. The limit is then unchanged.
pub fn raise_descriptor_limit() -> io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return Ok(());
    }
    Ok(setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )?)
}

/// Checks, before anything is opened, that the limit suffices for a gateway with this configuration
/// and one client.
///
/// # Errors
/// Returns the limit and the number that is needed, if it does not suffice.
pub fn check_descriptor_limit(server: &Server) -> Result<(), DescriptorError> {
    let Some(limit) = getrlimit(Resource::Nofile).current else {
        return Ok(());
    };
    room_within(
        limit,
        in_use(limit).saturating_add(STARTUP + needed_by(server)),
    )
    .map(drop)
}

/// Returns the number of client connections for which there are file descriptors, besides those
/// that are open now and those that this configuration opens. Each client may need a second one for
/// its upstream. With more clients, requests would be answered 502 for lack of a descriptor, and
/// the admin listener would have none. It must be called before listeners are bound and threads are
/// started.
///
/// Logs a warning if the limit is below the need of `server.limits.connections`.
///
/// # Errors
/// Returns an error if the descriptors do not suffice for one client.
pub fn connection_room(server: &Server) -> Result<usize, DescriptorError> {
    let Some(limit) = getrlimit(Resource::Nofile).current else {
        return Ok(usize::MAX);
    };
    let room = room_within(limit, in_use(limit).saturating_add(needed_by(server)))?;
    let wanted = server.limits.connections;
    // The gateway's own descriptors do not count here: with them, a limit of exactly twice the
    // connections would cause a warning.
    if limit / PER_CLIENT < wanted as u64 {
        tracing::warn!(
            limit,
            connections = wanted,
            taken = room,
            "the limit of open files (RLIMIT_NOFILE) is below two for each of \
             server.limits.connections, one of them for an upstream: no more client connections \
             than this are taken at a time"
        );
    }
    Ok(room)
}

/// Returns the number of descriptors that a gateway with this configuration opens, without clients
/// and their upstreams.
fn needed_by(server: &Server) -> u64 {
    let workers = server.workers as u64;
    let listeners = server.listeners.len() as u64;
    // Each listener may accept a client at the moment when there is room for one.
    let over = PER_CLIENT * listeners.saturating_sub(1);
    // Each worker keeps its own idle connections to upstreams. Clients are spread so evenly over
    // the workers that each keeps at most one connection too many.
    let kept = workers.saturating_sub(1);
    let admin = if server.admin.is_some() { ADMIN } else { 0 };
    let handover = if server.handover.is_some() {
        HANDOVER
    } else {
        0
    };
    // The control thread has an event loop as well.
    EVENT_LOOP * (workers + 1)
        + LISTENER * listeners
        + over
        + kept
        + admin
        + handover
        + LOG
        + PASSING
}

/// Returns the number of clients for which a limit suffices, besides the `needed` descriptors.
fn room_within(limit: u64, needed: u64) -> Result<usize, DescriptorError> {
    let spare = limit.saturating_sub(needed);
    if spare < PER_CLIENT {
        return Err(DescriptorError {
            limit,
            needed: needed + PER_CLIENT,
        });
    }
    let room = (spare - RESERVED.min(spare / 4)) / PER_CLIENT;
    Ok(usize::try_from(room).unwrap_or(usize::MAX))
}

/// Returns roughly the number of open descriptors: the system assigns the lowest free number.
fn in_use(limit: u64) -> u64 {
    let next = io::stderr().as_fd().try_clone_to_owned();
    next.ok()
        .and_then(|next| u64::try_from(next.as_raw_fd()).ok())
        .unwrap_or(limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn each_connection_has_a_descriptor_for_its_upstream_and_some_are_left() {
        for (limit, needed, room) in [
            (32_768, 40, 16_352),
            (1024, 40, 480),
            (80, 40, 15),
            (64, 40, 9),
            (47, 40, 3),
            (46, 40, 2),
            (44, 40, 1),
            (42, 40, 1),
        ] {
            assert_eq!(room_within(limit, needed), Ok(room), "{limit} {needed}");
            assert!(needed + 2 * room as u64 <= limit, "{limit} {needed}");
        }
        assert!(room_within(u64::MAX, 0).unwrap() > 1_000_000);
    }

    #[test]
    fn a_limit_without_room_for_a_client_is_told_with_the_least_that_has() {
        for limit in [41, 40, 20, 0] {
            let error = room_within(limit, 40).unwrap_err();
            assert_eq!(error, DescriptorError { limit, needed: 42 });
            let text = error.to_string();
            assert!(
                text.contains(&format!("files is {limit},")) && text.contains("needs 42 "),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_needed_follows_from_the_configuration() {
        let parse = |server: &str| {
            let rest = "[upstreams.up]\nurl = \"http://127.0.0.1:1\"\n\
                        [[routes]]\npath = \"/x\"\nupstream = \"up\"\npublic = true\n";
            let config =
                Config::parse(&format!("[server]\n{server}\n{rest}"), "gateway.toml").unwrap();
            needed_by(&config.server)
        };
        let least = parse("workers = 1\nadmin = \"off\"");
        assert_eq!(least, 2 * EVENT_LOOP + LISTENER + LOG + PASSING);
        assert_eq!(
            parse("workers = 3\nadmin = \"off\"") - least,
            2 * EVENT_LOOP + 2
        );
        assert_eq!(parse("workers = 1\nadmin = \"127.0.0.1:1\"") - least, ADMIN);
        let listeners = "listen = [\"127.0.0.1:1\", \"127.0.0.1:2\"]";
        assert_eq!(
            parse(&format!("workers = 1\nadmin = \"off\"\n{listeners}")) - least,
            LISTENER + PER_CLIENT
        );
        assert_eq!(
            parse("workers = 1\nadmin = \"off\"\nhandover = \"/run/x.sock\"") - least,
            HANDOVER
        );
    }
}
