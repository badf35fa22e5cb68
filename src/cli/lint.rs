//! `scopegate lint`: compares the configuration with an OpenAPI document.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::failure::{Failure, REFUSED};
use super::output::print;
use super::settings::ConfigFile;
use crate::config::printable;
use crate::import::document::{MAX_BYTES, Place};
use crate::import::lint::{self as comparison, Kind};
use crate::import::{self, ImportError};
use crate::route::Conflict;

type Contract = comparison::Contract<Place>;
type Difference = comparison::Difference<Place>;

const AFTER_HELP: &str = "\
Exit codes:
  0  the configuration and the document agree
  1  the configuration has problems, or the document cannot be read
  2  the command line is wrong
  4  they differ";

/// The options of the command.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// The document, in JSON or YAML: an export of API Gateway, or another OpenAPI document
    #[arg(long, value_name = "FILE")]
    openapi: PathBuf,
    /// The path before those of the document, in place of that of its first server; "/" for none
    #[arg(long, value_name = "PATH", value_parser = prefix)]
    prefix: Option<String>,
    /// Print one JSON object; docs/lint.md describes its members
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigFile,
}

/// The two files, as messages name them.
struct Names {
    config: String,
    document: String,
}

/// Prints the differences, and returns the exit code.
pub(super) fn lint(arguments: &Arguments) -> Result<u8, Failure> {
    let settings = arguments.config.settings()?;
    let names = Names {
        config: settings.name(),
        document: arguments.openapi.display().to_string(),
    };
    let config = settings.load()?;
    let contract = read(arguments, &names)?;
    let fail = |twins| same_operation(&names, &contract, twins);
    let differences = comparison::lint(&config, &contract).map_err(fail)?;
    let denied = comparison::denied(&config, &contract).map_err(fail)?;
    print(&match arguments.json {
        true => object(&differences, &names),
        false => lines(&differences, &contract, denied, &names),
    })?;
    Ok(match differences.is_empty() {
        true => 0,
        false => REFUSED,
    })
}

fn read(arguments: &Arguments, names: &Names) -> Result<Contract, Failure> {
    let bytes = bytes(&arguments.openapi)?;
    let document = import::read(&bytes).map_err(|error| failure(names, &error))?;
    let contract = import::contract(&document, arguments.prefix.as_deref());
    contract.map_err(|error| failure(names, &error))
}

fn failure(names: &Names, error: &ImportError) -> Failure {
    let place = error.place().map(|place| format!(":{place}"));
    let place = place.unwrap_or_default();
    Failure::Import(format!("{}{place}: {error}", names.document))
}

/// Returns the error about two operations that answer the same requests.
fn same_operation(names: &Names, contract: &Contract, twins: Conflict) -> Failure {
    let place = |index: usize| {
        let operation = contract.operations.get(index);
        operation
            .map(|operation| operation.place)
            .unwrap_or_default()
    };
    Failure::Import(format!(
        "{}:{}: the operation answers the same requests as that at {}",
        names.document,
        place(twins.1),
        place(twins.0)
    ))
}

fn prefix(text: &str) -> Result<String, &'static str> {
    match text.starts_with('/') {
        true => Ok(text.to_owned()),
        false => Err("a path begins with a slash"),
    }
}

/// Reads a document, and one byte more than it may have.
fn bytes(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let limit = MAX_BYTES as u64 + 1;
    let read = File::open(file).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(bytes),
        Err(error) => Err(Failure::InputFile(file.to_owned(), error)),
    }
}

fn lines(differences: &[Difference], contract: &Contract, denied: usize, names: &Names) -> String {
    let mut text = String::new();
    for difference in differences {
        let _ = writeln!(text, "{}", printable(&line(difference, names)));
    }
    let operations = match contract.operations.len() {
        1 => "1 operation".to_owned(),
        many => format!("{many} operations"),
    };
    let found = match differences.len() {
        0 => "no difference".to_owned(),
        1 => "1 difference".to_owned(),
        many => format!("{many} differences"),
    };
    let denied = match denied {
        0 => String::new(),
        1 => "; 1 operation is denied".to_owned(),
        many => format!("; {many} operations are denied"),
    };
    let gap = if differences.is_empty() { "" } else { "\n" };
    let Names { config, document } = names;
    let end = format!("{config} and {document}, with {operations}: {found}{denied}");
    let _ = writeln!(text, "{gap}{}", printable(&end));
    text
}

fn line(difference: &Difference, names: &Names) -> String {
    let place = match difference.place {
        Some(place) => format!("{}:{place}", names.document),
        None => names.config.clone(),
    };
    let subject = match difference.methods.as_slice() {
        [] => format!("scope {:?}", difference.subject),
        methods => format!("{} {}", joined(methods), difference.subject),
    };
    format!("{place}: {subject}: {}", sentence(difference))
}

fn joined(methods: &[http::Method]) -> String {
    let names: Vec<_> = methods.iter().map(http::Method::as_str).collect();
    names.join(", ")
}

fn sentence(difference: &Difference) -> String {
    let route = difference.route.as_deref().unwrap_or_default();
    let [document, configuration] = difference.asked.clone().unwrap_or_default();
    match difference.kind {
        Kind::WeakerRoute => {
            format!("the document asks for {document}, and the route {route} for {configuration}")
        }
        Kind::OperationWithoutRoute => "no route answers it".to_owned(),
        Kind::RouteWithoutOperation => "no operation of the document describes it".to_owned(),
        Kind::UnknownScope => {
            format!("the route {route} asks for it, and the document does not know it")
        }
        Kind::UndefinedScope => "no security scheme of the document defines it".to_owned(),
        Kind::UnusedScope => "no route asks for it".to_owned(),
    }
}

fn object(differences: &[Difference], names: &Names) -> String {
    let members = differences
        .iter()
        .map(|difference| member(difference, names));
    let members: Vec<Value> = members.collect();
    format!("{}\n", json!({ "differences": members }))
}

fn member(difference: &Difference, names: &Names) -> Value {
    let is_scope = difference.methods.is_empty();
    let methods: Vec<_> = difference
        .methods
        .iter()
        .map(http::Method::as_str)
        .collect();
    let [document, configuration] = match difference.asked.clone() {
        Some(asked) => asked.map(Some),
        None => [None, None],
    };
    json!({
        "kind": difference.kind.name(),
        "methods": methods,
        "path": (!is_scope).then_some(&difference.subject),
        "scope": is_scope.then_some(&difference.subject),
        "route": difference.route,
        "document": document,
        "configuration": configuration,
        "place": difference.place.map(|place| format!("{}:{place}", names.document)),
    })
}
