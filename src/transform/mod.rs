//! The changes that a route makes to requests and answers: CORS, header rules and the rewritten
//! path, the templates of their texts, and the names of fields as upstreams read them.

mod cors;
mod field_names;
#[cfg(test)]
mod fuzz;
mod header_rules;
mod impersonation;
mod origin;
mod query_rewrite;
mod respond;
mod rewrite;
mod rewrite_error;
mod template;

pub use cors::{Cors, FieldNames, Origins, Preflight, origin_of};
pub use field_names::{FieldPattern, FieldSet, is_twin};
pub use header_rules::{Direction, FieldTemplate, HeaderRuleError, HeaderRules, header_rule_value};
pub use impersonation::{Meaning, is_impersonation, is_impersonation_in_trailers, meaning};
pub use origin::{Origin, OriginError};
pub use query_rewrite::QueryRewrite;
pub use respond::{Respond, RespondField, is_url};
pub use rewrite::Rewrite;
pub use rewrite_error::RewriteError;
pub use template::{
    Escape, Facts, Part, Place, Reference, ReferenceKind, RenderError, Template, TemplateError,
    TemplateFault, Value, has_parameter, is_reserved, is_variable_name, parameter,
};
