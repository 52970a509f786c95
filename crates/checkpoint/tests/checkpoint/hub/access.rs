//! Who may read what, and who gets to see the token.

use ffai_checkpoint::{CacheDirs, Remote};

use super::server::Fault::{Stall, Status};
use super::server::Hub;
use super::world::World;

fn world(faults: &'static str, status: u16) -> World {
    World::new(Hub::with_model().fault("/api/models/", [Status(status, faults)]))
}

#[test]
fn the_token_is_sent_to_the_hub_and_to_no_other_host() {
    let world = World::new(Hub::with_model()).with_token("hf_secret\n");
    world.resolve("org/repo").unwrap();
    for seen in world.hub.seen() {
        let expected = (seen.host == "hub").then_some("Bearer hf_secret");
        assert_eq!(seen.authorization.as_deref(), expected, "{}", seen.line);
    }
    assert!(world.hub.seen().iter().any(|seen| seen.host == "storage"));
}

#[test]
fn a_renamed_repository_is_followed_with_the_token() {
    let moved = "Location: /api/models/org/repo/revision/main?blobs=true\r\n";
    let world = World::new(Hub::with_model().fault("/api/models/", [Status(307, moved)])).with_token("hf_secret");
    world.resolve("org/repo").unwrap();
    assert!(world.hub.seen().iter().take(2).all(|seen| seen.authorization.is_some()));
}

#[test]
fn redirects_end_somewhere() {
    let around = "Location: /api/models/org/repo/revision/main\r\n";
    let world = World::new(Hub::with_model().fault("/api/models/", vec![Status(302, around); 20]));
    let expected = "`org/repo`: HOST gave an answer that cannot be used: it redirects more than 10 times";
    assert_eq!(world.error("org/repo"), expected);
    for nowhere in ["", "Location: ftp://host/x\r\n", "Location: x y\r\n"] {
        let world = self::world(nowhere, 302);
        let expected = "`org/repo`: HOST gave an answer that cannot be used: it redirects to nowhere";
        assert_eq!(world.error("org/repo"), expected);
    }
}

#[test]
fn each_refusal_says_what_to_do() {
    let not_public = "HUB knows no such public repository (401): check the name, or set HF_TOKEN if it is private";
    let refused = "HUB refuses the token from HF_TOKEN (401): make a new one at HUB/settings/tokens, or remove it";
    let gated = "access is restricted: accept the terms at HUB/org/repo and ";
    let (gated_repo, not_found) = ("X-Error-Code: GatedRepo\r\n", "X-Error-Code: RepoNotFound\r\n");
    let cases = [
        (401, not_found, false, not_public.to_owned()),
        (401, "", true, refused.into()),
        (404, not_found, true, "HUB knows no such repository; check the name".into()),
        (401, gated_repo, false, format!("{gated}set HF_TOKEN to a token of that account")),
        (403, gated_repo, true, format!("{gated}use a token of the account that has accepted them (HF_TOKEN)")),
        (
            403,
            "",
            true,
            "access is forbidden (403: something happened); the token needs read access to this repository".into(),
        ),
        (418, "X-Error-Message: tea\r\n", false, "HOST answered with status 418: tea".into()),
    ];
    for (status, headers, token, expected) in cases {
        let world = world(headers, status);
        let world = if token { world.with_token("hf_secret") } else { world };
        assert_eq!(world.error("org/repo"), format!("`org/repo`: {expected}"), "{status} {headers}");
    }
}

#[test]
fn gated_files_of_a_public_list_are_told_too() {
    let fault = Status(401, "X-Error-Code: GatedRepo\r\n");
    let world = World::new(Hub::with_model().fault("/resolve/", vec![fault; 9]));
    assert!(world.error("org/repo").contains("accept the terms at HUB/org/repo and set HF_TOKEN"));
}

#[test]
fn what_does_not_exist_is_named() {
    let world = World::new(Hub::with_model());
    assert_eq!(world.error("org/other"), "`org/other`: HUB knows no such repository; check the name");
    assert_eq!(world.error("org/repo@v2"), "`org/repo@v2`: the repository has no revision `v2`");
    let expected = "`org/repo/x.gguf`: `x.gguf` names no GGUF file of the repository; there are none";
    assert_eq!(world.error("org/repo/x.gguf"), expected);
}

#[test]
fn a_token_that_cannot_be_one_is_not_sent_and_not_shown() {
    let world = World::new(Hub::with_model()).with_token("hf_se cret");
    let expected = "`org/repo`: the token from HF_TOKEN holds characters that no token has; copy it again";
    assert_eq!(world.error("org/repo"), expected);
    assert!(world.hub.seen().is_empty() && !format!("{:?}", world.dirs).contains("cret"));
}

#[test]
fn offline_the_cache_counts_and_nothing_else() {
    let mut world = World::new(Hub::with_model());
    world.dirs.remote.offline = true;
    let expected = "`org/repo`: it is not (completely) in ROOT/hub/models--org--repo, and HF_HUB_OFFLINE is set: unset it to download";
    assert_eq!(world.error("org/repo"), expected);
    world.dirs.remote.offline = false;
    world.resolve("org/repo").unwrap();
    world.dirs.remote.offline = true;
    let requests = world.hub.seen().len();
    assert_eq!(world.resolve("org/repo").unwrap(), world.snapshot());
    assert!(world.pull("org/repo").is_err(), "what is newest cannot be known");
    std::fs::remove_file(world.snapshot().join("tokenizer.json")).unwrap();
    assert_eq!(world.resolve("org/repo").unwrap(), world.snapshot(), "it can be run without one");
    std::fs::remove_file(world.snapshot().join("model-00002-of-00002.safetensors")).unwrap();
    assert_eq!(world.error("org/repo"), expected);
    assert_eq!(world.hub.seen().len(), requests);
}

#[test]
fn a_host_that_is_not_there_is_named() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut world = World::new(Hub::new());
    world.dirs = CacheDirs {
        remote: Remote { endpoint: format!("http://{nobody}"), ..world.dirs.remote.clone() },
        ..world.dirs
    };
    let error = world.error("org/repo");
    assert!(error.starts_with("`org/repo`: cannot reach HOST ("), "{error}");
    assert!(error.contains("ROOT/hub/models--org--repo does not hold all of it: check the network"), "{error}");
}

#[test]
fn a_host_without_an_address_is_named_at_once() {
    let mut world = World::new(Hub::new());
    // Names that end so have no address, by RFC 6761.
    world.dirs.remote.endpoint = "http://hub.invalid".into();
    world.dirs.remote.patience.pause = std::time::Duration::from_secs(60);
    let error = world.error("org/repo");
    assert!(error.starts_with("`org/repo`: cannot reach hub.invalid (its name cannot be resolved)"), "{error}");
}

#[test]
fn a_host_that_never_answers_is_given_up() {
    let world = World::new(Hub::with_model().fault("/api/models/", vec![Stall; 3]));
    assert!(world.error("org/repo").starts_with("`org/repo`: cannot reach HOST (no answer in time)"));
}

#[test]
fn an_endpoint_that_is_no_address_is_an_error() {
    let mut world = World::new(Hub::new());
    world.dirs.remote.endpoint = "nonsense".into();
    assert!(world.resolve("org/repo").unwrap_err().to_string().contains("nonsense gave an answer that cannot be used"));
}
