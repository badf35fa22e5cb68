//! The configurations that the oracle is asked about. A *layer* is a list of route variants: its
//! configurations are all sets of one, two or three of them, without those that only rename the
//! segments and scopes of another one.

use std::collections::{BTreeSet, HashMap};

/// One route of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Variant {
    path: String,
    /// The name of the group that the route is in, or nothing.
    group: &'static str,
    /// The lines of the route besides its path.
    lines: String,
}

/// The variants of routes, and the requests that are sent to each configuration of them.
pub(crate) struct Layer {
    pub(crate) name: &'static str,
    /// The most routes of a configuration.
    pub(crate) most: usize,
    variants: Vec<Variant>,
    /// For each renaming, the variant that it makes of each one.
    renamings: Vec<Vec<usize>>,
    pub(crate) paths: Vec<String>,
    pub(crate) hosts: &'static [&'static str],
    pub(crate) methods: &'static [&'static str],
    pub(crate) tokens: &'static [Option<&'static [&'static str]>],
}

const NONE: Option<&[&str]> = None;
const S1: Option<&[&str]> = Some(&["s1"]);
const S2: Option<&[&str]> = Some(&["s2"]);
const EMPTY: Option<&[&str]> = Some(&[]);

/// Every token of three scopes, and none.
const ALL_TOKENS: &[Option<&[&str]>] = &[
    NONE,
    EMPTY,
    S1,
    S2,
    Some(&["s3"]),
    Some(&["s1", "s2"]),
    Some(&["s1", "s3"]),
    Some(&["s2", "s3"]),
    Some(&["s1", "s2", "s3"]),
];

impl Layer {
    fn new(name: &'static str, variants: Vec<Variant>, swaps: &[(&str, &str)]) -> Self {
        let variants: Vec<_> = BTreeSet::from_iter(variants).into_iter().collect();
        let numbers: HashMap<_, _> = variants.iter().zip(0..).collect();
        let mut renamings = Vec::new();
        for swap in swaps {
            let renamed = variants
                .iter()
                .map(|variant| numbers[&variant.swapped(*swap)]);
            renamings.push(renamed.collect());
        }
        Self {
            name,
            renamings,
            most: 3,
            paths: Vec::new(),
            hosts: &["z"],
            methods: &["GET", "POST"],
            tokens: &[NONE, S1],
            variants,
        }
    }

    /// Returns the number of requests for each configuration.
    pub(crate) fn requests(&self) -> u64 {
        let each = self.hosts.len() * self.methods.len() * self.tokens.len();
        (self.paths.len() * each) as u64
    }

    /// Returns the number of sets of `routes` variants.
    pub(crate) fn sets(&self, routes: usize) -> u64 {
        binomial(self.variants.len() as u64, routes as u64)
    }

    /// Returns a set of variants by its number; `None` if it only renames another one.
    pub(crate) fn set(&self, routes: usize, number: u64) -> Option<Vec<&Variant>> {
        let own = combination(number, routes as u64);
        for renaming in &self.renamings {
            let mut renamed: Vec<_> = own.iter().map(|index| renaming[*index]).collect();
            renamed.sort_unstable_by(|a, b| b.cmp(a));
            if renamed < own {
                return None;
            }
        }
        Some(own.into_iter().map(|index| &self.variants[index]).collect())
    }
}

fn binomial(n: u64, k: u64) -> u64 {
    (0..k).fold(1, |product, index| {
        product * (n.saturating_sub(index)) / (index + 1)
    })
}

/// Returns the combination of `k` numbers with this rank, the greatest number first.
fn combination(mut rank: u64, k: u64) -> Vec<usize> {
    let mut chosen = Vec::new();
    for left in (1..=k).rev() {
        let (mut low, mut high) = (left - 1, left);
        while binomial(high, left) <= rank {
            (low, high) = (high, high * 2);
        }
        while high - low > 1 {
            let middle = (low + high) / 2;
            if binomial(middle, left) <= rank {
                low = middle;
            } else {
                high = middle;
            }
        }
        rank -= binomial(low, left);
        chosen.push(usize::try_from(low).unwrap());
    }
    chosen
}

