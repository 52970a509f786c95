//! What is done to a template's text before it is compiled.

/// Blocks within blocks, and branches of one `if`; the parser and the compiler recurse over both. Python itself allows
/// twenty loops within each other.
const MAX_NESTING: usize = 100;
/// Characters of code in one tag, without strings and white space: how deep an expression can be.
const MAX_CODE: usize = 4000;
/// The filter that [`super::guard`] adds.
pub(super) const GUARD: &str = "_bounded";

/// Makes a template one that minijinja reads like Jinja: line ends are `\n`, and the tags of transformers'
/// `generation` extension become tags of the same effect on white space that print nothing (and, like the original,
/// open a scope of their own). What is assigned to a variable passes the filter [`GUARD`].
///
/// The error is the limit that the source breaks.
pub(super) fn prepare(template: &str) -> Result<String, &'static str> {
    let template = template.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(template.len());
    let mut nesting = Nesting::default();
    let mut rest = template.as_str();
    while let Some(at) = rest.find("{%").into_iter().chain(rest.find("{{")).chain(rest.find("{#")).min() {
        let (text, tag) = rest.split_at(at);
        let (tag, after) = tag.split_at(tag_length(tag)?);
        nesting.enter(tag)?;
        out.push_str(text);
        out.push_str(&rewritten(tag));
        rest = after;
    }
    Ok(out + rest)
}

/// How many blocks are open; each counts for its branches.
#[derive(Default)]
struct Nesting {
    open: Vec<usize>,
    total: usize,
}

impl Nesting {
    fn enter(&mut self, tag: &str) -> Result<(), &'static str> {
        let branches = match word(tag).unwrap_or_default() {
            "if" | "for" | "macro" | "call" | "filter" | "with" | "block" | "autoescape" | "generation" => 0,
            "set" if assignment(tag).is_none() => 0,
            "elif" => self.open.pop().unwrap_or(0),
            end if end.starts_with("end") => {
                self.total -= self.open.pop().unwrap_or(0);
                return Ok(());
            }
            _ => return Ok(()),
        };
        self.open.push(branches + 1);
        self.total += 1;
        if self.total > MAX_NESTING { Err("its blocks are nested too deeply") } else { Ok(()) }
    }
}

/// The length of the tag that `text` begins with; all of it if the tag has no end. A raw block is one tag.
fn tag_length(text: &str) -> Result<usize, &'static str> {
    match &text[..2] {
        "{#" => Ok(text.find("#}").map_or(text.len(), |at| at + 2)),
        "{{" => code_length(text, "}}"),
        _ if word(text) == Some("raw") => raw_length(text),
        _ => code_length(text, "%}"),
    }
}

/// Finds the end of a tag of code, over strings that may contain what looks like it.
fn code_length(text: &str, end: &str) -> Result<usize, &'static str> {
    let (mut quote, mut code) = (None, 0);
    let mut chars = text.char_indices().skip(2);
    while let Some((at, c)) = chars.next() {
        match quote {
            None if text[at..].starts_with(end) => return Ok(at + end.len()),
            None if c == '"' || c == '\'' => quote = Some(c),
            None => code += usize::from(!c.is_whitespace()),
            Some(_) if c == '\\' => drop(chars.next()),
            Some(open) if c == open => quote = None,
            Some(_) => {}
        }
        if code > MAX_CODE {
            return Err("one of its expressions is too long");
        }
    }
    Ok(text.len())
}

fn raw_length(text: &str) -> Result<usize, &'static str> {
    match text.match_indices("{%").find(|&(at, _)| word(&text[at..]) == Some("endraw")) {
        Some((at, _)) => Ok(at + code_length(&text[at..], "%}")?),
        None => Ok(text.len()),
    }
}

