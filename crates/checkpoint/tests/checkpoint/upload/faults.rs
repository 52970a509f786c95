//! Connections that break, addresses that expire, files that change.

use std::fs;

use ffai_checkpoint::UploadEvent;

use super::host::etag_of;
use super::server::Fault::{Cut, Says, Silent, Stall, Status};
use super::server::{Hub, PART};
use super::world::{LARGE, SMALL, World};
use crate::hub::server::noise;

fn retried(events: &[UploadEvent]) -> Vec<&str> {
    let file = |event: &UploadEvent| matches!(event, UploadEvent::Retrying { .. });
    let retried = events.iter().filter(|event| file(event));
    retried.map(|event| if let UploadEvent::Retrying { file, .. } = event { file.as_str() } else { "" }).collect()
}

/// Where the parts of the large object go; 0 is all of the small one.
fn part(number: usize) -> String {
    format!("/{number}?signature")
}

#[test]
fn a_part_that_is_cut_is_sent_again_alone() {
    let world = World::new(Hub::new().fault(&part(2), [Cut(30_000), Cut(10)]));
    let (result, events) = world.events();
    result.unwrap();
    assert!(world.has_arrived());
    assert_eq!(retried(&events), [LARGE, LARGE]);
    let counts = [1, 2, 3].map(|number| world.hub.with(&part(number)).len());
    assert_eq!(counts, [1, 3, 1]);
    assert_eq!(events.last(), Some(&UploadEvent::Sending { done: 310_000, total: 310_000 }));
    let over = |event: &UploadEvent| matches!(event, UploadEvent::Sending { done, total } if done > total);
    assert!(!events.iter().any(over), "{events:?}");
}

#[test]
fn an_upload_that_breaks_for_good_goes_on_when_it_is_run_again() {
    let world = World::new(Hub::new().fault(&part(2), [Cut(5), Cut(5), Cut(5)]));
    let error = world.error();
    let expected = format!("`org/repo`: {LARGE}: the upload broke off (");
    assert!(error.starts_with(&expected), "{error}");
    let end = "3 times in a row; run the same command again: files that have arrived are not sent again";
    assert!(error.ends_with(end), "{error}");
    assert!(world.hub.state().files.is_empty(), "nothing is seen before the commit");
    let before = world.hub.with(&part(0)).len();
    world.upload().unwrap();
    assert!(world.has_arrived());
    assert!(before == 0 || world.hub.with(&part(0)).len() == before, "the small object was there");
}

#[test]
fn a_server_that_fails_is_asked_again() {
    let busy = || [Status(500, "", ""), Status(503, "Retry-After: 0\r\n", "")];
    let places =
        ["GET /api/models/", "/repos/create", "/preupload/", "/batch", "PUT ", "/complete", "/verify", "/commit/"];
    for place in places {
        let world = World::new(Hub::new().fault(place, busy()));
        world.upload().unwrap();
        assert!(world.has_arrived(), "{place}");
        assert_eq!(world.hub.state().commits.len(), 1, "{place}");
    }
}

#[test]
fn a_connection_that_is_cut_anywhere_is_made_again() {
    for place in ["GET /api/models/", "/repos/create", "/preupload/", "/batch", "/complete", "/verify", "/commit/"] {
        let world = World::new(Hub::new().fault(place, [Cut(3)]));
        world.upload().unwrap();
        assert!(world.has_arrived(), "{place}");
    }
}

#[test]
fn answers_that_are_lost_do_no_harm() {
    for place in ["/repos/create", "PUT ", "/complete", "/verify", "/commit/"] {
        let world = World::new(Hub::new().fault(place, [Silent]));
        world.upload().unwrap();
        assert!(world.has_arrived(), "{place}");
        assert_eq!(world.hub.state().commits.len(), 1, "{place}: a commit is not made twice");
    }
}

#[test]
fn a_server_that_stays_busy_is_an_error_that_says_so() {
    let world = World::new(Hub::new().fault("/preupload/", vec![Status(503, "", ""); 3]));
    assert_eq!(world.error(), "`org/repo`: HOST cannot answer now (status 503); try again later");
    let world = World::new(Hub::new().fault("PUT ", [Status(429, "Retry-After: 3600\r\n", "")]));
    assert_eq!(world.error(), "`org/repo`: HOST cannot answer now (too many requests, wait 3600 s); try again later");
}

#[test]
fn a_server_that_stalls_is_asked_again() {
    let world = World::new(Hub::new().fault("/commit/", [Stall]));
    let (result, events) = world.events();
    result.unwrap();
    assert_eq!(retried(&events), ["the commit"]);
}

