//! Where an object is to be sent: the answer of git-lfs's batch endpoint, with the Hub's own transfer in parts.

use serde_json::{Value, json};

use crate::hub::http::Kind;

use super::error::UploadError;
use super::plan::Change;
use super::target::Target;

/// Storages take no more parts of one object.
const MOST_PARTS: u64 = 10_000;

/// What is to be done about an object.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Nothing: the Hub has it.
    Present,
    /// To be sent, and then perhaps to be confirmed at the address `verify`.
    Send { to: Addresses, verify: Option<String> },
}

/// Where bytes go; the addresses are signed, and expire.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Addresses {
    /// All of them to one.
    One(String),
    /// `size` bytes to each, the last one's are fewer; then a list of the parts to `complete`.
    Parts { size: u64, parts: Vec<String>, complete: String },
}

/// Why an answer cannot be followed.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// It makes no sense.
    Nonsense(String),
    /// The Hub does not want the object.
    Refusal { status: u16, message: String },
}

/// Asks for one object, right before it is sent: addresses that are asked for early expire early.
pub(super) fn ask(target: &Target<'_>, change: &Change<'_>) -> Result<Order, UploadError> {
    let (hash, size, name) = (&change.hash, change.file.size, &change.file.name);
    let body = json!({
        "operation": "upload",
        "transfers": ["basic", "multipart"],
        "hash_algo": "sha256",
        "ref": {"name": "main"},
        "objects": [{"oid": hash, "size": size}],
    });
    let path = format!("/{}.git/info/lfs/objects/batch", target.id);
    let answer = target.ask(&format!("upload {name}"), &path, Kind::Lfs, body.to_string().as_bytes())?;
    order(&answer, hash, size).map_err(|fault| match fault {
        Fault::Nonsense(problem) => target.nonsense(problem),
        Fault::Refusal { status, message } => {
            UploadError::Refused { host: target.client.host().into(), what: name.clone(), status, message }
        }
    })
}

fn order(answer: &Value, hash: &str, size: u64) -> Result<Order, Fault> {
    let nonsense = |text: &str| Fault::Nonsense(text.into());
    let objects = answer.get("objects").and_then(Value::as_array).ok_or_else(|| nonsense("`objects` is no list"))?;
    let is_it = |object: &&Value| object.get("oid").and_then(Value::as_str) == Some(hash);
    let object =
        objects.iter().find(is_it).ok_or_else(|| nonsense("it answers about another object than was asked for"))?;
    if let Some(error) = object.get("error").filter(|error| !error.is_null()) {
        return Err(refusal(error));
    }
    let given = |action: &str| object.get("actions").and_then(|actions| actions.get(action)).filter(|a| !a.is_null());
    let Some(upload) = given("upload") else { return Ok(Order::Present) };
    let to = addresses(upload, size)?;
    let verify = given("verify").map(href).transpose()?;
    Ok(Order::Send { to, verify })
}

fn refusal(error: &Value) -> Fault {
    let status = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok()).unwrap_or(0);
    let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
    let message = message.replace(char::is_control, " ").chars().take(200).collect();
    Fault::Refusal { status, message }
}

fn href(action: &Value) -> Result<String, Fault> {
    let href = action.get("href").and_then(Value::as_str);
    href.map(str::to_owned).ok_or_else(|| Fault::Nonsense("it names no address to send to".into()))
}

