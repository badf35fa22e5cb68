//! The route table: hosts, then a tree of path segments, then methods. The most specific rule wins; the order of
//! the file never decides.

use std::collections::BTreeMap;
use std::collections::HashMap;

use foldhash::fast::RandomState;
use http::Method;

use super::path::decode;
use super::{ANY, HostPattern, MethodPattern, Pattern, Segment, Tail, Target, host};

/// One line of the table: for which requests `value` speaks.
#[derive(Debug)]
pub struct Rule<T> {
    /// The host it is for; `None` for every host that no other rule names.
    pub host: Option<HostPattern>,
    /// The path.
    pub pattern: Pattern,
    /// The method.
    pub method: MethodPattern,
    /// Whether a method that is missing here is looked for in less specific patterns of such rules.
    pub method_fallthrough: bool,
    /// What the table gives out.
    pub value: T,
}

/// A compiled table.
#[derive(Debug)]
pub struct Table<T> {
    rules: Vec<Rule<T>>,
    exact: HashMap<Box<str>, Node, RandomState>,
    wildcard: HashMap<Box<str>, Node, RandomState>,
    rest: Node,
}

/// Two rules with the same host, method and pattern: the indices of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict(pub usize, pub usize);

/// Why no rule speaks for a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Miss<'t, T> {
    /// No pattern matches the path: 404.
    NotFound,
    /// The path is there for other methods: 405.
    Method {
        /// The value of `Allow` (RFC 9110 §10.2.1).
        allow: &'t str,
        /// A rule of the pattern that would have matched.
        nearest: &'t T,
    },
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, Node, RandomState>,
    param: Option<Box<Node>>,
    here: Option<Leaf>,
    rest: Option<Leaf>,
    subtree: Option<Leaf>,
}

/// The rules of one pattern.
#[derive(Debug, Default)]
struct Leaf {
    rules: Vec<usize>,
    fallthrough: bool,
    allow: Box<str>,
}

impl<T> Default for Table<T> {
    /// A table without a rule.
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            exact: HashMap::default(),
            wildcard: HashMap::default(),
            rest: Node::default(),
        }
    }
}

impl<T> Table<T> {
    /// Compiles a table.
    ///
    /// # Errors
    /// The first [`Conflict`].
    pub fn new(rules: Vec<Rule<T>>) -> Result<Self, Conflict> {
        let mut table = Self { rules, ..Self::default() };
        for index in 0..table.rules.len() {
            table.insert(index)?;
        }
        let rules = &table.rules;
        for root in table.exact.values_mut().chain(table.wildcard.values_mut()).chain([&mut table.rest]) {
            root.finish(rules);
        }
        Ok(table)
    }

    /// The rule that speaks for a request.
    ///
    /// # Errors
    /// [`Miss`]
    pub fn find<'t>(&'t self, target: &Target<'_>) -> Result<&'t T, Miss<'t, T>> {
        let root = self.root(target.host);
        let mut search = Search { rules: &self.rules, method: target.method, passed: None, halted: false };
        let path = target.path.strip_prefix('/').unwrap_or(target.path);
        if let Some(index) = root.find(Some(path), &mut search)
            && let Some(rule) = self.rules.get(index)
        {
            return Ok(&rule.value);
        }
        match search.passed.and_then(|leaf| Some((leaf, self.rules.get(*leaf.rules.first()?)?))) {
            Some((leaf, nearest)) => Err(Miss::Method { allow: &leaf.allow, nearest: &nearest.value }),
            None => Err(Miss::NotFound),
        }
    }

    /// Every rule, the one that wins over another before it: by host, then by path, then by method.
    #[must_use]
    pub fn in_match_order(&self) -> Vec<&Rule<T>> {
        let sorted = |map: &HashMap<Box<str>, Node, RandomState>, order: &mut Vec<usize>| {
            map.iter().collect::<BTreeMap<_, _>>().into_values().for_each(|root| root.collect(order));
        };
        let mut order = Vec::with_capacity(self.rules.len());
        sorted(&self.exact, &mut order);
        sorted(&self.wildcard, &mut order);
        self.rest.collect(&mut order);
        order.into_iter().filter_map(|index| self.rules.get(index)).collect()
    }

    /// The first host that has any rule is final.
    fn root(&self, host: Option<&str>) -> &Node {
        if self.exact.is_empty() && self.wildcard.is_empty() {
            return &self.rest;
        }
        let Some(name) = host.and_then(host::normalize) else { return &self.rest };
        let wildcard = || self.wildcard.get(name.split_once('.')?.1);
        self.exact.get(&name).or_else(wildcard).unwrap_or(&self.rest)
    }

    fn insert(&mut self, index: usize) -> Result<(), Conflict> {
        let Some(rule) = self.rules.get(index) else { return Ok(()) };
        let mut node = match &rule.host {
            None => &mut self.rest,
            Some(HostPattern::Exact(name)) => self.exact.entry(name.clone()).or_default(),
            Some(HostPattern::Wildcard(name)) => self.wildcard.entry(name.clone()).or_default(),
        };
        for segment in rule.pattern.segments() {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::Param(_) => node.param.get_or_insert_default(),
            };
        }
        let leaf = match rule.pattern.tail() {
            None => node.here.get_or_insert_default(),
            Some(Tail::Rest(_)) => node.rest.get_or_insert_default(),
            Some(Tail::Subtree) => node.subtree.get_or_insert_default(),
        };
        let same = |other: &&usize| self.rules.get(**other).is_some_and(|other| other.method == rule.method);
        if let Some(other) = leaf.rules.iter().find(same) {
            return Err(Conflict(*other, index));
        }
        leaf.rules.push(index);
        Ok(())
    }
}

