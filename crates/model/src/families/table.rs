//! What is read, as the table that the README shows.

use super::{FAMILIES, Family};

const HEAD: &str = "\
| `model_type` | known as | Hugging Face | MLX | GGUF | ignored in the files |
|---|---|---|---|---|---|
";

/// A table in Markdown: each architecture, what people know it as, in which formats it is read, and which parts of its
/// checkpoints nothing reads, with the reason.
///
/// Every family is read from safetensors as transformers and mlx-lm write them; a test asks for a golden of each format.
pub fn table() -> String {
    FAMILIES.iter().fold(HEAD.to_owned(), |table, family| table + &row(family))
}

fn row(family: &Family) -> String {
    format!("| `{}` | {} | yes | yes | {} | {} |\n", family.model_type, family.title, in_gguf(family), ignored(family))
}

fn in_gguf(family: &Family) -> String {
    match family.gguf_name {
        _ if !family.in_gguf => "not confirmed".to_owned(),
        Some(name) => format!("as `{name}`"),
        None => "yes".to_owned(),
    }
}

/// Each reason once, in the order of the family's list.
fn ignored(family: &Family) -> String {
    let mut reasons: Vec<&str> = Vec::new();
    for (_, reason) in family.ignored {
        if !reasons.contains(reason) {
            reasons.push(reason);
        }
    }
    reasons.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families::llama;

    const PLAIN: Family = Family::new("plain", "Plain 1", llama::spec);

    #[test]
    fn a_family_that_is_read_in_every_format_has_nothing_to_explain() {
        assert_eq!(row(&PLAIN), "| `plain` | Plain 1 | yes | yes | yes |  |\n");
    }

    #[test]
    fn another_name_in_gguf_is_said_and_so_is_that_no_golden_confirms_any() {
        assert_eq!(row(&PLAIN.in_gguf_as("plain-1")), "| `plain` | Plain 1 | yes | yes | as `plain-1` |  |\n");
        assert_eq!(row(&PLAIN.not_in_gguf()), "| `plain` | Plain 1 | yes | yes | not confirmed |  |\n");
    }

    #[test]
    fn a_reason_for_ignoring_several_tensors_is_said_once() {
        let family = PLAIN.ignoring(&[("tower.*", "no images"), ("projector.*", "no images"), ("mtp.*", "one token")]);
        assert!(row(&family).ends_with("| no images; one token |\n"));
    }

    #[test]
    fn the_table_has_a_row_for_each_family() {
        let table = table();
        assert_eq!(table.lines().count(), FAMILIES.len() + 2);
        assert!(table.lines().all(|line| line.matches('|').count() == 7), "{table}");
    }
}
