"""Short templates, one construct each, that templates of real models use (or might). All see the same variables."""

VARIABLES = {
    "text": "  Hello, World! \n",
    "csv": "a,b,,c",
    "lines": "one\ntwo\r\nthree\n",
    "number": 7,
    "float": 2.0,
    "small": 1e-07,
    "big": 1e16,
    "negative": -3,
    "yes": True,
    "no": False,
    "nothing": None,
    "list": [3, 1, 2],
    "words": ["b", "a", "C"],
    "mixed": [1, "two", None, True, 2.5, {"k": "it's"}, [], {}],
    "object": {"z": 1, "a": "<&>", "items": [1], "keys": {"x": None}, "m": {"deep": ["\u00e9\x7f\x01"]}},
    "people": [{"name": "Ann", "age": 30}, {"name": "Bob", "age": 25}, {"name": "Cy"}],
}

SNIPPETS = r"""
{{ number }} {{ float }} {{ small }} {{ big }} {{ negative }} {{ yes }} {{ no }} {{ nothing }} {{ absent }}|
{{ list }} {{ words }} {{ mixed }}
{{ object }}
{{ "a" ~ yes ~ nothing ~ float ~ list ~ object.m }}
{{ yes|string }} {{ nothing|string }} {{ list|string }} {{ float|string }}
{{ object|tojson }}
{{ object|tojson(indent=2) }}
{{ object|tojson(indent=0) }}
{{ object|tojson(ensure_ascii=True) }}
{{ object|tojson(separators=(',', ':')) }}
{{ object|tojson(sort_keys=True, indent=4) }}
{{ object|tojson(indent='\t') }}
{{ object|tojson(true) }}
{{ mixed|tojson }} {{ []|tojson(indent=2) }} {{ {}|tojson(indent=2) }} {{ [[], {}]|tojson(indent=1) }}
{{ "quote \" slash / \\ tab \t é" | tojson }}
{{ {1: 2, true: 3, none: 4, 1.5: 5}|tojson }}
{{ (1, 2)|tojson }} {{ (1,) }} {{ () }}
{{ absent|tojson }}
{{ text|trim }}|{{ text.strip() }}|{{ text.lstrip() }}|{{ text.rstrip() }}|{{ text.strip(' \n!') }}
{{ '\x1ctext\x1f'|trim }}|{{ '\x1ctext\x1f'.strip() }}|{{ nothing|trim }}|{{ 5|trim }}|{{ 'xxaxx'|trim('x') }}
{{ csv.split(',') }} {{ csv.split(',', 1) }} {{ csv.rsplit(',', 1) }} {{ '  a  b '.split() }} {{ ' a  b c '.split(None, 1) }} {{ ' a  b c '.rsplit(None, 1) }} {{ csv.split(',', maxsplit=2) }} {{ csv.split(sep=',') }}
{{ ''.split() }} {{ ''.split(',') }} {{ 'a b'.split(' ')[-1] }}
{{ lines.splitlines() }} {{ lines.splitlines(true) }} {{ lines.splitlines(keepends=True) }}
{{ csv.partition(',') }} {{ csv.rpartition(',') }} {{ csv.partition('x') }} {{ csv.rpartition('x') }}
{{ csv.replace(',', ';') }} {{ csv.replace(',', ';', 1) }} {{ 'ab'.replace('', '-') }} {{ csv|replace(',', '') }}
{{ text.upper() }}{{ text.lower() }}{{ text.title() }}{{ 'hELLO wORLD'.capitalize() }} {{ 'they\'re x3y'.title() }}
{{ text|upper }}{{ text|lower }}{{ 'hELLO wORLD'|capitalize }} {{ 'hello world'|title }}
{{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') }} {{ 'abc'.removeprefix('x') }}
{{ 'abc'.startswith('a') }} {{ 'abc'.startswith(('x', 'a')) }} {{ 'abc'.endswith('bc') }} {{ 'abc'.startswith('b', 1) }} {{ 'abc'.endswith('b', 0, 2) }}
{{ 'abcabc'.find('c') }} {{ 'abcabc'.rfind('c') }} {{ 'abc'.find('x') }} {{ 'abcabc'.index('b') }} {{ 'abcabc'.count('a') }}
{{ 'abc'.index('x') }}
{{ ', '.join(words) }} {{ words|join('-') }} {{ list|join }} {{ people|map(attribute='name')|join(', ') }} {{ people|join(';', attribute='name') }}
{{ '7'.zfill(3) }} {{ '-7'.zfill(4) }} {{ 'a'.ljust(3, '.') }}|{{ 'a'.rjust(3) }}|{{ 'ab'.center(5, '*') }}|{{ 'a'.center(4) }}|
{{ '12'.isdigit() }} {{ ''.isdigit() }} {{ 'ab1'.isalnum() }} {{ 'ab'.isalpha() }} {{ ' '.isspace() }} {{ 'Ab'.isupper() }} {{ 'ab'.islower() }}
{{ '%s-%s'|format('a', 2) }}
{{ '{} {} {0}' if false else '{} {}'.format('a', 1) }} {{ '{x}-{y}'.format(x=1, y='b') }} {{ '{:>5}|{:.1f}'.format('a', 2.55) }}
{{ 'abcdef'[1:3] }} {{ 'abcdef'[-2:] }} {{ 'abcdef'[::-1] }} {{ 'abc'[0] }} {{ 'abc'[-1] }} {{ list[::-1] }} {{ list[1:] }} {{ list[-1] }} {{ list[:-1]|length }}
{{ 'b' in 'abc' }} {{ 'x' not in 'abc' }} {{ 'a' in object }} {{ 3 in list }} {{ 'two' in mixed }} {{ 'k' in object.keys() }} {{ 'z' in object.keys() }}
{{ object.get('a') }} {{ object.get('none') }} {{ object.get('none', 5) }} {{ object['items'] }} {{ object.m.deep|length }} {{ object.none is defined }} {{ object['none'] is undefined }}
{% for k, v in object.items() %}{{ k }}={{ v }};{% endfor %}
{% for k in object %}{{ k }},{% endfor %}{% for k in object.keys() %}{{ k }},{% endfor %}{% for v in object.m.values() %}{{ v|length }},{% endfor %}
{{ object.items()|list|length }} {{ object.keys()|list }} {{ object|length }} {{ object|list }} {{ object.items()|length }} {{ object|items|list|length }} {{ object.keys()|length }}
{{ object|dictsort|map('first')|list }} {{ people|selectattr('age', 'defined')|list|length }} {{ people|rejectattr('age', 'defined')|map(attribute='name')|list }} {{ people|selectattr('name', 'equalto', 'Bob')|first }} {{ people[:2]|selectattr('age', '>', 26)|map(attribute='age')|list }}
{{ list|sort }} {{ words|sort }} {{ words|sort(reverse=true) }} {{ people[:2]|sort(attribute='age')|map(attribute='name')|list }} {{ list|sum }} {{ list|max }} {{ list|min }} {{ [1,1,2]|unique|list }}
{% set names = people|map(attribute='name') %}{{ names|list }} {% set both = list + words %}{{ both|length }}{{ both }}{% set r = list|reverse %}{{ r|list }}{% set s = people|selectattr('age', 'defined') %}{{ (s|list)|length }}{% set k = object.keys() %}{{ k|list }}
{{ list|first }} {{ list|last }} {{ list|reverse|list }} {{ 'abc'|reverse }} {{ list|length }} {{ list|count }} {{ list|batch(2)|list }} {{ words|map('upper')|list }}
{{ absent|default('d') }} {{ nothing|default('d') }} {{ nothing|default('d', true) }} {{ ''|d('e', true) }} {{ object.absent|default([])|length }}
{{ '3'|int + 1 }} {{ 'x'|int }} {{ 'x'|int(5) }} {{ '2.5'|float }} {{ 2.6|round }} {{ 2.65|round(1) }} {{ -3|abs }} {{ 3.7|int }} {{ 7|float }}
{{ 7 / 2 }} {{ 7 // 2 }} {{ 7 % 3 }} {{ 2 ** 3 }} {{ -7 // 2 }} {{ 6 / 2 }} {{ 1 + 2.0 }} {{ 10 - 2 * 3 }} {{ 7.0 // 2 }} {{ -7 % 3 }} {{ 2 ** -1 }}
{{ 'a' * 3 }} {{ [1, 2] + [3] }} {{ [0] * 2 }} {{ 'a' + 'b' }} {{ (1, 2) + (3,) }} {{ ([1, 2] + [3])|length }}
{{ 'a' + 1 }}
{{ absent + 'a' }}
{{ absent.attribute }}
{{ nothing.attribute }}|
{{ nothing.attribute.more }}
{{ nothing['x'] }}|{{ number.x is defined }}
{{ absent() }}
{{ text.nomethod() }}
{{ yes and 'x' }} {{ no or 'y' }} {{ not yes }} {{ nothing or absent or 'z' }} {{ '' or 0 }} {{ [] or {} }} {{ 'a' if yes else 'b' }} {{ 'a' if no }}|
{{ 1 < 2 < 3 }} {{ 1 == 1.0 }} {{ 'a' < 'b' }} {{ yes == 1 }} {{ [1] == [1] }} {{ {'a': 1} == {'a': 1} }} {{ 1 != 2 }} {{ none == none }} {{ true is true }}
{{ number is number }} {{ number is integer }} {{ float is float }} {{ text is string }} {{ list is sequence }} {{ text is sequence }} {{ text is iterable }} {{ number is iterable }} {{ object is mapping }} {{ list is mapping }} {{ yes is boolean }} {{ nothing is none }} {{ absent is none }} {{ yes is number }} {{ object is iterable }} {{ object is sequence }} {{ yes is true }} {{ no is false }} {{ 1 is true }} {{ absent is false }}
{{ 4 is even }} {{ 3 is odd }} {{ 6 is divisibleby 3 }} {{ 'abc' is in 'abcd' }} {{ 1 is eq 1 }} {{ 'a' is ne 'b' }} {{ 3 is gt 2 }} {{ 'A' is upper }} {{ number is sameas number }} {{ strftime_now is defined }} {{ raise_exception is defined }} {{ 'trim' is filter }} {{ 'odd' is test }}
{% set x = 1 %}{% for i in range(3) %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}
{% set ns = namespace(x=1, y=[]) %}{% for i in range(3) %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }} {{ ns.y }} {% set ns.z = 'new' %}{{ ns.z }}
{% if yes %}{% set inside = 5 %}{% endif %}{{ inside }}
{% set block %}captured {{ number }}{% endset %}[{{ block }}] {{ block|length }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}
{% for i in list %}{{ loop.index }}/{{ loop.length }}:{{ i }}{{ ' first' if loop.first }}{{ ' last' if loop.last }} {{ loop.previtem }}<{{ loop.nextitem }} {{ loop.revindex }} {{ loop.cycle('odd', 'even') }};{% endfor %}
{% for i in [] %}x{% else %}empty{% endfor %} {% for i in list if i > 1 %}{{ loop.index }}{{ i }}{% endfor %} {% for p in people %}{% if loop.changed(p.age is defined) %}{{ p.name }}{% endif %}{% endfor %}
{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% for a in [1, 2] recursive %}{{ a }}{% endfor %} {% for a in [[1, [2]], 3] recursive %}{% if a is number %}{{ a }}{% else %}({{ loop(a) }}){% endif %}{% endfor %}
{% for a, b in [(1, 2), (3, 4)] %}{{ a }}{{ b }}{% endfor %} {% for i in 'abc' %}{{ i }}.{% endfor %} {{ range(2, 8, 3)|list }} {{ range(3)[-1] }}
{% macro m(a, b='B', c=none) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, 2, c=3) }}
{% macro outer(x) %}<{{ number }}{{ x }}>{% endmacro %}{% set number = 9 %}{{ outer('y') }} {% set s = outer('z') %}{{ s|length }}{{ s|upper }}
{% macro wrap() %}[{{ caller() }}]{% endmacro %}{% call wrap() %}inner{% endcall %} {% macro each(n) %}{% for i in range(n) %}{{ caller(i) }}{% endfor %}{% endmacro %}{% call(i) each(3) %}{{ i }};{% endcall %}
{% macro fact(n) %}{% if n > 1 %}{{ n }}*{{ fact(n - 1) }}{% else %}1{% endif %}{% endmacro %}{{ fact(4) }}
{% filter upper %}shout {{ words[0] }}{% endfilter %} {% with x = 5, y = 6 %}{{ x }}{{ y }}{% endwith %}{{ x }}
{% raw %}{{ not rendered }} {% generation %}{% endraw %} {{ '{{ }}' }} {{ '{% generation %}' }}
{% generation %}{{ number }}{% endgeneration %}|{%- generation -%} tight {%- endgeneration -%} |
{% generation %}{% set inner = 1 %}{{ inner }}{% endgeneration %}[{{ inner }}]
{% for i in list %}{% generation %}{{ loop.index }}{{ ',' if not loop.last }}{% endgeneration %}{% endfor %}
{# comment #}  a {#- tight -#}  b
{% if 'é' == '\u00e9' %}{{ '\u00e9\x41\101\'\"\\\d\n|' }}{% endif %}
{{ {'a': 1}.a }} {{ {'a': {'b': 2}}.a.b }} {{ [{'x': 1}][0].x }}
{{ dict(a=1, b=2) }} {{ dict({'x': 1}, y=2)|tojson }}
{% set d = {'a': 1} %}{% set _ = d.update({'b': 2}) %}{{ d }}
{% set l = [] %}{% set _ = l.append(1) %}{{ l }}
{{ '<&>' }} {{ '<&>'|escape }} {{ '<&>'|e }} {{ '<b>'|safe }}
{{ 'a\nb'|indent(2) }} {{ 'a\nb'|indent(2, true) }}
{{ strftime_now('%Y-%m-%d %H:%M:%S') }} {{ strftime_now('%B %-d, %Y %p %y %j %A %a %%') }}
{{ raise_exception('the reason: ' ~ number) }}
{% if no %}{{ raise_exception('never') }}{% endif %}fine
{% for i in list %}{% if i == 1 %}{{ raise_exception('in a loop') }}{% endif %}{{ i }}{% endfor %}
{% macro fail() %}{{ raise_exception('in a macro') }}{% endmacro %}{{ fail() }}
{{ 'one' 'two' }} {{ 1_000 }} {{ 0x1f }} {{ 1e3 }} {{ True }} {{ None }} {{ False }} {{ none }}
{{ list|slice(2)|list }} {{ people|map(attribute='age', default=0)|list }}
{{ debug is defined }}
{{ '\u2028\u2029\u0085\u00a0' | tojson }} {{ '\x1b[0m\x00' | tojson }}
{% do list %}
{% unknown %}
{{ unclosed
{% if yes %}
{{ number|nofilter }}
{{ number is notest }}
""".strip("\n").split("\n")

