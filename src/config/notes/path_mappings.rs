//! The mappings from the paths of clients to those of an upstream, and back.

use std::collections::{HashMap, HashSet};

use super::rewritten_path::{RewrittenPath, RewrittenSegment};
use crate::config::Route;

/// The mappings of the routes to one upstream, each of them once.
#[derive(Debug, Default)]
pub(super) struct PathMappings<'c> {
    /// The mappings, in the order of the routes.
    all: Vec<PathMapping<'c>>,
    known: HashSet<PathMapping<'c>>,
    /// The indices of the mappings by which an upstream gets any path.
    general: Vec<usize>,
    /// The indices of the rewrites. A file may have thousands, each to a path of its own.
    rewrites: Node,
}

/// The mapping from the client's path to the upstream's path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum PathMapping<'c> {
    Unchanged,
    Strip(&'c str),
    Rewrite(RewrittenPath<'c>),
}

/// The rewrites whose upstream paths begin with the same segments.
#[derive(Debug, Default)]
struct Node {
    /// The nodes behind a literal, by its percent-encoded text.
    literals: HashMap<String, Node>,
    /// The node behind a segment with values.
    values: Option<Box<Node>>,
    /// The rewrites that end here.
    exact: Vec<usize>,
    /// The rewrites that end here with an open end.
    open: Vec<usize>,
}

impl<'c> PathMappings<'c> {
    /// Adds the mapping of a route.
    pub(super) fn insert(&mut self, route: &'c Route) {
        let Some(mapping) = PathMapping::of(route) else {
            return;
        };
        if !self.known.insert(mapping.clone()) {
            return;
        }
        let index = self.all.len();
        match &mapping {
            PathMapping::Unchanged | PathMapping::Strip(_) => self.general.push(index),
            PathMapping::Rewrite(path) => self.rewrites.insert(path, index),
        }
        self.all.push(mapping);
    }

    /// Returns whether a path may reach the upstream as another one.
    pub(super) fn change_paths(&self) -> bool {
        self.all != [PathMapping::Unchanged]
    }

    /// Returns the client's paths for which the upstream gets `upstream_path`, and perhaps others,
    /// in the order of the routes.
    pub(super) fn paths_for(&self, upstream_path: &str) -> Vec<String> {
        let mut found = self.general.clone();
        if let Some(path) = upstream_path.strip_prefix('/') {
            let segments: Vec<_> = path.split('/').collect();
            self.rewrites.collect(&segments, &mut found);
        }
        found.sort_unstable();
        let mappings = found.into_iter().filter_map(|index| self.all.get(index));
        mappings
            .flat_map(|mapping| mapping.paths_for(upstream_path))
            .collect()
    }
}

impl<'c> PathMapping<'c> {
    fn of(route: &'c Route) -> Option<Self> {
        Some(match (&route.heads.rewrite, &route.strip) {
            (Some(rewrite), _) => Self::Rewrite(RewrittenPath::of(&route.pattern, rewrite)?),
            (None, Some(prefix)) => Self::Strip(prefix),
            (None, None) => Self::Unchanged,
        })
    }

    /// Returns the client's paths for which the upstream gets `upstream_path`, and perhaps others.
    fn paths_for(&self, upstream_path: &str) -> Vec<String> {
        let path = match self {
            Self::Unchanged => Some(upstream_path.to_owned()),
            Self::Strip(prefix) => Some(format!("{prefix}{upstream_path}")),
            Self::Rewrite(path) => path.invert(upstream_path),
        };
        let mut paths: Vec<String> = path.into_iter().collect();
        // A prefix, or the root of a subtree, is forwarded as "/" with and without its slash.
        if let Some(root) = paths.first().and_then(|path| path.strip_suffix('/'))
            && upstream_path == "/"
            && !root.is_empty()
        {
            paths.push(root.to_owned());
        }
        paths
    }
}

impl Node {
    fn insert(&mut self, path: &RewrittenPath<'_>, index: usize) {
        let mut node = self;
        for segment in &path.segments {
            node = match segment {
                RewrittenSegment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                RewrittenSegment::Values(_) => node.values.get_or_insert_default(),
            };
        }
        match path.is_open {
            false => node.exact.push(index),
            true => node.open.push(index),
        }
    }

    /// Appends the rewrites that may make a path of these segments.
    fn collect(&self, segments: &[&str], found: &mut Vec<usize>) {
        found.extend(&self.open);
        let Some((first, rest)) = segments.split_first() else {
            found.extend(&self.exact);
            return;
        };
        if let Some(node) = self.literals.get(*first) {
            node.collect(rest, found);
        }
        if let Some(node) = &self.values {
            node.collect(rest, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample_path::push;
    use super::*;
    use crate::config::Config;
    use crate::route::{Draw, Numbers};

    const HEAD: &str = "[upstreams.u]\nurl = \"http://u\"\n[defaults]\nupstream = \"u\"\n";

    fn config(routes: &str) -> Config {
        let config = Config::parse(&format!("{HEAD}{routes}"), "gateway.toml");
        config.unwrap_or_else(|problems| panic!("{}", problems.render(false)))
    }

    fn mappings(config: &Config) -> PathMappings<'_> {
        let mut mappings = PathMappings::default();
        for route in &config.routes {
            mappings.insert(route);
        }
        mappings
    }

    fn path(numbers: &mut Numbers, segments: &[&str]) -> String {
        let mut path = String::new();
        for _ in 0..=numbers.below(3) {
            push(&mut path, numbers.one_of::<&str>(segments));
        }
        path
    }

    /// Returns a route of its own path, of which some have a rewrite and some lose a prefix.
    fn route(numbers: &mut Numbers, index: usize) -> String {
        let tail = *numbers.one_of(&["", "/{rest+}", "/**"]);
        let rewrite = path(numbers, &["a", "b", "a%20b", "{p}", "{q}", "x-{p}"]);
        let rewrite = match rewrite
            .matches("{p}")
            .count()
            .max(rewrite.matches("{q}").count())
        {
            0 | 1 => rewrite,
            _ => "/a".to_owned(),
        };
        let end = *numbers.one_of(&["", tail]);
        let table =
            format!("path = \"/r{index}/{{p}}/{{q}}{tail}\"\npublic = true\nmethods = \"ANY\"\n");
        match numbers.below(8) {
            0 => format!("[[routes]]\n{table}"),
            1 => format!(
                "[[groups]]\nprefix = \"/g{}\"\n[[groups.routes]]\n{table}",
                index % 2
            ),
            _ => format!("[[routes]]\n{table}rewrite = \"{rewrite}{end}\"\n"),
        }
    }

    // Each mapping for itself is the definition, and takes too long for thousands of rewrites.
    #[test]
    fn the_paths_are_those_of_every_mapping() {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        for _ in 0..60 {
            let mut routes = String::new();
            for index in 0..numbers.below(30) {
                let text = route(&mut numbers, index);
                match text.starts_with("[[routes]]") {
                    // Routes of groups stand last.
                    true => routes.insert_str(0, &text),
                    false => routes.push_str(&text),
                }
            }
            routes.push_str("[[routes]]\npath = \"/\"\npublic = true\nmethods = \"ANY\"\n");
            let config = config(&routes);
            let mappings = mappings(&config);
            for _ in 0..30 {
                let asked = path(&mut numbers, &["a", "b", "a%20b", "~", "c", ""]);
                for asked in [asked.as_str(), "/", ""] {
                    let all = mappings.all.iter();
                    let expected: Vec<_> = all.flat_map(|one| one.paths_for(asked)).collect();
                    assert_eq!(mappings.paths_for(asked), expected, "{asked} {routes}");
                }
            }
        }
    }

    #[test]
    fn a_rewrite_to_another_path_is_not_looked_at() {
        let mut routes = String::new();
        for index in 0..500 {
            routes.push_str(&format!(
                "[[routes]]\npath = \"/p{index}\"\npublic = true\nmethods = [\"GET\"]\n\
                 rewrite = \"/internal/{index}\"\n"
            ));
        }
        let config = config(&routes);
        let mappings = mappings(&config);
        let mut found = Vec::new();
        mappings.rewrites.collect(&["internal", "7"], &mut found);
        assert_eq!(found, [7]);
        assert_eq!(mappings.paths_for("/internal/7"), ["/p7"]);
    }
}
