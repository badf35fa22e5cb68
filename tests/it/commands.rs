//! The commands that start no gateway: their output is what the gateway would do.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use aws_lc_rs::digest;
use serde_json::{Value, json};

use crate::support::{Authority, Identity, Key, Token, encode, scopegate};

const ISS: &str = "https://idp.test";

/// A configuration whose keys are its own, and a token file.
struct Folder {
    directory: tempfile::TempDir,
    key: Key,
}

impl Folder {
    fn new() -> Self {
        let folder = Self {
            directory: tempfile::tempdir().unwrap(),
            key: Key::rsa("key", 0),
        };
        let keys = json!({ "keys": [folder.key.jwk()] });
        folder.write("gateway.toml", &format!(
            "[server]\nlisten = \"10.0.0.1:1001\"\nadmin = \"10.0.0.1:2001\"\nworkers = 1\n\
             [issuers.idp]\nissuer = \"{ISS}\"\naudience = \"api\"\njwks = '{keys}'\n\
             [upstreams.orders]\nurl = \"http://orders:8080\"\n\
             [[routes]]\npath = \"/orders/{{id}}\"\nupstream = \"orders\"\nmethods = {{ GET = \"orders.read\", DELETE = [\"orders.write\", \"orders.delete\"] }}\n\
             [[routes]]\npath = \"/orders/new\"\nupstream = \"orders\"\nmethods = {{ GET = {{ any = [\"orders.write\", \"orders.admin\"] }} }}\n\
             [[routes]]\npath = \"/health\"\nupstream = \"orders\"\nmethods = [\"GET\"]\npublic = true\n\
             [[groups]]\nprefix = \"/dev\"\nupstream = \"orders\"\ntoken_from = [\"authorization:raw\"]\n\
             [[groups.routes]]\npath = \"/tests\"\nmethods = {{ GET = \"orders.read\" }}\n"
        ));
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn token(&self, change: impl FnOnce(Token) -> Token) -> String {
        change(Token::of(ISS, "orders.read")).signed(&self.key)
    }

    fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = scopegate(arguments);
        command
            .current_dir(self.directory.path())
            .envs(environment.iter().copied());
        command.output().unwrap()
    }

    #[track_caller]
    fn run_with_input(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = scopegate(arguments);
        command
            .current_dir(self.directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    }

    /// What a command prints that goes well.
    #[track_caller]
    fn print(&self, arguments: &[&str]) -> String {
        self.print_with(arguments, &[])
    }

    #[track_caller]
    fn print_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let output = self.run(arguments, environment);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

// By `check`, which prints what is in effect.
#[test]
fn a_flag_goes_before_the_environment_and_that_before_the_file() {
    let folder = Folder::new();
    let environment = [
        ("SCOPEGATE_LISTEN", "10.0.0.2:1002"),
        ("SCOPEGATE_ADMIN", "10.0.0.2:2002"),
    ];
    let flags = ["check", "--listen", "10.0.0.3:1003", "--admin", "off"];
    for (printed, [listen, admin]) in [
        (folder.print(&["check"]), ["10.0.0.1:1001", "10.0.0.1:2001"]),
        (
            folder.print_with(&["check"], &environment),
            ["10.0.0.2:1002", "10.0.0.2:2002"],
        ),
        (
            folder.print_with(&flags, &environment),
            ["10.0.0.3:1003", "off"],
        ),
    ] {
        let rows = format!("  listen  {listen}\n  admin   {admin}\n");
        assert!(printed.starts_with(&rows), "{rows}{printed}");
    }
    // The file itself comes by flag or environment, too.
    folder.write("other.toml", "nothing = 1\n");
    assert_eq!(
        folder
            .run(&["check"], &[("SCOPEGATE_CONFIG", "other.toml")])
            .status
            .code(),
        Some(1)
    );
    folder.print_with(
        &["check", "-c", "gateway.toml"],
        &[("SCOPEGATE_CONFIG", "other.toml")],
    );
}

#[test]
fn wrong_environment_is_wrong_usage_and_named() {
    let folder = Folder::new();
    for (name, value, says) in [
        ("SCOPEGATE_LISTEN", "nowhere", "127.0.0.1:8080"),
        ("SCOPEGATE_LISTEN", "unix:relative", "unix:/run/"),
        ("SCOPEGATE_ADMIN", "on", "\"off\""),
        ("SCOPEGATE_WORKERS", "0", "a number from 1 to 1024"),
        ("SCOPEGATE_WORKERS", "x", "a number from 1 to 1024"),
        ("SCOPEGATE_WORKERS", "", "is empty"),
        ("SCOPEGATE_CONFIG", "", "is empty"),
        ("SCOPEGATE_LOG", "loud", "error, warn, info"),
    ] {
        let output = folder.run(&["run"], &[(name, value)]);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}={value}: {errors}");
        assert!(
            errors.contains(&format!("the variable {name} is")) && errors.contains(says),
            "{errors}"
        );
    }
    // A flag goes before its variable, and a command does not read variables of other commands.
    let output = folder.run(&["run", "--workers", "0"], &[("SCOPEGATE_WORKERS", "x")]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("--workers") && errors.contains("a number from 1 to 1024"),
        "{errors}"
    );
    folder.print_with(
        &["check"],
        &[("SCOPEGATE_LOG", "loud"), ("SCOPEGATE_WORKERS", "x")],
    );
}

#[test]
fn check_takes_a_file_by_name_and_from_standard_input() {
    let folder = Folder::new();
    let text = std::fs::read_to_string(folder.path("gateway.toml")).unwrap();
    folder.write("other.toml", &text);
    let printed = folder.print(&["check", "other.toml"]);
    assert!(
        printed.ends_with("\nother.toml: 4 routes, no problems\n"),
        "{printed}"
    );
    assert_eq!(folder.print(&["-c", "other.toml", "check"]), printed);
    // The variable is for other commands. Two names on one line are a mistake.
    folder.print_with(&["check", "other.toml"], &[("SCOPEGATE_CONFIG", "none")]);
    let both = folder.run(&["check", "other.toml", "-c", "gateway.toml"], &[]);
    assert_eq!(both.status.code(), Some(2), "{both:?}");
    // Files that it names are relative to the current directory.
    for arguments in [&["check", "-"][..], &["check", "-c", "-"]] {
        let output = folder.run_with_input(arguments, &text);
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(
            printed.ends_with("\nstandard input: 4 routes, no problems\n"),
            "{printed}"
        );
    }
    let output = folder.run_with_input(&["routes", "-c", "-"], "nothing = 1\n");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains("standard input:1:1"), "{errors}");
    let output = folder.run_with_input(&["check", "-"], " \n");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("standard input is empty"), "{errors}");
}