fn addresses(upload: &Value, size: u64) -> Result<Addresses, Fault> {
    let nonsense = |text: String| Fault::Nonsense(text);
    let href = href(upload)?;
    let header = upload.get("header");
    let Some(chunk) = header.and_then(|header| header.get("chunk_size")).filter(|chunk| !chunk.is_null()) else {
        return Ok(Addresses::One(href));
    };
    let bytes = chunk.as_u64().or_else(|| chunk.as_str()?.parse().ok()).filter(|&bytes| bytes > 0);
    let bytes = bytes.ok_or_else(|| nonsense("the size of its parts is no number of bytes".into()))?;
    let count = size.div_ceil(bytes);
    if count > MOST_PARTS {
        return Err(nonsense(format!("it wants {size} bytes in {count} parts, more than {MOST_PARTS}")));
    }
    let numbered = |(key, value): (&String, &Value)| Some((key.parse::<u64>().ok()?, value.as_str()?.to_owned()));
    let header = header.and_then(Value::as_object).into_iter().flatten();
    let mut parts: Vec<(u64, String)> = header.filter_map(numbered).collect();
    parts.sort_unstable();
    if parts.len() as u64 != count {
        return Err(nonsense(format!("it lists {} parts of {bytes} bytes for {size} bytes", parts.len())));
    }
    if !parts.iter().map(|(number, _)| *number).eq(1..=count) {
        return Err(nonsense("its parts are not numbered from 1 on".into()));
    }
    let parts = parts.into_iter().map(|(_, address)| address).collect();
    Ok(Addresses::Parts { size: bytes, parts, complete: href })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(upload: &Value) -> Result<Order, Fault> {
        order(&json!({"objects": [{"oid": "a", "size": 10, "actions": {"upload": upload}}]}), "a", 10)
    }

    fn problem(result: Result<Order, Fault>) -> String {
        match result {
            Err(Fault::Nonsense(problem)) => problem,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_object_goes_to_one_address_or_in_parts() {
        let one = Addresses::One("u".into());
        assert_eq!(answer(&json!({"href": "u"})), Ok(Order::Send { to: one, verify: None }));
        let header = json!({"chunk_size": "4", "00002": "b", "00001": "a", "3": "c", "upload_id": "x"});
        let parts = ["a", "b", "c"].map(String::from).to_vec();
        let to = Addresses::Parts { size: 4, parts, complete: "u".into() };
        assert_eq!(answer(&json!({"href": "u", "header": header})), Ok(Order::Send { to, verify: None }));
    }

    #[test]
    fn an_object_without_actions_is_there() {
        for actions in [json!({}), json!({"actions": null}), json!({"actions": {}})] {
            let mut object = json!({"oid": "a", "size": 10});
            object
                .as_object_mut()
                .into_iter()
                .for_each(|object| object.extend(actions.as_object().cloned().unwrap_or_default()));
            assert_eq!(order(&json!({"objects": [object]}), "a", 10), Ok(Order::Present));
        }
    }

    #[test]
    fn answers_that_make_no_sense_are_seen_before_anything_is_sent() {
        let parts = |header: Value| problem(answer(&json!({"href": "u", "header": header})));
        assert_eq!(parts(json!({"chunk_size": 0})), "the size of its parts is no number of bytes");
        assert_eq!(parts(json!({"chunk_size": "x"})), "the size of its parts is no number of bytes");
        assert_eq!(parts(json!({"chunk_size": 4, "1": "a"})), "it lists 1 parts of 4 bytes for 10 bytes");
        assert_eq!(parts(json!({"chunk_size": 5, "1": "a", "3": "a"})), "its parts are not numbered from 1 on");
        assert_eq!(parts(json!({"chunk_size": 5, "1": "a", "01": "a"})), "its parts are not numbered from 1 on");
        assert_eq!(problem(answer(&json!({}))), "it names no address to send to");
        assert_eq!(
            problem(order(&json!({"objects": []}), "a", 10)),
            "it answers about another object than was asked for"
        );
        assert_eq!(problem(order(&json!([]), "a", 10)), "`objects` is no list");
        let large =
            json!({"objects": [{"oid": "a", "actions": {"upload": {"href": "u", "header": {"chunk_size": 1}}}}]});
        let expected = "it wants 18446744073709551615 bytes in 18446744073709551615 parts, more than 10000";
        assert_eq!(problem(order(&large, "a", u64::MAX)), expected);
    }

    #[test]
    fn an_object_that_is_refused_says_why() {
        let answer = json!({"objects": [{"oid": "a", "error": {"code": 413, "message": "too\nlarge"}}]});
        let expected = Fault::Refusal { status: 413, message: "too large".into() };
        assert_eq!(order(&answer, "a", 10), Err(expected));
    }
}
