use super::*;

/// One token for each byte, then some merges, then `<|end|>` (control), `<think>` (user-defined).
pub(crate) fn byte_level_tokenizer() -> Tokenizer {
    byte_level(Some("gpt-2")).tokenizer().unwrap()
}

fn alphabet() -> Vec<String> {
    let mut alphabet: Vec<char> = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet().into_iter().collect();
    alphabet.sort_unstable();
    alphabet.into_iter().map(String::from).collect()
}

fn byte_level(pre: Option<&str>) -> Vocabulary {
    let mut tokens = alphabet();
    tokens.extend(["he", "\u{120}\u{120}", "<|end|>", "<think>"].map(String::from));
    let mut token_types = vec![1; 258];
    token_types.extend([3, 4]);
    Vocabulary {
        model: "gpt2".into(),
        pre: pre.map(String::from),
        tokens,
        token_types,
        merges: vec!["h e".into(), "\u{120} \u{120}".into()],
        bos: Some(258),
        eos: Some(258),
        ..Vocabulary::default()
    }
}

fn sentencepieces(extra: &[(&str, f32)]) -> Vocabulary {
    let mut pieces = vec![("<unk>".to_owned(), 0.0, 2), ("<s>".to_owned(), 0.0, 3), ("</s>".to_owned(), 0.0, 3)];
    pieces.extend((0..=255u8).map(|byte| (format!("<0x{byte:02X}>"), 0.0, 6)));
    let words = [("\u{2581}hello", -1.0), ("he", -2.0), ("ll", -3.0), ("llo", -4.0), ("hello", -5.0)];
    let letters = ["\u{2581}", "h", "e", "l", "o"].map(|letter| (letter, -10.0));
    for (piece, score) in words.iter().chain(&letters).chain(extra) {
        pieces.push(((*piece).to_owned(), *score, 1));
    }
    Vocabulary {
        model: "llama".into(),
        tokens: pieces.iter().map(|piece| piece.0.clone()).collect(),
        scores: pieces.iter().map(|piece| piece.1).collect(),
        token_types: pieces.iter().map(|piece| piece.2).collect(),
        bos: Some(1),
        eos: Some(2),
        unknown: Some(0),
        ..Vocabulary::default()
    }
}

pub(crate) fn sentencepiece_tokenizer(extra: &[(&str, f32)]) -> Tokenizer {
    sentencepieces(extra).tokenizer().unwrap()
}

fn spelled(tokenizer: &Tokenizer, text: &str, add_special: bool) -> Vec<String> {
    let ids = tokenizer.encode(text, add_special).unwrap();
    ids.into_iter().map(|id| tokenizer.id_to_token(id).unwrap()).collect()
}

#[test]
fn merges_join_bytes_and_control_tokens_are_matched_inside_text() {
    let tokenizer = byte_level_tokenizer();
    assert_eq!(spelled(&tokenizer, "she<|end|>he", false), ["s", "he", "<|end|>", "he"]);
    assert_eq!(spelled(&tokenizer, "<think>", false), ["<think>"]);
}

#[test]
fn control_tokens_are_special_and_user_defined_ones_are_not() {
    let tokenizer = byte_level_tokenizer();
    assert_eq!(tokenizer.special_ids().collect::<Vec<_>>(), [258]);
    assert!(!tokenizer.is_special(259));
}

#[test]
fn smollm_isolates_digits_before_the_regular_expression_takes_their_space() {
    let smollm = byte_level(Some("smollm")).tokenizer().unwrap();
    let gpt2 = byte_level(Some("gpt-2")).tokenizer().unwrap();
    let space = "\u{120}";
    assert_eq!(spelled(&smollm, "a  1", false), ["a", "\u{120}\u{120}", "1"]);
    assert_eq!(spelled(&gpt2, "a  1", false), ["a", space, space, "1"]);
}

#[test]
fn an_absent_pre_tokenizer_is_that_of_gpt_2() {
    let absent = byte_level(None).tokenizer().unwrap();
    assert_eq!(spelled(&absent, "a  1", false), ["a", "\u{120}", "\u{120}", "1"]);
}

