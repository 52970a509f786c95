//! A chat template of any text: compiled and rendered. It may fail, but neither panic nor run away.
#![no_main]

use ffai_text::{ChatTemplate, Message, RenderInput};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &str| {
    let Ok(template) = ChatTemplate::new("default", source) else { return };
    let messages = vec![Message::new("system", "Be brief."), Message::new("user", "Hi <b> \"there\"")];
    let tools = Some(vec![serde_json::json!({"type": "function", "function": {"name": "f", "parameters": {}}})]);
    let _ = template.render(&RenderInput { messages, tools, add_generation_prompt: true, ..RenderInput::default() });
});
