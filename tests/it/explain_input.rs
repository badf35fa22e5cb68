//! The requests that `scopegate explain` takes: a raw head, judged as on a connection, and token
//! files as people have them; and its exit codes.

use serde_json::Value;

use crate::support::{Folder, Gateway, Issuer, Upstream, raw, scopegate};

// Each head is sent to a gateway, and explained with the same file.
#[test]
fn a_raw_head_is_judged_as_the_running_gateway_judges_it() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = Gateway::start(&format!(
        "[server.limits]\nhead_fields = 20\nhead_bytes = \"9 KiB\"\ntarget_bytes = \"1 KiB\"\n\
         token_bytes = \"4 KiB\"\n{}{}\n\
         [[routes]]\npath = \"/orders\"\nupstream = \"orders\"\n\
         methods = {{ GET = \"orders.read\", POST = \"orders.write\" }}\n\
         token_from = [\"authorization:bearer\", \"cookie:session\", \"query:token\"]\n\
         [[routes]]\npath = \"/open\"\nupstream = \"orders\"\npublic = true\n\
         methods = [\"GET\", \"POST\"]\nbody_bytes = \"10 B\"\n\
         [[routes]]\nhost = \"b.test\"\npath = \"/only-b\"\nupstream = \"orders\"\npublic = true\n\
         methods = [\"GET\"]\n",
        issuer.toml(),
        upstream.toml("orders")
    ));
    let good = issuer.token("orders.read");
    let (bearer, cookie) = (
        format!("Authorization: Bearer {good}"),
        format!("Cookie: session={good}"),
    );
    let long_token = format!("Authorization: Bearer {}", "a".repeat(5000));
    let long_target = format!("GET /open?{} HTTP/1.1", "a".repeat(2000));
    let long_head = format!("X-A: {}", "a".repeat(10_000));
    let many = ["X-A: b"; 30].join("\r\n");
    let query = format!("GET /orders?token={good} HTTP/1.1");
    let two = format!("{bearer}\r\nAuthorization: Basic dTpw");
    let two_places = format!("{bearer}\r\n{cookie}");
    let forged = format!("{cookie}\r\nOrigin: https://evil.test\r\nContent-Length: 0");
    let marked = "> GET /open HTTP/1.1\r\n> Host: a.test\r\n>";
    let after = format!("X-A: b\r\n\r\n\r\n{marked}");
    let mut statuses = Vec::new();
    for (line, fields) in [
        ("GET /orders HTTP/1.1", &*bearer),
        ("GET /orders HTTP/1.1", &cookie),
        (&query, "X-A: b"),
        ("GET /orders HTTP/1.0", &bearer),
        ("GET http://a.test/orders HTTP/1.1", &bearer),
        ("GET /orders HTTP/1.1", "X-A: b"),
        ("GET /orders HTTP/1.1", &two),
        ("GET /orders HTTP/1.1", &two_places),
        ("GET /open HTTP/1.1", &two),
        ("GET /orders HTTP/1.1", &long_token),
        ("GET /orders HTTP/1.1", "Authorization: Token x"),
        ("GET /orders HTTP/1.1", "Authorization: Bearer undefined"),
        ("POST /orders HTTP/1.1", &forged),
        ("POST /orders HTTP/1.1", &bearer),
        ("POST /open HTTP/1.1", "Content-Length: 11"),
        ("GET /open HTTP/1.1", "Host: other"),
        ("GET /open HTTP/1.1", "X A: b"),
        ("GET /open HTTP/1.1", "Transfer-Encoding: gzip, chunked"),
        (
            "GET /open HTTP/1.1",
            "Content-Length: 1\r\nContent-Length: 2",
        ),
        ("GET /open HTTP/1.1", &many),
        ("GET /open HTTP/1.1", &long_head),
        (&long_target, "X-A: b"),
        ("GET /open HTTP/3.7", "X-A: b"),
        ("GET open HTTP/1.1", "X-A: b"),
        ("GET /only-b HTTP/1.1", "X-A: b"),
        ("GET http://b.test/only-b HTTP/1.1", "X-A: b"),
        ("GET /open/ HTTP/1.1", "X-A: b"),
        ("GET //open HTTP/1.1", "X-A: b"),
        ("get /open HTTP/1.1", "X-A: b"),
        ("OPTIONS * HTTP/1.1", "X-A: b"),
        // Lines with the marks of curl within a head are fields of that head, or come after it.
        ("GET /orders HTTP/1.1", marked),
        ("GET /orders HTTP/1.1", &after),
        ("CONNECT a.test:80 HTTP/1.1", "X-A: b"),
    ] {
        let head = format!("{line}\r\nHost: a.test\r\nConnection: close\r\n{fields}\r\n\r\n");
        let answer = raw(gateway.address(), head.as_bytes());
        let status: u64 = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let file = gateway.directory().join("head");
        std::fs::write(&file, &head).unwrap();
        let mut command = scopegate(&["explain", "--json", "--request-file"]);
        let output = command
            .arg(&file)
            .arg("-c")
            .arg(gateway.file())
            .output()
            .unwrap();
        let explained: Value = serde_json::from_slice(&output.stdout).unwrap();
        let found = match explained["verdict"].as_str() {
            Some("forwarded") => 200,
            _ => explained["status"].as_u64().unwrap_or_default(),
        };
        assert_eq!(found, status, "{line} {fields:.80}: {explained:#}");
        assert_eq!(output.status.code(), Some(if found == 200 { 0 } else { 4 }));
        statuses.push(status);
    }
    statuses.sort_unstable();
    statuses.dedup();
    assert_eq!(statuses, [200, 400, 401, 403, 404, 405, 413, 414, 431]);
}

