//! Chat templates, rendered as transformers renders them.

mod clock;
mod environment;
mod guard;
mod json;
mod methods;
mod numbers;
mod source;

use minijinja::{Environment, ErrorKind};
use serde_json::{Map, Value};

pub use chrono::NaiveDateTime;

use crate::error::{Error, Result};
use crate::message::Message;

/// The longest template that is compiled. The longest in use have about 20 kB.
const MAX_SOURCE: usize = 1 << 20;

/// A compiled chat template.
///
/// The environment is that of transformers 5.23: `trim_blocks`, `lstrip_blocks`, loop controls, no HTML escapes,
/// `tojson` as Python's `json.dumps(.., ensure_ascii=False)`, `raise_exception`, `strftime_now`, Python's methods of
/// strings, lists and dictionaries. `{% generation %}` marks what the assistant wrote and prints nothing by itself.
///
/// Templates come from strangers: one that loops, recurses or fills memory is stopped with [`Error::TemplateLimit`].
///
/// ```
/// use ffai_text::{ChatTemplate, Message, RenderInput};
///
/// let template = ChatTemplate::new("default", "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}")?;
/// let input = RenderInput { messages: vec![Message::new("user", "Hi!")], ..RenderInput::default() };
/// assert_eq!(template.render(&input)?, "[user] Hi!\n");
/// # Ok::<(), ffai_text::Error>(())
/// ```
#[derive(Debug)]
pub struct ChatTemplate {
    name: String,
    environment: Environment<'static>,
}

/// What a template is rendered with.
#[derive(Clone, Debug, Default)]
pub struct RenderInput {
    /// The conversation, oldest message first.
    pub messages: Vec<Message>,
    /// JSON schemas of tools; none is not the same as an empty list.
    pub tools: Option<Vec<Value>>,
    /// Documents for templates that answer from them: objects with `title` and `text`.
    pub documents: Option<Vec<Value>>,
    /// Whether the text ends with the beginning of an answer.
    pub add_generation_prompt: bool,
    /// `bos_token`, `eos_token` and the like, as text.
    pub special_tokens: Map<String, Value>,
    /// Further variables that the template knows, such as `enable_thinking`. They win over special tokens.
    pub variables: Map<String, Value>,
    /// What `strftime_now` tells; the clock of the machine if none.
    pub now: Option<NaiveDateTime>,
}

impl ChatTemplate {
    /// Compiles a template. The name only stands in errors.
    ///
    /// # Errors
    /// [`Error::TemplateSyntax`], [`Error::TemplateLimit`] for one of over 1 MiB.
    pub fn new(name: &str, template: &str) -> Result<ChatTemplate> {
        if template.len() > MAX_SOURCE {
            return Err(Error::TemplateLimit { name: name.to_owned(), limit: "it is longer than 1 MiB" });
        }
        let limit = |limit| Error::TemplateLimit { name: name.to_owned(), limit };
        let mut environment = environment::new();
        let added = environment.add_template_owned(TEMPLATE, source::prepare(template).map_err(limit)?);
        added.map_err(|e| translate(name, &e))?;
        Ok(ChatTemplate { name: name.to_owned(), environment })
    }

    /// The name it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Renders a conversation.
    ///
    /// As in transformers, fields of messages that are null count as absent, and reasoning that is passed as
    /// `thinking` or `reasoning` is also found under `reasoning_content`.
    ///
    /// # Errors
    /// [`Error::Raised`] with the template's own words, [`Error::TemplateFailed`], [`Error::TemplateLimit`];
    /// [`Error::BadMessages`] if there is no message.
    pub fn render(&self, input: &RenderInput) -> Result<String> {
        if input.messages.is_empty() {
            return Err(Error::BadMessages("the conversation is empty; a chat template needs at least one".into()));
        }
        let template = self.environment.get_template(TEMPLATE).map_err(|e| translate(&self.name, &e))?;
        template.render(context(input)).map_err(|e| translate(&self.name, &e))
    }
}

/// The name inside the environment; a fixed one, because minijinja gives meaning to the endings of names.
const TEMPLATE: &str = "chat";

fn context(input: &RenderInput) -> minijinja::Value {
    let mut context = input.special_tokens.clone();
    context.extend(input.variables.clone());
    let list = |list: &Option<Vec<Value>>| list.clone().map_or(Value::Null, Value::Array);
    let messages = input.messages.iter().map(|message| Value::Object(message.for_template())).collect();
    context.insert("messages".into(), Value::Array(messages));
    context.insert("tools".into(), list(&input.tools));
    context.insert("documents".into(), list(&input.documents));
    context.insert("add_generation_prompt".into(), Value::Bool(input.add_generation_prompt));
    let values = context.into_iter().map(|(key, value)| (key, to_template(value)));
    let strftime = ("strftime_now".to_owned(), clock::function(input.now));
    minijinja::Value::from_pairs(values.chain([strftime]))
}

fn to_template(value: Value) -> minijinja::Value {
    match value {
        Value::Null => ().into(),
        Value::Bool(flag) => flag.into(),
        Value::String(text) => text.into(),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) => number.into(),
            (None, None) => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        Value::Array(list) => list.into_iter().map(to_template).collect(),
        Value::Object(object) => {
            minijinja::Value::from_pairs(object.into_iter().map(|(key, value)| (key, to_template(value))))
        }
    }
}

fn translate(name: &str, error: &minijinja::Error) -> Error {
    if let Some(environment::Raised(message)) = environment::find_raised(error) {
        return Error::Raised(message.clone());
    }
    let (name, line) = (name.to_owned(), error.line().unwrap_or(0));
    let problem = error.detail().map_or_else(|| error.kind().to_string(), ToOwned::to_owned);
    match error.kind() {
        ErrorKind::OutOfFuel => Error::TemplateLimit { name, limit: "it works without end, or on endless text" },
        _ if problem == "recursion limit exceeded" => {
            Error::TemplateLimit { name, limit: "its macros recurse too deeply" }
        }
        ErrorKind::SyntaxError => Error::TemplateSyntax { name, line, problem },
        _ => Error::TemplateFailed { name, line, problem },
    }
}

#[cfg(test)]
mod tests;
