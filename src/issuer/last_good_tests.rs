//! Tests of the file that keeps keys across restarts.

use super::super::Algorithm;
use super::super::fixture::{Signer, entry, jwks};
use super::*;
use crate::clock;
use crate::net::Url;

fn kept_entry(path: &Path) -> IssuerSettings {
    let mut entry = entry(KeySource::Uri(
        Url::parse("https://idp.example.com/keys").unwrap(),
    ));
    entry.fetch.keep_file = Some(path.into());
    entry
}

fn document(kid: &str) -> Bytes {
    jwks(&[Signer::p256().jwk(kid)]).into()
}

fn later(now: Now, by: Duration) -> Now {
    Now {
        monotonic: now.monotonic + by,
        unix: UnixTime(now.unix.0 + by.as_secs()),
        ..now
    }
}

fn files(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn keys_that_were_written_are_read_with_their_age() {
    let directory = tempfile::tempdir().unwrap();
    let entry = kept_entry(&directory.path().join("idp.keys"));
    let mut file = LastGood::of(&entry).unwrap();
    let now = clock::now();
    assert!(
        file.read(&entry, now.unix).unwrap().is_none(),
        "no file is no mistake"
    );
    file.write(&document("a"), now).unwrap();
    let kept = file
        .read(&entry, UnixTime(now.unix.0 + 3600))
        .unwrap()
        .unwrap();
    assert_eq!(kept.age, Duration::from_secs(3600));
    assert!(kept.keys.keys[0].allows(Algorithm::ES256) && kept.keys.keys[0].kid() == Some("a"));
    assert_eq!(
        files(directory.path()),
        ["idp.keys"],
        "nothing else is left behind"
    );
}

#[cfg(unix)]
#[test]
fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let entry = kept_entry(&directory.path().join("keys"));
    fs::write(directory.path().join("keys"), "").unwrap();
    fs::set_permissions(
        directory.path().join("keys"),
        fs::Permissions::from_mode(0o666),
    )
    .unwrap();
    LastGood::of(&entry)
        .unwrap()
        .write(&document("a"), clock::now())
        .unwrap();
    let mode = fs::metadata(directory.path().join("keys"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_is_unchanged_is_written_again_only_after_a_while() {
    let directory = tempfile::tempdir().unwrap();
    let entry = kept_entry(&directory.path().join("keys"));
    let mut file = LastGood::of(&entry).unwrap();
    let (start, same) = (clock::now(), document("a"));
    let age_after = |file: &LastGood, by: u64| {
        file.read(&entry, UnixTime(start.unix.0 + by))
            .unwrap()
            .unwrap()
            .age
            .as_secs()
    };
    file.write(&same, start).unwrap();
    file.write(&same, later(start, Duration::from_secs(59)))
        .unwrap();
    assert_eq!(age_after(&file, 100), 100);
    file.write(&same, later(start, Duration::from_secs(60)))
        .unwrap();
    assert_eq!(age_after(&file, 100), 40);
    file.write(&document("b"), later(start, Duration::from_secs(61)))
        .unwrap();
    assert_eq!(age_after(&file, 100), 39);
}

#[test]
fn keys_older_than_stale_ones_are_kept_are_not_taken() {
    let directory = tempfile::tempdir().unwrap();
    let mut entry = kept_entry(&directory.path().join("keys"));
    entry.fetch.keep_stale = Duration::from_secs(100);
    let mut file = LastGood::of(&entry).unwrap();
    let now = clock::now();
    file.write(&document("a"), now).unwrap();
    assert!(
        file.read(&entry, UnixTime(now.unix.0 + 99))
            .unwrap()
            .is_some()
    );
    let read = |at| file.read(&entry, UnixTime(at));
    assert!(matches!(
        read(now.unix.0 + 100),
        Err(LastGoodError::TooOld(_))
    ));
    // The clock is wrong now or was wrong at the write, so the age of the keys is unknown.
    assert!(matches!(read(now.unix.0 - 1), Err(LastGoodError::Future)));
    assert!(matches!(read(0), Err(LastGoodError::Future)));
    assert!(matches!(read(u64::MAX), Err(LastGoodError::TooOld(_))));
}

// Keys belong to an issuer, and a new source in the configuration replaces the old one.
#[test]
fn keys_of_another_issuer_or_place_are_not_taken() {
    let directory = tempfile::tempdir().unwrap();
    let entry = kept_entry(&directory.path().join("keys"));
    let now = clock::now();
    LastGood::of(&entry)
        .unwrap()
        .write(&document("a"), now)
        .unwrap();
    let read = |entry: &IssuerSettings| LastGood::of(entry).unwrap().read(entry, now.unix);
    assert!(read(&entry).unwrap().is_some());
    let other_issuer = IssuerSettings {
        issuer: "https://idp.example.com".into(),
        ..entry.clone()
    };
    let url = |text| Url::parse(text).unwrap();
    let moved = IssuerSettings {
        keys: KeySource::Uri(url("https://idp.example.com/keys2")),
        ..entry.clone()
    };
    let discovered = IssuerSettings {
        keys: KeySource::Discovery(url("https://idp.example.com/keys")),
        ..entry
    };
    for entry in [other_issuer, moved, discovered] {
        assert!(
            matches!(read(&entry), Err(LastGoodError::Foreign)),
            "{entry:?}"
        );
    }
}

#[test]
fn a_broken_file_is_an_error_and_no_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys");
    let entry = kept_entry(&path);
    let now = clock::now();
    let mut file = LastGood::of(&entry).unwrap();
    file.write(&document("a"), now).unwrap();
    let good = fs::read(&path).unwrap();
    for length in 0..good.len() {
        fs::write(&path, &good[..length]).unwrap();
        assert!(file.read(&entry, now.unix).is_err(), "{length}");
    }
    let empty = [
        &good[..=good.iter().position(|byte| *byte == b'\n').unwrap()],
        br#"{"keys":[]}"#,
    ]
    .concat();
    for broken in [
        b"\xff\xff\n\xff".to_vec(),
        vec![b'\n'; 100],
        b"{}\n{}".to_vec(),
        empty,
    ] {
        fs::write(&path, &broken).unwrap();
        assert!(file.read(&entry, now.unix).is_err(), "{broken:?}");
    }
    fs::write(&path, [good.as_slice(), &b" ".repeat(1 << 20)].concat()).unwrap();
    assert!(matches!(
        file.read(&entry, now.unix),
        Err(LastGoodError::Size)
    ));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(
        file.read(&entry, now.unix),
        Err(LastGoodError::Size)
    ));
}

#[test]
fn a_write_that_fails_leaves_what_was_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nowhere/keys");
    let entry = kept_entry(&path);
    let mut file = LastGood::of(&entry).unwrap();
    assert!(file.write(&document("a"), clock::now()).is_err());
    // A write that failed is not remembered as written.
    fs::create_dir(directory.path().join("nowhere")).unwrap();
    let same = document("a");
    file.write(&same, clock::now()).unwrap();
    assert!(file.read(&entry, clock::now().unix).unwrap().is_some());
    fs::remove_file(&path).unwrap();
    fs::create_dir_all(path.join("in the way")).unwrap();
    assert!(file.write(&document("b"), clock::now()).is_err());
    assert_eq!(
        files(&directory.path().join("nowhere")),
        ["keys"],
        "no temporary file is left"
    );
}

#[test]
fn an_issuer_with_keys_of_the_configuration_has_no_file() {
    let mut entry = entry(KeySource::Static("".into()));
    entry.fetch.keep_file = Some("keys".into());
    assert!(LastGood::of(&entry).is_none());
}
