//! `org/repo`, `org/repo@revision`, `org/repo:Q4_K_M`, `org/repo/file.gguf`.

use std::fmt;

/// What a name asks the Hub for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HubName<'a> {
    /// `org/repo`, or `repo` alone for the oldest ones.
    pub(crate) id: &'a str,
    /// A branch, tag, commit or `refs/pr/1`.
    pub(crate) revision: Option<&'a str>,
    pub(crate) choice: Option<Choice<'a>>,
}

/// Which GGUF file of a repository is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice<'a> {
    /// The one whose name ends in this quantization, in any case.
    Quantization(&'a str),
    /// The one of this path.
    File(&'a str),
}

impl fmt::Display for Choice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Choice::Quantization(text) | Choice::File(text)) = self;
        f.write_str(text)
    }
}

impl<'a> HubName<'a> {
    /// `None` where `name` cannot be a repository: so nothing that is joined to the cache's path can leave it.
    pub(crate) fn parse(name: &'a str) -> Option<HubName<'a>> {
        let (rest, quantization) = match name.split_once(':') {
            Some((rest, choice)) => (rest, Some(choice)),
            None => (name, None),
        };
        let (path, revision) = match rest.split_once('@') {
            Some((path, revision)) => (path, Some(revision)),
            None => (rest, None),
        };
        let (id, file) = if is_gguf(path) { split_file(path)? } else { (path, None) };
        let choice = match (quantization, file) {
            (Some(_), Some(_)) => return None,
            (Some(file), None) if is_gguf(file) => Some(Choice::File(file)),
            (Some(quantization), None) => Some(Choice::Quantization(quantization)),
            (None, file) => file.map(Choice::File),
        };
        let steps = |path: &str| path.split('/').all(is_step);
        let chosen = choice.is_none_or(|choice| match choice {
            Choice::Quantization(text) => is_step(text),
            Choice::File(text) => steps(text),
        });
        let valid = is_id(id) && chosen && revision.is_none_or(steps);
        valid.then_some(HubName { id, revision, choice })
    }

    pub(crate) fn revision_or_main(&self) -> &'a str {
        self.revision.unwrap_or("main")
    }
}

pub(crate) fn is_gguf(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case("gguf"))
}

/// `org/repo/file.gguf` in two; a path of one or two steps is no file of a repository.
fn split_file(path: &str) -> Option<(&str, Option<&str>)> {
    let (org_end, _) = path.match_indices('/').nth(1)?;
    Some((path.get(..org_end)?, path.get(org_end + 1..)))
}

pub(crate) fn is_id(id: &str) -> bool {
    id.split('/').count() <= 2 && id.split('/').all(is_step) && !id.contains("--") && !id.contains("..")
}

/// A name that is one step down: letters, digits, `.`, `_` and `-`, and not `.` or `..`.
pub(crate) fn is_step(part: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !part.is_empty() && part.chars().all(allowed) && part != "." && part != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str) -> Option<(&str, Option<&str>, Option<Choice<'_>>)> {
        HubName::parse(name).map(|name| (name.id, name.revision, name.choice))
    }

    #[test]
    fn names_have_an_id_a_revision_and_a_choice() {
        assert_eq!(parse("gpt2"), Some(("gpt2", None, None)));
        assert_eq!(parse("a/b@refs/pr/1"), Some(("a/b", Some("refs/pr/1"), None)));
        let quantization = Some(Choice::Quantization("Q4_K_M"));
        assert_eq!(parse("a/b:Q4_K_M"), Some(("a/b", None, quantization)));
        assert_eq!(parse("a/b@v2:Q4_K_M"), Some(("a/b", Some("v2"), quantization)));
        let file = Some(Choice::File("sub/x.gguf"));
        assert_eq!(parse("a/b/sub/x.gguf"), Some(("a/b", None, file)));
        assert_eq!(parse("a/b/sub/x.gguf@v2"), Some(("a/b", Some("v2"), file)));
        assert_eq!(parse("a/b:sub/x.gguf"), Some(("a/b", None, file)));
    }

    #[test]
    fn what_could_leave_the_cache_is_no_name() {
        let names = ["../x", "org/..", "org/.", "a/b/c", "a/b@..", "a/b@../..", "a/re po", "a/", "/", "", "a--b/c"];
        let choices =
            ["a/b:", "a/b:..", "a/b:../x.gguf", "a/b/../x.gguf", "/a/b/x.gguf", "x.gguf", "a/x.gguf", "a/b/x.gguf:Q4"];
        for name in names.iter().chain(&choices) {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
