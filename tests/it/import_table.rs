//! The tables of what an imported document lets pass: `tests/vectors/import/*.verdicts`.
//!
//! They are written by hand from what API Gateway does with the document, not from what the
//! importer does. A line is one of these, and `#` begins a comment:
//!
//! | line | meaning |
//! |---|---|
//! | `document FILE` | the document that is imported |
//! | `import KIND OPTION…` | the command; `apigateway` if there is no such line |
//! | `exit CODE` | its exit code |
//! | `finds LEVEL WORD…` | one of its findings has this level and these words |
//! | `says WORD…` | its messages have these words |
//! | `issuer LABEL KIND URL [CLIENT]` | who signs the credentials `LABEL:…`, and for whom |
//! | `METHOD PATH CREDENTIAL… [answered] [in PLACE] [-> TARGET]` | what passes, and to where |
//! | `none PATH` | the path is there for no method |
//! | `PREFLIGHT PATH ORIGIN yes` or `no` | whether pages of the origin may read answers |
//!
//! The `KIND` of an issuer is `cognito` for pools of a REST API, which take any client, `jwt` for
//! JWT authorizers, or `plain` for issuers of other documents, whose access tokens have an
//! audience.
//!
//! `METHOD` may be `ANY`; a line for the method itself goes before it. A method without a line is
//! refused to all, but for HEAD, which may pass where GET does: it gives nothing away.
//!
//! A `CREDENTIAL` is `anyone`, `nobody`, `P:id` (an ID token), `P:a/read` (an access token with
//! this scope), `P:a+b` (with both), or `P:any` (every good token); with `?` before it, it may
//! pass.
//! `answered` requests are answered by the gateway and reach no upstream. A `PLACE` of a token is
//! `bearer`, `header:NAME` or `query:NAME`; without it the token is in `Authorization`, bare or
//! after `Bearer`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::import_credentials::Credential;

pub(crate) const DIRECTORY: &str = "tests/vectors/import";

/// The methods of API Gateway's `ANY`.
const ANY: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) document: String,
    pub(crate) command: Vec<String>,
    pub(crate) exit: Option<i32>,
    pub(crate) finds: Vec<Vec<String>>,
    pub(crate) says: Vec<String>,
    pub(crate) issuers: Vec<TableIssuer>,
    pub(crate) rows: Vec<Row>,
    pub(crate) preflights: Vec<Preflight>,
}

#[derive(Debug)]
pub(crate) struct TableIssuer {
    pub(crate) label: String,
    pub(crate) url: String,
    pub(crate) kind: IssuerKind,
    /// The client, which is also the audience of ID tokens.
    pub(crate) client: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IssuerKind {
    Cognito,
    Jwt,
    Plain,
}

#[derive(Debug)]
pub(crate) struct Row {
    method: String,
    path: String,
    admits: Vec<Admitted>,
    pub(crate) place: Place,
    pub(crate) is_answered: bool,
    pub(crate) target: Option<String>,
}

#[derive(Debug)]
struct Admitted {
    who: String,
    is_optional: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Place {
    #[default]
    Authorization,
    /// In `Authorization`, after `Bearer` alone.
    Bearer,
    Header(String),
    Query(String),
}

#[derive(Debug)]
pub(crate) struct Preflight {
    pub(crate) path: String,
    pub(crate) origin: String,
    pub(crate) is_allowed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Passes,
    MayPass,
    Refused,
}

impl Table {
    /// Reads every table, in the order of their names.
    pub(crate) fn all() -> Vec<Self> {
        let entries = fs::read_dir(DIRECTORY).unwrap();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|ext| ext == "verdicts"));
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    fn read(path: &Path) -> Self {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let mut table = Self {
            name: name.to_owned(),
            command: vec!["apigateway".to_owned()],
            ..Self::default()
        };
        for line in fs::read_to_string(path).unwrap().lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            if !words.is_empty() && !line.starts_with('#') {
                table.add(&words);
            }
        }
        table
    }