impl Node {
    /// Depth first, the most specific child first. Every step goes one segment down both the tree and the path, so a
    /// node is visited at most once: the work is bounded by the table, whatever the path (R08).
    fn find<'t, T>(&'t self, path: Option<&str>, search: &mut Search<'t, '_, T>) -> Option<usize> {
        let Some(path) = path else {
            // `/admin/**` takes `/admin`, too.
            return search.consider(self.here.as_ref()).or_else(|| search.consider(self.subtree.as_ref()));
        };
        let (segment, below) =
            path.split_once('/').map_or((path, None), |(segment, below)| (segment, Some(below)));
        let segment = decode(segment);
        if let Some(node) = self.literals.get(&*segment)
            && let Some(found) = node.find(below, search)
        {
            return Some(found);
        }
        if !segment.is_empty() {
            if let Some(node) = &self.param
                && let Some(found) = node.find(below, search)
            {
                return Some(found);
            }
            if let Some(found) = search.consider(self.rest.as_ref()) {
                return Some(found);
            }
        }
        search.consider(self.subtree.as_ref())
    }

    fn finish<T>(&mut self, rules: &[Rule<T>]) {
        for leaf in [&mut self.here, &mut self.rest, &mut self.subtree].into_iter().flatten() {
            leaf.finish(rules);
        }
        self.literals.values_mut().chain(self.param.as_deref_mut()).for_each(|node| node.finish(rules));
    }

    fn collect(&self, order: &mut Vec<usize>) {
        let leaf = |leaf: &Option<Leaf>, order: &mut Vec<usize>| {
            order.extend(leaf.iter().flat_map(|leaf| &leaf.rules));
        };
        leaf(&self.here, order);
        let sorted: BTreeMap<_, _> = self.literals.iter().collect();
        sorted.into_values().chain(self.param.as_deref()).for_each(|node| node.collect(order));
        leaf(&self.rest, order);
        leaf(&self.subtree, order);
    }
}

impl Leaf {
    /// Methods before `ANY`, so that the first that fits is the right one.
    fn finish<T>(&mut self, rules: &[Rule<T>]) {
        let key = |index: &usize| match rules.get(*index).map(|rule| &rule.method) {
            Some(MethodPattern::One(method)) => (false, method.to_string()),
            _ => (true, String::new()),
        };
        self.rules.sort_by_cached_key(key);
        let own = || self.rules.iter().filter_map(|index| rules.get(*index));
        self.fallthrough = own().all(|rule| rule.method_fallthrough);
        self.allow = allow(own().map(|rule| &rule.method)).into();
    }

    fn rule_for<T>(&self, method: &Method, rules: &[Rule<T>]) -> Option<usize> {
        let named = |wanted: &Method| {
            let fits = |index: &&usize| {
                rules
                    .get(**index)
                    .is_some_and(|rule| matches!(&rule.method, MethodPattern::One(one) if one == wanted))
            };
            self.rules.iter().find(fits).copied()
        };
        let any = || {
            let last = *self.rules.last()?;
            let is_any = rules.get(last)?.method == MethodPattern::Any;
            (is_any && ANY.contains(method)).then_some(last)
        };
        let head = || if *method == Method::HEAD { named(&Method::GET) } else { None };
        named(method).or_else(head).or_else(any)
    }
}