// What a newcomer sees who types a command in an empty directory.
#[test]
fn a_missing_file_says_how_to_begin() {
    let folder = Folder::new();
    for command in ["run", "check", "dev", "routes"] {
        let output = folder.run(&[command, "-c", "none.toml"], &[]);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(1), 0),
            "{command}"
        );
        for part in [
            "there is no file \"none.toml\"",
            "--config FILE",
            "\n  [[routes]]\n",
            "scopegate check",
        ] {
            assert!(errors.contains(part), "{command}: {errors}");
        }
    }
}

#[test]
fn an_option_without_effect_is_refused() {
    let folder = Folder::new();
    for arguments in [
        &["routes", "--workers", "2"][..],
        &["check", "--log-level", "debug"],
        &["schema", "-c", "gateway.toml"],
        &["explain", "GET", "/health", "--listen", "127.0.0.1:1"],
        &["--admin", "off", "completions", "bash"],
    ] {
        let output = folder.run(arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    }
}

// Each problem with its place, all at once, and nothing on standard output.
#[test]
fn a_bad_file_is_told_of_whole() {
    let folder = Folder::new();
    folder.write(
        "bad.toml",
        "[issuers.idp]\nissuer = \"https://idp.test\"\naudience = \"api\"\n\
         [upstreams.orders]\nurl = \"http://orders\"\n\
         [[routes]]\npath = \"/a\"\nupstream = \"order\"\nmethods = { GET = \"a\" }\n\
         [[routes]]\npath = \"/b\"\nupstream = \"orders\"\nscops = \"b\"\nmethods = [\"GET\"]\n\
         [[routes]]\npath = \"/c\"\nupstream = \"orders\"\npublic = true\nscopes = \"c\"\nmethods = [\"GET\"]\n",
    );
    let output = folder.run(&["check", "-c", "bad.toml"], &[]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), output.stdout.len()),
        (Some(1), 0),
        "{errors}"
    );
    for part in [
        "bad.toml:8:12",
        "bad.toml:13:1",
        "bad.toml:1",
        "\"orders\"",
        "\"scopes\"",
        "^^^^^",
    ] {
        assert!(errors.contains(part), "{part}: {errors}");
    }
    for missing in ["nowhere.toml", "."] {
        let output = folder.run(&["check", "-c", missing], &[]);
        assert_eq!(output.status.code(), Some(1), "{missing}");
        assert!(String::from_utf8(output.stderr).unwrap().contains(missing));
    }
}

