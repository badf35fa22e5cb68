//! The documents of `scopegate lint`: where they come from, and their base paths.

use crate::support::Folder;

const CONFIG: &str = "\
[upstreams.orders]
url = \"http://orders:8080\"
[[groups]]
prefix = \"PREFIX\"
upstream = \"orders\"
[[groups.routes]]
path = \"/orders\"
methods = [\"GET\"]
public = true
";

const DOCUMENT: &str = "\
openapi: 3.0.1
info: {title: orders, version: '1'}
servers: [{url: 'https://api.example.com/BASE'}]
paths:
  /orders:
    get:
      x-amazon-apigateway-integration: {type: http_proxy, httpMethod: GET, uri: 'https://a/orders'}
";

fn folder(prefix: &str) -> Folder {
    let folder = Folder::new();
    folder.write("gateway.toml", &CONFIG.replace("PREFIX", prefix));
    folder
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_document_comes_from_standard_input() {
    let folder = folder("/v1");
    let document = DOCUMENT.replace("BASE", "v1");
    let output = folder.run_with_input(&["lint", "--openapi", "-"], &document);
    let found = text(output.stdout);
    assert_eq!(output.status.code(), Some(0), "{found}");
    assert_eq!(
        found,
        "gateway.toml and standard input, with 1 operation: no difference\n"
    );
    let output = folder.run_with_input(&["lint", "--openapi", "-"], "openapi: 3.0.1");
    let found = text(output.stderr);
    assert_eq!(output.status.code(), Some(1), "{found}");
    assert!(
        found.contains("standard input:1:1: the document has no operation"),
        "{found}"
    );
}

// Each base path is one that the importer takes, or an error about the server in both commands.
#[test]
fn an_odd_base_path_is_read_as_the_importer_reads_it() {
    for base in [
        "**", "*", "a*b", "a%20b", "v1/", "/v1//v2", "{x}", "a b", "..", "a;b", "%2F", "**/x",
    ] {
        let document = DOCUMENT.replace("BASE", base);
        let folder = Folder::new();
        folder.write("api.yaml", &document);
        let imported = folder.run(&["import", "apigateway", "api.yaml"], &[]);
        folder.write("gateway.toml", &text(imported.stdout));
        let output = folder.run(&["lint", "--openapi", "api.yaml"], &[]);
        let [import, lint] = [text(imported.stderr), text(output.stderr)];
        match imported.status.code() {
            Some(0) => assert_eq!(output.status.code(), Some(0), "{base}: {lint}"),
            code => {
                assert_eq!(code, Some(1), "{base}: {import}");
                assert!(
                    import.contains("of the server cannot be a prefix"),
                    "{base}: {import}"
                );
                let other = self::folder("/v1");
                other.write("api.yaml", &document);
                let output = other.run(&["lint", "--openapi", "api.yaml"], &[]);
                assert_eq!(output.status.code(), Some(1), "{base}");
                assert_eq!(text(output.stderr), import, "{base}");
            }
        }
    }
}

#[test]
fn a_prefix_that_no_path_has_is_an_error_of_the_command_line() {
    let folder = folder("/v1");
    folder.write("api.yaml", &DOCUMENT.replace("BASE", "v1"));
    for (prefix, code) in [("/v1", 0), ("/v1/", 0), ("v1", 2), ("/**", 2), ("/a//b", 2)] {
        let output = folder.run(&["lint", "--openapi", "api.yaml", "--prefix", prefix], &[]);
        let errors = text(output.stderr);
        assert_eq!(output.status.code(), Some(code), "{prefix}: {errors}");
        assert_eq!(errors.contains("--prefix"), code == 2, "{prefix}: {errors}");
    }
}
