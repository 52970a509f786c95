//! What is asked for.

use ffai_checkpoint::{Affine, Float, Microscaled, Mode, Params};

use crate::{Error, Result};

/// How a checkpoint is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The storage of matrices.
    pub width: Width,
    /// The type of plain numbers, scales and biases; that of the config, else that of the file, unless given.
    pub dtype: Option<Float>,
    /// Bits of the embedding, where they are others.
    pub embedding_bits: Option<u8>,
    /// Bits of the head, where they are others.
    pub head_bits: Option<u8>,
}

/// The storage of matrices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Width {
    /// As they are stored.
    #[default]
    AsStored,
    /// Plain numbers.
    Plain,
    /// All alike, but for those that mlx-lm keeps wider in some families.
    Quantized(Params),
    /// Two widths of affine codes, in groups of so many numbers.
    Recipe(Recipe, u32),
}

impl Width {
    /// Affine codes.
    pub fn affine(bits: u8, group: u32) -> Width {
        Width::Quantized(Params { bits, group, mode: Mode::Affine })
    }

    /// One of MLX's modes without biases.
    pub fn mode(micro: Microscaled) -> Width {
        Width::Quantized(Params { bits: micro.bits(), group: micro.group(), mode: Mode::Microscaled(micro) })
    }

    pub(crate) fn params(self) -> Option<Params> {
        match self {
            Width::AsStored | Width::Plain => None,
            Width::Quantized(params) => Some(params),
            Width::Recipe(recipe, group) => Some(Params { bits: recipe.bits().0, group, mode: Mode::Affine }),
        }
    }
}

/// mlx-lm's recipes: values and the MLP's last matrix have more bits in the first and last eighth of the layers and in every third
/// between, and so has the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// 2 and 6 bits.
    Mixed2And6,
    /// 3 and 4 bits.
    Mixed3And4,
    /// 3 and 6 bits.
    Mixed3And6,
    /// 4 and 6 bits.
    Mixed4And6,
}

impl Recipe {
    /// All there are.
    pub const ALL: [Recipe; 4] = [Recipe::Mixed2And6, Recipe::Mixed3And4, Recipe::Mixed3And6, Recipe::Mixed4And6];

    /// mlx-lm's name.
    pub const fn name(self) -> &'static str {
        match self {
            Recipe::Mixed2And6 => "mixed_2_6",
            Recipe::Mixed3And4 => "mixed_3_4",
            Recipe::Mixed3And6 => "mixed_3_6",
            Recipe::Mixed4And6 => "mixed_4_6",
        }
    }

    /// The low and the high width.
    pub const fn bits(self) -> (u8, u8) {
        match self {
            Recipe::Mixed2And6 => (2, 6),
            Recipe::Mixed3And4 => (3, 4),
            Recipe::Mixed3And6 => (3, 6),
            Recipe::Mixed4And6 => (4, 6),
        }
    }

    /// Whether a layer's values and last matrices have more bits.
    pub(crate) fn more(layer: usize, layers: usize) -> bool {
        let eighth = layers / 8;
        layer < eighth || layer >= 7 * layers / 8 || (layer as isize - eighth as isize).rem_euclid(3) == 2
    }
}

impl Options {
    /// # Errors
    /// Widths and groups that do not exist, and options that would have no effect.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |option, value: String, expected| Err(Error::Option { option, value, expected });
        if let Some(Params { bits, group, mode: Mode::Affine }) = self.width.params() {
            if !Affine::BITS.contains(&bits) {
                return wrong("--bits", bits.to_string(), "2, 3, 4, 5, 6 or 8");
            }
            if !Affine::GROUPS.contains(&group) {
                return wrong("--group-size", group.to_string(), "32, 64 or 128");
            }
        }
        for (option, bits) in [("--embedding-bits", self.embedding_bits), ("--head-bits", self.head_bits)] {
            let Some(bits) = bits else { continue };
            if !Affine::BITS.contains(&bits) {
                return wrong(option, bits.to_string(), "2, 3, 4, 5, 6 or 8");
            }
            if self.width.params().is_none() {
                return wrong(option, bits.to_string(), "left out, or given with --bits, --mode or --recipe");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_gives_more_bits_to_the_ends_and_every_third_layer() {
        let more: Vec<usize> = (0..16).filter(|layer| Recipe::more(*layer, 16)).collect();
        assert_eq!(more, [0, 1, 4, 7, 10, 13, 14, 15]);
    }

    #[test]
    fn options_without_effect_are_refused() {
        let options = Options { embedding_bits: Some(8), ..Options::default() };
        assert!(matches!(options.check(), Err(Error::Option { option: "--embedding-bits", .. })));
        let options = Options { width: Width::affine(7, 64), ..Options::default() };
        assert!(matches!(options.check(), Err(Error::Option { option: "--bits", .. })));
    }
}
