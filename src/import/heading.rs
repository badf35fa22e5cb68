//! The lines at the beginning of the output.

use super::gather::Planned;
use super::openapi::Api;
use super::options::Options;
use super::plan::Access;

pub(super) fn heading(
    api: &Api<'_>,
    options: &Options,
    kind: &str,
    planned: &[Planned],
) -> Vec<String> {
    let title = api.title().map(|title| format!(" ({title:?})"));
    let title = title.unwrap_or_default();
    let count = |is: fn(&Access) -> bool| {
        let all = planned.iter();
        let own = all.filter(|one| !one.path.is_empty() && is(&one.rule.access));
        own.count()
    };
    let scopes = count(|access| matches!(access, Access::All(_) | Access::Any(_)));
    let authenticated = count(|access| *access == Access::Authenticated);
    let public = count(|access| *access == Access::Public);
    let denied = count(|access| *access == Access::Deny);
    vec![
        format!(
            "Written by `scopegate import` from {:?}: {kind}{title}.",
            options.file
        ),
        format!(
            "Operations that require scopes: {scopes}, any valid token: {authenticated}, nothing: \
             {public}; denied: {denied}."
        ),
        "`scopegate check` shows what it does. What is denied says why.".to_owned(),
    ]
}
