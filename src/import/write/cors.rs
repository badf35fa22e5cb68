//! `cors`

use super::value::{inline, list, quoted};
use crate::import::plan::{Cors, Names};

pub(super) fn cors(cors: &Cors) -> String {
    let origins = match cors.origins.is_empty() {
        true => quoted("any"),
        false => list(&cors.origins),
    };
    let mut entries = vec![format!("origins = {origins}")];
    if !cors.methods.is_empty() {
        entries.push(format!("methods = {}", list(&cors.methods)));
    }
    for (key, names) in [("headers", &cors.headers), ("expose", &cors.expose)] {
        match names {
            Names::Unstated => {}
            Names::Any => entries.push(format!("{key} = {}", quoted("any"))),
            Names::These(names) => entries.push(format!("{key} = {}", list(names))),
        }
    }
    if cors.has_credentials {
        entries.push("credentials = true".to_owned());
    }
    if let Some(seconds) = cors.max_age {
        entries.push(format!("max_age = {}", quoted(&format!("{seconds}s"))));
    }
    inline(entries)
}
