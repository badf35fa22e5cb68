//! Fuzz target: documents of API Gateway and OpenAPI, from their text to a configuration.

use super::{Imported, Options, apigateway, openapi};
use crate::config::{Config, is_printable};
use crate::fuzz::check;
use crate::snapshot::Snapshot;
use crate::telemetry::Metrics;

#[test]
fn import_document() {
    check("import_document", |input| {
        let options = Options {
            file: "export".to_owned(),
            ..Options::default()
        };
        for import in [apigateway, openapi] {
            match import(input, &options) {
                Ok(imported) => is_a_configuration(&imported),
                Err(error) => is_a_text(&error.to_string()),
            }
        }
    });
}

/// The output is a configuration that can be compiled, and a text that can be printed.
fn is_a_configuration(imported: &Imported) {
    let config = Config::parse(&imported.toml, "the output").unwrap();
    if let Err(error) = Snapshot::compile(config, &Metrics::new(&[]).unwrap(), None) {
        panic!("{error}\n{}", imported.toml);
    }
    is_a_text(&imported.toml);
}

fn is_a_text(message: &str) {
    assert!(!message.is_empty());
    let mut chars = message.chars().filter(|c| *c != '\n');
    assert!(chars.all(is_printable), "{message:?}");
}
