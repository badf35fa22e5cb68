//! A multi-tenant provider: one entry of the configuration, and the tokens of the tenants that it
//! lists.

use crate::support::{Gateway, Issuer, Jwks, Key, Request, Token, Upstream};

/// Two tenants whose keys are in one place, and a route that takes them.
fn start(issuer: &Issuer, tenants: &str, upstream: &Upstream) -> Gateway {
    Gateway::start(&format!(
        "[issuers.multi]\nissuer = \"{url}/{{tenant}}/v2.0\"\ntenants = {tenants}\n\
         audience = \"api\"\n\
         jwks_uri = \"{url}/jwks\"\n[issuers.other]\nissuer = \"{url}\"\naudience = \"api\"\n\
         {upstream}\
         [[routes]]\npath = \"/x\"\nupstream = \"up\"\nissuer = \"multi\"\nscopes = \"read\"\n",
        url = issuer.url(),
        upstream = upstream.toml("up"),
    ))
}

fn token(issuer: &Issuer, path: &str) -> String {
    Token::of(&format!("{}{path}", issuer.url()), "read").signed(&issuer.key)
}

fn status(gateway: &Gateway, token: &str) -> u16 {
    gateway.send(&Request::get("/x").bearer(token)).status
}

fn verdicts(gateway: &Gateway, issuer: &str, result: &str) -> f64 {
    let labels = format!("issuer=\"{issuer}\",result=\"{result}\"");
    gateway.metric(&format!("scopegate_token_verifications_total{{{labels}}}"))
}

// Everybody can have a tenant with the provider, and its keys sign the tokens of
// all.
#[test]
fn tokens_of_the_tenants_that_are_listed_are_taken_and_of_no_other() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = start(&issuer, "[\"one\", \"two\"]", &upstream);
    for tenant in ["one", "two"] {
        assert_eq!(
            status(&gateway, &token(&issuer, &format!("/{tenant}/v2.0"))),
            200,
            "{tenant}"
        );
    }
    for path in [
        "/three/v2.0",
        "/{tenant}/v2.0",
        "/One/v2.0",
        "/one/v2.0/",
        "/one/two/v2.0",
        "/one%2Fv2.0",
        "/../one/v2.0",
        "/one/v2.0\u{0}",
        "//v2.0",
        "/common/v2.0",
        "/one",
        "",
    ] {
        assert_eq!(status(&gateway, &token(&issuer, path)), 401, "{path}");
    }
    for tenant in ["multi/one", "multi/two"] {
        assert_eq!(
            (
                verdicts(&gateway, tenant, "valid"),
                verdicts(&gateway, tenant, "bad_signature")
            ),
            (1.0, 0.0)
        );
    }
}

#[test]
fn a_tenant_that_leaves_the_list_is_out_with_the_next_reload_and_the_others_stay() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let gateway = start(&issuer, "[\"one\", \"two\"]", &upstream);
    let (one, two) = (token(&issuer, "/one/v2.0"), token(&issuer, "/two/v2.0"));
    assert_eq!((status(&gateway, &one), status(&gateway, &two)), (200, 200));
    // From here on nobody has keys who did not have them: whoever stays has kept them.
    issuer.serve(Jwks::Reset);
    let text = std::fs::read_to_string(gateway.file()).unwrap();
    gateway.rewrite(&text.replace("\"one\", \"two\"", "\"two\""));
    gateway.reload();
    gateway.wait_for_metric("scopegate_reloads_total{result=\"success\"}", 1.0);
    assert_eq!((status(&gateway, &one), status(&gateway, &two)), (401, 200));
    assert_eq!(
        gateway.metric("scopegate_issuer_keys{issuer=\"multi/one\"}"),
        0.0
    );
    let another = Token::of(&format!("{}/two/v2.0", issuer.url()), "read").with("jti", "2");
    assert_eq!(status(&gateway, &another.signed(&issuer.key)), 200);
    assert_eq!(
        status(&gateway, &another.signed(&Key::rsa("key-1", 1))),
        401
    );
}
