//! Tests with a real NVRTC, where there is one: `.ci/run` installs one under `target/nvrtc`.

use std::io::Write;

use super::*;

/// The compiler for tests; `None` is said aloud.
pub(crate) fn nvrtc() -> Option<Nvrtc> {
    Nvrtc::open(&roots()).map_err(|error| said_aloud(&error)).ok()
}

/// Past the harness, which hides what a test prints that does not fail.
pub(crate) fn said_aloud(error: &CudaError) {
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(std::io::stderr(), "{name} is skipped: {error}");
}

/// Where `.ci/run` puts it.
pub(crate) fn roots() -> Vec<PathBuf> {
    vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/nvrtc")]
}

const KERNEL: &str = r#"
#include "scale.cuh"
extern "C" __global__ void scale(float* x, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) x[i] = scaled<FACTOR>(x[i]);
}"#;
const HEADER: &str = "template <int F> __device__ float scaled(float x) { return __expf(x) * F; }";

pub(crate) fn scale(options: &[String]) -> Source<'_> {
    Source { name: "scale.cu", text: KERNEL, headers: &[("scale.cuh", HEADER)], options }
}

#[test]
fn a_kernel_compiles_to_machine_code_for_every_architecture() {
    let Some(nvrtc) = nvrtc() else { return };
    assert!(nvrtc.version() >= Version { major: 12, minor: 0 }, "{nvrtc:?}");
    for arch in Arch::CI {
        let cubin = nvrtc.cubin(&scale(&["-DFACTOR=3".into()]), arch).unwrap();
        assert!(cubin.starts_with(b"\x7fELF") && cubin.windows(5).any(|bytes| bytes == b"scale"), "{arch}");
    }
}

#[test]
fn a_kernel_that_does_not_compile_names_itself_the_line_and_the_options() {
    let Some(nvrtc) = nvrtc() else { return };
    let error = nvrtc.cubin(&scale(&["-DFACTOR=nonsense".into()]), Arch::OLDEST).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, CudaError::Compile { .. }), "{text}");
    for expected in ["scale.cu", "(5)", "nonsense", "--gpu-architecture=sm_80"] {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }
    let zero = nvrtc.cubin(&scale(&["-DFACTOR=1\0".into()]), Arch::OLDEST).unwrap_err();
    assert!(zero.to_string().contains("a zero byte"), "{zero}");
}

#[test]
fn an_architecture_that_the_compiler_does_not_know_asks_for_a_newer_one() {
    let Some(nvrtc) = nvrtc() else { return };
    let arch = Arch { major: 99, minor: 0 };
    let error = nvrtc.cubin(&scale(&["-DFACTOR=3".into()]), arch).unwrap_err();
    assert_eq!(error, CudaError::ArchUnknown { arch, nvrtc: nvrtc.version() });
}

#[test]
fn threads_may_compile_at_once() {
    let Some(nvrtc) = nvrtc() else { return };
    std::thread::scope(|scope| {
        for factor in 0..4 {
            let nvrtc = &nvrtc;
            scope.spawn(move || nvrtc.cubin(&scale(&[format!("-DFACTOR={factor}")]), Arch::OLDEST).unwrap());
        }
    });
}

#[test]
fn a_library_that_is_none_is_named() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("libnvrtc.so.13");
    std::fs::write(&path, "not a library").unwrap();
    let error = Nvrtc::first(std::slice::from_ref(&path)).map(|nvrtc| nvrtc.version()).unwrap_err();
    assert!(matches!(&error, CudaError::NvrtcBroken { path: named, .. } if *named == path), "{error}");
    assert!(error.to_string().contains("pip install nvidia-cuda-nvrtc"), "{error}");
}