#[test]
fn routes_are_printed_in_the_order_in_which_they_match() {
    let printed = Folder::new().print(&["routes"]);
    let rows: Vec<Vec<&str>> = printed
        .lines()
        .map(|line| line.split_whitespace().take(2).collect())
        .collect();
    let place = |method: &str, path: &str| {
        rows.iter()
            .position(|row| *row == [method, path])
            .unwrap_or_else(|| panic!("{method} {path}: {printed}"))
    };
    assert!(
        place("GET", "/orders/new") < place("GET", "/orders/{id}"),
        "{printed}"
    );
    assert!(
        place("DELETE", "/orders/{id}") > 0
            && place("GET", "/dev/tests") > 0
            && place("GET", "/health") > 0
    );
    assert_eq!(rows.len(), 6);
    assert!(
        printed.contains("orders.write and orders.delete"),
        "{printed}"
    );
    assert!(
        printed.contains("orders.write or orders.admin"),
        "{printed}"
    );
}

// The verdict, and the answer's fields that a client would hear.
#[test]
fn explain_tells_every_kind_of_verdict() {
    let folder = Folder::new();
    folder.write("good", &(folder.token(|token| token) + "\n"));
    folder.write("late", &folder.token(|token| token.with("exp", 1)));
    folder.write(
        "other",
        &folder.token(|token| token.with("iss", "https://other.test")),
    );
    folder.write("broken", "eyJ.not.a-token");
    for (call, token, verdict, says) in [
        (
            "GET /orders/1",
            Some("good"),
            "forwarded to orders",
            "granted: \"orders.read\"",
        ),
        (
            "GET /orders/1?a=b",
            Some("good"),
            "forwarded to orders",
            "/orders/{id}",
        ),
        (
            "HEAD /orders/1",
            Some("good"),
            "forwarded to orders",
            "/orders/{id}",
        ),
        (
            "GET /dev/tests",
            Some("good"),
            "forwarded to orders",
            "authorization:raw",
        ),
        ("GET /health", None, "forwarded to orders", "/health"),
        (
            "DELETE /orders/1",
            Some("good"),
            "403 Forbidden",
            "scope=\"orders.write orders.delete\"",
        ),
        (
            "GET /orders/new",
            Some("good"),
            "403 Forbidden",
            "insufficient_scope",
        ),
        ("GET /orders/1", None, "401 Unauthorized", "missing_token"),
        (
            "GET /orders/1",
            Some("late"),
            "401 Unauthorized",
            "token_expired",
        ),
        (
            "GET /orders/1",
            Some("other"),
            "401 Unauthorized",
            "unknown_issuer",
        ),
        (
            "GET /orders/1",
            Some("broken"),
            "401 Unauthorized",
            "malformed_token",
        ),
        ("GET /nowhere", Some("good"), "404 Not Found", "no_route"),
        (
            "POST /orders/1",
            Some("good"),
            "405 Method Not Allowed",
            "allow: DELETE, GET, HEAD",
        ),
        (
            "GET /orders/../health",
            None,
            "400 Bad Request",
            "ambiguous_path",
        ),
        (
            "GET /orders/a%2Fb",
            Some("good"),
            "400 Bad Request",
            "ambiguous_path",
        ),
        ("GET //health", None, "400 Bad Request", "ambiguous_path"),
    ] {
        let mut arguments = vec!["explain"];
        arguments.extend(call.split(' '));
        arguments.extend(token.iter().flat_map(|name| ["--token-file", name]));
        let printed = folder.print(&arguments);
        let found = printed
            .lines()
            .find_map(|line| line.split_once("verdict"))
            .map(|(_, found)| found.trim_start());
        assert!(
            found.is_some_and(|found| found.starts_with(verdict)),
            "{call}: {printed}"
        );
        assert!(printed.contains(says), "{call}: no {says:?} in {printed}");
        if let Some(name) = token {
            let token = std::fs::read_to_string(folder.path(name)).unwrap();
            assert!(
                !printed.contains(token.trim().rsplit('.').next().unwrap()),
                "the token is printed: {printed}"
            );
        }
    }
}

#[test]
fn explain_names_the_places_of_other_routes_that_are_not_forwarded() {
    let folder = Folder::new();
    let cookie = "\n[[routes]]\npath = \"/page\"\nupstream = \"orders\"\nscopes = \"orders.read\"\n\
                  token_from = [\"cookie:session\", \"header:x-token\"]\n";
    let text = std::fs::read_to_string(folder.path("gateway.toml")).unwrap();
    folder.write("gateway.toml", &(text + cookie));
    folder.write("good", &folder.token(|token| token));
    let says = "without cookie:session, header:x-token: other routes to this upstream take their tokens from there";
    for (path, expected) in [
        ("/orders/1", true),
        ("/dev/tests", true),
        ("/page", false),
        ("/health", false),
    ] {
        let printed = folder.print(&["explain", "GET", path, "--token-file", "good"]);
        assert!(printed.contains("forwarded to orders"), "{printed}");
        assert_eq!(printed.contains(says), expected, "{path}: {printed}");
    }
}

