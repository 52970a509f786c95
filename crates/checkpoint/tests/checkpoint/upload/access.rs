//! Who may write where, and who gets to see the token.

use ffai_checkpoint::{Remote, check_upload};

use super::server::Fault::{Says, Status};
use super::server::Hub;
use super::world::World;

#[test]
fn the_token_is_sent_to_the_hub_and_to_no_other_host() {
    let world = World::new(Hub::new());
    world.upload().unwrap();
    for seen in world.hub.seen() {
        let expected = (seen.host == "hub").then_some("Bearer hf_secret");
        assert_eq!(seen.headers.get("authorization").map(String::as_str), expected, "{}", seen.line);
    }
    assert!(world.hub.seen().iter().any(|seen| seen.host == "storage"));
}

#[test]
fn the_token_does_not_follow_addresses_to_other_hosts() {
    let world = World::new(Hub::existing(false));
    let other = Hub::existing(false);
    let oid = |seed, size| crate::host::etag_of(&crate::hub::server::noise(size, seed), true);
    let object = |oid: String, size: usize| {
        let upload = serde_json::json!({"href": format!("{}/signed/{oid}/0", world.hub.endpoint)});
        let verify = serde_json::json!({"href": format!("{}/verify", other.endpoint)});
        serde_json::json!({"oid": oid, "size": size, "actions": {"upload": upload, "verify": verify}})
    };
    let both = serde_json::json!({"objects": [object(oid(1, 60_000), 60_000), object(oid(2, 250_000), 250_000)]});
    let _ = world.hub.clone().fault("/objects/batch", vec![Says(both); 9]);
    assert!(world.upload().is_err());
    let puts = world.hub.with("PUT ");
    assert!(!puts.is_empty());
    assert!(puts.iter().all(|seen| !seen.headers.contains_key("authorization")), "signed addresses see no token");
    assert!(other.seen().iter().all(|seen| !seen.headers.contains_key("authorization")));
}

#[test]
fn the_token_is_never_shown() {
    let places =
        ["GET /api/models/", "/repos/create", "/preupload/", "/batch", "PUT ", "/complete", "/verify", "/commit/"];
    for place in places {
        for status in [400, 401, 403, 404, 418] {
            let world = World::new(Hub::new().fault(place, vec![Status(status, "", r#"{"error": "no"}"#); 9]));
            let (result, events) = world.events();
            let shown = format!("{result:?} {events:?} {:?}", world.remote);
            assert!(!shown.contains("hf_secret") && !shown.contains("signature"), "{shown}");
        }
    }
}

#[test]
fn without_a_token_nothing_is_asked() {
    let mut world = World::new(Hub::new());
    world.remote.token = None;
    let expected = "`org/repo`: uploading needs a token: make one with write access at HUB/settings/tokens, and set HF_TOKEN or run `hf auth login`";
    assert_eq!(world.error(), expected);
    world.remote.offline = true;
    assert_eq!(world.error(), "`org/repo`: HF_HUB_OFFLINE is set: unset it to upload");
    assert!(world.hub.seen().is_empty());
}

#[test]
fn names_are_checked_before_anything_is_asked() {
    let world = World::new(Hub::new());
    for name in ["repo", "org/repo/x", "org/", "/repo", "org/..", "org/a b", "org/repo@v1", "org/repo?x", ""] {
        let error = check_upload(name, &world.remote).unwrap_err().to_string();
        let expected = format!(
            "`{name}`: `{name}` is no name for a repository: give ORG/NAME, of letters, digits, `.`, `_` and `-`"
        );
        assert_eq!(error, expected);
    }
    check_upload("org/repo", &world.remote).unwrap();
}

#[test]
fn each_refusal_says_what_to_do() {
    let refused = "HUB refuses the token from HF_TOKEN (401): make a new one at HUB/settings/tokens, or remove it";
    let may_not = |what: &str| {
        format!(
            "the token from HF_TOKEN may not {what} (403: no): it needs write access to `org/repo`; make one at HUB/settings/tokens"
        )
    };
    let unknown = "HUB knows no repository `org/repo` (404), or the token from HF_TOKEN may not see it; check both";
    let cases = [
        ("GET /api/models/", 401, refused.to_owned()),
        ("/repos/create", 401, refused.to_owned()),
        ("/repos/create", 403, may_not("create the repository")),
        ("/preupload/", 403, may_not("prepare the upload")),
        ("/preupload/", 404, unknown.to_owned()),
        ("/objects/batch", 403, may_not("upload FILE")),
        ("/commit/", 403, may_not("commit the upload")),
        ("/commit/", 401, refused.to_owned()),
        ("/repos/create", 400, "HOST refuses to create the repository (status 400: no)".into()),
    ];
    for (place, status, expected) in cases {
        let world = World::new(Hub::new().fault(place, vec![Status(status, "", r#"{"error": "no"}"#); 9]));
        let error = world.error().replace(super::world::SMALL, "FILE").replace(super::world::LARGE, "FILE");
        assert_eq!(error, format!("`org/repo`: {expected}"), "{place} {status}");
    }
}

#[test]
fn a_private_repository_is_made_private() {
    let mut world = World::new(Hub::new());
    world.options.private = true;
    world.upload().unwrap();
    assert!(world.hub.state().private && world.has_arrived());
    world.upload().unwrap();
}

#[test]
fn nothing_is_sent_where_everybody_would_see_it() {
    let public = "`org/repo`: `org/repo` is public, and a private one was asked for: nothing was uploaded; make it private in its settings, or choose another name";
    let mut world = World::new(Hub::existing(false));
    world.options.private = true;
    assert_eq!(world.error(), public);
    assert!(world.hub.with("/preupload/").is_empty());
    // A server that knows no such wish.
    let mut world = World::new(Hub::new());
    world.options.private = true;
    let ignored = serde_json::json!({"id": "org/repo", "private": false, "siblings": []});
    let missing = Status(404, "X-Error-Code: RepoNotFound\r\n", "");
    let _ = world.hub.clone().fault("GET /api/models/", [missing, Says(ignored)]);
    assert_eq!(world.error(), public);
}

#[test]
fn a_host_that_is_not_there_is_named() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut world = World::new(Hub::new());
    world.remote = Remote { endpoint: format!("http://{nobody}"), ..world.remote };
    let error = world.error();
    assert!(error.starts_with("`org/repo`: cannot reach HOST (") && error.contains("check the network"), "{error}");
}
