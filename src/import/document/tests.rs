use super::*;

fn read(text: &str) -> Result<Document, DocumentError> {
    Document::read(text.as_bytes())
}

fn root(text: &str) -> Node {
    read(text).unwrap().root
}

fn error(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

/// Shows a value without its places.
fn shown(node: &Node) -> String {
    match &node.kind {
        Kind::Null => "null".to_owned(),
        Kind::Flag(flag) => flag.to_string(),
        Kind::Number(number) => number.to_string(),
        Kind::Text(text) => format!("{text:?}"),
        Kind::List(items) => {
            let items: Vec<_> = items.iter().map(shown).collect();
            format!("[{}]", items.join(","))
        }
        Kind::Map(entries) => {
            let entries = entries
                .iter()
                .map(|entry| format!("{:?}:{}", entry.key, shown(&entry.value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
    }
}

#[test]
fn json_and_yaml_are_the_same_tree() {
    let json = r#"{"a": [1, "1", true, null, -2.5e3], "b": {"200": "x"}}"#;
    let yaml = "a:\n- 1\n- '1'\n- true\n- ~\n- -2.5e3\nb:\n  200: x\n";
    assert_eq!(
        shown(&root(json)),
        r#"{"a":[1,"1",true,null,-2.5e3],"b":{"200":"x"}}"#
    );
    assert_eq!(shown(&root(json)), shown(&root(yaml)));
    assert_eq!(
        shown(&root("a: yes\nb: on\nc: 1.2.3\nd: inf\n")),
        r#"{"a":"yes","b":"on","c":"1.2.3","d":"inf"}"#
    );
}

#[test]
fn escapes_of_json_are_read() {
    let node = root(r#"{"i\/s": "https:\/\/a\/b \u0041 \ud83d\ude00 \\ud83d", "b": 1}"#);
    assert_eq!(
        node.get("i/s").unwrap().text().unwrap(),
        "https://a/b A 😀 \\ud83d"
    );
    assert_eq!(node.entry("b").unwrap().place, Place::new(1, 56));
    assert!(error(r#"{"a": "\ud83d"}"#).starts_with("1:7: neither JSON nor YAML"));
    assert!(error(r#"{"a": "\ude00\ud83d"}"#).starts_with("1:7: neither JSON nor YAML"));
}

#[test]
fn places_are_lines_and_columns_of_the_file() {
    let text = "{\n\t\"é\": \"\\ud83d\\ude00\", \"b\": \"\\uD83D\\uDE00\",\"c\":\n  [1]}";
    let node = root(text);
    let places: Vec<_> = node.entries().iter().map(|e| e.place.to_string()).collect();
    assert_eq!(places, ["2:2", "2:23", "2:43"]);
    assert_eq!(node.get("c").unwrap().items()[0].place.to_string(), "3:4");
    let node = root("\u{feff}a:\n  - b: 1\n");
    let b = node.get("a").unwrap().items()[0].entry("b").unwrap().place;
    assert_eq!(b.to_string(), "2:5");
}

#[test]
fn anchors_aliases_and_merge_keys_are_read() {
    let text =
        "x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz:\n  <<: [*x, *y]\n  a: 0\nw: {<<: *y}\nv: *x\n";
    let node = root(text);
    assert_eq!(shown(node.get("z").unwrap()), r#"{"a":0,"b":2,"c":4}"#);
    assert_eq!(shown(node.get("w").unwrap()), r#"{"b":3,"c":4}"#);
    assert_eq!(node.get("v"), node.get("x"));
    assert_eq!(shown(&root("&k a: 1\nb: *k\n")), r#"{"a":1,"b":"a"}"#);
    assert_eq!(
        error("a: &a [*a]"),
        "1:8: an alias stands inside of its own anchor"
    );
    assert_eq!(error("a: {<<: 1}"), "1:5: \"<<\" merges maps alone");
    assert_eq!(
        error("x: &x {}\na:\n  <<: *x\n  <<: *x\n"),
        "4:3: the key \"<<\" stands here and at 3:3"
    );
}

#[test]
fn short_functions_are_read_as_long_ones() {
    let node = root("a: !Sub 'x${y}'\nb: !If [c, d, !Ref e]\nf: !other {g: 1}\nh: !!str 1\n");
    assert_eq!(
        shown(&node),
        r#"{"a":{"Fn::Sub":"x${y}"},"b":{"Fn::If":["c","d",{"Ref":"e"}]},"f":{"!other":{"g":1}},"h":"1"}"#
    );
    for key in ["a", "b", "f"] {
        assert!(node.get(key).unwrap().intrinsic().is_some(), "{key}");
    }
    assert_eq!(node.get("h").unwrap().intrinsic(), None);
}

#[test]
fn a_key_twice_is_an_error_with_both_places() {
    assert_eq!(
        error("{\"a\": 1,\n \"b\": 2,\n \"b\": 3, \"a\": 4}"),
        "3:2: the key \"b\" stands here and at 2:2"
    );
    assert_eq!(
        error("a: 1\n\"a\": 2\n"),
        "2:1: the key \"a\" stands here and at 1:1"
    );
    assert!(read("a: {b: 1}\nc: {b: 1}\n").is_ok());
}

#[test]
fn nesting_is_bounded() {
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    assert!(read(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(
        error(&nested(MAX_DEPTH + 1)),
        "1:65: more than 64 levels of lists and maps"
    );
    for levels in [300, 5000, 200_000] {
        assert!(error(&nested(levels)).ends_with("more than 64 levels of lists and maps"));
        assert!(error(&"- ".repeat(levels)).ends_with("levels of lists and maps"));
    }
    let half = nested(MAX_DEPTH - 1);
    assert!(read(&format!("a: &a {half}\nb: *a\n")).is_ok());
    assert_eq!(
        error(&format!("a: &a {half}\nb: [*a]\n")),
        "2:5: more than 64 levels of lists and maps"
    );
}

#[test]
fn aliases_are_bounded() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}, ", level - 1).repeat(10);
        text.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    assert!(
        error(&text).ends_with("aliases stand for more than 100000 values"),
        "{}",
        error(&text)
    );
}

#[test]
fn the_file_is_bounded() {
    let fits = format!("a: {}", "x".repeat(MAX_BYTES - 3));
    assert!(read(&fits).is_ok());
    assert_eq!(error(&format!("{fits}x")), "the file has more than 6 MiB");
    let many = format!("[{}]", "0,".repeat(MAX_NODES));
    assert!(error(&many).ends_with("more than 1000000 values"));
}

#[test]
fn what_is_no_single_text_is_an_error() {
    for (text, expected) in [
        ("", "the file is empty"),
        (" \n\t", "the file is empty"),
        ("# nothing\n", "the file is empty"),
        (
            "a: 1\n---\nb: 2\n",
            "2:1: a second document begins: the file may hold one",
        ),
        ("? [a]\n: 1\n", "1:3: a key is a list or a map"),
        ("\"a\\nb\": 1\n", "1:1: a name holds a control character"),
        (
            "{\"a\u{202e}b\": 1}",
            "1:2: a name holds a control character",
        ),
        (
            "{\"a\": \"\\u0007\", \"\\u001b[31m\": 1}",
            "1:17: a name holds a control character",
        ),
    ] {
        assert_eq!(error(text), expected, "{text:?}");
    }
    assert!(
        error("{\"a\": 1").starts_with("2:1: neither JSON nor YAML"),
        "{}",
        error("{\"a\": 1")
    );
    let bytes = b"a: 1\nb: \xff\n";
    assert_eq!(
        Document::read(bytes).unwrap_err().to_string(),
        "2:4: the file is not UTF-8"
    );
}

#[test]
fn a_ref_leads_to_a_node_of_the_document() {
    let text = "a~/b: {c: [{d: 1}]}\nr: {$ref: '#/a~0~1b/c/0'}\ns: {$ref: '#/r'}\nt: {$ref: '#/%72'}\n\
                x: {$ref: '#/y'}\ny: {$ref: '#/x'}\nz: {$ref: 'https://example.com/z'}\n\
                n: {$ref: '#/nowhere'}\nf: {$ref: 'other.yaml#/a'}\n";
    let document = read(text).unwrap();
    let resolve = |key: &str| document.resolve(document.root().get(key).unwrap());
    for key in ["r", "s", "t"] {
        assert_eq!(shown(resolve(key).unwrap()), r#"{"d":1}"#, "{key}");
    }
    for (key, expected) in [
        ("x", "5:4: $ref \"#/y\" leads back to itself"),
        (
            "z",
            "7:4: $ref \"https://example.com/z\" leads to another document, which is not fetched",
        ),
        ("n", "8:4: $ref \"#/nowhere\" leads to nothing"),
        (
            "f",
            "9:4: $ref \"other.yaml#/a\" leads to another document, which is not fetched",
        ),
    ] {
        assert_eq!(resolve(key).unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_merge_key_that_readers_differ_about_is_an_error() {
    for text in [
        "a: &a {x: 1}\nb: {'<<': *a}\n",
        "a: &a {x: 1}\nb: {\"<<\": *a}\n",
        "a: &a {x: 1}\nb:\n  !!merge \"<<\": *a\n",
        "a: &a {x: 1}\nb:\n  !!str <<: *a\n",
        "a: &a {x: 1}\nb:\n  !!merge x: *a\n",
        "{\"b\": {\"<<\": {\"x\": 1}}}",
    ] {
        let error = error(text);
        assert!(error.contains("readers differ"), "{text}: {error}");
    }
    let merged = root("a: &a {x: 1}\nb:\n  !!merge <<: *a\n");
    assert_eq!(merged.find(&["b", "x"]).unwrap().scalar(), Some("1"));
}

#[test]
fn a_tag_is_one_that_the_value_has() {
    for (text, expected) in [
        ("a: !!str 1", r#"{"a":"1"}"#),
        ("a: ! 1", r#"{"a":"1"}"#),
        ("a: !!int 1", r#"{"a":1}"#),
        ("a: !!float 1", r#"{"a":1}"#),
        ("a: !!float 1.5", r#"{"a":1.5}"#),
        ("a: !!bool true", r#"{"a":true}"#),
        ("a: !!null ~", r#"{"a":null}"#),
        ("a: !!seq [!!map {b: 1}]", r#"{"a":[{"b":1}]}"#),
        ("!!str a: 1", r#"{"a":1}"#),
        ("a: !own [1]", r#"{"a":{"!own":[1]}}"#),
        (
            "%TAG ! tag:example.com,2000:\n---\na: !Sub x",
            r#"{"a":{"Fn::Sub":"x"}}"#,
        ),
        (
            "%TAG !! tag:example.com,2000:\n---\na: !!str x",
            r#"{"a":{"!str":"x"}}"#,
        ),
        (
            "a: !<tag:yaml.org,2002:str> x",
            r#"{"a":{"!tag:yaml.org,2002:str":"x"}}"#,
        ),
    ] {
        assert_eq!(shown(&root(text)), expected, "{text}");
    }
    for text in [
        "a: !!binary aGk=",
        "a: !!set {b, c}",
        "a: !!omap [b: 1]",
        "a: !!int x",
        "a: !!bool 'true'",
        "a: !!null x",
        "a: !!str [b]",
        "a: !!seq {b: 1}",
        "a: !!map [b]",
        "!!int a: 1",
        "%TAG ! tag:yaml.org,2002:\n---\na: !If [c, [], []]",
        "%TAG !e! tag:yaml.org,2002:\n---\na: !e!Ref x",
    ] {
        let error = error(text);
        assert!(error.contains("cannot have the tag"), "{text}: {error}");
    }
}

// A large map is looked up by the order of its keys.
#[test]
fn a_map_finds_its_keys_whatever_its_size() {
    for size in [1, 15, 16, 17, 200] {
        let mut text = String::from("{");
        for number in (0..size).rev() {
            text.push_str(&format!("\"k{number}\": {number},"));
        }
        let node = root(&format!("{}}}", text.trim_end_matches(',')));
        for number in 0..size {
            let found = node.get(&format!("k{number}")).unwrap().scalar();
            assert_eq!(found, Some(&*number.to_string()));
        }
        assert!(node.get("k").is_none() && node.get("z").is_none() && node.get("").is_none());
        assert_eq!(&*node.entries()[0].key, format!("k{}", size - 1));
    }
}

#[test]
fn what_is_written_elsewhere_is_found_at_any_depth() {
    for (text, expected) in [
        ("a: {b: [1, {c: !Ref x}]}", Some("Ref")),
        ("a: {b: {$ref: '#/c'}}", Some("$ref")),
        ("a: {Fn::Transform: x, b: 1}", Some("Fn::Transform")),
        ("a: {b: [1, {c: Ref}]}", None),
    ] {
        assert_eq!(root(text).unresolved(), expected, "{text}");
    }
}

#[test]
fn a_line_break_of_some_readers_alone_is_an_error() {
    for char in ['\u{85}', '\u{2028}', '\u{2029}'] {
        for (text, place) in [
            (format!("a: b #{char}c: d\n"), "1:7"),
            (format!("é: 'ü'\r\na: b{char}\n"), "2:5"),
            (format!("a: |\n  b{char}c\n"), "2:4"),
            (format!("- a{char}- b\n"), "1:4"),
            (format!("a: '{char}' #{char}\n"), "1:9"),
            (
                format!("{{\"a\": \"\\ud83d\\ude00\", \"b\": \"{char}\"}} #{char}"),
                "1:34",
            ),
        ] {
            let found = error(&text);
            assert!(
                found.starts_with(&format!("{place}: a line break that readers")),
                "{text:?}: {found}"
            );
        }
        for text in [
            format!("{{\"a\": \"b{char}c\"}}"),
            format!("{{x: 'it''s {char}', \"y\": \"\\\"{char}\", ? a : \"b{char}c\"}}"),
            format!("\u{feff}é: 'ü'\n'a': 'b{char}c' # d\n"),
            format!("\u{feff}{{\"a\": \"b{char}c\"}}\n"),
        ] {
            let expected = format!("b{char}c");
            let tree = root(&text);
            assert_eq!(tree.get("a").unwrap().text(), Some(&*expected), "{text:?}");
        }
    }
}
