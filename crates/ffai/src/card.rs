//! The page of a converted model: what it is, where it comes from, how it is run.

use std::{fs, path::Path};

use ffai_checkpoint::{Hparams, Mode, Quantization};

use crate::Error;

/// Where the Hub looks for it.
pub(crate) const FILE: &str = "README.md";
const CONFIG: &str = "config.json";

/// The card of the model in `folder`, for the repository that it goes to.
pub(crate) fn text(folder: &Path, repository: &str, base: Option<&str>) -> Result<String, Error> {
    let path = folder.join(CONFIG);
    let config = fs::read(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
    let quantization = Hparams::from_json(&path, &config)?.quantization()?;
    Ok(written(repository, base, quantization.as_ref()))
}

fn written(repository: &str, base: Option<&str>, quantization: Option<&Quantization>) -> String {
    let mut front = vec!["library_name: mlx".to_owned(), "pipeline_tag: text-generation".to_owned()];
    if let Some(base) = base {
        front.push(format!("base_model: {base}"));
        front.extend(quantization.map(|_| "base_model_relation: quantized".to_owned()));
    }
    front.extend(["tags:", "- mlx", "- ffai"].map(str::to_owned));
    front.extend(quantization.map(|quantization| format!("- {}-bit", quantization.default.bits)));
    let front = front.join("\n");
    let name = repository.rsplit('/').next().unwrap_or(repository);
    let weights = quantization.map_or("plain numbers".to_owned(), described);
    let origin = base.map(|base| {
        format!("Made from [{base}](https://huggingface.co/{base}), whose license and terms hold here too.\n")
    });
    let origin = origin.unwrap_or_default();
    format!(
        "---\n{front}\n---\n\n# {name}\n\n{origin}The weights are {weights}, in the layout of MLX, written by ffai {version}.\n\n\
         ## Running it\n\n\
         With ffai, on a processor or an NVIDIA card:\n\n\
         ```sh\nffai run {repository} \"Why is the sky blue?\"\n```\n\n\
         On a Mac with mlx-lm:\n\n\
         ```sh\nmlx_lm.generate --model {repository} --prompt \"Why is the sky blue?\"\n```\n",
        version = env!("CARGO_PKG_VERSION"),
    )
}

fn described(quantization: &Quantization) -> String {
    let default = quantization.default;
    let kind = match default.mode {
        Mode::Affine => format!("affine codes of {} bits in groups of {}", default.bits, default.group),
        Mode::Microscaled(kind) => format!("{} in groups of {}", kind.name(), default.group),
    };
    let others = if quantization.modules.is_empty() { "" } else { ", some matrices wider or plain" };
    format!("{kind}{others}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(config: &str, base: Option<&str>) -> String {
        let hparams = Hparams::from_json(Path::new(CONFIG), config.as_bytes());
        let quantization = hparams.and_then(|hparams| hparams.quantization()).unwrap_or_else(|error| panic!("{error}"));
        written("me/small-4bit", base, quantization.as_ref())
    }

    #[test]
    fn a_card_says_what_the_model_is_and_how_it_is_run() {
        let config =
            r#"{"model_type": "x", "quantization": {"group_size": 64, "bits": 4, "a": {"group_size": 64, "bits": 8}}}"#;
        let text = card(config, Some("org/base"));
        let front = "---\nlibrary_name: mlx\npipeline_tag: text-generation\nbase_model: org/base\nbase_model_relation: quantized\ntags:\n- mlx\n- ffai\n- 4-bit\n---\n\n# small-4bit\n";
        assert!(text.starts_with(front), "{text}");
        assert!(text.contains("affine codes of 4 bits in groups of 64, some matrices wider or plain"), "{text}");
        assert!(text.contains("\nffai run me/small-4bit \"Why is the sky blue?\"\n"), "{text}");
    }

    #[test]
    fn a_plain_model_of_unknown_origin_claims_nothing() {
        let text = card(r#"{"model_type": "x"}"#, None);
        assert!(
            text.contains("The weights are plain numbers") && !text.contains("base_model") && !text.contains("-bit\n")
        );
        let small =
            card(r#"{"model_type": "x", "quantization": {"group_size": 32, "bits": 4, "mode": "mxfp4"}}"#, None);
        assert!(small.contains("The weights are mxfp4 in groups of 32"), "{small}");
    }
}
