//! The caches under a folder of its own, and a Hub to fill them from.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ffai_checkpoint::{CacheDirs, FetchEvent, Patience, Remote, Result, Token, pull, resolve};

use crate::host::COMMIT;

use super::server::Hub;

/// The caches under a folder of its own, and a Hub.
pub(crate) struct World {
    pub(crate) root: tempfile::TempDir,
    pub(crate) dirs: CacheDirs,
    pub(crate) hub: Hub,
}

impl World {
    pub(crate) fn new(hub: Hub) -> World {
        let root = tempfile::tempdir().unwrap();
        let patience = Patience { attempts: 3, pause: Duration::from_millis(10), stall: Duration::from_millis(400) };
        let remote = Remote { endpoint: hub.endpoint.clone(), patience, ..Remote::default() };
        let dirs = CacheDirs { remote, ..CacheDirs::under(root.path()) };
        World { root, dirs, hub }
    }

    pub(crate) fn with_token(mut self, token: &str) -> World {
        self.dirs.remote.token = Token::new(token, "HF_TOKEN");
        self
    }

    pub(crate) fn resolve(&self, name: &str) -> Result<PathBuf> {
        resolve(name, &self.dirs, &mut |_| {})
    }

    pub(crate) fn pull(&self, name: &str) -> Result<PathBuf> {
        pull(name, &self.dirs, &mut |_| {})
    }

    pub(crate) fn events(&self, name: &str) -> (Result<PathBuf>, Vec<FetchEvent>) {
        let mut events = Vec::new();
        let result = resolve(name, &self.dirs, &mut |event| events.push(event));
        (result, events)
    }

    /// The message of the error, with the endpoint as `HUB` and the folder of the caches as `ROOT`.
    pub(crate) fn error(&self, name: &str) -> String {
        let error = self.resolve(name).unwrap_err().to_string();
        let host = self.hub.endpoint.trim_start_matches("http://").split(':').next().unwrap();
        error
            .replace(&self.hub.endpoint, "HUB")
            .replace(&self.root.path().display().to_string(), "ROOT")
            .replace(host, "HOST")
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.dirs.hub.join("models--org--repo")
    }

    pub(crate) fn snapshot(&self) -> PathBuf {
        self.repo().join("snapshots").join(COMMIT)
    }

    /// The files of the snapshot.
    pub(crate) fn files(&self) -> Vec<String> {
        names(&self.snapshot())
    }

    pub(crate) fn blobs(&self) -> Vec<String> {
        names(&self.repo().join("blobs"))
    }
}

/// The files below a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
        for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            match path.is_dir() {
                true => walk(root, &path, found),
                false => found.push(path.strip_prefix(root).unwrap().to_str().unwrap().into()),
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found.sort();
    found
}
