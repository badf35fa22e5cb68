//! The commands that start no gateway: their output is what the gateway would do.

use serde_json::Value;

use crate::support::Folder;

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
        printed.ends_with("\nother.toml: 4 routes, no problems, 1 note\n"),
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
            printed.ends_with("\nstandard input: 4 routes, no problems, 1 note\n"),
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
        says_how_to_begin(&folder, &[command, "-c", "none.toml"]);
        says_how_to_begin(&folder, &[command, "none.toml"]);
    }
}

fn says_how_to_begin(folder: &Folder, words: &[&str]) {
    let output = folder.run(words, &[]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), output.stdout.len()),
        (Some(1), 0),
        "{words:?}"
    );
    for part in [
        "there is no file \"none.toml\"",
        "--config FILE",
        "\n  [[routes]]\n",
        "scopegate check",
    ] {
        assert!(errors.contains(part), "{words:?}: {errors}");
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
         [[routes]]\npath = \"/c\"\nupstream = \"orders\"\npublic = true\nscopes = \"c\"\n\
         methods = [\"GET\"]\n",
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
    let folder = Folder::new();
    let printed = folder.print(&["routes"]);
    assert_eq!(folder.print(&["routes", "gateway.toml"]), printed);
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
        "lint",
        "token",
        "import",
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
