//! Which vector instructions there are, found when the program runs.

use std::fmt;

/// A set of vector instructions that every kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// What every processor has; the compiler may still use its baseline vectors.
    Scalar,
    /// AVX2 with FMA and F16C: 8 floats at once.
    Avx2,
    /// AVX-512 F, BW, DQ and VL: 16 floats at once.
    Avx512,
    /// The same with VNNI, VBMI and VBMI2: products of codes in whole numbers, 64 at once.
    Avx512Vnni,
    /// The same with BF16: products of bf16 weights with activations in two halves, 32 at once.
    Avx512Bf16,
}

impl Level {
    /// All levels, slowest first.
    pub const ALL: [Level; 5] = [Level::Scalar, Level::Avx2, Level::Avx512, Level::Avx512Vnni, Level::Avx512Bf16];

    /// The best level of this machine.
    pub fn best() -> Level {
        Level::ALL.into_iter().rev().find(|level| level.is_available()).unwrap_or(Level::Scalar)
    }

    /// Whether this machine has the instructions.
    #[cfg(target_arch = "x86_64")]
    pub fn is_available(self) -> bool {
        let avx2 = || {
            std::arch::is_x86_feature_detected!("avx2")
                && std::arch::is_x86_feature_detected!("fma")
                && std::arch::is_x86_feature_detected!("f16c")
        };
        let avx512 = || {
            std::arch::is_x86_feature_detected!("avx512f")
                && std::arch::is_x86_feature_detected!("avx512bw")
                && std::arch::is_x86_feature_detected!("avx512dq")
                && std::arch::is_x86_feature_detected!("avx512vl")
        };
        let vnni = || {
            std::arch::is_x86_feature_detected!("avx512vnni")
                && std::arch::is_x86_feature_detected!("avx512vbmi")
                && std::arch::is_x86_feature_detected!("avx512vbmi2")
        };
        match self {
            Level::Scalar => true,
            Level::Avx2 => avx2(),
            Level::Avx512 => avx2() && avx512(),
            Level::Avx512Vnni => avx2() && avx512() && vnni(),
            Level::Avx512Bf16 => avx2() && avx512() && vnni() && std::arch::is_x86_feature_detected!("avx512bf16"),
        }
    }

    /// Whether this machine has the instructions.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn is_available(self) -> bool {
        self == Level::Scalar
    }

    /// The extensions beyond the best level that this machine has, by name. No kernel uses them; reports name them because
    /// they say what this machine could do.
    #[cfg(target_arch = "x86_64")]
    pub fn extensions() -> Vec<&'static str> {
        let used = Level::best() >= Level::Avx512Vnni;
        [
            ("BF16", Level::best() < Level::Avx512Bf16 && std::arch::is_x86_feature_detected!("avx512bf16")),
            ("VNNI", !used && std::arch::is_x86_feature_detected!("avx512vnni")),
            ("VBMI", !used && std::arch::is_x86_feature_detected!("avx512vbmi")),
        ]
        .into_iter()
        .filter_map(|(name, there)| there.then_some(name))
        .collect()
    }

    /// The extensions beyond the best level that this machine has, by name.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn extensions() -> Vec<&'static str> {
        Vec::new()
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Scalar => "scalar",
            Level::Avx2 => "AVX2",
            Level::Avx512 => "AVX-512",
            Level::Avx512Vnni => "AVX-512 VNNI",
            Level::Avx512Bf16 => "AVX-512 VNNI BF16",
        })
    }
}
