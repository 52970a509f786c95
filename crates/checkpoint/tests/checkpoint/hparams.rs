//! Hyperparameters from JSON.

use std::path::Path;

use ffai_checkpoint::{Error, Hparams, Result};

fn read(json: &str) -> Result<Hparams> {
    Hparams::from_json(Path::new("config.json"), json.as_bytes())
}

fn hparams(rest: &str) -> Hparams {
    read(&format!(r#"{{"model_type": "llama", {rest}}}"#)).unwrap()
}

#[test]
fn values_are_typed() {
    let hparams = hparams(r#""n": 3, "x": 0.5, "b": true, "s": "silu", "l": [1, 2], "names": ["a"], "on": [true]"#);
    assert_eq!(hparams.model_type(), "llama");
    assert_eq!(hparams.count("n").unwrap(), Some(3));
    assert_eq!((hparams.float("x").unwrap(), hparams.float("n").unwrap()), (Some(0.5), Some(3.0)));
    assert_eq!(hparams.flag("b").unwrap(), Some(true));
    assert_eq!(hparams.text("s").unwrap(), Some("silu"));
    assert_eq!(hparams.counts("l").unwrap(), Some(vec![1, 2]));
    assert_eq!(hparams.floats("l").unwrap(), Some(vec![1.0, 2.0]));
    assert_eq!(hparams.texts("names").unwrap(), Some(vec!["a".to_owned()]));
    assert_eq!(hparams.flags("on").unwrap(), Some(vec![true]));
}

#[test]
fn null_counts_as_absent() {
    let hparams = hparams(r#""head_dim": null"#);
    assert_eq!(hparams.count("head_dim").unwrap(), None);
    assert!(matches!(hparams.need_count("head_dim"), Err(Error::MissingKey { key, .. }) if key == "head_dim"));
}

#[test]
fn one_id_is_a_list_of_one() {
    assert_eq!(hparams(r#""eos_token_id": 2"#).counts("eos_token_id").unwrap(), Some(vec![2]));
}

#[test]
fn whole_floats_count() {
    assert_eq!(hparams(r#""n": 8192.0"#).count("n").unwrap(), Some(8192));
}

#[test]
fn python_writes_numbers_that_json_lacks() {
    let hparams = hparams(
        r#""limit": [0.0, Infinity], "low": -Infinity, "nan": NaN, "new": {"__float__": "-Infinity"}, "text": "a \" Infinity NaN""#,
    );
    assert_eq!(hparams.floats("limit").unwrap(), Some(vec![0.0, f64::INFINITY]));
    assert_eq!(hparams.need_float("low").unwrap(), f64::NEG_INFINITY);
    assert!(hparams.need_float("nan").unwrap().is_nan());
    assert_eq!(hparams.need_float("new").unwrap(), f64::NEG_INFINITY);
    assert_eq!(hparams.need_text("text").unwrap(), "a \" Infinity NaN");
}

#[test]
fn keys_of_sub_objects_are_named_with_their_path() {
    let hparams = hparams(r#""rope_scaling": {"factor": "eight", "inner": {"x": 1}}"#);
    let scaling = hparams.object("rope_scaling").unwrap().unwrap();
    let error = scaling.float("factor").unwrap_err().to_string();
    assert_eq!(error, r#"config.json: `rope_scaling.factor` is "eight", expected a number"#);
    let inner = scaling.object("inner").unwrap().unwrap();
    assert_eq!(inner.need_count("y").unwrap_err().to_string(), "config.json: `rope_scaling.inner.y` is missing");
}

#[test]
fn wrong_types_are_errors_that_say_what_is_there() {
    let hparams = hparams(r#""n": -1, "m": 1.5, "b": 1, "s": 2, "l": [1, "x"], "o": []"#);
    let errors = [
        (hparams.count("n").unwrap_err(), "`n` is -1, expected an integer from 0 up"),
        (hparams.count("m").unwrap_err(), "`m` is 1.5, expected an integer from 0 up"),
        (hparams.flag("b").unwrap_err(), "`b` is 1, expected true or false"),
        (hparams.text("s").unwrap_err(), "`s` is 2, expected a string"),
        (hparams.counts("l").unwrap_err(), r#"`l` is [1,"x"], expected a list of integers from 0 up"#),
        (hparams.object("o").map(|_| ()).unwrap_err(), "`o` is [], expected an object"),
        (hparams.invalid("gone", "8 or 16"), "`gone` is absent, expected 8 or 16"),
    ];
    for (error, expected) in errors {
        assert_eq!(error.to_string(), format!("config.json: {expected}"));
    }
}

#[test]
fn a_config_without_a_model_type_is_an_error() {
    assert!(matches!(read(r#"{"hidden_size": 8}"#), Err(Error::MissingKey { key, .. }) if key == "model_type"));
    assert!(matches!(read(r#"{"model_type": 8}"#), Err(Error::Key { .. })));
    assert!(Hparams::untyped(Path::new("generation_config.json"), b"{}").is_ok());
}

#[test]
fn other_json_is_an_error() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for json in ["", "[]", "{", "nonsense", r#"{"a": -Infinit}"#, deep.as_str()] {
        assert!(matches!(read(json), Err(Error::Malformed { .. })), "{}", &json[..json.len().min(20)]);
    }
}

#[test]
fn long_values_are_cut_in_errors() {
    let error = hparams(&format!(r#""n": "{}""#, "\u{e9}".repeat(500))).count("n").unwrap_err().to_string();
    assert!(error.len() < 250 && error.contains("..."), "{error}");
}
