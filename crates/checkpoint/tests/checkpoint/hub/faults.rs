//! Connections that break and bytes that are wrong.

use std::fs;
use std::time::{Duration, Instant};

use ffai_checkpoint::{Error, FetchEvent, HubError};

use crate::host::etag_of;

use super::server::Fault::{Cut, Endless, Flip, IgnoreRange, Length, Stall, Status};
use super::server::{Hub, noise};
use super::world::World;

const SHARD: &str = "model-00001-of-00002.safetensors";

fn shard() -> Vec<u8> {
    noise(300_000, 1)
}

fn incomplete(world: &World) -> std::path::PathBuf {
    world.repo().join("blobs").join(format!("{}.incomplete", etag_of(&shard(), true)))
}

/// The ranges that were asked for of the first shard.
fn ranges(world: &World) -> Vec<Option<String>> {
    let seen = world.hub.seen().into_iter();
    seen.filter(|seen| seen.line.contains(&format!("/signed/{SHARD}"))).map(|seen| seen.range).collect()
}

#[test]
fn a_connection_that_is_cut_goes_on_where_it_broke() {
    let world = World::new(Hub::with_model().fault(SHARD, [Cut(100_000), Cut(50_000)]));
    let (path, events) = world.events("org/repo");
    assert_eq!(fs::read(path.unwrap().join(SHARD)).unwrap(), shard());
    assert_eq!(ranges(&world), [None, Some("bytes=100000-".into()), Some("bytes=150000-".into())]);
    let retried = |event: &&FetchEvent| matches!(event, FetchEvent::Retrying { file, .. } if file == SHARD);
    assert_eq!(events.iter().filter(retried).count(), 2, "{events:?}");
}

#[test]
fn a_connection_that_breaks_for_good_is_resumed_by_the_next_run() {
    let world = World::new(Hub::with_model().fault(SHARD, [Cut(100_000), Cut(0), Cut(0), Cut(0)]));
    let error = world.error("org/repo");
    let expected = format!("`org/repo`: {SHARD}: the download broke off at 100000 of 300000 bytes (");
    assert!(error.starts_with(&expected), "{error}");
    assert!(error.ends_with("3 times in a row; run the same command again to resume it"), "{error}");
    assert!(!world.snapshot().exists(), "nothing could be taken for a model");
    assert_eq!(fs::metadata(incomplete(&world)).unwrap().len(), 100_000);
    world.hub.clone().fault(SHARD, []);
    world.resolve("org/repo").unwrap();
    assert_eq!(ranges(&world).last().unwrap().as_deref(), Some("bytes=100000-"));
    assert_eq!(fs::read(world.snapshot().join(SHARD)).unwrap(), shard());
    assert!(!incomplete(&world).exists());
}

#[test]
fn a_server_that_cannot_resume_sends_all_of_it() {
    let world = World::new(Hub::with_model().fault(SHARD, [Cut(100_000), IgnoreRange]));
    let (path, events) = world.events("org/repo");
    assert_eq!(fs::read(path.unwrap().join(SHARD)).unwrap(), shard());
    let over = |event: &FetchEvent| matches!(event, FetchEvent::Downloading { done, total } if done > total);
    assert!(!events.iter().any(over), "{events:?}");
}

#[test]
fn a_wrong_beginning_is_downloaded_again() {
    for wrong in [vec![0; 1000], vec![0; 300_000], vec![0; 300_001]] {
        let world = World::new(Hub::with_model());
        fs::create_dir_all(incomplete(&world).parent().unwrap()).unwrap();
        fs::write(incomplete(&world), &wrong).unwrap();
        world.resolve("org/repo").unwrap();
        assert_eq!(fs::read(world.snapshot().join(SHARD)).unwrap(), shard(), "{}", wrong.len());
    }
}

#[test]
fn wrong_bytes_are_discarded() {
    let world = World::new(Hub::with_model().fault(SHARD, [Flip]));
    let error = world.error("org/repo");
    assert!(error.starts_with(&format!("`org/repo`: {SHARD} has sha256 ")), "{error}");
    assert!(
        error.ends_with(&format!("expected {}; it was discarded: run the same command again", etag_of(&shard(), true)))
    );
    assert!(!incomplete(&world).exists() && !world.snapshot().exists());
    let world = World::new(Hub::with_model().fault("tokenizer.json", [Flip]));
    assert!(world.error("org/repo").contains("tokenizer.json has git hash "));
}

