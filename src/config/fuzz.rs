//! Fuzz target: from the text of a configuration to its snapshot.

use super::{Config, effective_policy};
use crate::fuzz::check;
use crate::snapshot::Snapshot;
use crate::telemetry::Metrics;

/// The file of the text. Its folder does not exist, so that no other file is read.
const NAME: &str = "/nonexistent/gateway.toml";

/// Folders whose files may never end.
const DEVICES: [&str; 3] = ["/dev", "/proc", "/sys"];

#[test]
fn gateway_toml() {
    check("gateway_toml", |input| {
        let Ok(text) = str::from_utf8(input) else {
            return;
        };
        if DEVICES.iter().any(|folder| text.contains(folder)) {
            return;
        }
        match Config::parse(text, NAME) {
            Ok(config) => is_enforceable(config, text),
            Err(problems) => {
                let count = problems.iter().count();
                assert!(count > 0);
                assert_eq!(problems.lines().count(), count);
                is_printable(&problems.render(false));
                problems.lines().for_each(|line| is_printable(&line));
            }
        }
    });
}

/// The configuration is shown, compiled, and the same when it is read again.
fn is_enforceable(config: Config, text: &str) {
    let shown = effective_policy(&config);
    is_printable(&shown);
    let again = Config::parse(text, NAME).expect("the same text");
    assert_eq!(effective_policy(&again), shown);
    let metrics = Metrics::new(&[]).unwrap();
    if let Err(error) = Snapshot::compile(config, &metrics, None) {
        panic!("the configuration was accepted: {error}");
    }
}

fn is_printable(text: &str) {
    let is_other = |c: char| c.is_control() && c != '\n';
    assert!(!text.contains(is_other), "{text:?}");
}
