//! The settings that take effect only when the gateway starts.

use crate::config::Config;

/// Logs the settings that a reload has changed, but that take effect only at the next start.
pub(super) fn report_changes(before: &Config, now: &Config) {
    let changed = [
        (
            "server.workers",
            before.server.workers != now.server.workers,
        ),
        (
            "server.handover",
            before.server.handover != now.server.handover,
        ),
        ("server.admin", before.server.admin != now.server.admin),
        ("token_cache", before.token_cache != now.token_cache),
        ("reload.watch", before.reload.watch != now.reload.watch),
        ("log.level", before.log.level != now.log.level),
    ];
    for (key, has_changed) in changed {
        if has_changed {
            tracing::warn!(key, "this setting takes effect at the next start");
        }
    }
}
