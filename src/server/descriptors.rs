//! File descriptors: how many there may be, and how many of them clients get.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are left for what is neither a client's connection nor an upstream's for it: the admin listener, the
/// files of a reload, names that are resolved, keys that are fetched, probes.
const RESERVED: u64 = 32;

/// Raises the soft limit of descriptors to the hard one. Soft limits are low (1024) for the sake of programs that use
/// `select(2)`, which cannot hold a higher number; this one does not.
///
/// # Errors
/// The system's own. The limit is then what it was.
pub fn raise_descriptor_limit() -> io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return Ok(());
    }
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

/// The client connections that there are descriptors for, beside what is open now. Each may need another for its upstream:
/// to accept more would be to answer 502 for want of one, and to leave none for the admin listener.
///
/// Warns where the limit is below what `wanted` connections may need.
pub(super) fn room(wanted: usize) -> usize {
    let Some(limit) = getrlimit(Resource::Nofile).current else { return usize::MAX };
    let room = room_within(limit, in_use(limit));
    // Those that are open at the start do not count here: they would turn a limit of exactly twice the connections into
    // a warning.
    if limit / 2 < wanted as u64 {
        tracing::warn!(
            limit,
            connections = wanted,
            taken = room,
            "the limit of open files (RLIMIT_NOFILE) is below two for each of server.limits.connections, one of them for \
             an upstream: no more client connections than this are taken at a time"
        );
    }
    room
}

fn room_within(limit: u64, in_use: u64) -> usize {
    let spare = limit.saturating_sub(in_use);
    let room = (spare - RESERVED.min(spare / 4)) / 2;
    usize::try_from(room).unwrap_or(usize::MAX).max(1)
}

/// The number of open descriptors, about: the system gives out the lowest number that is free.
fn in_use(limit: u64) -> u64 {
    let next = io::stderr().as_fd().try_clone_to_owned();
    next.ok().and_then(|next| u64::try_from(next.as_raw_fd()).ok()).unwrap_or(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_has_a_descriptor_for_its_upstream_and_some_are_left() {
        for (limit, in_use, room) in [
            (32_768, 40, 16_348),
            (1024, 40, 476),
            (80, 30, 19),
            (64, 30, 13),
            // Less than there has to be: one at a time.
            (30, 30, 1),
            (20, 30, 1),
        ] {
            assert_eq!(room_within(limit, in_use), room, "{limit} {in_use}");
            let used = in_use + 2 * room as u64;
            assert!(used < limit || room == 1, "{limit} {in_use}: some are left");
        }
        assert!(room_within(u64::MAX, 0) > 1_000_000);
    }
}
