"""Conversations that templates are rendered with. Only JSON types, so that they fit into a fixture."""

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather at a <place>, in \"degrees\" & 'wind' — für alle",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "A city\nand a country\tor \\ both"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                "days": {"type": "integer", "default": 3},
                "limits": {"type": "array", "items": {"type": "number"}, "default": [0.5, 1e-07, 1e16, 100.0, -3]},
            },
            "required": ["place"],
        },
    },
}
TIME = {"type": "function", "function": {"name": "now", "description": "", "parameters": {}, "strict": True, "x": None}}


def message(role, content, **more):
    return {"role": role, "content": content, **more}


def call(name, arguments, **more):
    return {**more, "type": "function", "function": {"name": name, "arguments": arguments}}


SYSTEM = message("system", "  You are terse. \n")
HELLO = message("user", "Hello, <b>you</b> & 'me' \"both\" \U0001f600 日本語")
HI = message("assistant", "Hi!")
ASK = message("user", " What is the weather in Århus?\n")
CALLS = message("assistant", None, tool_calls=[call("get_weather", {"place": "Århus", "days": 2, "wind": False}, id="1")])
RESULT = message("tool", '{"degrees": 7.0}', name="get_weather", tool_call_id="1")
ANSWER = message("assistant", "7 degrees.")

CONVERSATIONS = {
    "one question": dict(messages=[HELLO]),
    "one question, prompt": dict(messages=[HELLO], add_generation_prompt=True),
    "system": dict(messages=[SYSTEM, HELLO], add_generation_prompt=True),
    "system only": dict(messages=[SYSTEM]),
    "turns": dict(messages=[SYSTEM, HELLO, HI, ASK], add_generation_prompt=True),
    "ends with an answer": dict(messages=[HELLO, HI]),
    "system in the middle": dict(messages=[HELLO, SYSTEM, ASK], add_generation_prompt=True),
    "tools": dict(messages=[SYSTEM, ASK], tools=[WEATHER, TIME], add_generation_prompt=True),
    "tools, no system": dict(messages=[ASK], tools=[WEATHER], add_generation_prompt=True),
    "no tools in the list": dict(messages=[ASK], tools=[], add_generation_prompt=True),
    "tools, but no message for them": dict(messages=[SYSTEM], tools=[TIME]),
    "call": dict(messages=[ASK, CALLS], tools=[WEATHER]),
    "call and result": dict(messages=[SYSTEM, ASK, CALLS, RESULT], tools=[WEATHER], add_generation_prompt=True),
    "call, result, answer": dict(messages=[SYSTEM, ASK, CALLS, RESULT, ANSWER, HELLO], tools=[WEATHER, TIME]),
    "two results": dict(messages=[ASK, CALLS, RESULT, RESULT, ANSWER], add_generation_prompt=True),
    "two calls": dict(
        messages=[ASK, message("assistant", "Both:", tool_calls=[call("now", {}), call("get_weather", {"place": "Rome"})])],
        tools=[WEATHER, TIME],
    ),
    "arguments as text": dict(messages=[ASK, message("assistant", "", tool_calls=[call("now", '{"a": 1}')])]),
    "call without function": dict(messages=[ASK, message("assistant", "", tool_calls=[{"name": "now", "arguments": {}}])]),
    "result that is an object": dict(messages=[ASK, CALLS, message("tool", {"degrees": 7, "ok": True, "at": None})]),
    "result that is a list": dict(messages=[ASK, CALLS, message("observation", [1, 2.5, "x"])]),
    "result that is a number": dict(messages=[ASK, CALLS, message("tool", 7.0)]),
    "reasoning": dict(messages=[HELLO, message("assistant", "4", reasoning_content="\n2+2\n")]),
    "reasoning under another name": dict(messages=[HELLO, message("assistant", "4", reasoning="2+2")]),
    "reasoning inside": dict(messages=[HELLO, message("assistant", "<think>\n2+2\n</think>\n\n4"), ASK, CALLS, RESULT]),
    "reasoning before a call": dict(messages=[ASK, {**CALLS, "content": "<think>\nhm\n</think>\n\n"}, RESULT]),
    "result as a user": dict(messages=[ASK, HI, message("user", "<tool_response>x</tool_response>"), HI]),
    "no thinking": dict(messages=[HELLO], add_generation_prompt=True, variables={"enable_thinking": False}),
    "thinking": dict(messages=[HELLO], add_generation_prompt=True, variables={"enable_thinking": True}),
    "date": dict(messages=[HELLO], variables={"date_string": "1 Jan 2025", "today": "1 Jan 2025"}),
    "tools in system": dict(messages=[ASK], tools=[WEATHER], variables={"tools_in_user_message": False, "tools_up_front": True}),
    "tools as a variable": dict(messages=[ASK], variables={"custom_tools": [TIME], "override_tools": [TIME]}),
    "parts": dict(messages=[message("user", [{"type": "text", "text": "See: "}, {"type": "image"}, {"type": "text", "text": "!"}])]),
    "documents": dict(messages=[HELLO], documents=[{"title": "A", "text": "first"}, {"title": "B", "text": "second"}]),
    "other bos": dict(messages=[HELLO], variables={"bos_token": "<other>"}),
    "empty text": dict(messages=[message("user", ""), message("assistant", ""), message("user", "\n")], add_generation_prompt=True),
    "unknown role": dict(messages=[HELLO, message("stop", "now"), HELLO]),
}
