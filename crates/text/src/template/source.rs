//! What is done to a template's text before it is compiled.

/// Makes a template one that minijinja reads like Jinja: line ends are `\n`, and the tags of transformers'
/// `generation` extension become tags of the same effect on white space that print nothing (and, like the original,
/// open a scope of their own).
pub(super) fn prepare(template: &str) -> String {
    let template = template.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(template.len());
    let mut rest = template.as_str();
    while let Some(at) = rest.find("{%").into_iter().chain(rest.find("{{")).chain(rest.find("{#")).min() {
        let (text, tag) = rest.split_at(at);
        out.push_str(text);
        let length = tag_length(tag);
        out.push_str(&without_generation(&tag[..length]));
        rest = &tag[length..];
    }
    out + rest
}

/// The length of the tag that `text` begins with; all of it if the tag has no end. A raw block is one tag.
fn tag_length(text: &str) -> usize {
    match &text[..2] {
        "{#" => text.find("#}").map_or(text.len(), |at| at + 2),
        "{{" => code_length(text, "}}"),
        _ if word(text) == Some("raw") => raw_length(text),
        _ => code_length(text, "%}"),
    }
}

/// Finds the end of a tag of code, over strings that may contain what looks like it.
fn code_length(text: &str, end: &str) -> usize {
    let mut quote = None;
    let mut chars = text.char_indices().skip(2);
    while let Some((at, c)) = chars.next() {
        match quote {
            None if text[at..].starts_with(end) => return at + end.len(),
            None if c == '"' || c == '\'' => quote = Some(c),
            Some(_) if c == '\\' => drop(chars.next()),
            Some(open) if c == open => quote = None,
            _ => {}
        }
    }
    text.len()
}

fn raw_length(text: &str) -> usize {
    let ends = text.match_indices("{%").find(|&(at, _)| word(&text[at..]) == Some("endraw"));
    ends.map_or(text.len(), |(at, _)| at + code_length(&text[at..], "%}"))
}

/// The first word of a `{% .. %}` tag.
fn word(tag: &str) -> Option<&str> {
    let inside = tag.strip_prefix("{%")?.trim_start_matches(['-', '+']).trim_start();
    inside.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

fn without_generation(tag: &str) -> String {
    match word(tag) {
        Some("generation") => tag.replacen("generation", "with", 1),
        Some("endgeneration") => tag.replacen("endgeneration", "endwith", 1),
        _ => tag.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::prepare;

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
            "{% set x = '%} {% generation %}' %}",
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
}
