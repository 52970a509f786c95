//! Progress bars on standard error, for people at a terminal only.

use ffai::{FetchEvent, LoadEvent};
use indicatif::{ProgressBar, ProgressStyle};

/// Shows how far a model is on its way.
#[derive(Debug, Default)]
pub(crate) struct LoadProgress {
    bar: Option<ProgressBar>,
}

impl LoadProgress {
    pub(crate) fn on(&mut self, event: &LoadEvent) {
        match event {
            LoadEvent::Fetching(event) => self.fetching(event),
            LoadEvent::Loading { done, total } => {
                let bar = self.bar("loading weights", *total as u64, false);
                bar.set_position(*done as u64);
            }
            _ => self.clear(),
        }
    }

    fn fetching(&mut self, event: &FetchEvent) {
        match event {
            FetchEvent::Started { source, .. } => eprintln!("fetching {source}, once"),
            FetchEvent::Downloading { done, total } => self.bar("downloading", *total, true).set_position(*done),
            FetchEvent::Unpacking { done, total } => self.bar("unpacking", *total, true).set_position(*done),
            _ => self.clear(),
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