    fn add(&mut self, words: &[&str]) {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match words {
            ["document", file] => self.document = (*file).to_owned(),
            ["import", command @ ..] => self.command = owned(command),
            ["exit", code] => self.exit = Some(code.parse().unwrap()),
            ["finds", words @ ..] => self.finds.push(owned(words)),
            ["says", words @ ..] => self.says = owned(words),
            ["issuer", label, kind, url, client @ ..] => self.issuers.push(TableIssuer {
                label: (*label).to_owned(),
                url: (*url).to_owned(),
                kind: IssuerKind::parse(kind),
                client: (*client.first().unwrap_or(&"app")).to_owned(),
            }),
            ["none", path] => self.rows.push(Row::new("ANY", path, &["nobody"])),
            ["PREFLIGHT", path, origin, allowed] => self.preflights.push(Preflight {
                path: (*path).to_owned(),
                origin: (*origin).to_owned(),
                is_allowed: *allowed == "yes",
            }),
            [method, path, rest @ ..] => self.rows.push(Row::new(method, path, rest)),
            _ => panic!("{}: {words:?} is no line of a table", self.name),
        }
    }

    /// Returns every path, in the order of the file.
    pub(crate) fn paths(&self) -> Vec<&str> {
        let mut paths: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !paths.contains(&row.path.as_str()) {
                paths.push(&row.path);
            }
        }
        paths
    }

    /// Returns the scopes of all lines.
    pub(crate) fn scopes(&self) -> Vec<String> {
        let mut scopes: Vec<String> = Vec::new();
        for admitted in self.rows.iter().flat_map(|row| &row.admits) {
            let Some((_, what)) = admitted.who.split_once(':') else {
                continue;
            };
            for scope in what
                .split('+')
                .filter(|what| !matches!(*what, "id" | "any"))
            {
                if !scopes.iter().any(|known| known == scope) {
                    scopes.push(scope.to_owned());
                }
            }
        }
        scopes
    }

    /// Returns the line for a request.
    pub(crate) fn row(&self, method: &str, path: &str) -> Option<&Row> {
        let any = || ANY.contains(&method).then(|| self.exact("ANY", path))?;
        self.exact(method, path).or_else(any)
    }

    /// Returns where tokens are for requests to a path, whatever the method.
    pub(crate) fn place(&self, path: &str) -> Place {
        let row = self.rows.iter().find(|row| row.path == path);
        row.map(|row| row.place.clone()).unwrap_or_default()
    }

    fn exact(&self, method: &str, path: &str) -> Option<&Row> {
        let mut rows = self.rows.iter();
        rows.find(|row| row.method == method && row.path == path)
    }

    /// Returns what has to happen to a request with this credential.
    pub(crate) fn expected(&self, method: &str, path: &str, credential: &Credential) -> Expected {
        if let Some(row) = self.row(method, path) {
            return row.expected(credential);
        }
        let get = || (method == "HEAD").then(|| self.exact("GET", path))?;
        match get().map(|row| row.expected(credential)) {
            Some(Expected::Passes | Expected::MayPass) => Expected::MayPass,
            Some(Expected::Refused) | None => Expected::Refused,
        }
    }
}

impl IssuerKind {
    fn parse(text: &str) -> Self {
        match text {
            "cognito" => Self::Cognito,
            "jwt" => Self::Jwt,
            "plain" => Self::Plain,
            _ => panic!("{text:?} is no kind of issuer"),
        }
    }
}

impl Row {
    fn new(method: &str, path: &str, rest: &[&str]) -> Self {
        let mut row = Self {
            method: method.to_owned(),
            path: path.to_owned(),
            admits: Vec::new(),
            place: Place::default(),
            is_answered: false,
            target: None,
        };
        let mut words = rest.iter();
        while let Some(word) = words.next() {
            match *word {
                "answered" => row.is_answered = true,
                "in" => row.place = Place::parse(words.next().unwrap()),
                "->" => row.target = words.next().map(|target| (*target).to_owned()),
                who => row.admits.push(Admitted {
                    who: who.trim_start_matches('?').to_owned(),
                    is_optional: who.starts_with('?'),
                }),
            }
        }
        row
    }

    fn expected(&self, credential: &Credential) -> Expected {
        let mut found = Expected::Refused;
        for admitted in &self.admits {
            match (credential.is(&admitted.who), admitted.is_optional) {
                (true, false) => return Expected::Passes,
                (true, true) => found = Expected::MayPass,
                (false, _) => {}
            }
        }
        found
    }
}

impl Place {
    fn parse(text: &str) -> Self {
        match text.split_once(':') {
            None if text == "bearer" => Self::Bearer,
            Some(("header", name)) => Self::Header(name.to_owned()),
            Some(("query", name)) => Self::Query(name.to_owned()),
            _ => panic!("{text:?} is no place of a token"),
        }
    }
}