#[test]
fn an_unknown_pre_tokenizer_is_refused_with_a_list_of_known_ones() {
    let error = byte_level(Some("gpt-9")).tokenizer().unwrap_err();
    insta::assert_snapshot!(error, @r#"tokenizer.ggml.pre = "gpt-9" is not supported; supported are gpt-2, default, phi-2, olmo, mpt, smollm, starcoder, refact, command-r, llama-bpe, llama3, llama-v3, falcon3, falcon-h1, lfm2, dbrx, smaug-bpe, chatglm-bpe, glm4, qwen2, deepseek-r1-qwen, megrez, qwen35, seed-coder, deepseek-llm, deepseek-coder, deepseek-v3, tekken, gpt-4o, llama4, minimax-m2"#);
}

#[test]
fn wordpiece_and_unknown_models_are_refused_by_name() {
    let vocabulary = Vocabulary { model: "bert".into(), ..byte_level(None) };
    insta::assert_snapshot!(vocabulary.tokenizer().unwrap_err(), @r#"tokenizer.ggml.model = "bert" is not supported; supported are gpt2, llama, gemma4"#);
}

#[test]
fn llama_3_gets_a_bos_unless_the_metadata_says_no() {
    let yes = byte_level(Some("llama-bpe"));
    assert_eq!(spelled(&yes.tokenizer().unwrap(), "a", true), ["<|end|>", "a"]);
    assert_eq!(spelled(&yes.tokenizer().unwrap(), "a", false), ["a"]);
    let no = Vocabulary { add_bos: Some(false), ..yes };
    assert_eq!(spelled(&no.tokenizer().unwrap(), "a", true), ["a"]);
}

#[test]
fn qwen_normalises_to_composed_characters() {
    let tokenizer = byte_level(Some("qwen2")).tokenizer().unwrap();
    assert_eq!(tokenizer.encode("e\u{301}", false).unwrap(), tokenizer.encode("\u{e9}", false).unwrap());
}

#[test]
fn eos_is_added_where_the_metadata_says_so() {
    let tokenizer = Vocabulary { add_eos: Some(true), ..byte_level(None) }.tokenizer().unwrap();
    assert_eq!(spelled(&tokenizer, "a", true), ["a", "<|end|>"]);
}

#[test]
fn a_text_that_begins_with_bos_gets_no_second_one() {
    let tokenizer = sentencepiece_tokenizer(&[]);
    assert_eq!(spelled(&tokenizer, "hello", true), ["<s>", "\u{2581}hello"]);
    assert_eq!(spelled(&tokenizer, "<s>hello", true), ["<s>", "\u{2581}hello"]);
    assert_eq!(spelled(&tokenizer, "<s>", true), ["<s>"]);
}

#[test]
fn the_best_score_is_merged_first() {
    let tokenizer = sentencepiece_tokenizer(&[]);
    assert_eq!(spelled(&tokenizer, "ello", false), ["\u{2581}", "e", "llo"]);
    let other = sentencepiece_tokenizer(&[("el", -0.5)]);
    assert_eq!(spelled(&other, "ello", false), ["\u{2581}", "el", "l", "o"]);
}

#[test]
fn characters_without_a_piece_become_bytes() {
    let tokenizer = sentencepiece_tokenizer(&[]);
    assert_eq!(spelled(&tokenizer, "\u{e9}", false), ["\u{2581}", "<0xC3>", "<0xA9>"]);
}

#[test]
fn the_space_prefix_can_be_switched_off() {
    let tokenizer = Vocabulary { add_space_prefix: Some(false), ..sentencepieces(&[]) }.tokenizer().unwrap();
    assert_eq!(spelled(&tokenizer, "hello", false), ["hello"]);
    assert_eq!(tokenizer.decode(&tokenizer.encode(" hello", false).unwrap(), true).unwrap(), " hello");
}

#[test]
fn lists_of_different_length_are_an_error() {
    let vocabulary = Vocabulary { token_types: vec![1; 3], ..byte_level(None) };
    assert_eq!(vocabulary.tokenizer().unwrap_err().to_string(), "tokenizer.ggml.token_type: 3 entries for 260 tokens");
}

#[test]
fn a_token_that_stands_twice_is_an_error() {
    let mut vocabulary = byte_level(None);
    vocabulary.tokens[257] = "he".into();
    assert_eq!(
        vocabulary.tokenizer().unwrap_err().to_string(),
        "tokenizer.ggml.tokens: tokens 256 and 257 are both \"he\""
    );
}

#[test]
fn a_merge_that_is_no_pair_or_of_unknown_tokens_is_an_error() {
    for merge in ["he", " he", "zz qq"] {
        let vocabulary = Vocabulary { merges: vec![merge.into()], ..byte_level(None) };
        let error = vocabulary.tokenizer().unwrap_err().to_string();
        assert!(error.starts_with("tokenizer.ggml.merges: "), "{error}");
    }
}

#[test]
fn a_bos_that_is_wanted_but_not_named_is_an_error() {
    let vocabulary = Vocabulary { add_bos: Some(true), bos: None, ..byte_level(None) };
    assert!(vocabulary.tokenizer().unwrap_err().to_string().contains("bos_token_id names no token"));
}

#[test]
fn gemma_4_joins_pieces_by_its_merges_and_adds_no_space() {
    let merges = ["e l", "l o", "\u{2581} h"].map(String::from).to_vec();
    let mut vocabulary = Vocabulary { model: "gemma4".into(), merges, scores: Vec::new(), ..sentencepieces(&[]) };
    vocabulary.add_space_prefix = Some(false);
    for joined in ["el", "lo", "\u{2581}h"] {
        vocabulary.tokens.push(joined.into());
        vocabulary.token_types.push(1);
    }
    let tokenizer = vocabulary.tokenizer().unwrap();
    assert_eq!(spelled(&tokenizer, "hello hello", false), ["h", "el", "lo", "\u{2581}h", "el", "lo"]);
    assert_eq!(tokenizer.decode(&tokenizer.encode(" hello", false).unwrap(), true).unwrap(), " hello");
}
