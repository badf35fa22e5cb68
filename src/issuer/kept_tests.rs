//! Tests of the file that keeps keys across restarts, as the control thread's task uses it.

use super::*;

/// Returns a stage whose issuer keeps its keys in a file.
fn keeping(
    answer: FakeAnswer,
    file: &std::path::Path,
    change: impl FnOnce(&mut IssuerSettings),
) -> Stage {
    Stage::set(answer, |entry| {
        entry.fetch.keep_file = Some(file.into());
        change(entry);
    })
}

/// Changes the URL in the file to the other stage's, as if the next process fetched from the same
/// address.
fn as_kept_from(file: &std::path::Path, stage: &Stage, other: &Stage) {
    let text = std::fs::read_to_string(file).unwrap();
    let (from, to) = (
        stage.fake.url(KEYS).to_string(),
        other.fake.url(KEYS).to_string(),
    );
    std::fs::write(file, text.replace(&from, &to)).unwrap();
}

// A restart during the issuer's outage.
#[tokio::test]
async fn keys_that_were_kept_serve_until_the_issuer_is_heard() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("idp.keys");
    let (signer, answer) = set_of("a");
    let before = keeping(answer, &file, |_| {});
    before.keep(&file).await;
    before.issuer.retire_all();
    let after = keeping(FakeAnswer::Reset, &file, restless);
    as_kept_from(&file, &before, &after);
    let key = after.key("a").await.unwrap();
    let message = b"header.claims";
    assert!(key.verify(ES256, message, &signer.sign(ES256, message)));
    after.fetches(2).await;
    let state = after.issuer.state();
    assert!(!state.last_ok && state.keys == 1 && state.age.is_some() && key.is_live());
    // No fetch has succeeded yet, so an unknown key may be a new one.
    assert!(matches!(
        after.key("b").await,
        Err(KeyError::Unavailable { .. })
    ));
    after.fake.answer(KEYS, set_of("b").1);
    while after.issuer.find(Some("b"), ES256).is_none() {
        let ended = after.issuer.follow().borrow().ended;
        assert!(ended < 100, "it does not heal");
        after.fetches(ended + 1).await;
    }
    assert!(
        !key.is_live(),
        "what the issuer has withdrawn meanwhile is gone"
    );
    let kept = || {
        std::fs::read_to_string(&file)
            .unwrap()
            .contains(r#""kid":"b""#)
    };
    while !kept() {
        let ended = after.issuer.follow().borrow().ended;
        assert!(ended < 200, "the new keys are not kept");
        after.fetches(ended + 1).await;
    }
}

#[tokio::test]
async fn a_request_that_waits_for_the_first_fetch_is_served_with_kept_keys() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("idp.keys");
    let before = keeping(set_of("a").1, &file, |_| {});
    before.keep(&file).await;
    // The first fetch does not end during the test, so the keys can only come from the file.
    let after = keeping(FakeAnswer::Hang, &file, |entry| {
        entry.fetch.timeout = PATIENCE * 10;
    });
    as_kept_from(&file, &before, &after);
    let asked = tokio::time::timeout(PATIENCE, after.key("a"));
    assert!(asked.await.expect("nobody waits for the fetch").is_ok());
    assert_eq!(after.issuer.follow().borrow().ended, 0);
}

#[tokio::test]
async fn a_file_that_is_broken_or_cannot_be_written_holds_nobody_up() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("idp.keys");
    std::fs::write(&file, "{\"keys\":[]}").unwrap();
    for path in [
        file.clone(),
        directory.path().join("nowhere/idp.keys"),
        directory.path().to_owned(),
    ] {
        let stage = keeping(set_of("a").1, &path, |_| {});
        assert!(stage.key("a").await.is_ok(), "{}", path.display());
    }
}