/// The first word of a `{% .. %}` tag.
fn word(tag: &str) -> Option<&str> {
    let inside = tag.strip_prefix("{%")?.trim_start_matches(['-', '+']).trim_start();
    inside.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

fn rewritten(tag: &str) -> String {
    match (word(tag), assignment(tag)) {
        (Some("generation"), _) => tag.replacen("generation", "with", 1),
        (Some("endgeneration"), _) => tag.replacen("endgeneration", "endwith", 1),
        (Some("set"), Some((target, value, end))) => format!("{target}({value})|{GUARD}{end}"),
        _ => tag.to_owned(),
    }
}

/// Cuts `{% set target = value %}` behind the sign and before the end. A `set` block has neither sign nor value.
fn assignment(tag: &str) -> Option<(&str, &str, &str)> {
    let (target, _) = tag.split_once('=').filter(|_| word(tag) == Some("set"))?;
    let only_names = |c: char| c.is_alphanumeric() || c.is_whitespace() || "_.,()".contains(c);
    if !target.trim_start_matches(['{', '%', '-', '+']).chars().all(only_names) {
        return None;
    }
    let (target, rest) = tag.split_at(target.len() + 1);
    let value = rest.strip_suffix("%}")?.trim_end_matches(['-', '+']);
    (!value.trim().is_empty()).then(|| (target, value, &rest[value.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepare(template: &str) -> String {
        super::prepare(template).unwrap()
    }

    #[test]
    fn generation_tags_are_replaced_with_their_signs() {
        assert_eq!(prepare("a{%- generation -%}b{% endgeneration %}"), "a{%- with -%}b{% endwith %}");
        assert_eq!(prepare("{%+generation%}{%endgeneration+%}"), "{%+with%}{%endwith+%}");
    }

    #[test]
    fn what_only_looks_like_a_generation_tag_is_left_alone() {
        for text in [
            "{{ '{% generation %}' }}",
            "{# {% generation %} #}",
            "{% raw %}{% generation %}{% endraw %}",
            "{% if x == '%} {% generation %}' %}",
            "{% if add_generation_prompt %}generation{% endif %}",
            "text {% generation",
            "{{ 'it\\'s {% generation %}' }}",
        ] {
            let prepared = prepare(text);
            assert!(prepared == text || text == "text {% generation", "{prepared}");
        }
    }

    #[test]
    fn line_ends_become_newlines() {
        assert_eq!(prepare("a\r\nb\rc\n"), "a\nb\nc\n");
    }

    #[test]
    fn what_is_assigned_passes_the_guard_and_blocks_do_not() {
        assert_eq!(prepare("{%- set x = [x, x] -%}"), "{%- set x =( [x, x] )|_bounded-%}");
        assert_eq!(prepare("{% set ns.a = a == b %}"), "{% set ns.a =( a == b )|_bounded%}");
        assert_eq!(prepare("{% set a, b = 1, 2 %}"), "{% set a, b =( 1, 2 )|_bounded%}");
        for text in
            ["{% set x %}a = b{% endset %}", "{% set x | f(y=1) %}{% endset %}", "{% set x = %}", "{% set x = 1"]
        {
            assert_eq!(prepare(text), text);
        }
    }

    #[test]
    fn blocks_and_branches_can_be_nested_to_a_limit() {
        let nested = |open: &str, count: usize| super::prepare(&open.repeat(count)).is_err();
        for open in ["{% if x %}", "{% set x %}", "{% set x|f(a=1) %}", "{% generation %}", "{%-for a in b%}"] {
            assert!(!nested(open, MAX_NESTING) && nested(open, MAX_NESTING + 1), "{open}");
        }
        assert!(super::prepare(&format!("{{% if x %}}{}", "{% elif y %}".repeat(MAX_NESTING))).is_err());
        assert!(super::prepare(&"{% if x %}{% elif y %}{% endif %}".repeat(MAX_NESTING)).is_ok());
    }

    #[test]
    fn expressions_can_be_long_to_a_limit_and_strings_without() {
        assert!(super::prepare(&format!("{{{{ x{} }}}}", ".x".repeat(MAX_CODE / 2))).is_err());
        assert_eq!(prepare(&format!("{{{{ '{}' }}}}", "x".repeat(9 * MAX_CODE))).len(), 9 * MAX_CODE + 8);
    }
}
