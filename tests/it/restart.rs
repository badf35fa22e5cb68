//! The state that a restart keeps.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::{Gateway, Issuer, Jwks, Request, Upstream, wait_until};

// The issuer is out while the gateway restarts.
#[test]
fn a_restart_survives_the_issuers_outage_with_the_keys_that_were_kept() {
    let (issuer, upstream, directory) = (
        Issuer::start(),
        Upstream::start(),
        tempfile::tempdir().unwrap(),
    );
    let file = directory.path().join("idp.keys");
    let text = |more: &str| {
        format!(
            "{}{more}cooldown = \"20ms\"\nrefresh = \"100ms\"\nrefresh_min = \"100ms\"\n{}\
             [[routes]]\npath = \"/x\"\nupstream = \"up\"\nscopes = \"read\"\n",
            issuer.toml(),
            upstream.toml("up")
        )
    };
    let keeping = text(&format!("keep_file = \"{}\"\n", file.display()));
    let request = Request::get("/x").bearer(&issuer.token("read"));
    let first = Gateway::start(&keeping);
    assert_eq!(first.send(&request).status, 200);
    wait_until("the keys are kept", || file.exists());
    first.shutdown();

    issuer.serve(Jwks::Reset);
    let second = Gateway::start(&keeping);
    assert_eq!(second.send(&request).status, 200);
    wait_until("a fetch has failed", || {
        second.metric("scopegate_issuer_refreshes_total{issuer=\"idp\",result=\"failure\"}") > 0.0
    });
    assert_eq!(second.send(&request).status, 200);
    // A token of a key that was not kept may be good: nobody can say.
    let other = issuer.claims("read").signed(&issuer.key.named("key-2"));
    assert_eq!(second.send(&Request::get("/x").bearer(&other)).status, 503);
    second.shutdown();

    let without = Gateway::start(&text(""));
    assert_eq!(
        without.send(&request).status,
        503,
        "nothing else has kept them"
    );
    without.shutdown();

    fs::write(&file, "broken").unwrap();
    let broken = Gateway::start(&keeping);
    assert_eq!(broken.send(&request).status, 503);
    issuer.serve(Jwks::Keys(vec![issuer.key.clone()]));
    wait_until("the keys are fetched", || {
        broken.send(&request).status == 200
    });
}

// What a gateway keeps is its own: another user's file would be in its way, and a dev issuer's keys
// in its place.
#[test]
fn explain_leaves_no_file_behind() {
    let (issuer, directory) = (Issuer::start(), tempfile::tempdir().unwrap());
    let path = |name: &str| directory.path().join(name);
    let entry = format!("{}keep_file = \"idp.keys\"\n", issuer.toml());
    let upstream = "[upstreams.up]\nurl = \"http://127.0.0.1:1\"\n";
    let route = "[[routes]]\npath = \"/x\"\nupstream = \"up\"\nscopes = \"read\"\n";
    fs::write(path("gateway.toml"), format!("{entry}{upstream}{route}")).unwrap();
    fs::write(path("token"), issuer.token("read")).unwrap();
    let explained = Command::new(env!("CARGO_BIN_EXE_scopegate"))
        .args(["explain", "GET", "/x", "--config"])
        .args([
            path("gateway.toml").as_os_str(),
            "--token-file".as_ref(),
            path("token").as_os_str(),
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(explained.status.success(), "{explained:?}");
    assert_eq!(issuer.fetches(), 1, "the keys were fetched");
    assert!(!path("idp.keys").exists());
}