impl Variant {
    fn new(path: &str, lines: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            group: "",
            lines: lines.into(),
        }
    }

    /// Exchanges two scopes, or two literals of the path.
    fn swapped(&self, (one, other): (&str, &str)) -> Self {
        let swap = |text: &str| {
            text.replace(one, "\0")
                .replace(other, one)
                .replace('\0', other)
        };
        if one.starts_with('s') {
            let lines = swap(&self.lines);
            return Self {
                lines,
                ..self.clone()
            };
        }
        let segments = self.path.split('/').map(|segment| match segment {
            _ if segment == one => other,
            _ if segment == other => one,
            _ => segment,
        });
        let path = segments.collect::<Vec<_>>().join("/");
        Self {
            path,
            ..self.clone()
        }
    }

    fn toml(&self, header: &str) -> String {
        format!("[[{header}]]\npath = \"{}\"\n{}", self.path, self.lines)
    }
}

/// Returns the routes of a configuration in TOML.
pub(crate) fn toml(routes: &[&Variant]) -> String {
    let mut text = String::new();
    for route in routes.iter().filter(|route| route.group.is_empty()) {
        text += &route.toml("routes");
    }
    let groups: BTreeSet<_> = routes.iter().map(|route| route.group).collect();
    for group in groups.into_iter().filter(|group| !group.is_empty()) {
        text += &format!("[[groups]]\nmethod_fallthrough = {}\n", group != "plain");
        for route in routes.iter().filter(|route| route.group == group) {
            text += &route.toml("groups.routes");
        }
    }
    text
}

/// Returns all paths of routes with at most `depth` segments before the end.
fn patterns(literals: &[&str], depth: usize) -> Vec<String> {
    let mut all = vec!["/".to_owned()];
    let mut stems = vec![String::new()];
    for level in 0..=depth {
        for stem in &stems {
            let ends = if stem.is_empty() {
                &["/{r+}", "/**"][..]
            } else {
                &["", "/", "/{r+}", "/**"]
            };
            all.extend(ends.iter().map(|end| format!("{stem}{end}")));
        }
        let param = format!("{{p{level}}}");
        let segments = literals.iter().copied().chain([&*param]);
        stems = segments
            .flat_map(|s| stems.iter().map(move |stem| format!("{stem}/{s}")))
            .collect();
    }
    all
}

