//! The variables of a configuration and their values.

use std::fmt::Write as _;

use super::given::GivenVariables;
use crate::config::language::Span;
use crate::config::language::nearness::did_you_mean;

/// A variable with the value in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The name, as references have it.
    pub name: Box<str>,
    /// The value in effect.
    pub value: Box<str>,
    /// The origin of the value.
    pub origin: Origin,
}

/// The origin of a value, in the order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `--var`
    Flag,
    /// `SCOPEGATE_VAR_*`
    Environment,
    /// `[variables]`
    File,
}

/// A variable that the file defines.
pub(in crate::config) struct Defined {
    pub(in crate::config) name: String,
    /// The position of the name.
    pub(in crate::config) span: Span,
    pub(in crate::config) value: String,
}

/// The variables that a configuration defines or refers to.
pub(in crate::config) struct Variables {
    list: Vec<Variable>,
    /// The positions of those that the file defines, by their names.
    defined: Vec<(Box<str>, Span)>,
    given: GivenVariables,
    used: Vec<Box<str>>,
}

/// The reason why a reference has no value.
pub(super) enum Unresolved {
    /// No variable has this name. The text suggests another.
    Unknown(String),
    /// The value from outside is empty.
    Empty(String),
    /// The value from outside has a control character.
    Control(String),
    /// The value of the environment is not UTF-8.
    Encoding(String),
}

impl Variable {
    /// Returns the words for the origin of the value: `[variables]`, `--var` or the name of the
    /// environment variable.
    #[must_use]
    pub fn origin_text(&self) -> String {
        self.origin.text(&self.name)
    }
}

impl Origin {
    fn text(self, name: &str) -> String {
        match self {
            Self::Flag => "--var".into(),
            Self::Environment => environment_name(name),
            Self::File => "[variables]".into(),
        }
    }
}

/// Returns the name of the environment variable for a variable.
pub(super) fn environment_name(name: &str) -> String {
    [GivenVariables::PREFIX, &name.to_ascii_uppercase()].concat()
}

impl Variables {
    /// Collects the variables that a file defines, with the values in effect.
    pub(in crate::config) fn new(defined: Vec<Defined>, given: &GivenVariables) -> Self {
        let mut variables = Self {
            list: Vec::new(),
            defined: Vec::new(),
            given: given.clone(),
            used: Vec::new(),
        };
        for Defined { name, span, value } in defined {
            let variable = variables.given_value(&name);
            variables.list.push(variable.unwrap_or_else(|| Variable {
                name: name.as_str().into(),
                value: value.into(),
                origin: Origin::File,
            }));
            variables.defined.push((name.into(), span));
        }
        variables
    }

    /// Returns the variables, those of the file first.
    pub(in crate::config) fn list(&self) -> &[Variable] {
        &self.list
    }

    /// Returns the value of a variable.
    pub(in crate::config) fn value(&self, name: &str) -> Option<&str> {
        let found = self.list.iter().find(|variable| *variable.name == *name);
        found.map(|variable| &*variable.value)
    }

    /// Returns the names and values that do not come from the file, as a text for the hash of the
    /// configuration.
    pub(in crate::config) fn outside(&self) -> String {
        let mut text = String::new();
        for Variable {
            name,
            value,
            origin,
        } in &self.list
        {
            if *origin != Origin::File {
                let _ = write!(text, "\0{name}={value}");
            }
        }
        text
    }

    /// Returns the variable that a reference names. One that only the command line or the
    /// environment knows becomes one of the configuration.
    pub(super) fn resolve(&mut self, name: &str) -> Result<&Variable, Unresolved> {
        let index = match self.list.iter().position(|known| *known.name == *name) {
            Some(index) => index,
            None => self.adopt(name)?,
        };
        self.used.push(name.into());
        let Some(variable) = self.list.get(index) else {
            return Err(Unresolved::Unknown(String::new()));
        };
        check(variable, &self.given)?;
        Ok(variable)
    }

    /// Adds a variable that the file does not define. Returns its index.
    fn adopt(&mut self, name: &str) -> Result<usize, Unresolved> {
        // One environment variable would give its value to two names.
        let mut names = self.list.iter().map(|known| &*known.name);
        if let Some(other) = names.find(|known| known.eq_ignore_ascii_case(name)) {
            return Err(Unresolved::Unknown(format!("; did you mean \"{other}\"?")));
        }
        let Some(variable) = self.given_value(name) else {
            let names = self.list.iter().map(|known| &*known.name);
            return Err(Unresolved::Unknown(did_you_mean(name, names)));
        };
        self.list.push(variable);
        Ok(self.list.len() - 1)
    }

    /// Returns the value of the command line, or else of the environment.
    fn given_value(&self, name: &str) -> Option<Variable> {
        let mut flags = self.given.flags.iter();
        if let Some((_, value)) = flags.find(|(flag, _)| flag == name) {
            return Some(Variable {
                name: name.into(),
                value: value.as_str().into(),
                origin: Origin::Flag,
            });
        }
        let value = self.given.environment.get(&name.to_ascii_uppercase())?;
        Some(Variable {
            name: name.into(),
            value: value.clone().unwrap_or_default().into(),
            origin: Origin::Environment,
        })
    }

    /// Returns the names of `--var` that no variable has, each with a suggestion.
    pub(super) fn unknown_flags(&self) -> Vec<(String, String)> {
        let mut unknown = Vec::new();
        for (flag, _) in &self.given.flags {
            let mut names = self.list.iter().map(|known| &*known.name);
            if names.any(|known| known == flag) {
                continue;
            }
            let lower = flag.to_ascii_lowercase();
            let names = self.list.iter().map(|known| &*known.name);
            unknown.push((flag.clone(), did_you_mean(&lower, names)));
        }
        unknown
    }

    /// Returns the names that `--var` has more than once.
    pub(super) fn repeated_flags(&self) -> Vec<String> {
        let mut repeated = Vec::new();
        for (index, (flag, _)) in self.given.flags.iter().enumerate() {
            let mut before = self.given.flags.iter().take(index);
            if before.any(|(other, _)| other == flag) {
                repeated.push(flag.clone());
            }
        }
        repeated
    }

    /// Returns the variables that the file defines and no value refers to, with their positions.
    pub(super) fn unused(&self) -> impl Iterator<Item = (&str, Span)> {
        let unused = self.defined.iter();
        unused
            .filter(|(name, _)| !self.used.contains(name))
            .map(|(name, span)| (&**name, *span))
    }
}

/// Checks a value from outside. The values of the file are checked where they stand.
fn check(variable: &Variable, given: &GivenVariables) -> Result<(), Unresolved> {
    let origin = variable.origin_text();
    if variable.origin == Origin::Environment {
        let name = variable.name.to_ascii_uppercase();
        if given.environment.get(&name) == Some(&None) {
            return Err(Unresolved::Encoding(origin));
        }
    }
    if variable.value.is_empty() {
        return Err(Unresolved::Empty(origin));
    }
    if variable.value.chars().any(char::is_control) {
        return Err(Unresolved::Control(origin));
    }
    Ok(())
}
