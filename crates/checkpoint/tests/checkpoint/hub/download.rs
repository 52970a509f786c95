//! What is downloaded, and where it lies then.

use std::fs;
use std::path::Path;

use ffai_checkpoint::FetchEvent;

use crate::host::{COMMIT, etag_of};

use super::server::{Hub, NEXT_COMMIT, noise};
use super::world::World;

const NEEDED: [&str; 6] = [
    "chat_templates/tool_use.jinja",
    "config.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
];

#[test]
fn only_the_files_needed_are_downloaded_into_the_layout_of_python() {
    let world = World::new(Hub::with_model());
    assert_eq!(world.resolve("org/repo").unwrap(), world.snapshot());
    assert_eq!(world.files(), NEEDED);
    let shard = world.snapshot().join("model-00001-of-00002.safetensors");
    assert_eq!(fs::read(&shard).unwrap(), noise(300_000, 1));
    let blob = etag_of(&noise(300_000, 1), true);
    assert_eq!(fs::read_link(shard).unwrap(), Path::new("../../blobs").join(blob));
    let template = fs::read_link(world.snapshot().join("chat_templates/tool_use.jinja")).unwrap();
    assert_eq!(template, Path::new("../../../blobs").join(etag_of(b"{{ tools }}", false)));
    assert_eq!(fs::read_to_string(world.repo().join("refs/main")).unwrap(), COMMIT);
    assert_eq!(world.blobs().len(), NEEDED.len(), "nothing incomplete is left");
}

#[test]
fn what_is_in_the_cache_needs_no_network() {
    let world = World::new(Hub::with_model());
    world.resolve("org/repo").unwrap();
    let requests = world.hub.seen().len();
    let (path, events) = world.events("org/repo");
    assert_eq!((path.unwrap(), events), (world.snapshot(), vec![]));
    assert_eq!(world.resolve(&format!("org/repo@{COMMIT}")).unwrap(), world.snapshot());
    assert_eq!(world.hub.seen().len(), requests);
}

#[test]
fn a_missing_file_alone_is_downloaded() {
    let world = World::new(Hub::with_model());
    world.resolve("org/repo").unwrap();
    let blob = etag_of(&noise(200_000, 2), true);
    fs::remove_file(world.repo().join("blobs").join(blob)).unwrap();
    let before = world.hub.count("/resolve/");
    world.resolve("org/repo").unwrap();
    assert_eq!(world.hub.count("/resolve/"), before + 1);
    assert_eq!(fs::read(world.snapshot().join(NEEDED[3])).unwrap(), noise(200_000, 2));
}

#[test]
fn progress_counts_the_bytes_of_all_files() {
    let world = World::new(Hub::with_model());
    let (_, events) = world.events("org/repo");
    let Some(FetchEvent::Started { source, total, .. }) = events.first() else { panic!("{events:?}") };
    assert_eq!(source, "org/repo");
    assert!(*total > 500_000 && *total < 501_000, "{total}");
    let bytes: Vec<(u64, u64)> = events
        .iter()
        .filter_map(|event| match event {
            FetchEvent::Downloading { done, total } => Some((*done, *total)),
            _ => None,
        })
        .collect();
    assert!(bytes.is_sorted() && bytes.last() == Some(&(*total, *total)), "{bytes:?}");
    assert_eq!(events.last(), Some(&FetchEvent::Ready { path: world.snapshot() }));
}

#[test]
fn a_list_without_sizes_and_hashes_is_completed_by_asking_for_each_file() {
    let world = World::new(Hub::with_model().without_details());
    world.resolve("org/repo").unwrap();
    assert_eq!(world.files(), NEEDED);
    assert_eq!(world.blobs().len(), NEEDED.len());
    assert!(world.blobs().contains(&etag_of(&noise(300_000, 1), true)));
    let heads: Vec<_> = world.hub.seen().into_iter().filter(|seen| seen.line.starts_with("HEAD")).collect();
    assert!(heads.len() == NEEDED.len() && heads.iter().all(|seen| seen.host == "hub"));
}

