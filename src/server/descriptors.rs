//! File descriptors: the limit, what the gateway needs of them, and how many clients the rest is
//! enough for.

use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Server;

/// A client's connection, and one to an upstream for it.
const PER_CLIENT: u64 = 2;

/// An event loop's: epoll itself, its handle for registrations, and what wakes it for another
/// thread and for a signal.
const EVENT_LOOP: u64 = 4;

/// A listening socket's: one to accept by, and one to hand over.
const LISTENER: u64 = 2;

/// The admin listener, the descriptor that it keeps for when there is no other, a scraper and a
/// probe.
const ADMIN: u64 = LISTENER + 3;

/// The access log.
const LOG: u64 = 1;

/// The socket on which a successor asks, the successor's connection, and the one to the
/// predecessor.
const HANDOVER: u64 = 3;

/// What `run` opens before there is a gateway: for its log, signals, and the watch of the
/// configuration.
const STARTUP: u64 = 11;

/// What is open for a moment: the files of a reload, names that are resolved, keys that are
/// fetched, probes.
const PASSING: u64 = 8;

/// More of the same, where there are plenty.
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
            "the limit of open files is {limit}, and this configuration needs {needed} at least: raise it \
             (`ulimit -n`, LimitNOFILE= of systemd)"
        )
    }
}

impl std::error::Error for DescriptorError {}

/// Raises the soft limit of descriptors to the hard one. Soft limits are low (1024) for the sake of
/// programs that use `select(2)`, which cannot hold a higher number; this one does not.
///
/// # Errors
/// The system's own. The limit is then what it was.
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

/// Checks, before anything is opened, that the limit has room for a gateway of this configuration
/// and one client.
///
/// # Errors
/// If it has none.
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

/// Returns the client connections that there are descriptors for, beside what is open now and what
/// this configuration opens. Each may need another for its upstream: to accept more would be to
/// answer 502 for want of one, and to leave none for the admin listener. To be called before
/// listeners are bound and threads are started.
///
/// Warns where the limit is below what `server.limits.connections` may need.
///
/// # Errors
/// If there is no room for one client.
pub fn connection_room(server: &Server) -> Result<usize, DescriptorError> {
    let Some(limit) = getrlimit(Resource::Nofile).current else {
        return Ok(usize::MAX);
    };
    let room = room_within(limit, in_use(limit).saturating_add(needed_by(server)))?;
    let wanted = server.limits.connections;
    // What is needed besides does not count here: it would turn a limit of exactly twice the
    // connections into a warning.
    if limit / PER_CLIENT < wanted as u64 {
        tracing::warn!(
            limit,
            connections = wanted,
            taken = room,
            "the limit of open files (RLIMIT_NOFILE) is below two for each of server.limits.connections, one of them for \
             an upstream: no more client connections than this are taken at a time"
        );
    }
    Ok(room)
}

/// Returns the descriptors that a gateway of this configuration opens, clients and their upstreams
/// aside.
fn needed_by(server: &Server) -> u64 {
    let workers = server.workers as u64;
    let listeners = server.listeners.len() as u64;
    // Each listener may take a client at the moment at which there is room for one.
    let over = PER_CLIENT * listeners.saturating_sub(1);
    // Workers keep idle connections to upstreams for themselves, and share clients so evenly that
    // each keeps one too many at most.
    let kept = workers.saturating_sub(1);
    let admin = if server.admin.is_some() { ADMIN } else { 0 };
    let handover = if server.handover.is_some() {
        HANDOVER
    } else {
        0
    };
    // The control thread has an event loop, too.
    EVENT_LOOP * (workers + 1)
        + LISTENER * listeners
        + over
        + kept
        + admin
        + handover
        + LOG
        + PASSING
}

/// Returns the clients that a limit is enough for, beside what is needed anyway.
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

/// The number of open descriptors, about: the system gives out the lowest number that is free.
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
