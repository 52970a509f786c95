"""The prompts: lists of messages go through the chat template, strings are raw text."""

LIGHTHOUSE = (
    "The lighthouse on the northern cape was built in 1874 from blocks of grey granite that were carried up the "
    "cliff by mules. For almost a hundred years its keepers lit the lamp every evening, wrote down the weather "
    "three times a day, and rowed out to ships in trouble. In 1969 the lamp was replaced by an electric one with "
    "1,000 watts, and in 1987 the last keeper, Anna Lindqvist, locked the door behind her and moved to the "
    "village. Today the tower belongs to a small society which opens it to visitors on Sundays between May and "
    "September. The climb has 212 steps."
)


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


PROMPTS = {
    "moon": [_message("user", "In which year did the first human walk on the Moon, and who was it?")],
    "code": [_message("user", "Write a Python function that returns the factorial of n.")],
    "long_with_system": [
        _message("system", "You are a careful editor."),
        _message("user", f"Repeat the story of the lighthouse in your own words.\n\n{LIGHTHOUSE}"),
    ],
    "several_turns": [
        _message("user", "My name is Ada and I like chess."),
        _message("assistant", "Nice to meet you, Ada!"),
        _message("user", "What is my name, and what do I like?"),
    ],
    "raw_numbers": "1, 2, 3, 4, 5, 6, 7,",
    "raw_gravity": "Gravity is the force that",
}