#[test]
fn a_wrong_size_is_refused_before_it_is_downloaded() {
    for length in [299_999, 300_001, u64::MAX] {
        let world = World::new(Hub::with_model().fault(SHARD, [Length(length)]));
        let expected = format!(
            "`org/repo`: {SHARD} has size {length}, expected 300000; it was discarded: run the same command again"
        );
        assert_eq!(world.error("org/repo"), expected);
        assert!(!incomplete(&world).exists());
    }
}

#[test]
fn more_bytes_than_promised_are_not_written() {
    let world = World::new(Hub::with_model().fault(SHARD, [Endless]));
    let error = world.error("org/repo");
    assert!(error.contains("has size of more than 300000, expected 300000; it was discarded"), "{error}");
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    let busy = [Status(500, ""), Status(429, "Retry-After: 1\r\n")];
    let world = World::new(Hub::with_model().fault("/api/models/", busy.clone()).fault(SHARD, busy));
    let start = Instant::now();
    world.resolve("org/repo").unwrap();
    assert!(start.elapsed() >= Duration::from_secs(2), "it waits as long as it is told to");
}

#[test]
fn a_server_that_stays_busy_is_an_error_that_says_so() {
    let world = World::new(Hub::with_model().fault("/api/models/", vec![Status(503, ""); 3]));
    let expected = "`org/repo`: HOST cannot answer now (status 503); try again later, or set HF_TOKEN: limits are higher with a token";
    assert_eq!(world.error("org/repo"), expected);
    let world = World::new(Hub::with_model().fault(SHARD, vec![Status(500, ""); 3]));
    assert!(world.error("org/repo").contains("HOST cannot answer now (status 500)"));
    let world = World::new(Hub::with_model().fault("/api/models/", [Status(429, "Retry-After: 3600\r\n")]));
    assert!(world.error("org/repo").contains("cannot answer now (too many requests, wait 3600 s)"));
    assert_eq!(world.hub.count("/api/models/"), 1, "an hour is not waited for");
}

#[test]
fn a_server_that_stalls_is_asked_again() {
    let world = World::new(Hub::with_model().fault("/api/models/", [Stall]).fault(SHARD, [Stall]));
    let (path, events) = world.events("org/repo");
    assert_eq!(path.unwrap(), world.snapshot());
    let timeout = |event: &FetchEvent| matches!(event, FetchEvent::Retrying { reason, .. } if reason.contains("in time") || reason.contains("imeout"));
    assert!(events.iter().any(timeout), "{events:?}");
}

#[test]
fn a_disk_that_is_too_small_is_known_before_the_download() {
    let world = World::new(Hub::new().file("config.json", b"{}").large("model.safetensors", b"x"));
    world.hub.claim("model.safetensors", 1 << 60);
    let error = world.error("org/repo");
    assert!(
        error.starts_with(
            "`org/repo`: the disk is full: 1152921504606846978 bytes more are needed in ROOT/hub/models--org--repo, "
        ),
        "{error}"
    );
    assert_eq!(world.hub.count("/resolve/"), 0);
}

#[test]
fn names_that_leave_the_snapshot_are_refused() {
    for name in ["../config.json", "/etc/config.json", "a/../../config.json", "a\\config.json", "a\0.json", "a//b"] {
        let world = World::new(Hub::with_model().file(name, b"{}"));
        let error = world.error("org/repo");
        let expected = format!(
            "`org/repo`: the repository is refused: it has a file named {name:?}, which would leave its folder"
        );
        assert_eq!(error, expected);
        assert!(!world.repo().exists());
    }
}

#[test]
fn an_index_cannot_name_files_that_the_repository_has_not() {
    let hub = Hub::new()
        .file("config.json", b"{}")
        .file("model.safetensors.index.json", br#"{"weight_map": {"a": "../../../x.safetensors"}}"#);
    let error = World::new(hub).error("org/repo");
    assert_eq!(error, "`org/repo`: the repository has no file `../../../x.safetensors` at this revision");
}

#[test]
fn answers_that_make_no_sense_are_errors() {
    let world = World::new(Hub::with_model());
    world.hub.commit("../../x");
    assert_eq!(world.error("org/repo"), "`org/repo`: HOST gave an answer that cannot be used: `sha` is no commit");
}

#[test]
fn one_file_that_fails_stops_the_others() {
    let world = World::new(Hub::with_model().fault(SHARD, [Status(404, "X-Error-Code: EntryNotFound\r\n")]));
    let (result, events) = world.events("org/repo");
    let Err(Error::Hub { source, .. }) = result else { panic!("{result:?}") };
    assert!(matches!(&*source, HubError::NoFile { file } if file == SHARD), "{source}");
    assert!(matches!(events.last(), Some(FetchEvent::Failed { source, .. }) if source == "org/repo"));
}
