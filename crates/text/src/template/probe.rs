use super::*;
fn go(t: &str) {
    let input = RenderInput { messages: vec![Message::new("user", "Hi")], ..RenderInput::default() };
    let s = std::time::Instant::now();
    let r = ChatTemplate::new("d", t).and_then(|t| t.render(&input)).map(|x| x.len());
    eprintln!("{:?} {:?}", s.elapsed(), r);
}
const D: &str = "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}";
#[test] fn p_print() { go(&format!("{D}{{{{ ns.x }}}}")); }
#[test] fn p_concat() { go(&format!("{D}{{{{ ns.x ~ 'a' }}}}")); }
#[test] fn p_string() { go(&format!("{D}{{{{ ns.x|string }}}}")); }
#[test] fn p_join() { go(&format!("{D}{{{{ [ns.x]|join }}}}")); }
#[test] fn p_trim() { go(&format!("{D}{{{{ ns.x|trim }}}}")); }
#[test] fn p_raise() { go(&format!("{D}{{{{ raise_exception(ns.x) }}}}")); }
#[test] fn p_eq() { go(&format!("{D}{{% set y = ns.x %}}{{% set ns.x = [1] %}}{{% for i in range(60) %}}{{% set ns.x = [ns.x, ns.x] %}}{{% endfor %}}{{{{ ns.x == y }}}}")); }
#[test] fn p_upper() { go(&format!("{D}{{{{ ns.x|upper }}}}")); }
#[test] fn p_format() { go(&format!("{D}{{{{ '{{}}'.format(ns.x) }}}}")); }
#[test] fn p_format2() { go(&format!("{D}{{{{ '%s'|format(ns.x) }}}}")); }
#[test] fn p_pprint() { go(&format!("{D}{{{{ ns.x|pprint }}}}")); }
#[test] fn p_int() { go(&format!("{D}{{{{ ns.x|int }}}}")); }
#[test] fn p_replace() { go("{% set x = 'a' * 10000000 %}{{ x.replace('a', x) }}"); }
#[test] fn p_join2() { go("{% set x = 'a' * 10000000 %}{{ x.join(x) }}"); }
#[test] fn p_ljust() { go("{{ 'a'.ljust(1000000000000) }}"); }
#[test] fn p_center() { go("{{ 'a'.center(18446744073709551615) }}"); }
#[test] fn p_fmtw() { go("{{ '{:>999999999}'.format(1) }}"); }
#[test] fn p_deep() { go("{% set ns = namespace(x=[1]) %}{% for i in range(10000) %}{% for j in range(100) %}{% set ns.x = [ns.x] %}{% endfor %}{% endfor %}"); }
#[test] fn p_deep_json() { go("{% set ns = namespace(x=[1]) %}{% for i in range(10000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x|tojson }}"); }
#[test] fn p_deep_print() { go("{% set ns = namespace(x=[1]) %}{% for i in range(10000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}"); }
#[test] fn p_chain_filter() { go(&format!("{{{{ 'a'{} }}}}", "|upper".repeat(600))); }
#[test] fn p_chain_attr() { go(&format!("{{{{ messages{} }}}}", "[0]".repeat(1300))); }
#[test] fn p_chain_attr2() { go(&format!("{{{{ messages{} }}}}", ".a".repeat(2000))); }
#[test] fn p_chain_plus() { go(&format!("{{{{ 1{} }}}}", "+1".repeat(2000))); }
#[test] fn p_chain_tilde() { go(&format!("{{{{ 1{} }}}}", "~1".repeat(2000))); }
#[test] fn p_chain_and() { go(&format!("{{{{ 1{} }}}}", " and 1".repeat(1000))); }
#[test] fn p_chain_if() { go(&format!("{{{{ 1{} }}}}", " if x else 1".repeat(400))); }
#[test] fn p_chain_not() { go(&format!("{{{{ {}1 }}}}", "not ".repeat(1300))); }
#[test] fn p_chain_neg() { go(&format!("{{{{ {}1 }}}}", "-".repeat(4000))); }
#[test] fn p_chain_pow() { go(&format!("{{{{ 1{} }}}}", "**1".repeat(1300))); }
#[test] fn p_chain_cmp() { go(&format!("{{{{ 1{} }}}}", "<1".repeat(2000))); }
#[test] fn p_chain_call() { go(&format!("{{{{ messages{} }}}}", "()".repeat(2000))); }
#[test] fn p_blocks() { go(&format!("{}", "{% if x %}".repeat(100))); }
#[test] fn p_elif() { go(&format!("{{% if x %}}{}{{% endif %}}", "{% elif x %}".repeat(100))); }
#[test] fn p_rjust() { go("{% set x = 'a' * 1000000 %}{% for i in range(100000) %}{% set y = x|upper %}{% endfor %}"); }
#[test] fn p_sort() { go("{% set x = range(100000)|list %}{% for i in range(100000) %}{% set y = x|sort %}{% endfor %}"); }
#[test] fn p_in() { go("{% set x = 'a' * 1000000 %}{% for i in range(100000) %}{% set y = 'b' in x %}{% endfor %}"); }
#[test] fn p_strip() { go("{% set x = 'a' * 1000000 ~ 'b' %}{% for i in range(100000) %}{% set y = x.strip('a') %}{% endfor %}"); }
#[test] fn p_find() { go("{% set x = 'a' * 1000000 %}{% for i in range(100000) %}{% set y = x.find('b') %}{% endfor %}"); }
#[test] fn p_count() { go("{% set x = range(100000)|list %}{% for i in range(100000) %}{% set y = x.count(5) %}{% endfor %}"); }
#[test] fn p_index() { go("{% set x = range(100000)|list %}{% for i in range(100000) %}{% set y = x.index(99999) %}{% endfor %}"); }
#[test] fn p_length() { go("{% set x = 'a' * 1000000 %}{% for i in range(100000) %}{% set y = x|length %}{% endfor %}"); }
#[test] fn p_eqs() { go("{% set x = 'a' * 1000000 %}{% set z = ('a' * 999999) ~ 'a' %}{% for i in range(100000) %}{% set y = x == z %}{% endfor %}"); }
