//! Mappings that would copy a token.

use super::*;

/// Returns what becomes of an operation with a mapping, beside one that takes its token from the
/// query, and the place of the mapping.
fn mapped(mapping: &str) -> (Imported, String) {
    let integration = FORWARD.replace('}', &format!(", requestParameters: {{{mapping}}}}}"));
    let integration = integration.replace("com/p", "com/p/{t}");
    let integration = match mapping.contains("path") {
        true => integration,
        false => integration.replace("/{t}", ""),
    };
    let paths = format!(
        " /p: {{get: {{{integration}}}}}\n /o: {{get: {{security: [{{oidc: [s]}}], {FORWARD}}}}}"
    );
    let text = export(&paths, "");
    let imported = apigateway(text.as_bytes(), &options());
    let imported = imported.unwrap_or_else(|error| panic!("{mapping}: {error}"));
    let line = text
        .lines()
        .position(|line| line.contains(mapping))
        .unwrap();
    let column = text.lines().nth(line).unwrap().find(mapping).unwrap();
    (imported, format!("{}:{}", line + 1, column + 1))
}

#[test]
fn a_mapping_that_would_copy_a_token_is_left_out() {
    for mapping in [
        "integration.request.header.X-T: method.request.header.Authorization",
        "integration.request.header.X-T: method.request.header.COOKIE",
        "integration.request.header.X-T: method.request.header.proxy-authorization",
        "integration.request.header.X-T: method.request.multivaluequerystring.token",
        "integration.request.querystring.t: method.request.header.authorization",
        "integration.request.querystring.t: method.request.querystring.Token",
        "append:header.x-t: $request.querystring.token",
        "overwrite:header.x-t: 'Bearer $request.header.Authorization'",
        "overwrite:querystring.t: '${request.header.cookie}'",
    ] {
        let (imported, place) = mapped(mapping);
        let [only] = &*imported.findings else {
            panic!("{mapping}: {:?}", imported.findings);
        };
        let found = (only.code, only.place.to_string());
        assert_eq!(found, (Code::ParameterMapping, place), "{mapping}");
        assert!(
            only.about.ends_with(", which may be a token"),
            "{}",
            only.about
        );
        assert!(!imported.toml.contains("${"), "{}", imported.toml);
        // Nor does the client set what the API would have set.
        let is_field = mapping.contains("header.X-T") || mapping.contains("header.x-t");
        let is_removed = imported.toml.contains("remove = [\"x-t\"]");
        assert_eq!(is_removed, is_field, "{}", imported.toml);
    }
}

#[test]
fn an_operation_whose_path_would_hold_a_token_is_denied() {
    for mapping in [
        "integration.request.path.t: method.request.querystring.token",
        "integration.request.path.t: method.request.header.Authorization",
        "overwrite:path: /x/$request.header.cookie",
    ] {
        let (imported, place) = mapped(mapping);
        let [only] = &*imported.findings else {
            panic!("{mapping}: {:?}", imported.findings);
        };
        let found = (only.code, only.place.to_string());
        assert_eq!(found, (Code::UnusableUri, place), "{mapping}");
        assert!(
            imported.toml.contains("GET = { deny = true }"),
            "{}",
            imported.toml
        );
    }
}

#[test]
fn what_holds_no_token_is_copied() {
    for (mapping, expected) in [
        (
            "integration.request.header.X-T: method.request.header.X-Other",
            "x-t = \"${header:X-Other}\"",
        ),
        (
            "append:header.x-t: $request.querystring.other",
            "x-t = \"${query:other}\"",
        ),
        (
            "integration.request.path.t: method.request.header.X-Other",
            "rewrite = \"/p/${header:X-Other}\"",
        ),
        // It goes on in its own place.
        (
            "integration.request.header.Authorization: method.request.header.Authorization",
            "rewrite = \"/p\"",
        ),
        (
            "integration.request.querystring.token: method.request.querystring.token",
            "rewrite = \"/p\"",
        ),
    ] {
        let (imported, _) = mapped(mapping);
        assert_eq!(names(&imported), "", "{mapping}");
        assert!(imported.toml.contains(expected), "{}", imported.toml);
    }
}
