//! A folder with a model, and a Hub to send it to.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use ffai_checkpoint::{Patience, Remote, Result, Token, UploadEvent, UploadOptions, Uploaded, upload_to};

use super::server::Hub;
use crate::hub::server::noise;

pub(crate) const SMALL: &str = "model-00001-of-00002.safetensors";
pub(crate) const LARGE: &str = "model-00002-of-00002.safetensors";

/// A folder with a model, and a Hub.
pub(crate) struct World {
    root: tempfile::TempDir,
    pub(crate) remote: Remote,
    pub(crate) options: UploadOptions,
    pub(crate) hub: Hub,
}

impl World {
    pub(crate) fn new(hub: Hub) -> World {
        let root = tempfile::tempdir().unwrap();
        let patience = Patience { attempts: 3, pause: Duration::from_millis(10), stall: Duration::from_millis(500) };
        let token = Token::new("hf_secret", "HF_TOKEN");
        let remote = Remote { endpoint: hub.endpoint.clone(), token, patience, ..Remote::default() };
        let options = UploadOptions { private: false, message: "Upload a test".into() };
        let world = World { root, remote, options, hub };
        world.write("config.json", br#"{"model_type": "llama"}"#);
        world.write("chat_templates/tool_use.jinja", b"{{ tools }}");
        world.write("empty.txt", b"");
        world.write(SMALL, &noise(60_000, 1));
        world.write(LARGE, &noise(250_000, 2));
        world
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.root.path().join("model")
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.folder().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn upload(&self) -> Result<Uploaded> {
        self.events().0
    }

    pub(crate) fn events(&self) -> (Result<Uploaded>, Vec<UploadEvent>) {
        let mut events = Vec::new();
        let mut on = |event| events.push(event);
        let result = upload_to("org/repo", &self.options, &self.remote, &mut on)
            .and_then(|repository| repository.send(&self.folder(), &mut on));
        (result, events)
    }

    /// The message of the error, with the endpoint as `HUB`, its host as `HOST` and the folder as `FOLDER`.
    pub(crate) fn error(&self) -> String {
        let error = self.upload().unwrap_err().to_string();
        let host = self.hub.endpoint.trim_start_matches("http://").split(':').next().unwrap();
        let folder = self.folder().display().to_string();
        error.replace(&self.hub.endpoint, "HUB").replace(&folder, "FOLDER").replace(host, "HOST")
    }

    /// Whether the Hub has every file of the folder as it is.
    pub(crate) fn has_arrived(&self) -> bool {
        let names = crate::hub::world::names(&self.folder());
        let state = self.hub.state();
        names.iter().all(|name| {
            let bytes = fs::read(self.folder().join(name)).unwrap();
            state.files.get(name).is_some_and(|(_, there)| *there == bytes)
        })
    }
}
