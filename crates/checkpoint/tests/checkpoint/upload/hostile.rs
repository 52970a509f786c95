//! Answers that make no sense, or that are meant to do harm.

use serde_json::{Value, json};

use super::host::etag_of;
use super::server::Fault::{Says, Status};
use super::server::Hub;
use super::world::{SMALL, World};
use crate::hub::server::noise;

fn nonsense(place: &str, answer: Value) -> String {
    let world = World::new(Hub::existing(false).fault(place, vec![Says(answer); 9]));
    let error = world.error();
    assert!(world.hub.state().commits.is_empty());
    let prefix = "`org/repo`: HOST gave an answer that cannot be used: ";
    assert!(error.starts_with(prefix), "{error}");
    error[prefix.len()..].to_owned()
}

#[test]
fn a_plan_must_name_every_file_and_a_known_way() {
    let missing = "it does not say how chat_templates/tool_use.jinja is to be uploaded";
    for answer in [json!({}), json!([]), json!({"files": 3}), json!({"files": [{"path": "../x", "uploadMode": "lfs"}]})]
    {
        assert_eq!(nonsense("/preupload/", answer), missing);
    }
    let xet = json!({"files": [{"path": "chat_templates/tool_use.jinja", "uploadMode": "xet"}]});
    assert_eq!(nonsense("/preupload/", xet), "it wants chat_templates/tool_use.jinja in a way that is unknown");
}

/// The answer about the one object of a world, with these actions.
fn batch(actions: &Value) -> String {
    let world = World::new(Hub::existing(false));
    std::fs::remove_file(world.folder().join(super::world::LARGE)).unwrap();
    let object = json!({"oid": etag_of(&noise(60_000, 1), true), "size": 60_000, "actions": actions});
    let hub = world.hub.clone().fault("/objects/batch", [Says(json!({"objects": [object]}))]);
    let error = world.error();
    assert!(hub.with("PUT ").is_empty() && hub.state().commits.is_empty());
    error
}

#[test]
fn lists_of_parts_must_fit_the_object() {
    let parts: serde_json::Map<String, Value> =
        (1..=10_001).map(|number| (number.to_string(), "http://127.0.0.1:1/".into())).collect();
    let with = |chunk: u64| {
        let mut header = parts.clone();
        header.insert("chunk_size".into(), chunk.into());
        batch(&json!({"upload": {"href": "http://127.0.0.1:1/", "header": header}}))
    };
    assert!(with(1).ends_with("it wants 60000 bytes in 60000 parts, more than 10000"));
    assert!(with(6).ends_with("it lists 10001 parts of 6 bytes for 60000 bytes"));
    assert!(with(u64::MAX).ends_with("it lists 10001 parts of 18446744073709551615 bytes for 60000 bytes"));
    assert!(with(0).ends_with("the size of its parts is no number of bytes"));
}

#[test]
fn addresses_must_be_of_the_web() {
    for href in ["file:///etc/passwd", "ftp://host/x", "", "/relative", "http://", "http://a b/", "nonsense"] {
        let error = batch(&json!({"upload": {"href": href}}));
        assert!(error.ends_with("it names no web address to send to"), "{href}: {error}");
    }
    let error = batch(&json!({"upload": {}}));
    assert!(error.ends_with("it names no address to send to"), "{error}");
}

#[test]
fn an_answer_that_does_not_end_is_cut_off() {
    let long: &'static str = "x".repeat(33 << 20).leak();
    let world = World::new(Hub::existing(false).fault("/preupload/", [Status(200, "", long)]));
    let expected = "`org/repo`: HOST gave an answer that cannot be used: it is longer than 33554432 bytes";
    assert_eq!(world.error(), expected);
}

#[test]
fn an_object_that_the_hub_refuses_is_named_with_its_reason() {
    let world = World::new(Hub::existing(false));
    let oid = etag_of(&noise(60_000, 1), true);
    let object = json!({"oid": oid, "size": 60_000, "error": {"code": 413, "message": "storage is\nfull"}});
    let other = json!({"oid": etag_of(&noise(250_000, 2), true), "size": 250_000});
    let both = Says(json!({"objects": [object, other]}));
    let _ = world.hub.clone().fault("/objects/batch", vec![both; 2]);
    assert_eq!(world.error(), format!("`org/repo`: HOST refuses {SMALL} (status 413: storage is full)"));
}

#[test]
fn a_storage_that_accepts_without_reading_is_not_believed() {
    let world = World::new(Hub::existing(false).fault("/0?signature", [Status(200, "", "")]));
    std::fs::remove_file(world.folder().join(super::world::LARGE)).unwrap();
    world.write(SMALL, &noise(90_000, 3));
    let error = world.error();
    assert!(error.contains("it accepts ") && error.ends_with("and has read 0 of 90000 bytes"), "{error}");
}

#[test]
fn parts_need_etags() {
    let world = World::new(Hub::existing(false).fault("/2?signature", [Status(200, "", "")]));
    let error = world.error();
    assert!(error.contains("and has read 0 of 100000 bytes") || error.contains("no ETag"), "{error}");
}

#[test]
fn a_commit_must_have_a_name() {
    for answer in [json!({}), json!({"commitOid": "../../x"}), json!({"commitOid": 3})] {
        let world = World::new(Hub::existing(false).fault("/commit/", [Says(answer)]));
        assert_eq!(world.error(), "`org/repo`: HOST gave an answer that cannot be used: `commitOid` is no commit");
    }
}

#[test]
fn what_is_no_json_is_an_error() {
    for place in ["GET /api/models/", "/preupload/", "/objects/batch", "/commit/"] {
        let world = World::new(Hub::existing(false).fault(place, vec![Status(200, "", "<html>"); 4]));
        let error = world.error();
        assert!(error.contains("HOST gave an answer that cannot be used: "), "{place}: {error}");
    }
}

#[test]
fn redirects_with_a_body_stay_at_the_hub() {
    let away = "Location: http://example.invalid/x\r\n";
    for (status, location) in [(307, away), (302, "Location: /x\r\n")] {
        let world = World::new(Hub::existing(false).fault("/preupload/", [Status(status, location, "")]));
        let expected = "`org/repo`: HOST gave an answer that cannot be used: it redirects what it was sent";
        assert_eq!(world.error(), expected);
    }
    let moved = "Location: /api/models/org/repo/preupload/main?renamed\r\n";
    let back = Status(307, "Location: /api/models/org/repo/preupload/main\r\n", "");
    let world =
        World::new(Hub::existing(false).fault("renamed", [back]).fault("/preupload/", [Status(307, moved, "")]));
    world.upload().unwrap();
    assert!(world.has_arrived());
}
