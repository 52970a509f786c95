//! Progress bars on standard error, for people at a terminal only.

use ffai::{FetchEvent, LoadEvent, upload::UploadEvent};
use indicatif::{ProgressBar, ProgressStyle};

/// Shows how far a model is on its way.
#[derive(Debug, Default)]
pub(crate) struct LoadProgress {
    bar: Option<ProgressBar>,
    /// A source that failed: worth a line only when another one is tried; else it is the error.
    failed: Option<String>,
}

impl LoadProgress {
    pub(crate) fn on(&mut self, event: &LoadEvent) {
        match event {
            LoadEvent::Fetching(event) => self.fetching(event),
            LoadEvent::Loading { done, total } => {
                let bar = self.bar("loading weights", *total as u64, false);
                bar.set_position(*done as u64);
            }
            LoadEvent::PassedOver { device, why } => self.say(&format!("{device} is passed over: {why}")),
            _ => self.clear(),
        }
    }

    pub(crate) fn fetching(&mut self, event: &FetchEvent) {
        match event {
            FetchEvent::Started { source, .. } => {
                if let Some(failed) = self.failed.take() {
                    self.say(&failed);
                }
                self.say(&format!("fetching {source}"));
            }
            FetchEvent::Retrying { file, reason } => self.say(&format!("{file}: {reason}; trying again")),
            FetchEvent::Waiting { file } => self.say(&format!("{file}: another process is downloading it; waiting")),
            FetchEvent::Failed { source, message } => self.failed = Some(format!("{source}: {message}")),
            FetchEvent::Downloading { done, total } => self.bar("downloading", *total, true).set_position(*done),
            FetchEvent::Unpacking { done, total } => self.bar("unpacking", *total, true).set_position(*done),
            _ => self.clear(),
        }
    }

    pub(crate) fn uploading(&mut self, event: &UploadEvent) {
        match event {
            UploadEvent::Created { url } => self.say(&format!("created {url}")),
            UploadEvent::Hashing { done, total } => self.bar("hashing", *total, true).set_position(*done),
            UploadEvent::Sending { done, total } => self.bar("uploading", *total, true).set_position(*done),
            UploadEvent::Retrying { file, reason } => self.say(&format!("{file}: {reason}; trying again")),
            _ => self.clear(),
        }
    }

    /// A line above the bar.
    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// The bar with this name, begun anew when the name changes.
    fn bar(&mut self, name: &'static str, total: u64, bytes: bool) -> &ProgressBar {
        if self.bar.as_ref().is_none_or(|bar| bar.message() != name) {
            self.clear();
            let numbers = if bytes { "{bytes} of {total_bytes}, {bytes_per_sec}" } else { "{pos} of {len}" };
            let style = ProgressStyle::with_template(&format!("{{msg}} {{wide_bar}} {numbers}"));
            let bar = ProgressBar::new(total).with_message(name);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            self.bar = Some(bar);
        }
        self.bar.get_or_insert_with(ProgressBar::hidden)
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for LoadProgress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A bar for work that is counted.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    pub(crate) fn new(name: &'static str) -> Bar {
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos} of {len}, {eta} left");
        let bar = ProgressBar::new(0).with_message(name);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Bar(bar)
    }

    pub(crate) fn at(&mut self, done: usize, total: usize) {
        self.0.set_length(total as u64);
        self.0.set_position(done as u64);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