// An empty key set withdraws all keys: neither this process nor the next one may trust them again.
#[tokio::test]
async fn an_empty_set_withdraws_the_keys_of_the_process_and_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("idp.keys");
    let (signer, answer) = set_of("a");
    let stage = keeping(answer, &file, restless);
    stage.keep(&file).await;
    let key = stage.key("a").await.unwrap();
    stage.fake.answer(KEYS, json(r#"{"keys":[]}"#));
    while key.is_live() || file.exists() {
        let ended = stage.issuer.follow().borrow().ended;
        assert!(ended < 100, "the key lives, or its file does");
        stage.fetches(ended + 1).await;
    }
    assert!(matches!(
        stage.key("a").await,
        Err(KeyError::Unavailable { .. })
    ));
    assert!(stage.shows(r#"scopegate_issuer_keys{issuer="idp"} 0"#));
    let restarted = keeping(FakeAnswer::Reset, &file, restless);
    restarted.fetches(1).await;
    assert!(restarted.issuer.find(Some("a"), ES256).is_none());
    // The next fetch comes soon, and keys that come back are good again.
    stage.fake.answer(KEYS, json(&jwks(&[signer.jwk("a")])));
    while stage.issuer.find(Some("a"), ES256).is_none() {
        let ended = stage.issuer.follow().borrow().ended;
        assert!(ended < 200, "it does not heal");
        stage.fetches(ended + 1).await;
    }
    assert!(
        !key.is_live(),
        "a key that was withdrawn stays so, and its tokens are verified anew"
    );
}

// If the cache headers of an empty set were obeyed, every token would be refused for a day.
#[tokio::test]
async fn an_empty_set_is_asked_for_again_after_the_cool_down() {
    let empty = FakeAnswer::Bytes(response(
        200,
        "Cache-Control: max-age=86400\r\n",
        r#"{"keys":[]}"#,
    ));
    let stage = Stage::set(empty, |entry| {
        entry.fetch.cooldown = Duration::from_millis(1);
    });
    stage.fetches(1).await;
    stage.fake.answer(KEYS, set_of("a").1);
    stage.fetches(2).await;
    assert!(stage.issuer.find(Some("a"), ES256).is_some());
}

// A withdrawn key would come back with the next process if its file could not be replaced.
#[test]
fn a_file_that_cannot_be_replaced_is_removed_when_keys_are_withdrawn() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys");
    let mut entry = entry(KeySource::Uri(
        Url::parse("https://idp.example.com/keys").unwrap(),
    ));
    entry.fetch.keep_file = Some(path.clone());
    let mut file = LastGood::of(&entry).unwrap();
    let document = |kid: &str| Bytes::from(jwks(&[Signer::p256().jwk(kid)]));
    let issuer = Issuer::new(entry, vec![crate::issuer::fixture::unread()]).unwrap();
    keep(&issuer, &mut file, &document("a"), true, false);
    assert!(path.exists());
    // A temporary name would be longer than a file name may be, so the file cannot be replaced.
    let long = directory.path().join("k".repeat(250));
    std::fs::rename(&path, &long).unwrap();
    let mut entry = issuer.entry().clone();
    entry.fetch.keep_file = Some(long.clone());
    let mut file = LastGood::of(&entry).unwrap();
    keep(&issuer, &mut file, &document("b"), true, false);
    assert!(
        long.exists(),
        "a write that fails costs nothing while no key is withdrawn"
    );
    keep(&issuer, &mut file, &document("b"), true, true);
    assert!(!long.exists());
}

// A leaked private key is not copied to disk, nor trusted again after a restart.
#[tokio::test]
async fn a_set_that_publishes_a_private_key_leaves_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("idp.keys");
    let stage = keeping(set_of("a").1, &file, restless);
    stage.keep(&file).await;
    let mut leaked = Signer::p256().jwk("b");
    leaked["d"] = "AQAB".into();
    stage
        .fake
        .answer(KEYS, json(&jwks(&[leaked, Signer::p256().jwk("c")])));
    while file.exists() {
        let ended = stage.issuer.follow().borrow().ended;
        assert!(ended < 100, "the file stays");
        stage.fetches(ended + 1).await;
    }
}
