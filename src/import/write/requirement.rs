//! The values of methods.

use super::value::{list, quoted};
use crate::import::plan::Access;

/// Returns the requirement of a method.
pub(super) fn requirement(access: &Access) -> String {
    match access {
        Access::Deny => "{ deny = true }".to_owned(),
        Access::Public => "{ public = true }".to_owned(),
        Access::Authenticated => "{ authenticated = true }".to_owned(),
        Access::All(scopes) => joined("all", "any", scopes),
        Access::Any(scopes) => joined("any", "all", scopes),
    }
}

/// Returns lists of lists of scopes, each under the word that says how they are joined.
fn joined(outer: &str, inner: &str, scopes: &[Vec<String>]) -> String {
    if let [only] = scopes {
        return group(inner, only);
    }
    if scopes.iter().all(|scopes| scopes.len() == 1) {
        let all: Vec<_> = scopes.iter().flatten().collect();
        return format!("{{ {outer} = {} }}", list(&all));
    }
    let groups: Vec<_> = scopes.iter().map(|scopes| group(inner, scopes)).collect();
    format!("{{ {outer} = [{}] }}", groups.join(", "))
}

fn group(word: &str, scopes: &[String]) -> String {
    match scopes {
        [only] => quoted(only),
        several => format!("{{ {word} = {} }}", list(several)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_scope_is_a_text_and_several_say_how_they_are_joined() {
        let scopes = |lists: &[&[&str]]| -> Vec<Vec<String>> {
            let list = |list: &&[&str]| list.iter().map(|s| (*s).to_owned()).collect();
            lists.iter().map(list).collect()
        };
        for (access, expected) in [
            (Access::All(scopes(&[&["a"]])), "\"a\""),
            (
                Access::All(scopes(&[&["a", "b"]])),
                "{ any = [\"a\", \"b\"] }",
            ),
            (
                Access::All(scopes(&[&["a"], &["b"]])),
                "{ all = [\"a\", \"b\"] }",
            ),
            (
                Access::All(scopes(&[&["a"], &["b", "c"]])),
                "{ all = [\"a\", { any = [\"b\", \"c\"] }] }",
            ),
            (
                Access::Any(scopes(&[&["a", "b"]])),
                "{ all = [\"a\", \"b\"] }",
            ),
            (
                Access::Any(scopes(&[&["a", "b"], &["c"]])),
                "{ any = [{ all = [\"a\", \"b\"] }, \"c\"] }",
            ),
        ] {
            assert_eq!(requirement(&access), expected);
        }
    }
}
