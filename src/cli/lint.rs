//! `scopegate lint`: compares the configuration with an OpenAPI document.

use std::fmt::Write as _;

use clap::{Args, ValueHint};
use serde_json::{Value, json};

use super::document::DocumentFile;
use super::failure::{Failure, REFUSED};
use super::import::{Restriction, pair};
use super::output::print;
use super::settings::ConfigArgument;
use crate::config::{Config, printable};
use crate::import::document::{Document, Place};
use crate::import::lint::{self as comparison, Kind, Reading, RouteName};
use crate::import::{self, ImportError};
use crate::route::{Conflict, Pattern};

type Contract = comparison::Contract<Place>;
type Comparing = comparison::Comparing<Place>;
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
    /// The document, in JSON or YAML: an export of API Gateway, or another OpenAPI document; "-" for
    /// standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    openapi: DocumentFile,
    /// The path before those of the document, in place of that of its first server; "/" for none
    #[arg(long, value_name = "PATH", value_parser = prefix)]
    prefix: Option<String>,
    /// The value of a stage variable of the document, or of a variable of its servers; may be
    /// repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    stage_var: Vec<(String, String)>,
    /// Compare as if the document had no resource policy, and no private or disabled endpoint: the
    /// restriction is enforced elsewhere
    #[arg(long, value_name = "RESTRICTION")]
    accept: Vec<Restriction>,
    /// Print one JSON object; docs/lint.md describes its members
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgument,
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
        document: arguments.openapi.name(),
    };
    let config = settings.load()?;
    let file = &arguments.openapi;
    let document = import::read(&file.read()?).map_err(|error| file.failure(&error))?;
    let contract = arguments.contract(&document, arguments.prefix.as_deref());
    let contract = contract.map_err(|error| file.failure(&error))?;
    let comparing = comparison::compare(&config, &contract)
        .map_err(|twins| same_operation(&names, &contract, twins))?;
    let report = Report {
        names: &names,
        operations: contract.operations.len(),
        other_prefix: arguments.other_prefix(&config, &document, &comparing),
        comparing,
    };
    print(&match arguments.json {
        true => report.object(),
        false => report.lines(),
    })?;
    Ok(match report.comparing.differences.is_empty() {
        true => 0,
        false => REFUSED,
    })
}

impl Arguments {
    fn contract(&self, document: &Document, prefix: Option<&str>) -> Result<Contract, ImportError> {
        let reading = Reading {
            prefix: prefix.map(str::to_owned),
            variables: self.stage_var.iter().cloned().collect(),
            accepts_policy: !self.accept.is_empty(),
        };
        comparison::contract(document, &reading)
    }

    /// Returns the prefix under which there are the fewest differences, with the number of
    /// operations that have a route there; `None` if there are no fewer than those found. A route
    /// for every path answers each operation, under whatever prefix.
    fn other_prefix(
        &self,
        config: &Config,
        document: &Document,
        found: &Comparing,
    ) -> Option<(String, usize)> {
        let mut best = None;
        let mut fewest = found.differences.len();
        if fewest == 0 {
            return None;
        }
        for prefix in comparison::prefixes(config) {
            let contract = self.contract(document, Some(&prefix)).ok()?;
            let other = comparison::compare(config, &contract).ok()?;
            let number = other.differences.len();
            let is_first = found.answered == 0 && best.is_none();
            if other.answered > 0 && (number < fewest || is_first) {
                fewest = number;
                best = Some((prefix, other.answered));
            }
        }
        best
    }
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

fn prefix(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("a path begins with a slash".to_owned());
    }
    match Pattern::join(text.trim_end_matches('/'), "/path") {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The text or object that the command prints.
struct Report<'n> {
    names: &'n Names,
    operations: usize,
    comparing: Comparing,
    /// The prefix under which the operations have routes, and how many of them have one.
    other_prefix: Option<(String, usize)>,
}

impl Report<'_> {
    fn lines(&self) -> String {
        let mut text = String::new();
        let differences = &self.comparing.differences;
        for difference in differences {
            let _ = writeln!(text, "{}", printable(&line(difference, self.names)));
        }
        let operations = count(self.operations, "operation");
        let found = match differences.len() {
            0 => "no difference".to_owned(),
            many => count(many, "difference"),
        };
        let denied = match self.comparing.denied {
            0 => String::new(),
            1 => "; 1 operation is denied".to_owned(),
            many => format!("; {many} operations are denied"),
        };
        let gap = if differences.is_empty() { "" } else { "\n" };
        let Names { config, document } = self.names;
        let end = format!("{config} and {document}, with {operations}: {found}{denied}");
        let _ = writeln!(text, "{gap}{}", printable(&end));
        if let Some((prefix, answered)) = &self.other_prefix {
            let all = self.operations;
            let help =
                format!("help: try --prefix {prefix}: {answered} of {all} have a route there");
            let _ = writeln!(text, "{}", printable(&help));
        }
        text
    }