#[test]
fn expired_addresses_are_asked_for_anew() {
    let expired = Status(403, "", "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>");
    let world = World::new(Hub::new().fault(&part(2), [expired.clone()]).fault(&part(0), [expired]));
    let (result, events) = world.events();
    result.unwrap();
    assert!(world.has_arrived());
    assert_eq!(world.hub.with("/objects/batch").len(), 4);
    assert_eq!(events.last(), Some(&UploadEvent::Sending { done: 310_000, total: 310_000 }));
    // The server is asked before the bytes are sent.
    assert!(world.hub.with("PUT ").iter().all(|seen| [0, 50_000, 60_000, PART].contains(&seen.body.len())));
}

#[test]
fn a_storage_that_refuses_for_good_is_named() {
    let full = Status(403, "", "<Error><Code>X</Code><Message>Request has expired</Message></Error>");
    let world = World::new(Hub::new().fault(&part(2), vec![full; 9]));
    assert_eq!(world.error(), format!("`org/repo`: HOST refuses {LARGE} (status 403: Request has expired)"));
    assert!(world.hub.state().commits.is_empty());
}

#[test]
fn bytes_that_arrive_otherwise_are_refused_and_never_committed() {
    // Parts that are lost on the way: the sum over all of them is wrong.
    let wrong = Status(400, "", r#"{"error": "the sha256 is another"}"#);
    let world = World::new(Hub::new().fault("/complete", vec![wrong.clone(); 9]));
    assert_eq!(world.error(), format!("`org/repo`: HOST refuses {LARGE} (status 400: the sha256 is another)"));
    let world = World::new(Hub::new().fault("/verify", vec![wrong; 9]));
    let error = world.error();
    assert!(error.ends_with("(status 400: the sha256 is another)"), "{error}");
    assert!(world.hub.state().commits.is_empty());
}

#[test]
fn a_commit_that_is_refused_says_why() {
    let refused = Status(400, "", r#"{"error": "README.md: license is unknown"}"#);
    let world = World::new(Hub::new().fault("/commit/", [refused]));
    let expected = "`org/repo`: HOST refuses to commit the upload (status 400: README.md: license is unknown)";
    assert_eq!(world.error(), expected);
    // Objects stay where they are.
    let sent = world.hub.with("PUT ").len();
    world.upload().unwrap();
    assert!(world.has_arrived());
    assert_eq!(world.hub.with("PUT ").len(), sent);
}

#[test]
fn somebody_who_commits_at_the_same_time_is_waited_for() {
    let conflict = Status(412, "", r#"{"error": "A commit has happened since"}"#);
    let world = World::new(Hub::new().fault("/commit/", [conflict.clone()]));
    world.upload().unwrap();
    assert!(world.has_arrived());
    let world = World::new(Hub::new().fault("/commit/", vec![conflict; 3]));
    assert!(
        world.error().contains("the commit: the upload broke off (somebody else commits at the same time), 3 times")
    );
}

#[test]
fn a_repository_that_somebody_else_makes_is_taken() {
    let world = World::new(Hub::new().fault("/repos/create", [Status(409, "", "")]));
    world.hub.state().exists = false;
    let error = world.error();
    assert!(
        error.contains("HUB knows no repository `org/repo` (404), or the token from HF_TOKEN may not see it"),
        "{error}"
    );
}

#[test]
fn a_file_that_changes_is_seen() {
    for (name, place) in [(SMALL, "/commit/"), ("config.json", "/verify")] {
        let world = World::new(Hub::new());
        // The first answer comes late enough for the file to change in between.
        let hub = world.hub.clone().fault(place, [Status(503, "Retry-After: 1\r\n", "")]);
        let folder = world.folder();
        let path = folder.join(name);
        let change = std::thread::spawn(move || {
            while hub.with(place).is_empty() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            fs::write(path, noise(60_000, 77)).unwrap();
        });
        let error = world.error();
        change.join().unwrap();
        let expected = format!(
            "`org/repo`: FOLDER/{name} was changed while it was being uploaded; leave the folder alone, and run the same command again"
        );
        assert_eq!(error, expected);
        assert!(world.hub.state().commits.is_empty());
    }
}

#[test]
fn one_object_that_fails_stops_the_others() {
    let refused = Says(serde_json::json!({"objects": []}));
    let world = World::new(Hub::new().fault("/objects/batch", vec![refused; 9]));
    for number in 0..20 {
        world.write(&format!("more-{number}.safetensors"), &noise(1000, number));
    }
    assert!(world.error().contains("it answers about another object than was asked for"));
    assert!(world.hub.with("/objects/batch").len() <= 4, "those that had begun");
    assert!(!world.hub.state().objects.contains_key(&etag_of(&noise(1000, 0), true)));
}
