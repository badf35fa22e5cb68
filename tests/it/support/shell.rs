//! The parts of a shell and of curl that the first text of `scopegate dev` uses, so that its lines
//! run on machines without them. An unknown part is an error and never skipped.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Answer, Client, Request, raw};

/// A shell with one variable, `TOKEN`.
#[derive(Default)]
pub(crate) struct Shell {
    pub(crate) token: String,
}

impl Shell {
    /// Runs a line. Returns the answer to a call, or nothing if the line sets the variable.
    #[track_caller]
    pub(crate) fn run(&mut self, line: &str) -> Option<Answer> {
        if let Some(value) = line.strip_prefix("TOKEN=") {
            self.token = self.words(value).join(" ");
            return None;
        }
        let call = Call::of(&self.words(line));
        Some(Client::connect(call.authority.parse().unwrap()).send(&call.request()))
    }

    /// Splits a line into words, with all substitutions replaced.
    #[track_caller]
    fn words(&self, line: &str) -> Vec<String> {
        let mut words = vec![None::<String>];
        let mut rest = line;
        let mut quoted = false;
        while let Some(c) = rest.chars().next() {
            let last = words.last_mut().unwrap();
            let mut push = |text: &str| last.get_or_insert_default().push_str(text);
            let after = &rest[c.len_utf8()..];
            rest = after;
            match c {
                '"' => {
                    push("");
                    quoted = !quoted;
                }
                '\'' if !quoted => {
                    let (text, after) = after.split_once('\'').expect("a quote ends");
                    push(text);
                    rest = after;
                }
                '\\' if !quoted => {
                    push(&after[..1]);
                    rest = &after[1..];
                }
                '$' if after.starts_with("TOKEN") => {
                    push(&self.token);
                    rest = &after["TOKEN".len()..];
                }
                '$' => {
                    let inside = after.strip_prefix('(').expect("a command is substituted");
                    let end = end_of_substitution(inside);
                    push(&self.output(&inside[..end]));
                    rest = &inside[end + 1..];
                }
                ' ' if !quoted => words.push(None),
                other if quoted || !"|&;<>()`*?[]#~!{}".contains(other) => push(&other.to_string()),
                other => panic!("a bare {other:?} in {line}"),
            }
        }
        assert!(!quoted, "a quote ends: {line}");
        words.into_iter().flatten().collect()
    }

    /// Returns the output of a command, a call that is piped to `cut`, without its last line end.
    #[track_caller]
    fn output(&self, command: &str) -> String {
        let (call, cut) = command.rsplit_once(" | ").expect("a call and a cut");
        let call = Call::of(&self.words(call));
        let answer = raw(
            call.authority.parse().unwrap(),
            &call.request().field("Connection", "close").bytes(),
        );
        let (_, body) = answer.split_once("\r\n\r\n").expect("there is an answer");
        let cut = self.words(cut);
        let [name, "-d", delimiter, "-f", field] = [0, 1, 2, 3, 4].map(|n| cut[n].as_str()) else {
            panic!("another cut: {cut:?}");
        };
        assert_eq!((name, cut.len()), ("cut", 5));
        let found = body
            .trim_end()
            .split(delimiter)
            .nth(field.parse::<usize>().unwrap() - 1);
        found
            .unwrap_or_else(|| panic!("no field {field} in {answer}"))
            .to_owned()
    }
}

/// Returns the position of the parenthesis that closes a substitution. The quotes here contain
/// none.
fn end_of_substitution(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => return at,
            ')' => depth -= 1,
            _ => {}
        }
    }
    panic!("a substitution ends: {text}");
}

/// The request of a curl line.
#[derive(Default)]
struct Call {
    method: Option<String>,
    fields: Vec<(String, String)>,
    form: Vec<String>,
    authority: String,
    target: String,
}

impl Call {
    #[track_caller]
    fn of(words: &[String]) -> Self {
        let mut words = words.iter().map(String::as_str);
        assert_eq!(words.next(), Some("curl"));
        let mut call = Self::default();
        while let Some(word) = words.next() {
            let mut value = || words.next().expect("the option has a value");
            match word {
                "-s" | "-i" => {}
                "-I" => call.method = Some("HEAD".to_owned()),
                "-X" => call.method = Some(value().to_owned()),
                "-d" => call.form.push(value().to_owned()),
                "-u" => call.field(
                    "Authorization",
                    &format!("Basic {}", STANDARD.encode(value())),
                ),
                "-H" => {
                    let (name, value) = value().split_once(": ").expect("a field has a colon");
                    call.field(name, value);
                }
                url => {
                    assert!(call.authority.is_empty(), "one URL a call: {url}");
                    let rest = url.strip_prefix("http://").expect("the rest is a URL");
                    let path = rest.find('/').expect("a URL has a path");
                    (call.authority, call.target) =
                        (rest[..path].to_owned(), rest[path..].to_owned());
                }
            }
        }
        assert!(!call.authority.is_empty(), "a call has a URL");
        call
    }

    fn field(&mut self, name: &str, value: &str) {
        self.fields.push((name.to_owned(), value.to_owned()));
    }

    fn request(&self) -> Request {
        let method =
            self.method
                .as_deref()
                .unwrap_or(if self.form.is_empty() { "GET" } else { "POST" });
        let mut request = Request::new(method, &self.target);
        if !self.fields.iter().any(|(name, _)| name == "Host") {
            request = request.field("Host", &self.authority);
        }
        for (name, value) in &self.fields {
            request = request.field(name, value);
        }
        if !self.form.is_empty() {
            let kind = "application/x-www-form-urlencoded";
            request = request
                .field("Content-Type", kind)
                .body(self.form.join("&"));
        }
        request
    }
}
