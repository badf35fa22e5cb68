//! `scopegate schema`: prints the configuration language, as a JSON Schema for editors or as a
//! reference for readers.

use clap::Args;

use crate::config;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Print the reference as Markdown in place of the schema
    #[arg(long)]
    reference: bool,
}

pub(super) fn schema(arguments: &Arguments) -> String {
    if arguments.reference {
        config::reference()
    } else {
        format!("{:#}\n", config::schema())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_json_and_the_reference_is_not() {
        let schema = schema(&Arguments { reference: false });
        assert!(
            serde_json::from_str::<serde_json::Value>(&schema)
                .unwrap()
                .is_object()
        );
        assert!(super::schema(&Arguments { reference: true }).contains("upstreams"));
    }
}
