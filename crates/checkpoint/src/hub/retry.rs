//! Pauses between attempts.

use std::time::Duration;

use super::environment::Patience;
use super::failure::Busy;

const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Counts failures in a row, and says how long to wait after each.
pub(super) struct Pauses {
    patience: Patience,
    failures: u32,
}

impl Pauses {
    pub(super) fn new(patience: Patience) -> Pauses {
        Pauses { patience, failures: 0 }
    }

    /// Something went well.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// The pause after one more failure: what the server asks for, or twice the last one; `None` where it is enough.
    pub(super) fn next(&mut self, busy: Option<&Busy>) -> Option<Duration> {
        self.failures += 1;
        if self.failures >= self.patience.attempts {
            return None;
        }
        let doubled = 2u32.saturating_pow(self.failures - 1);
        let own = self.patience.pause.saturating_mul(doubled).min(LONGEST_PAUSE);
        Some(busy.and_then(|busy| busy.after).unwrap_or(own))
    }
}
