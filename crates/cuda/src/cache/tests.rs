use std::collections::HashSet;

use super::*;
use crate::nvrtc::tests::{nvrtc, roots, scale};

fn options(factor: usize) -> Vec<String> {
    vec![format!("-DFACTOR={factor}")]
}

/// Compiles through a new cache over `folder`; the machine code, and whether it had to be compiled.
fn take(folder: &Path, factor: usize) -> (Vec<u8>, bool) {
    let kernels = Kernels::new(Some(folder.into()), roots());
    let cubin = kernels.cubin(&scale(&options(factor)), Arch::OLDEST).unwrap();
    (cubin, kernels.compiled() == 1)
}

/// A cache on a machine without a compiler.
fn without_nvrtc(folder: &Path) -> Kernels {
    let kernels = Kernels::new(Some(folder.into()), Vec::new());
    assert!(kernels.nvrtc.set(Err(CudaError::NvrtcNotFound)).is_ok());
    kernels
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_kernel_is_compiled_once() {
    if nvrtc().is_none() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("made/when/needed");
    let (first, compiled) = take(&folder, 3);
    assert!(compiled);
    assert_eq!(take(&folder, 3), (first, false));
    assert!(take(&folder, 4).1);
    assert_eq!(files(&folder).len(), 2);
}

#[test]
fn a_damaged_entry_is_compiled_again() {
    if nvrtc().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (right, _) = take(folder.path(), 3);
    let file = files(folder.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    let flipped = |at: usize| whole.iter().enumerate().map(|(i, &b)| if i == at { b ^ 1 } else { b }).collect();
    let damages: [Vec<u8>; 5] =
        [Vec::new(), whole[..20].into(), whole[..whole.len() - 1].into(), flipped(0), flipped(whole.len() / 2)];
    for damaged in damages {
        fs::write(&file, damaged).unwrap();
        assert_eq!(take(folder.path(), 3), (right.clone(), true));
        assert_eq!(fs::read(&file).unwrap(), whole);
    }
}

#[test]
fn what_was_compiled_is_found_without_a_compiler() {
    let folder = tempfile::tempdir().unwrap();
    let source = options(3);
    let file = folder.path().join(name(&key(&scale(&source), Arch::OLDEST), Version { major: 12, minor: 9 }));
    write(&file, b"machine code").unwrap();
    let kernels = without_nvrtc(folder.path());
    assert_eq!(kernels.cubin(&scale(&source), Arch::OLDEST).unwrap(), b"machine code");
    assert_eq!(kernels.cubin(&scale(&options(4)), Arch::OLDEST), Err(CudaError::NvrtcNotFound));
}

#[test]
fn a_folder_that_cannot_be_made_only_costs_time() {
    if nvrtc().is_none() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let blocked = home.path().join("a file");
    fs::write(&blocked, "").unwrap();
    assert!(take(&blocked.join("cache"), 3).1);
    assert!(take(&blocked.join("cache"), 3).1);
}

#[test]
fn many_writers_and_readers_see_whole_entries() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("one.cubin");
    let cubin = vec![7; 200_000];
    write(&file, &cubin).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    write(&file, &cubin).unwrap();
                    assert_eq!(read(&file).as_deref(), Some(&*cubin));
                }
            });
        }
    });
    assert_eq!(files(folder.path()), [file], "nothing is left beside it");
}

#[test]
fn everything_that_decides_the_machine_code_is_in_the_name() {
    let (three, pair, joined) = (options(3), ["-DA".into(), "-DB".into()], ["-DA-DB".into()]);
    let base = scale(&three);
    let mut keys: HashSet<String> = Arch::CI.iter().map(|&arch| key(&base, arch)).collect();
    let variants = [
        Source { name: "other.cu", ..base },
        Source { text: "other", ..base },
        Source { headers: &[], ..base },
        Source { headers: &[("scale.cuh", "other")], ..base },
        Source { headers: &[("other.cuh", base.headers[0].1)], ..base },
        Source { options: &pair, ..base },
        Source { options: &joined, ..base },
    ];
    keys.extend(variants.iter().map(|source| key(source, Arch::OLDEST)));
    assert_eq!(keys.len(), Arch::CI.len() + variants.len());
}
