//! `scopegate import`: prints the configuration for an export of API Gateway, or for another
//! OpenAPI document.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::failure::Failure;
use super::output::print;
use crate::import::document::MAX_BYTES;
use crate::import::{self, BasePath, ImportError, Imported, Level, Options};

/// An operation is denied that the API serves.
const DENIED: u8 = 2;
/// There are warnings, and `--fail-on-warnings`.
const WARNED: u8 = 3;

/// The name of standard input as a file.
const STANDARD_INPUT: &str = "-";

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
    #[arg(value_name = "FILE")]
    file: PathBuf,
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
    let file = settings.name();
    let bytes = read(&settings.file)?;
    let options = settings.options(accepts_policy);
    let imported = match arguments.language {
        Language::Apigateway(_) => import::apigateway(&bytes, &options),
        Language::Openapi(_) => import::openapi(&bytes, &options),
    };
    let imported = imported.map_err(|error| failure(&file, &error))?;
    report(&file, &imported);
    print(&imported.toml)?;
    Ok(code(&imported, settings.fail_on_warnings))
}

impl Settings {
    fn name(&self) -> String {
        match self.file.as_os_str() == STANDARD_INPUT {
            true => "standard input".to_owned(),
            false => self.file.display().to_string(),
        }
    }

    fn options(&self, accepts_policy: bool) -> Options {
        let mut options = Options {
            file: match self.file.file_name() {
                Some(name) if self.file.as_os_str() != STANDARD_INPUT => {
                    name.to_string_lossy().into_owned()
                }
                _ => self.name(),
            },
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

/// Reads the document, and one byte more than it may have.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let limit = MAX_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    if file.as_os_str() == STANDARD_INPUT {
        let read = io::stdin().lock().take(limit).read_to_end(&mut bytes);
        read.map_err(Failure::Input)?;
        return Ok(bytes);
    }
    let opened = File::open(file).and_then(|open| open.take(limit).read_to_end(&mut bytes));
    match opened {
        Ok(_) => Ok(bytes),
        Err(error) => Err(Failure::InputFile(file.into(), error)),
    }
}

fn failure(file: &str, error: &ImportError) -> Failure {
    let place = error.place().map(|place| format!(":{place}"));
    let place = place.unwrap_or_default();
    Failure::Import(format!("{file}{place}: {error}"))
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