    fn object(&self) -> String {
        let mut members = Vec::new();
        for difference in &self.comparing.differences {
            members.push(member(difference, self.names));
        }
        let object = json!({
            "operations": self.operations,
            "denied": self.comparing.denied,
            "differences": members,
            "try_prefix": self.other_prefix.as_ref().map(|(prefix, _)| prefix),
        });
        format!("{object}\n")
    }
}

fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        many => format!("{many} {noun}s"),
    }
}

fn line(difference: &Difference, names: &Names) -> String {
    let place = match (difference.place, &difference.route) {
        (Some(place), _) => format!("{}:{place}", names.document),
        (None, Some(route)) => route.place.to_string(),
        (None, None) => names.config.clone(),
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
    let route = difference.route.as_ref().map(named).unwrap_or_default();
    let [document, configuration] = difference.asked.clone().unwrap_or_default();
    match (difference.kind, &difference.example) {
        (Kind::WeakerRoute, _) => {
            let asks = match &*configuration {
                "public" => "is public".to_owned(),
                other => format!("for {other}"),
            };
            format!("the document asks for {document}, and {route} {asks}")
        }
        (Kind::OtherIssuer | Kind::OtherTokens, _) => {
            let of = match difference.kind {
                Kind::OtherIssuer => "tokens of ",
                _ => "",
            };
            format!("the document takes {of}{document}, and {route} {of}{configuration}")
        }
        (Kind::OperationWithoutRoute, None) => "no route answers it".to_owned(),
        (Kind::OperationWithoutRoute, Some(path)) => {
            format!("no route answers some of its paths, such as {path}")
        }
        (Kind::RouteWithoutOperation, None) => {
            "no operation of the document describes it".to_owned()
        }
        (Kind::RouteWithoutOperation, Some(path)) => {
            format!("no operation of the document describes some of its paths, such as {path}")
        }
        (Kind::UnknownScope, _) => {
            let path = difference.route.as_ref().map(|route| &*route.path);
            let path = path.unwrap_or_default();
            format!("the route {path} asks for it, and the document does not know it")
        }
        (Kind::UndefinedScope, _) => "no security scheme of the document defines it".to_owned(),
        (Kind::UnusedScope, _) => "no route asks for it".to_owned(),
    }
}

/// Returns a route with its place.
fn named(route: &RouteName) -> String {
    let RouteName { path, place } = route;
    format!("the route {path} at {place}")
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
    let route = difference.route.as_ref();
    json!({
        "kind": difference.kind.name(),
        "methods": methods,
        "path": (!is_scope).then_some(&difference.subject),
        "example": difference.example,
        "scope": is_scope.then_some(&difference.subject),
        "route": route.map(|route| &route.path),
        "route_place": route.map(|route| &route.place),
        "document": document,
        "configuration": configuration,
        "place": difference.place.map(|place| format!("{}:{place}", names.document)),
    })
}
