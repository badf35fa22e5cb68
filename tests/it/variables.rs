//! Variables of the configuration: the command line, the environment and the file.

use crate::support::{Folder, Gateway, Request, Upstream, wait_until};

/// A configuration whose upstream and issuer have variables.
const FILE: &str = "[variables]\npool = \"staging\"\nhost = \"orders.staging\"\n\
    [issuers.idp]\nissuer = \"https://idp.test/${pool}\"\naudience = \"${pool}-api\"\n\
    [upstreams.orders]\nurl = \"http://${host}:8080\"\n\
    [[routes]]\npath = \"/orders\"\nupstream = \"orders\"\nmethods = { GET = \"orders.read\" }\n";

fn folder(file: &str) -> Folder {
    let folder = Folder::new();
    folder.write("gateway.toml", file);
    folder
}

#[test]
fn one_file_serves_two_environments() {
    let folder = folder(FILE);
    let environment = [
        ("SCOPEGATE_VAR_POOL", "env"),
        ("SCOPEGATE_VAR_HOST", "orders.env"),
        ("SCOPEGATE_VAR_OTHER", "ignored"),
    ];
    let flags = ["check", "--var", "pool=flag"];
    for (printed, pool, host) in [
        (
            folder.print(&["check"]),
            "staging         [variables]",
            "orders.staging  [variables]",
        ),
        (
            folder.print_with(&["check"], &environment),
            "env         SCOPEGATE_VAR_POOL",
            "orders.env  SCOPEGATE_VAR_HOST",
        ),
        (
            folder.print_with(&flags, &environment),
            "flag        --var",
            "orders.env  SCOPEGATE_VAR_HOST",
        ),
    ] {
        let section = format!("\nvariables\n  pool  {pool}\n  host  {host}\n");
        assert!(printed.contains(&section), "{section}{printed}");
        let pool = pool.split(' ').next().unwrap();
        let issuer = format!("https://idp.test/{pool}");
        assert!(printed.contains(&issuer), "{printed}");
        assert!(
            printed.contains(&format!("audience {pool}-api")),
            "{printed}"
        );
    }
}

#[test]
fn every_command_that_reads_the_file_takes_variables() {
    let file = FILE.replace("pool = \"staging\"\n", "");
    let folder = folder(&file);
    for command in [
        &["check"][..],
        &["routes"],
        &["explain", "GET", "/orders"],
        &["run"],
        &["dev"],
    ] {
        let output = folder.run(command, &[]);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}: {errors}");
        assert!(
            errors.contains("\"${pool}\": there is no such variable"),
            "{errors}"
        );
        assert!(errors.contains("gateway.toml:4:28"), "{errors}");
        assert!(errors.contains("SCOPEGATE_VAR_POOL"), "{errors}");
    }
    for command in [
        &["check", "--var", "pool=a"][..],
        &["routes", "--var", "pool=a"],
    ] {
        folder.print(command);
    }
    folder.print_with(&["routes"], &[("SCOPEGATE_VAR_POOL", "a")]);
}

#[test]
fn a_wrong_flag_is_named() {
    let folder = folder(FILE);
    for (flag, code, words) in [
        (
            "pol=x",
            1,
            "--var pol: the configuration has no variable \"pol\"; did you mean \"pool\"?",
        ),
        ("pool", 2, "write NAME=VALUE"),
        ("po-ol=x", 2, "a name has letters, digits"),
        ("pool=", 1, "the value from --var is empty"),
        (
            "pool=a\nb",
            1,
            "the value from --var has a control character",
        ),
        ("host=a b", 1, "the value from --var has \" \""),
    ] {
        let output = folder.run(&["check", "--var", flag], &[]);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{flag}: {errors}");
        assert!(errors.contains(words), "{flag}: {errors}");
    }
}

#[test]
fn an_included_file_refers_to_variables_and_defines_none() {
    let folder = folder(&format!(
        "include = \"parts.toml\"\n{}",
        FILE.replace("[upstreams.orders]\nurl = \"http://${host}:8080\"\n", "")
    ));
    let upstream = "[upstreams.orders]\nurl = \"http://${host}:8080\"\n";
    folder.write("parts.toml", upstream);
    assert!(
        folder
            .print(&["check"])
            .contains("http://orders.staging:8080")
    );
    folder.write("parts.toml", &format!("{upstream}[variables]\na = \"b\"\n"));
    let output = folder.run(&["check"], &[]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("\"variables\" is not allowed in an included file"),
        "{errors}"
    );
}

#[test]
fn a_reload_reads_the_values_of_the_file_again() {
    let (one, other) = (Upstream::start(), Upstream::start());
    let file = |upstream: &Upstream| {
        format!(
            "[variables]\norders = \"{}\"\n[upstreams.orders]\nurl = \"http://${{orders}}\"\n\
             [[routes]]\npath = \"/a\"\nupstream = \"orders\"\nmethods = [\"GET\"]\n\
             public = true\n",
            upstream.authority()
        )
    };
    let gateway = Gateway::start(&file(&one));
    assert_eq!(gateway.send(&Request::get("/a")).status, 200);
    assert_eq!(one.last().target, "/a");
    gateway.rewrite(&file(&other));
    gateway.reload();
    wait_until("the other upstream is asked", || {
        assert_eq!(gateway.send(&Request::get("/a")).status, 200);
        !other.arrivals().is_empty()
    });
}