#[test]
fn explain_takes_the_certificate_that_the_client_would_show() {
    let (folder, root) = (Folder::new(), Authority::new());
    let (alice, mallory) = (root.sign(&["alice"]), root.sign(&["mallory"]));
    let thumbprint =
        |identity: &Identity| encode(digest::digest(&digest::SHA256, &identity.leaf()));
    let bound = thumbprint(&alice);
    folder.write(
        "token",
        &folder.token(|token| token.with("cnf", json!({ "x5t#S256": bound }))),
    );
    folder.write("alice.pem", &alice.chain);
    folder.write("mallory.pem", &mallory.chain);
    let explain = |more: &[&str]| {
        let arguments = [
            &["explain", "GET", "/orders/1", "--token-file", "token"],
            more,
        ]
        .concat();
        folder.print(&arguments)
    };
    let owner = explain(&["--client-cert-file", "alice.pem"]);
    assert!(owner.contains("forwarded to orders"), "{owner}");
    for (more, shown, hint) in [
        (
            &["--client-cert-file", "mallory.pem"][..],
            thumbprint(&mallory),
            false,
        ),
        (&[], "no certificate".to_owned(), true),
    ] {
        let text = explain(more);
        assert!(text.contains("NO  binding"), "{text}");
        assert!(text.contains("(wrong_client_certificate)"), "{text}");
        assert!(
            text.contains(&format!("cnf       \"x5t#S256 {bound}\"")),
            "{text}"
        );
        assert!(text.contains(&format!("shown     {shown}")), "{text}");
        assert_eq!(text.contains("add --client-cert-file"), hint, "{text}");
    }
    let arguments = ["explain", "GET", "/orders/1", "--client-cert-file", "token"];
    let output = folder.run(&arguments, &[]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors.contains("\"token\" cannot be read: there is no certificate in PEM"),
        "{errors}"
    );
}

#[test]
fn explain_takes_a_token_from_standard_input_and_none_from_a_file_that_is_not_there() {
    let folder = Folder::new();
    let mut explain = scopegate(&["explain", "GET", "/orders/1", "--token-file", "-"]);
    explain
        .current_dir(folder.directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = explain.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(folder.token(|token| token).as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("forwarded to orders")
    );
    let output = folder.run(
        &["explain", "GET", "/orders/1", "--token-file", "nowhere"],
        &[],
    );
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("nowhere")
    );
}

#[test]
fn the_schema_is_one_and_knows_the_keys() {
    let folder = Folder::new();
    let schema: Value = serde_json::from_str(&folder.print(&["schema"])).expect("a schema is JSON");
    assert!(
        schema["$schema"]
            .as_str()
            .is_some_and(|dialect| dialect.starts_with("https://json-schema.org/"))
    );
    let keys = schema["properties"]
        .as_object()
        .expect("a configuration is an object");
    for key in [
        "server",
        "issuers",
        "upstreams",
        "routes",
        "groups",
        "defaults",
        "include",
    ] {
        assert!(keys.contains_key(key), "{key}");
    }
    assert_eq!(
        schema["additionalProperties"], false,
        "unknown keys are errors"
    );
}

#[test]
fn each_shell_gets_its_completions() {
    let folder = Folder::new();
    for (shell, part) in [
        ("bash", "complete -F _scopegate"),
        ("zsh", "#compdef scopegate"),
        ("fish", "complete -c scopegate"),
    ] {
        let script = folder.print(&["completions", shell]);
        assert!(
            script.contains(part) && script.contains("explain"),
            "{shell}: {script}"
        );
    }
    assert_eq!(
        folder.run(&["completions", "tcsh"], &[]).status.code(),
        Some(2)
    );
}

#[test]
fn help_names_every_command_the_exit_codes_and_an_example() {
    let folder = Folder::new();
    let help = folder.print(&["--help"]);
    for part in [
        "run",
        "dev",
        "check",
        "routes",
        "explain",
        "token",
        "schema",
        "completions",
    ] {
        assert!(
            help.lines()
                .any(|line| line.trim_start().starts_with(&format!("{part} "))),
            "{part}: {help}"
        );
        assert!(
            folder.print(&[part, "--help"]).contains("Usage: scopegate"),
            "{part}"
        );
    }
    assert!(
        help.contains("Exit codes:") && help.contains("scopegate token --scope orders.read"),
        "{help}"
    );
    let version = folder.print(&["--version"]);
    assert_eq!(
        version,
        format!("scopegate {}\n", env!("CARGO_PKG_VERSION"))
    );
}
