//! NVIDIA cards.

use std::error::Error;

use ffai_checkpoint::{CacheDirs, software_roots};
use ffai_cuda::{CardFacts, Cuda, CudaError, CudaOptions, Probe, find_nvrtc, probe};
use ffai_program::Backend;

use super::Finding;

pub(super) fn backend(device: Option<usize>) -> Result<Box<dyn Backend>, Box<dyn Error + Send + Sync>> {
    let (cache, roots) = (CacheDirs::from_env().ffai.join("cuda"), software_roots());
    let cuda =
        Cuda::new(CudaOptions { device, cache: Some(cache.clone()), roots: roots.clone(), ..CudaOptions::default() })?;
    // Kernels that were compiled before may do without a compiler; where there are none, its lack is better said now.
    if !cache.is_dir() {
        find_nvrtc(&roots)?;
    }
    Ok(Box::new(cuda))
}

/// Whether there is a card at all: only then is it worth a word that it cannot be used.
pub(super) fn is_present() -> bool {
    ffai_cuda::count_cards().is_ok_and(|cards| cards > 0)
}

pub(super) fn findings() -> Vec<Finding> {
    describe(&probe(&software_roots()))
}

fn describe(probe: &Probe) -> Vec<Finding> {
    if !probe.wanted() {
        return vec![fact("NVIDIA card", "none found")];
    }
    let mut findings = vec![match &probe.driver {
        Ok(version) => fact("NVIDIA driver", format!("for CUDA {version}")),
        Err(error) => lack("NVIDIA driver", error),
    }];
    if probe.driver.is_ok() && probe.cards.is_empty() {
        findings.push(lack("NVIDIA card", &CudaError::NoDevice));
    }
    findings.extend(probe.cards.iter().enumerate().map(|(n, found)| match found {
        Ok(facts) => fact(&format!("cuda:{n}"), card(facts)),
        Err(error) => lack(&format!("cuda:{n}"), error),
    }));
    findings.push(match &probe.nvrtc {
        Ok(facts) => fact("NVRTC", format!("{} ({})", facts.version, facts.path.display())),
        Err(error) => lack("NVRTC", error),
    });
    findings
}

fn card(facts: &CardFacts) -> String {
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    format!(
        "{} ({}, {} multiprocessors), {:.1} GB free of {:.1} GB",
        facts.name,
        facts.arch,
        facts.multiprocessors,
        gigabytes(facts.free),
        gigabytes(facts.memory)
    )
}

fn fact(name: &str, value: impl Into<String>) -> Finding {
    Finding { name: name.to_owned(), value: value.into(), advice: None }
}

/// An error says what happened and then what to do; here these are apart.
fn lack(name: &str, error: &CudaError) -> Finding {
    let text = error.to_string();
    let advice = error.advice().unwrap_or_default();
    let value = text.strip_suffix(advice).unwrap_or(&text).trim_end_matches([':', ' ']).to_owned();
    Finding { name: name.to_owned(), value, advice: error.advice().map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_apart_from_what_mends_it() {
        let found = lack("NVRTC", &CudaError::NvrtcNotFound);
        assert_eq!(found.value, "NVRTC, which compiles the kernels, was not found");
        assert_eq!(found.advice.as_deref(), Some("pip install nvidia-cuda-nvrtc"));
    }
}