BLOCKS = [
    "line one\n  {% if yes %}\n    kept\n  {% endif %}\nline two\n",
    "a\n  {%+ if yes %}\nb\n  {% endif +%}\nc\n\n",
    "\n\n{% for i in list %}\n  {{ i }}\n{% endfor %}\n\n",
    "{%- for i in list -%}\n  {{ i }}\n{%- endfor -%}\n  tail  \n",
    "  {# a comment #}\n  text\n{# another #} {{ number }}\n",
    "a\r\nb\r\n{% if yes %}\r\nc\r\n{% endif %}\r\n",
    "{{ number }}\n",
    "{{ number }}\n\n",
    "{{ text -}}\n   {{- text }}",
    "a  {%- if yes %}  b  {%- endif %}  c",
    "{% generation %}\n  in\n{% endgeneration %}\nout\n  {% generation %}\n  x\n  {%- endgeneration %}\n",
    "{% set long = 'a\nb' %}\n{{ long }}",
    "\t{% if yes %}\ttab\n\t{% endif %}x\n",
    "{{ 'a' }}  {% if yes %}b{% endif %}  \n  {% if no %}{% endif %}  c",
    "{% macro f(x) %}\n  <{{ x }}>\n{% endmacro %}\n{{ f(1) }}\n{{- f(2) -}}\n.",
    "{% raw -%}\n  {{ x }}\n{%- endraw %}\n.",
]
