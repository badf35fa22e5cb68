use super::*;

/// Imports an export with these gateway responses, a text of YAML, and proves the output.
fn answering(responses: &str, others: &str) -> Imported {
    let document = export(
        &format!(" /p:\n  get: {{security: [{{pool: [a]}}], {FORWARD}}}\n{others}"),
        &format!("x-amazon-apigateway-gateway-responses:\n{responses}"),
    );
    let mut options = options();
    if document.contains("stageVariables.v") {
        options.variables.insert("v".into(), "${detail}".into());
    }
    apigateway(document.as_bytes(), &options).unwrap_or_else(|error| panic!("{error}\n{document}"))
}

/// The integration that answers preflights.
const PREFLIGHT: &str = "  options: {x-amazon-apigateway-integration: {type: mock, responses: {default: {statusCode: '200', \
     responseParameters: {method.response.header.Access-Control-Allow-Origin: \"'*'\"}}}}}\n";

#[test]
fn a_gateway_response_is_an_answer_for_our_reasons() {
    let imported = answering(
        " UNAUTHORIZED:\n  statusCode: 401\n  responseParameters: {gatewayresponse.header.X-A: \"'${a} {b}'\"}\n  \
         responseTemplates: {application/json: '{\"m\": $context.error.messageString, \"t\": \"$context.error.responseType\"}'}\n \
         MISSING_AUTHENTICATION_TOKEN: {statusCode: 404}\n \
         REQUEST_TOO_LARGE: {responseTemplates: {text/html: '<p>$5 $stageVariables.v</p>'}}\n \
         THROTTLED: {statusCode: 503}\n",
        "",
    );
    assert_eq!(names(&imported), "unused-gateway-response");
    let whole = imported.toml.replace('\n', " ");
    for entry in [
        r#"headers = { x-a = "$${a} {b}" } body = "{\"m\": \"${detail}\", \"t\": \"UNAUTHORIZED\"}""#,
        r#"for = ["no_route", "shadowed_path", "method_not_allowed"] status = 404 "#,
        r#"headers = { content-type = "text/html" } body = "<p>$$5 $${detail}</p>""#,
    ] {
        assert!(whole.contains(entry), "{entry}: {whole}");
    }
    assert_eq!(lines(&imported, "status"), ["404"]);
    assert!(lines(&imported, "for")[0].contains("\"invalid_token\", \"token_expired\""));
}

#[test]
fn a_default_is_for_a_class_and_has_no_status() {
    let imported = answering(
        " DEFAULT_4XX: {statusCode: 418, responseParameters: {gatewayresponse.header.x-a: \"'1'\"}}\n \
         DEFAULT_5XX: {statusCode: 500}\n",
        "",
    );
    assert_eq!(names(&imported), "gateway-response-part");
    assert_eq!(lines(&imported, "for"), ["\"4xx\""]);
    assert!(lines(&imported, "status").is_empty());
}

#[test]
fn what_cannot_be_translated_is_a_warning() {
    for (response, name, entries) in [
        (
            "UNAUTHORIZED: {responseTemplates: {application/json: '{\"a\": \"$context.stage\"}'}}",
            "gateway-response",
            0,
        ),
        (
            "UNAUTHORIZED: {responseTemplates: {application/json: '$stageVariables.w'}}",
            "gateway-response",
            0,
        ),
        (
            "UNAUTHORIZED: {responseTemplates: {application/json: 'no JSON'}}",
            "gateway-response",
            0,
        ),
        (
            "UNAUTHORIZED: {responseTemplates: {application/json: !Sub 'x'}}",
            "gateway-response",
            0,
        ),
        (
            "DEFAULT_4XX: {responseTemplates: {a/b: $context.error.responseType}}",
            "gateway-response",
            0,
        ),
        ("OTHER: {statusCode: 401}", "gateway-response", 0),
        ("UNAUTHORIZED: {statusCode: 99}", "gateway-response-part", 1),
        (
            "UNAUTHORIZED: {statusCode: !Ref x}",
            "gateway-response-part",
            1,
        ),
        (
            "UNAUTHORIZED: {statusCode: 204, responseTemplates: {a/b: x}}",
            "gateway-response-part",
            1,
        ),
        (
            "UNAUTHORIZED: {responseParameters: {gatewayresponse.header.a: method.request.header.a}}",
            "gateway-response-part",
            1,
        ),
        (
            "UNAUTHORIZED: {responseParameters: {gatewayresponse.header.a: \"'\\u00e9'\"}}",
            "gateway-response-part",
            1,
        ),
        (
            "UNAUTHORIZED: {responseParameters: {gatewayresponse.header.www-authenticate: \"'x'\"}}",
            "gateway-response-part",
            1,
        ),
        (
            "UNAUTHORIZED: {responseParameters: {gatewayresponse.header.content-type: \"'a/b'\"}}",
            "",
            1,
        ),
        ("UNAUTHORIZED: x", "", 1),
    ] {
        let imported = answering(&format!(" {response}\n"), "");
        assert_eq!(names(&imported), name, "{response}");
        assert_eq!(lines(&imported, "for").len(), entries, "{response}");
    }
}

#[test]
fn fields_of_cors_are_those_of_cors() {
    let response = " DEFAULT_4XX: {responseParameters: {gatewayresponse.header.Access-Control-Allow-Origin: \"'*'\"}}\n";
    let with = answering(response, PREFLIGHT);
    assert_eq!(names(&with), "gateway-response-cors");
    let without = answering(response, "");
    assert_eq!(names(&without), "gateway-response-part");
    let about = &without.findings[0].about;
    assert!(
        about.ends_with("(there is no `cors` for \"/p\")"),
        "{about}"
    );
    // One path of two has no `cors`.
    let other = format!("{PREFLIGHT} /q: {{get: {{security: [{{pool: [a]}}], {FORWARD}}}}}\n");
    assert_eq!(names(&answering(response, &other)), "gateway-response-part");
    assert!(with.toml.contains("cors = ") && !with.toml.contains("responses"));
}

#[test]
fn each_type_is_known_and_our_reasons_are_reasons() {
    let mut responses = String::new();
    for name in [
        "ACCESS_DENIED",
        "API_CONFIGURATION_ERROR",
        "AUTHORIZER_CONFIGURATION_ERROR",
        "AUTHORIZER_FAILURE",
        "BAD_REQUEST_BODY",
        "BAD_REQUEST_PARAMETERS",
        "DEFAULT_4XX",
        "DEFAULT_5XX",
        "EXPIRED_TOKEN",
        "INTEGRATION_FAILURE",
        "INTEGRATION_TIMEOUT",
        "INVALID_API_KEY",
        "INVALID_SIGNATURE",
        "MISSING_AUTHENTICATION_TOKEN",
        "QUOTA_EXCEEDED",
        "REQUEST_TOO_LARGE",
        "RESOURCE_NOT_FOUND",
        "THROTTLED",
        "UNAUTHORIZED",
        "UNSUPPORTED_MEDIA_TYPE",
        "WAF_FILTERED",
    ] {
        responses += &format!(" {name}: {{}}\n");
    }
    let imported = answering(&responses, "");
    assert_eq!(names(&imported), "unused-gateway-response");
    // Those for a class say nothing here.
    assert_eq!(lines(&imported, "for").len(), 7);
    assert_eq!(imported.findings.len(), 12);
}