/// The value of `Allow`: `HEAD` follows `GET`, `ANY` is spelled out.
fn allow<'m>(methods: impl Iterator<Item = &'m MethodPattern>) -> String {
    let mut names: Vec<&str> = Vec::new();
    for method in methods {
        match method {
            MethodPattern::One(method) if *method == Method::GET => names.extend(["GET", "HEAD"]),
            MethodPattern::One(method) => names.push(method.as_str()),
            MethodPattern::Any => names.extend(ANY.iter().map(Method::as_str)),
        }
    }
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

/// The state of one look-up.
struct Search<'t, 'r, T> {
    rules: &'t [Rule<T>],
    method: &'r Method,
    /// The most specific pattern that matched without the method.
    passed: Option<&'t Leaf>,
    /// Set when that pattern lets nothing less specific speak for it.
    halted: bool,
}

impl<'t, T> Search<'t, '_, T> {
    fn consider(&mut self, leaf: Option<&'t Leaf>) -> Option<usize> {
        let leaf = leaf?;
        // Only rules of groups that fall through may take what another such group passed over: a scoped `GET /admin`
        // there must not open `POST /admin` to somebody else's public `/**`.
        if self.halted || (self.passed.is_some() && !leaf.fallthrough) {
            return None;
        }
        let found = leaf.rule_for(self.method, self.rules);
        if found.is_none() && self.passed.is_none() {
            self.passed = Some(leaf);
            self.halted = !leaf.fallthrough;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Uri, Version, header};

    use super::*;

    fn table(rules: &[&str], fallthrough: bool) -> Table<String> {
        let rule = |text: &&str| {
            let (method, rest) = text.split_once(' ').unwrap();
            let (host, path) = rest.split_at(rest.find('/').unwrap());
            Rule {
                host: (!host.is_empty()).then(|| HostPattern::parse(host).unwrap()),
                pattern: Pattern::parse(path).unwrap(),
                method: MethodPattern::parse(method).unwrap(),
                method_fallthrough: fallthrough,
                value: (*text).to_owned(),
            }
        };
        Table::new(rules.iter().map(rule).collect()).unwrap()
    }

    fn find(table: &Table<String>, request: &str) -> String {
        let (method, rest) = request.split_once(' ').unwrap();
        let (host, path) = rest.split_at(rest.find('/').unwrap());
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let uri: Uri = path.parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, if host.is_empty() { "h" } else { host }.parse().unwrap());
        let target = Target::parse((&method, &uri, Version::HTTP_11), &headers, 8192).unwrap();
        match table.find(&target) {
            Ok(value) => value.clone(),
            Err(Miss::NotFound) => "404".to_owned(),
            Err(Miss::Method { allow, .. }) => format!("405 {allow}"),
        }
    }

    #[test]
    fn the_most_specific_pattern_wins_whatever_the_order() {
        let table = table(
            &[
                "GET /**",
                "GET /{rest+}",
                "GET /a/{x}",
                "GET /a/b",
                "GET /a/{x}/c",
                "GET /a/b/{rest+}",
                "GET /a/b/",
            ],
            false,
        );
        for (request, rule) in [
            ("GET /", "GET /**"),
            ("GET /x", "GET /{rest+}"),
            ("GET /a", "GET /{rest+}"),
            ("GET /a/", "GET /{rest+}"),
            ("GET /a/b", "GET /a/b"),
            ("GET /a/%62", "GET /a/b"),
            ("GET /a/b/", "GET /a/b/"),
            ("GET /a/z", "GET /a/{x}"),
            ("GET /a/b/c", "GET /a/b/{rest+}"),
            ("GET /a/z/c", "GET /a/{x}/c"),
            ("GET /a/z/d", "GET /{rest+}"),
        ] {
            assert_eq!(find(&table, request), rule, "{request}");
        }
    }

    // R02: prefixes match on segment boundaries alone.
    #[test]
    fn a_subtree_takes_its_root_and_everything_below() {
        let table = table(&["GET /admin/**", "GET /files/{rest+}"], false);
        for (request, rule) in [
            ("GET /admin", "GET /admin/**"),
            ("GET /admin/", "GET /admin/**"),
            ("GET /admin/a/b", "GET /admin/**"),
            ("GET /administrator", "404"),
            ("GET /files", "404"),
            ("GET /files/", "404"),
            ("GET /files/a/", "GET /files/{rest+}"),
        ] {
            assert_eq!(find(&table, request), rule, "{request}");
        }
    }

    // R01, R06.
    #[test]
    fn a_path_that_exists_for_other_methods_is_405_and_opens_nothing() {
        let table = table(&["GET /admin", "DELETE /admin", "ANY /**"], false);
        assert_eq!(find(&table, "GET /admin"), "GET /admin");
        assert_eq!(find(&table, "HEAD /admin"), "GET /admin");
        assert_eq!(find(&table, "POST /admin"), "405 DELETE, GET, HEAD");
        assert_eq!(find(&table, "OPTIONS /admin"), "405 DELETE, GET, HEAD");
        assert_eq!(find(&table, "get /admin"), "405 DELETE, GET, HEAD");
        assert_eq!(find(&table, "POST /x"), "ANY /**");
        assert_eq!(find(&table, "BREW /x"), "405 DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT");
    }

    // api-gateway.md §2.6 P5.
    #[test]
    fn api_gateways_first_recorded_set_matches_under_fallthrough() {
        let table = table(&["POST /test", "ANY /test/any", "OPTIONS /{proxy+}"], true);
        assert_eq!(find(&table, "OPTIONS /test"), "OPTIONS /{proxy+}");
        assert_eq!(find(&table, "POST /test"), "POST /test");
        assert_eq!(find(&table, "OPTIONS /test/any"), "ANY /test/any");
        assert_eq!(find(&table, "GET /test"), "405 POST");
    }

    #[test]
    fn what_one_group_passes_over_no_other_takes() {
        let mut rules = Vec::new();
        for (path, fallthrough) in [("/admin", true), ("/**", false)] {
            rules.push(Rule {
                host: None,
                pattern: Pattern::parse(path).unwrap(),
                method: if fallthrough { MethodPattern::One(Method::GET) } else { MethodPattern::Any },
                method_fallthrough: fallthrough,
                value: path.to_owned(),
            });
        }
        let table = Table::new(rules).unwrap();
        assert_eq!(find(&table, "POST /admin"), "405 GET, HEAD");
        assert_eq!(find(&table, "POST /other"), "/**");
    }

    // attacks.md row 6.
    #[test]
    fn the_first_host_that_has_any_route_is_final() {
        let table = table(&["GET a.x/1", "GET *.x/2", "GET /3"], false);
        assert_eq!(find(&table, "GET A.X./1"), "GET a.x/1");
        assert_eq!(find(&table, "GET a.x:443/2"), "404");
        assert_eq!(find(&table, "GET b.x/2"), "GET *.x/2");
        assert_eq!(find(&table, "GET c.b.x/2"), "404");
        assert_eq!(find(&table, "GET b.x/3"), "404");
        assert_eq!(find(&table, "GET x/3"), "GET /3");
    }

    #[test]
    fn equal_rules_conflict_and_the_order_of_matching_can_be_listed() {
        let rule = |path: &str| Rule {
            host: None,
            pattern: Pattern::parse(path).unwrap(),
            method: MethodPattern::Any,
            method_fallthrough: false,
            value: (),
        };
        assert_eq!(Table::new(vec![rule("/a/{x}"), rule("/b"), rule("/a/{y}")]).unwrap_err(), Conflict(0, 2));
        let table = table(&["GET /**", "ANY /b/{x}", "GET /b/{x}", "GET /b/c", "GET h/z", "GET /b"], false);
        let order: Vec<_> = table.in_match_order().iter().map(|rule| rule.value.as_str()).collect();
        assert_eq!(order, ["GET h/z", "GET /b", "GET /b/c", "GET /b/{x}", "ANY /b/{x}", "GET /**"]);
    }

    // R08.
    #[test]
    fn a_long_path_visits_each_node_once() {
        let params: String = (0..20).map(|n| format!("{{p{n}}}/")).collect();
        let deep = format!("GET /{params}z");
        let table = table(&[&deep, "GET /a/**"], false);
        assert_eq!(find(&table, &format!("GET /{}", "a/".repeat(4000))), "GET /a/**");
    }

    // R08: what a look-up costs is up to the path and not to how many routes there are.
    #[test]
    fn ten_thousand_routes_are_as_quick_as_one() {
        let names: Vec<_> = (0..10_000).map(|n| format!("GET /r{n}/{{id}}/x")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).chain(["GET /a/**"]).collect();
        let table = table(&names, false);
        for (request, rule) in [
            ("GET /r9999/1/x".to_owned(), "GET /r9999/{id}/x"),
            ("GET /r9999/1/y".to_owned(), "404"),
            (format!("GET /a/{}", "../".repeat(2600)), "GET /a/**"),
            (format!("GET /r5000/{}", "a/".repeat(4000)), "404"),
        ] {
            let took = (0..20).map(|_| {
                let began = crate::clock::monotonic();
                assert_eq!(find(&table, &request), rule);
                crate::clock::monotonic().saturating_duration_since(began)
            });
            // A tenth of it in a release build; one by one, ten thousand routes are many times as much.
            let least = took.min().unwrap_or_default();
            assert!(least < std::time::Duration::from_millis(10), "{request:.20} took {least:?}");
        }
    }
}
