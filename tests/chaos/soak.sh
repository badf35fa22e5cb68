#!/usr/bin/env bash
# Load with faults for a long time: upstreams that die, pause and reset connections, an issuer that goes away and replaces its
# key, a configuration that changes each second and certificates that change every other one.
#
#     tests/chaos/soak.sh                             # a day
#     SOAK_SECONDS=3600 tests/chaos/soak.sh           # an hour
#     SOAK_RATE=100 tests/chaos/soak.sh               # 100 requests a second from each of the eight clients, in place of 25
#     SOAK_PROFILE=release tests/chaos/soak.sh        # the program as it is shipped, in place of the debug build
#
# Prints the slope of resident memory, of descriptors and of threads after the warm-up, and the times of answers by windows,
# of which the first stands beside the last. From half an hour on, it fails if the heap grows by 1 MiB an hour, or descriptors or
# threads by more than two in the whole run; always, if a request was lost or answered wrongly. Everything is on this machine's loopback.
set -euo pipefail
cd "$(dirname "$0")/../.."
export SOAK_SECONDS=${SOAK_SECONDS:-86400}
profile=()
[ -z "${SOAK_PROFILE:-}" ] || profile=(--profile "$SOAK_PROFILE")
exec cargo test --locked "${profile[@]}" --test chaos