/// Returns all paths of requests with at most `depth` of these segments, with a last slash or not.
fn targets(segments: &[&str], depth: usize) -> Vec<String> {
    let mut all = vec!["/".to_owned()];
    let mut stems = vec![String::new()];
    for _ in 0..depth {
        let next = segments
            .iter()
            .flat_map(|s| stems.iter().map(move |stem| format!("{stem}/{s}")));
        stems = next.collect();
        all.extend(
            stems
                .iter()
                .flat_map(|stem| [stem.clone(), format!("{stem}/")]),
        );
    }
    all
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn product<'t>(paths: &'t [String], lines: &'t [String]) -> impl Iterator<Item = Variant> + 't {
    paths.iter().flat_map(move |path| {
        lines
            .iter()
            .map(move |lines| Variant::new(path, lines.clone()))
    })
}

/// Returns all layers.
pub(crate) fn layers() -> Vec<Layer> {
    vec![
        paths(),
        methods(),
        scopes(),
        readings(),
        hosts(),
        groups(),
        everything(),
    ]
}

/// All paths of up to three segments, each open to GET or closed to tokens without a scope.
fn paths() -> Layer {
    let lines = strings(&[
        "upstream = \"u\"\nmethods = { GET = { public = true } }\n",
        "upstream = \"u\"\nscopes = \"s1\"\n",
    ]);
    let variants = product(&patterns(&["a", "b"], 3), &lines).collect();
    let mut paths = targets(&["a", "b", "c"], 3);
    paths.extend(strings(&[
        "/%61",
        "/a/%62",
        "/A",
        "/a//b",
        "//",
        "/a/%2e./b",
        "/c/C",
        "/%2561",
    ]));
    let mut layer = Layer::new("paths", variants, &[("a", "b")]);
    layer.paths = paths;
    layer
}

/// All sets of methods with their requirements, on paths of which one goes before the next.
fn methods() -> Layer {
    let asks = ["", "{ public = true }", "\"s1\"", "{ deny = true }"];
    let mut lines = Vec::new();
    for number in 1..256_usize {
        let mut map = Vec::new();
        for (index, method) in ["GET", "HEAD", "POST", "ANY"].iter().enumerate() {
            let asked = asks[(number >> (2 * index)) % 4];
            if !asked.is_empty() {
                map.push(format!("{method} = {asked}"));
            }
        }
        let map = map.join(", ");
        lines.push(format!("upstream = \"u\"\nmethods = {{ {map} }}\n"));
        if map.contains("GET") && !map.contains("HEAD") {
            lines.push(format!(
                "upstream = \"u\"\nhead = false\nmethods = {{ {map} }}\n"
            ));
        }
    }
    let paths = strings(&["/a", "/{x}", "/{r+}", "/**"]);
    let mut layer = Layer::new("methods", product(&paths, &lines).collect(), &[]);
    layer.paths = strings(&["/a", "/b", "/a/b", "/A"]);
    layer.methods = &["GET", "HEAD", "POST", "OPTIONS", "PROPFIND"];
    layer.tokens = &[NONE, EMPTY, S1];
    layer
}

/// All requirements of up to three terms over three scopes, at a path and around it.
fn scopes() -> Layer {
    let mut terms = strings(&["\"s1\"", "\"s2\"", "\"s3\""]);
    for set in [
        "\"s1\", \"s2\"",
        "\"s1\", \"s3\"",
        "\"s2\", \"s3\"",
        "\"s1\", \"s2\", \"s3\"",
    ] {
        terms.push(format!("{{ any = [{set}] }}"));
        terms.push(format!("{{ all = [{set}] }}"));
    }
    let mut lists: Vec<String> = terms.clone();
    for first in &terms {
        for second in &terms {
            lists.push(format!("{first}, {second}"));
            lists.extend(
                terms
                    .iter()
                    .map(|third| format!("{first}, {second}, {third}")),
            );
        }
    }
    let mut lines = strings(&[
        "upstream = \"u\"\nauthenticated = true\n",
        "upstream = \"u\"\npublic = true\n",
    ]);
    for list in lists {
        for word in ["any", "all"] {
            lines.push(format!(
                "upstream = \"u\"\nscopes = {{ {word} = [{list}] }}\n"
            ));
        }
    }
    let paths = strings(&["/a", "/**"]);
    let mut layer = Layer::new("scopes", product(&paths, &lines).collect(), &[]);
    layer.paths = strings(&["/a", "/a/", "/b"]);
    layer.methods = &["GET"];
    layer.tokens = ALL_TOKENS;
    layer.most = 2;
    layer
}

/// The spellings of a segment.
const SPELLINGS: &[&str] = &[
    "a", "A", "b", "c", "B.", "a.", "a%20", "%61", "%41", "a;x", "a%3Bx", "a%2Fb", "%2Fa", "a%2F",
    "a%5Cb", "%2561", "%2541", "a%3Fx", "a%23x", "a%2Fb%3F", "a;%2Fb", "a.;x", "..", "%2e%2E",
    "...", "..;x", "x;..", "%252e.", "..%20", "..%3F", "%20", "%3F", "%00", "%zz", "%ff", "A.%20.",
    "a%253Bx",
];

fn spelled() -> Vec<String> {
    let mut all = strings(&[
        "/", "//", "//a", "/a//b", "/a//", "/b//a/", "/a/b/c", "/A/b/C/", "/a/b//c",
    ]);
    for one in SPELLINGS {
        all.extend([format!("/{one}"), format!("/{one}/")]);
        for other in ["a", "c."] {
            all.extend([
                format!("/{one}/{other}"),
                format!("/{other}/{one}"),
                format!("/{one}/{other}/"),
            ]);
        }
    }
    all.extend(strings(&[
        "/A./B;x",
        "/a%2F/A",
        "/a;x/b%3Fc",
        "/A%3Fx/b/",
        "/b/A%2Fb",
        "/a%2Fb/A.",
    ]));
    BTreeSet::from_iter(all).into_iter().collect()
}

const ALLOW: &str = "allow = \
                     [\"encoded-slash\", \"encoded-backslash\", \"double-encoding\", \"empty-segment\", \"matrix\"]\n";

/// Paths that differ in case and in a slash, with all that releases or closes their readings.
fn readings() -> Layer {
    let mut lines = Vec::new();
    for upstream in ["upstream = \"u\"\n", "upstream = \"v\"\n"] {
        for asked in [
            "public = true\n",
            "scopes = \"s1\"\n",
            "methods = { GET = { any = [\"s1\", \"s2\"] } }\n",
            "deny = true\n",
        ] {
            for allow in ["", ALLOW] {
                for distinct in [
                    "",
                    "distinct = \"slash\"\n",
                    "distinct = \"case\"\n",
                    "distinct = [\"slash\", \"case\"]\n",
                ] {
                    lines.push(format!("{upstream}{asked}{allow}{distinct}"));
                }
            }
        }
    }
    lines.push("deny = true\n".to_owned());
    let variants = product(&patterns(&["a", "A", "b"], 2), &lines).collect();
    let mut layer = Layer::new("readings", variants, &[]);
    layer.paths = spelled();
    layer
}

/// Exact hosts, wildcards and none.
fn hosts() -> Layer {
    let mut lines = Vec::new();
    for host in [
        "",
        "host = \"h.x\"\n",
        "host = \"*.x\"\n",
        "host = \"*.h.x\"\n",
    ] {
        for asked in [
            "public = true\n",
            "scopes = \"s1\"\n",
            "methods = { GET = \"s1\" }\n",
        ] {
            lines.push(format!("upstream = \"u\"\n{host}{asked}"));
        }
    }
    let paths = strings(&["/a", "/{x}", "/**"]);
    let mut layer = Layer::new("hosts", product(&paths, &lines).collect(), &[]);
    layer.paths = strings(&["/a", "/b", "/A", "/a/"]);
    layer.hosts = &["h.x", "H.X.", "g.x:80", "x", "z.h.x", "y.z.x", "z"];
    layer
}

/// Groups in which methods fall through, beside routes outside of them.
fn groups() -> Layer {
    let mut variants = Vec::new();
    for path in patterns(&["a", "b"], 2) {
        for asked in [
            "{ GET = \"s1\" }",
            "{ POST = { public = true } }",
            "{ ANY = \"s2\" }",
            "{ GET = { deny = true }, HEAD = \"s1\" }",
        ] {
            for group in ["", "one", "two", "plain"] {
                let lines = format!("upstream = \"u\"\nmethods = {asked}\n");
                variants.push(Variant {
                    group,
                    ..Variant::new(&path, lines)
                });
            }
        }
    }
    let mut layer = Layer::new("groups", variants, &[("a", "b")]);
    layer.paths = targets(&["a", "b", "c"], 2);
    layer
        .paths
        .extend(strings(&["/A", "/a/B/", "/A/c", "/a/b/c"]));
    layer.methods = &["GET", "HEAD", "POST"];
    layer.tokens = &[NONE, S1, S2];
    layer
}

/// All of it at once.
fn everything() -> Layer {
    let mut variants = Vec::new();
    let asked = [
        "public = true\n",
        "authenticated = true\n",
        "deny = true\n",
        "methods = { GET = \"s1\", POST = { any = [\"s1\", { all = [\"s2\", \"s3\"] }] } }\n",
        "scopes = { all = [\"s1\", { any = [\"s2\", \"s3\"] }] }\n",
        "methods = { ANY = \"s2\", POST = { deny = true } }\n",
        "head = false\nmethods = { GET = { public = true } }\n",
    ];
    for path in patterns(&["a", "A", "b"], 3) {
        for asked in asked {
            for host in ["", "host = \"*.x\"\n"] {
                for group in ["", "one", "two"] {
                    for more in [
                        "upstream = \"u\"\n".to_owned(),
                        format!("upstream = \"u\"\n{ALLOW}"),
                        "upstream = \"u\"\ndistinct = [\"case\", \"slash\"]\n".to_owned(),
                        "upstream = \"v\"\n".to_owned(),
                    ] {
                        let lines = format!("{more}{host}{asked}");
                        variants.push(Variant {
                            group,
                            ..Variant::new(&path, lines)
                        });
                    }
                }
            }
        }
    }
    let mut layer = Layer::new("everything", variants, &[]);
    layer.paths = spelled();
    layer.hosts = &["h.x", "z"];
    layer.methods = &["GET", "HEAD", "POST"];
    layer.tokens = &[NONE, S1, Some(&["s2", "s3"])];
    layer
}