#[test]
fn a_revision_has_a_reference_of_its_own() {
    let world = World::new(Hub::with_model());
    assert_eq!(world.resolve("org/repo@refs/pr/1").unwrap(), world.snapshot());
    assert_eq!(fs::read_to_string(world.repo().join("refs/refs/pr/1")).unwrap(), COMMIT);
    assert!(!world.repo().join("refs/main").exists());
}

#[test]
fn pulling_follows_the_branch_and_downloads_only_what_has_changed() {
    let world = World::new(Hub::with_model());
    world.resolve("org/repo").unwrap();
    world.hub.commit(NEXT_COMMIT);
    assert_eq!(world.resolve("org/repo").unwrap(), world.snapshot(), "the cache will do");
    let before = world.hub.count("/resolve/");
    let new = world.pull("org/repo").unwrap();
    assert_eq!(new, world.snapshot().with_file_name(NEXT_COMMIT));
    assert_eq!(world.hub.count("/resolve/"), before, "all blobs are there");
    assert_eq!(world.resolve("org/repo").unwrap(), new);
}

#[test]
fn one_gguf_of_many_is_chosen() {
    let hub = || {
        Hub::new().file("config.json", b"{}").large("m-Q4_K_M.gguf", &noise(9, 1)).large("m-Q8_0.gguf", &noise(9, 2))
    };
    for name in ["org/repo:q8_0", "org/repo/m-Q8_0.gguf", "org/repo@main:m-Q8_0.gguf"] {
        let world = World::new(hub());
        assert_eq!(world.resolve(name).unwrap(), world.snapshot().join("m-Q8_0.gguf"), "{name}");
        assert_eq!(world.files(), ["m-Q8_0.gguf"], "{name}");
        let requests = world.hub.seen().len();
        world.resolve(name).unwrap();
        assert_eq!(world.hub.seen().len(), requests, "it is in the cache");
    }
    let world = World::new(hub());
    let several = "`org/repo`: the repository has several GGUF files: choose one by `org/repo/m-Q4_K_M.gguf`; there are m-Q4_K_M.gguf, m-Q8_0.gguf";
    assert_eq!(world.error("org/repo"), several);
    let none = "`org/repo:Q2_K`: `Q2_K` names no GGUF file of the repository; there are m-Q4_K_M.gguf, m-Q8_0.gguf";
    assert_eq!(world.error("org/repo:Q2_K"), none);
}

#[test]
fn all_parts_of_a_split_gguf_are_needed() {
    let parts = ["Q8_0/m-Q8_0-00001-of-00002.gguf", "Q8_0/m-Q8_0-00002-of-00002.gguf"];
    let world = World::new(Hub::new().large(parts[0], &noise(9, 1)).large(parts[1], &noise(9, 2)));
    assert_eq!(world.resolve("org/repo:Q8_0").unwrap(), world.snapshot().join(parts[0]));
    assert_eq!(world.files(), parts);
    fs::remove_file(world.snapshot().join(parts[1])).unwrap();
    world.resolve("org/repo").unwrap();
    assert_eq!(world.files(), parts, "a missing part is downloaded again");
}

#[test]
fn two_processes_download_each_file_once() {
    let world = World::new(Hub::with_model());
    std::thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(|| world.resolve("org/repo").unwrap()));
        for path in both.map(|thread| thread.join().unwrap()) {
            assert_eq!(path, world.snapshot());
        }
    });
    assert_eq!(world.hub.count("/signed/"), 2, "one for each shard");
}

#[test]
fn an_empty_file_is_a_file() {
    let world = World::new(Hub::with_model().file("merges.txt", b""));
    world.resolve("org/repo").unwrap();
    assert_eq!(fs::read(world.snapshot().join("merges.txt")).unwrap(), b"");
}
