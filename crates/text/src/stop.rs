//! Stop strings over streamed text.

/// Cuts a stream of text before the first stop string.
///
/// Text that could still turn out to be the beginning of a stop string is held back until that is decided; everything
/// else is passed on at once. How the text is split into pieces does not change the output.
///
/// ```
/// use ffai_text::StopStrings;
///
/// let mut stop = StopStrings::new(["\nUser:"]);
/// assert_eq!(stop.push("Hello.\nUs"), "Hello.");
/// assert_eq!(stop.push("ual"), "\nUsual");
/// assert_eq!(stop.push(" text\nUser: and"), " text");
/// assert!(stop.stopped());
/// ```
#[derive(Clone, Debug)]
pub struct StopStrings {
    stops: Vec<String>,
    held: String,
    matched: Option<usize>,
}

impl StopStrings {
    /// Watches for these strings; empty ones are ignored.
    pub fn new<S: Into<String>>(stops: impl IntoIterator<Item = S>) -> StopStrings {
        let stops = stops.into_iter().map(Into::into).filter(|stop: &String| !stop.is_empty()).collect();
        StopStrings { stops, held: String::new(), matched: None }
    }

    /// Takes a piece of text and returns what can be passed on. After a match it returns nothing more.
    pub fn push(&mut self, piece: &str) -> String {
        if self.matched.is_some() {
            return String::new();
        }
        self.held.push_str(piece);
        if let Some((at, which)) = self.first_match() {
            self.matched = Some(which);
            self.held.truncate(at);
            return std::mem::take(&mut self.held);
        }
        let kept = self.held.split_off(self.undecided_from());
        std::mem::replace(&mut self.held, kept)
    }

    /// Ends the stream and returns what was held back: it did not become a stop string.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Whether a stop string was found.
    pub fn stopped(&self) -> bool {
        self.matched.is_some()
    }

    /// The stop string that was found.
    pub fn matched(&self) -> Option<&str> {
        self.matched.map(|which| self.stops[which].as_str())
    }

    /// The match that a reader of single characters would see first: the earliest end, then the longest string.
    fn first_match(&self) -> Option<(usize, usize)> {
        let found = |(which, stop): (usize, &String)| Some((self.held.find(stop.as_str())?, which));
        let (at, which) = self
            .stops
            .iter()
            .enumerate()
            .filter_map(found)
            .min_by_key(|&(at, which)| (at + self.stops[which].len(), at))?;
        Some((at, which))
    }

    /// Where the longest suffix begins that could grow into a stop string.
    fn undecided_from(&self) -> usize {
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let earliest = self.held.len().saturating_sub(longest.saturating_sub(1));
        (earliest..self.held.len())
            .filter(|&at| self.held.is_char_boundary(at))
            .find(|&at| self.stops.iter().any(|stop| stop.starts_with(&self.held[at..])))
            .unwrap_or(self.held.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, Option<String>) {
        let mut stop = StopStrings::new(stops.iter().copied());
        let mut out: String = pieces.iter().map(|piece| stop.push(piece)).collect();
        out.push_str(&stop.finish());
        (out, stop.matched().map(str::to_owned))
    }

    #[test]
    fn text_is_cut_exactly_before_the_stop_string() {
        assert_eq!(run(&["END"], &["one END two"]), ("one ".into(), Some("END".into())));
    }

    #[test]
    fn a_beginning_that_does_not_become_a_stop_string_is_given_back() {
        assert_eq!(run(&["END"], &["the EN", "cyclopedia"]), ("the ENcyclopedia".into(), None));
        assert_eq!(run(&["END"], &["the E", "N"]), ("the EN".into(), None));
    }

    #[test]
    fn a_stop_string_that_begins_inside_a_failed_beginning_is_found() {
        assert_eq!(run(&["aab"], &["a", "a", "a", "b"]), ("a".into(), Some("aab".into())));
    }

    #[test]
    fn the_stop_string_that_ends_first_wins() {
        assert_eq!(run(&["abcd", "bc"], &["xabcdx"]), ("xa".into(), Some("bc".into())));
        assert_eq!(run(&["bc", "abc"], &["xabc"]), ("x".into(), Some("abc".into())));
    }

    #[test]
    fn nothing_is_held_back_without_need() {
        let mut stop = StopStrings::new(["<|end|>"]);
        assert_eq!(stop.push("plain text <"), "plain text ");
        assert_eq!(stop.push("b"), "<b");
    }

    #[test]
    fn empty_stop_strings_are_ignored() {
        assert_eq!(run(&[""], &["text"]), ("text".into(), None));
    }

    proptest! {
        #[test]
        fn any_split_of_the_input_gives_the_same_output(
            text in "[ab\u{e9}\u{1f600}]{0,24}",
            stops in proptest::collection::vec("[ab\u{e9}\u{1f600}]{1,4}", 0..3),
            cuts in proptest::collection::vec(0usize..24, 0..6),
        ) {
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|&c| c <= text.len() && text.is_char_boundary(c)).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&text[from..cut]);
                from = cut;
            }
            pieces.push(&text[from..]);
            prop_assert_eq!(run(&stops, &pieces), run(&stops, &[&text]));
        }

        #[test]
        fn the_output_is_the_text_before_the_first_stop_string(text in "[ab]{0,24}", stop in "[ab]{1,4}") {
            let expected = text.find(&stop).map_or(text.as_str(), |at| &text[..at]);
            prop_assert_eq!(run(&[&stop], &[&text]).0, expected);
        }
    }
}
