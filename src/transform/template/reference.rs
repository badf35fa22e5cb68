//! The references of a template.

use std::fmt;

use http::HeaderName;

/// A reference of a template.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// `{name}` or `{name+}`: a parameter of the route's path.
    Parameter {
        /// The name.
        name: Box<str>,
        /// Set for `{name+}`, which names a parameter with an open end alone.
        is_open: bool,
    },
    /// `${name}`: a variable of the configuration.
    Variable(Box<str>),
    /// `${request_id}`
    RequestId,
    /// `${claim:name}`: a claim of the token, by its name or dotted path.
    Claim(Box<str>),
    /// `${header:name}`: a header field of the client's request.
    Header(HeaderName),
    /// `${query:name}`: a parameter of the query, by its decoded name.
    Query(Box<str>),
    /// `${query}`: the whole query, as it came.
    WholeQuery,
    /// `${reason}`: the name of the reason for a refusal.
    Reason,
    /// `${route}`: the path of the route, as the configuration has it.
    Route,
    /// `${detail}`: the sentence about a refusal for the client.
    Detail,
}

/// The kind of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceKind {
    /// [`Reference::Parameter`]
    Parameter,
    /// [`Reference::Variable`]
    Variable,
    /// [`Reference::RequestId`]
    RequestId,
    /// [`Reference::Claim`]
    Claim,
    /// [`Reference::Header`]
    Header,
    /// [`Reference::Query`]
    Query,
    /// [`Reference::WholeQuery`]
    WholeQuery,
    /// [`Reference::Reason`]
    Reason,
    /// [`Reference::Route`]
    Route,
    /// [`Reference::Detail`]
    Detail,
}

/// The names that have a meaning of their own.
const RESERVED: [(&str, Reference); 5] = [
    ("request_id", Reference::RequestId),
    ("query", Reference::WholeQuery),
    ("reason", Reference::Reason),
    ("route", Reference::Route),
    ("detail", Reference::Detail),
];

/// Returns whether no variable may have this name, in any case.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    RESERVED
        .iter()
        .any(|(reserved, _)| name.eq_ignore_ascii_case(reserved))
}

/// Returns the reference of a reserved name.
pub(super) fn reserved(name: &str) -> Option<Reference> {
    let found = RESERVED.iter().find(|(reserved, _)| name == *reserved);
    found.map(|(_, reference)| reference.clone())
}

impl Reference {
    /// Returns the kind of the reference.
    #[must_use]
    pub fn kind(&self) -> ReferenceKind {
        match self {
            Self::Parameter { .. } => ReferenceKind::Parameter,
            Self::Variable(_) => ReferenceKind::Variable,
            Self::RequestId => ReferenceKind::RequestId,
            Self::Claim(_) => ReferenceKind::Claim,
            Self::Header(_) => ReferenceKind::Header,
            Self::Query(_) => ReferenceKind::Query,
            Self::WholeQuery => ReferenceKind::WholeQuery,
            Self::Reason => ReferenceKind::Reason,
            Self::Route => ReferenceKind::Route,
            Self::Detail => ReferenceKind::Detail,
        }
    }
}

impl ReferenceKind {
    /// Returns how a reference of this kind is written.
    #[must_use]
    pub fn form(self) -> &'static str {
        match self {
            Self::Parameter => "{parameter}",
            Self::Variable => "${variable}",
            Self::RequestId => "${request_id}",
            Self::Claim => "${claim:name}",
            Self::Header => "${header:name}",
            Self::Query => "${query:name}",
            Self::WholeQuery => "${query}",
            Self::Reason => "${reason}",
            Self::Route => "${route}",
            Self::Detail => "${detail}",
        }
    }
}

/// Writes the reference as in the configuration.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameter { name, is_open } => {
                let plus = if *is_open { "+" } else { "" };
                write!(f, "{{{name}{plus}}}")
            }
            Self::Variable(name) => write!(f, "${{{name}}}"),
            Self::Claim(name) => write!(f, "${{claim:{name}}}"),
            Self::Header(name) => write!(f, "${{header:{name}}}"),
            Self::Query(name) => write!(f, "${{query:{name}}}"),
            Self::RequestId | Self::WholeQuery | Self::Reason | Self::Route | Self::Detail => {
                f.write_str(self.kind().form())
            }
        }
    }
}
