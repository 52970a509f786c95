"""Texts that tokenizers get wrong; each was a trap for some pre-tokenizer."""

HARD = [
    # white space in runs, mixed, and before each class of characters
    "a     b", "     a", "a     ", "   \n   ", "\n \n \n", " \t \t ", "\t\t\ta", "a \nb", "a\n b", "a\n\n  b", "a  \n\n  b", "\n\n\n\n\n\n\n\n",
    "\r", "\r\r", "\r\n\r\n", "a\r\n\r\nb", "\n\r", " \r\n ", "a\x0bb", "a\x0cb", "a\x85b", "a\u2028b", "a\u2029b", "a\u00a0\u00a0b", "\u2003\u2003a",
    "\u3000\u3000\u65e5", "a\u1680b", "!  ", "!\n", "!\n\n!", " !\r\n", "...\n\n...", "?!  \n  ?!", "//\n//", "a/\n/b", "/\n", "!/!/\n",
    # digits: in runs of every length, of other scripts, and numbers that are no digits
    "1 2 3", "12 34", "1234", "12345", "123456", "1234567", "0.000001", "1e-10", "a12345b", "1,234.56", "12:34:56", "x1y22z333",
    "\u0661\u0662\u0663\u0664", "\u0967\u0968\u0969\u096a", "\uff11\uff12\uff13\uff14", "1\u06632\u0664", "\u216b\u216c", "\u00b2\u00b3\u00b9", "\u2460\u2461 \u2462", "\u4e00\u4e8c\u4e09", "10\u20ac", "\u00bd\u00bc",
    # contractions, apostrophes of other kinds, and case
    "don't", "DON'T", "Don\u2019t", "we'Ll", "'Re", "'tis 'twas", "o'clock", "rock'n'roll", "''''", "it's's", "you've'd", " 's", "'", "a'", "'S",
    "camelCase", "CamelCase", "HTTPServer", "iPhone", "McDonald's", "aB cD", "ABc", "aBC", "A1b2", "\u00e9A", "\u00c9a", "\u0410\u0431\u0412", "\u0130i\u0131I", "\u01c5", "\u00aa\u00ba", "\u1d2c\u02b0",
    # marks, joiners, scripts without spaces
    "e\u0301e\u0301", "\u0301", " \u0301", "a\u0301\u0302\u0303", "\u0915\u094d\u0937\u093f", "\u0e01\u0e33\u0e25\u0e31\u0e07", "\u0bae\u0bcd", "\u05d1\u05bc\u05b0", "\u064a\u064f\u0631", "\u1100\u1161\u11a8", "\uac01", "\u304b\u3099", "\u200d", "a\u200db", "\u0644\u0627 \ufefb",
    "\u4f60\u597dworld", "hello\u4e16\u754c", "\u65e5\u672c\u8a9e\u306e\u6587\u7ae0\u3002", "\u3053\u308c\u306f1\u3064", "\u30c6\u30b9\u30c8", "\u3001\u3002", "\uff01\uff1f", "\u4e2d\u6587 \u4e2d\u6587", "\u9fa6\u9fff", "\u3400", "\U00020000", "\ud55c\uad6d\uc5b4 \ubb38\uc7a5", "\u3131\u314e", "\u3105",
    # emoji: sequences, tones, flags, keycaps
    "\U0001f600\U0001f601", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f44d\U0001f3fd\U0001f44d\U0001f3ff", "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7", "1\ufe0f\u20e3", "\u2764\ufe0f", " \U0001f600 ", "a\U0001f600\n", "\U0001f3f4\U000e0067\U000e0062\U000e007f",
    # symbols and punctuation
    "$5.00", "a+b=c", "<tag>", "a|b|c", "~~~", "`code`", "```\ncode\n```", "a=b", "^^", "\u00a3\u00a5\u20ac", "\u2200x\u2208S", "\u2192", "\u00ab\u00bb", "\u201cq\u201d", "\u2018q\u2019", "#!/bin/sh", "a_b__c", "!a", "_a", "-a", ".a .b", "(a)(b)", "@a", "\\n", "&nbsp;", "%d%s", "\u2026\u2026", "\u2014a\u2014", "\u00b7a",
    # near to control tokens, and with them
    "<|im_start|><|im_end|>", "<|im_start|> <|im_end|>", "a <|im_end|>\n", "<|im_start", "|im_start|>", "< |im_start|>", "<|im_start|>1<|im_end|>2", "<think>x</think>", "<think>", "<THINK>", "\n<think>\n", " <think> ", "<|IM_START|>", "<<|im_end|>>",
    # what looks broken: replacement and private characters, ends of planes, byte order marks
    "\ufffd", "\ufffd\ufffd", "a\ufffdb", "\ue000", "\U000fffff", "\U0010fffd", "\ufffe", "\ufeffa", "a\ufeff", "\x01\x02\x03", "a\x00b", "\x1b[0m", "\x80", "\u0378", "<0x41>", "\u00c3\u00a9", "\u2581", "\u2581a\u2581b", "\u0120a", "\u010a",
    # long
    "a" * 200, "ab" * 100, "1" * 50, " " * 70, "\n" * 30, "!" * 60, "\u4e00" * 40, "\u00e9" * 40, "Donaudampfschifffahrtsgesellschaftskapitaensmuetze",
]  # fmt: skip
