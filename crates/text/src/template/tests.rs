use super::*;
use serde_json::json;

fn render(template: &str) -> Result<String> {
    let input = RenderInput { messages: vec![Message::new("user", "Hi")], ..RenderInput::default() };
    ChatTemplate::new("default", template)?.render(&input)
}

#[test]
fn what_a_template_raises_is_an_error_in_its_own_words() {
    let error = render("{{ raise_exception('Roles must alternate') }}").unwrap_err();
    assert!(matches!(&error, Error::Raised(message) if message == "Roles must alternate"));
    assert_eq!(error.to_string(), "the chat template refuses these messages: Roles must alternate");
}

#[test]
fn a_broken_template_is_an_error_with_its_line() {
    let error = render("fine\n{% if %}").unwrap_err();
    assert!(matches!(error, Error::TemplateSyntax { line: 2, .. }), "{error:?}");
}

#[test]
fn a_failing_template_is_an_error_with_its_line() {
    let error = render("fine\n\n{{ messages[0].content + 1 }}").unwrap_err();
    assert!(matches!(error, Error::TemplateFailed { line: 3, .. }), "{error:?}");
}

#[test]
fn an_empty_conversation_is_an_error() {
    let template = ChatTemplate::new("default", "").unwrap();
    assert!(matches!(template.render(&RenderInput::default()), Err(Error::BadMessages(_))));
}

#[test]
fn hostile_templates_are_stopped() {
    let twice = |list: &str, then: &str| {
        format!(
            "{{% set ns = namespace(x={list}) %}}{{% for i in range(60) %}}{{% set ns.x = [ns.x, ns.x] %}}{{% endfor %}}{then}"
        )
    };
    let deep = "{% set ns = namespace(x=1) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}";
    for template in [
        "{% for a in range(10000) %}{% for b in range(10000) %}{{ a }}{% endfor %}{% endfor %}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{% for a in [[]] recursive %}{{ loop([a]) }}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        &twice("[1]", "{{ ns.x }}"),
        &twice("[1]", "{{ ns.x ~ '' }}"),
        &twice("{}", "{{ ns.x|tojson }}"),
        &"{% set x = [x, x] %}".repeat(60),
        "{% set x = range(10000)|list %}{% set x = x + x %}{% set x = x * 100 %}",
        deep,
        "{% set x = 'a' * 10000000 %}{{ x.replace('a', x) }}",
        "{% set x = 'a' * 10000000 %}{{ x.join(x) }}",
        "{% set x = 'a' * 1000000 %}{% for i in range(10000) %}{% set y = x.find('b') %}{% endfor %}",
        "{{ 'a'.ljust(1000000000000) }}",
        "{{ 'a'.center(18446744073709551615) }}",
        "{{ '{:>999999999}'.format(1) }}",
    ] {
        let started = std::time::Instant::now();
        let error = render(template).unwrap_err();
        assert!(matches!(error, Error::TemplateLimit { .. }), "{template}: {error:?}");
        assert!(started.elapsed().as_secs() < 20, "{template} took {:?}", started.elapsed());
    }
}

#[test]
fn a_template_of_megabytes_is_not_compiled() {
    let error = ChatTemplate::new("default", &" ".repeat(MAX_SOURCE + 1)).unwrap_err();
    assert_eq!(error.to_string(), "chat template \"default\" was stopped: it is longer than 1 MiB");
}

#[test]
fn deeply_nested_source_is_an_error_and_no_crash() {
    for code in ["(", "[", "-", "not ", "x.", "x|f|", "1+", "1~", "x if x else ", "{1:"] {
        let template = format!("{{{{ {} }}}}", code.repeat(100_000));
        assert!(matches!(ChatTemplate::new("default", &template), Err(Error::TemplateLimit { .. })), "{code}");
        // As long as is allowed: an error or none, but no overflow.
        drop(render(&format!("{{{{ {}1 }}}}", code.repeat(1000))));
    }
    let blocks = "{% if x %}".repeat(100_000);
    assert!(matches!(ChatTemplate::new("default", &blocks), Err(Error::TemplateLimit { .. })));
}

#[test]
fn a_long_conversation_stays_within_the_limits() {
    let template = include_str!("../../../../tests/text/templates/reasoning.jinja");
    let messages = (0..4000).map(|turn| Message::new(["user", "assistant"][turn % 2], "word ".repeat(200))).collect();
    let tools = vec![json!({"type": "function", "function": {"name": "f", "description": "d".repeat(10_000)}}); 20];
    let input = RenderInput { messages, tools: Some(tools), ..RenderInput::default() };
    let text = ChatTemplate::new("default", template).unwrap().render(&input).unwrap();
    assert!(text.len() > 4_000_000);
}

#[test]
fn variables_win_over_special_tokens_and_messages_over_both() {
    let template = ChatTemplate::new("default", "{{ bos_token }}{{ messages|length }}").unwrap();
    let object = |value: Value| value.as_object().cloned().unwrap();
    let input = RenderInput {
        messages: vec![Message::new("user", "Hi")],
        special_tokens: object(json!({"bos_token": "<s>"})),
        variables: object(json!({"bos_token": "<b>", "messages": []})),
        ..RenderInput::default()
    };
    assert_eq!(template.render(&input).unwrap(), "<b>1");
}

#[test]
fn tools_that_are_not_given_are_defined_and_none() {
    assert_eq!(render("{{ tools is defined }} {{ tools }} {{ documents is none }}").unwrap(), "True None True");
}

#[test]
fn the_clock_of_the_machine_is_read_if_no_time_is_given() {
    let year: i32 = render("{{ strftime_now('%Y') }}").unwrap().parse().unwrap();
    assert!(year >= 2025);
}
