//! `scopegate import`: prints the configuration for an export of API Gateway, or for another
//! OpenAPI document.

use std::io::{self, Write as _};

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use super::document::DocumentFile;
use super::failure::Failure;
use super::output::print;
use crate::import::{self, BasePath, Imported, Level, Options};

/// An operation is denied that the API serves.
const DENIED: u8 = 2;
/// There are warnings, and `--fail-on-warnings`.
const WARNED: u8 = 3;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(subcommand)]
    language: Language,
}

#[derive(Debug, Subcommand)]
enum Language {
    /// An export of a REST API or HTTP API of Amazon API Gateway
    Apigateway(Export),
    /// An OpenAPI document: its first server is the upstream
    Openapi(Settings),
}

#[derive(Args, Debug)]
struct Export {
    #[command(flatten)]
    settings: Settings,
    /// Serve what a resource policy, a private or a disabled endpoint restricts: the restriction is
    /// enforced elsewhere
    #[arg(long, value_name = "RESTRICTION")]
    accept: Vec<Restriction>,
}

#[derive(Args, Debug)]
struct Settings {
    /// The document, in JSON or YAML; "-" for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: DocumentFile,
    /// The value of a stage variable, or of a variable of the document's servers; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    var: Vec<(String, String)>,
    /// The issuer of the tokens of a security scheme; may be repeated
    #[arg(long, value_name = "SCHEME=URL", value_parser = pair)]
    issuer: Vec<(String, String)>,
    /// An audience of the tokens of a security scheme; may be repeated
    #[arg(long, value_name = "SCHEME=VALUE", value_parser = pair)]
    audience: Vec<(String, String)>,
    /// The use of the path in the document's server: the stage (a prefix that upstreams do not
    /// get), nothing (ignore), the beginning of each path (prepend), or that without its first
    /// segment (split); by default, stage for exports and prepend for other documents
    #[arg(long, value_name = "MODE", hide_possible_values = true)]
    basepath: Option<Mode>,
    /// Exit with 3 if there are warnings
    #[arg(long)]
    fail_on_warnings: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Restriction {
    /// Those of the whole API
    ResourcePolicy,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    Stage,
    Ignore,
    Prepend,
    Split,
}

/// Prints the configuration to standard output and the findings to standard error, and returns the
/// exit code.
pub(super) fn import(arguments: &Arguments) -> Result<u8, Failure> {
    let (settings, accepts_policy) = match &arguments.language {
        Language::Apigateway(export) => (&export.settings, !export.accept.is_empty()),
        Language::Openapi(settings) => (settings, false),
    };
    let bytes = settings.file.read()?;
    let options = settings.options(accepts_policy);
    let imported = match arguments.language {
        Language::Apigateway(_) => import::apigateway(&bytes, &options),
        Language::Openapi(_) => import::openapi(&bytes, &options),
    };
    let imported = imported.map_err(|error| settings.file.failure(&error))?;
    report(&settings.file.name(), &imported);
    print(&imported.toml)?;
    Ok(code(&imported, settings.fail_on_warnings))
}

impl Settings {
    fn options(&self, accepts_policy: bool) -> Options {
        let mut options = Options {
            file: self.file.short_name(),
            variables: self.var.iter().cloned().collect(),
            issuers: self.issuer.iter().cloned().collect(),
            accepts_policy,
            base_path: self.basepath.map(Mode::base_path),
            ..Options::default()
        };
        for (scheme, audience) in &self.audience {
            let all = options.audiences.entry(scheme.clone()).or_default();
            all.push(audience.clone());
        }
        options
    }
}

impl Mode {
    fn base_path(self) -> BasePath {
        match self {
            Self::Stage => BasePath::Stage,
            Self::Ignore => BasePath::Ignore,
            Self::Prepend => BasePath::Prepend,
            Self::Split => BasePath::Split,
        }
    }
}

/// Parses a name, `=` and a value.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("write a name, \"=\" and a value".to_owned()),
    }
}

/// Writes the findings, and how many there are. A failed write cannot be reported.
fn report(file: &str, imported: &Imported) {
    let mut out = io::stderr().lock();
    for finding in &imported.findings {
        let _ = writeln!(out, "{}", finding.render(file));
    }
    let count = |level| {
        let all = imported.findings.iter();
        all.filter(|finding| finding.code.level() == level).count()
    };
    let _ = writeln!(
        out,
        "errors: {}, warnings: {}, notes: {}",
        count(Level::Error),
        count(Level::Warning),
        count(Level::Info)
    );
}

fn code(imported: &Imported, fails_on_warnings: bool) -> u8 {
    if imported.has(Level::Error) {
        return DENIED;
    }
    match fails_on_warnings && imported.has(Level::Warning) {
        true => WARNED,
        false => 0,
    }
}