#[test]
fn a_token_file_is_read_as_people_have_it() {
    let folder = Folder::new();
    let token = folder.token(|token| token);
    let (head, tail) = token.split_at(80);
    for content in [
        format!("Bearer {token}"),
        format!("Authorization: Bearer {token}\r\n"),
        format!("{{\"access_token\":\"{token}\",\"token_type\":\"Bearer\",\"expires_in\":3600}}"),
        format!("\"{token}\"\n"),
        format!("\u{feff}{token}"),
        format!("{head}\n{tail}\n"),
    ] {
        let (code, text) = folder.explain_token(&content);
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains("presumed in authorization:bearer"), "{text}");
        assert!(!text.contains(tail), "the token is printed: {text}");
    }
    for (content, says) in [
        ("", "it is empty"),
        (
            "{\"error\":\"invalid_client\"}",
            "the error of a token endpoint: \"invalid_client\"",
        ),
        ("{\"keys\":[]}", "without an \"access_token\""),
    ] {
        folder.write("token", content);
        let output = folder.run(
            &["explain", "GET", "/orders/1", "--token-file", "token"],
            &[],
        );
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(1), 0),
            "{errors}"
        );
        assert!(errors.contains(says), "{says}: {errors}");
    }
    let id_token = format!("{{\"id_token\":\"{token}\"}}");
    let (_, text) = folder.explain_token(&id_token);
    assert!(text.contains("which has no access token"), "{text}");
}

#[test]
fn a_token_comes_from_standard_input_and_not_from_a_file_that_is_not_there() {
    let folder = Folder::new();
    let arguments = ["explain", "GET", "/orders/1", "--token-file", "-"];
    let output = folder.run_with_input(&arguments, &folder.token(|token| token));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && text.contains("forwarded to orders"),
        "{text}"
    );
    let arguments = ["explain", "GET", "/orders/1", "--token-file", "nowhere"];
    let output = folder.run(&arguments, &[]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(errors.contains("nowhere"), "{errors}");
}

#[test]
fn the_exit_code_tells_a_refusal_from_an_error() {
    let folder = Folder::new();
    folder.write("head", "GET /health HTTP/1.1\r\nHost: a\r\n");
    for (arguments, code) in [
        (&["GET", "/health"][..], 0),
        (&["--request-file", "head"], 0),
        (&["GET", "/nowhere"], 4),
        (&["GET", "/orders/1"], 4),
        (&["--request-file", "nowhere"], 1),
        (&["GET", "/health", "-c", "nowhere.toml"], 1),
        (&["GET"], 2),
        (&["GET", "/health", "--request-file", "head"], 2),
        (&["GET", "/health", "--peer", "x"], 2),
    ] {
        assert_eq!(folder.explain(arguments).0, Some(code), "{arguments:?}");
    }
    let help = folder.print(&["explain", "--help"]);
    assert!(help.contains("4  the request would be refused"), "{help}");
    // Standard input is read once.
    let twice = ["explain", "GET", "/health", "-c", "-", "--token-file", "-"];
    let output = folder.run_with_input(&twice, "");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}
