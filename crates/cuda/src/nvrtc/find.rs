//! Where NVRTC may be.

use std::path::{Path, PathBuf};

use crate::driver;

use super::python;

/// Folders below the root of a toolkit, a Conda environment or a container's image, and below a `site-packages` folder:
/// wheels of CUDA 13 and of CUDA 12.
const IN_ROOT: [&str; 4] = ["lib64", "lib", "targets/x86_64-linux/lib", "targets/sbsa-linux/lib"];
const IN_SITE: [&str; 2] = ["nvidia/cu13/lib", "nvidia/cuda_nvrtc/lib"];

/// The major versions to look for, the best first. A driver runs no machine code of a newer major version than its own.
fn names() -> [&'static str; 2] {
    match driver::version() {
        Ok(driver) if driver.major < 13 => ["libnvrtc.so.12", "libnvrtc.so.13"],
        _ => ["libnvrtc.so.13", "libnvrtc.so.12"],
    }
}

/// In `roots`, then on the loader's path, then where toolkits are usually installed.
pub(super) fn near(roots: &[PathBuf]) -> Vec<PathBuf> {
    let folders: Vec<PathBuf> = roots.iter().flat_map(|root| folders(root)).collect();
    let usual: Vec<PathBuf> = toolkits().iter().flat_map(|root| folders_of_root(root)).collect();
    let names = names();
    let mut found = existing(&folders, names);
    found.extend(names.map(PathBuf::from));
    found.extend(existing(&usual, names));
    found
}

/// In the folders where `python3` keeps its packages. It is asked, which takes a moment.
pub(super) fn in_python() -> Vec<PathBuf> {
    let folders: Vec<PathBuf> = python::sites().iter().flat_map(|site| folders_of_site(site)).collect();
    existing(&folders, names())
}

fn existing(folders: &[PathBuf], names: [&str; 2]) -> Vec<PathBuf> {
    let paths = names.into_iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    paths.filter(|path| path.is_file()).collect()
}

/// A root can be a toolkit's, a Python environment's, or the very folder.
fn folders(root: &Path) -> Vec<PathBuf> {
    let mut folders = vec![root.to_owned()];
    folders.extend(folders_of_root(root));
    let versions = entries(&root.join("lib")).into_iter().filter(|path| starts_with(path, "python3"));
    folders.extend(versions.flat_map(|version| folders_of_site(&version.join("site-packages"))));
    folders.extend(folders_of_site(root));
    folders
}

fn folders_of_root(root: &Path) -> [PathBuf; 4] {
    IN_ROOT.map(|folder| root.join(folder))
}

fn folders_of_site(site: &Path) -> [PathBuf; 2] {
    IN_SITE.map(|folder| site.join(folder))
}

/// `/usr/local/cuda`, `/usr/local/cuda-13.0` and so on, the newest first, and Arch's place.
fn toolkits() -> Vec<PathBuf> {
    let mut toolkits: Vec<_> =
        entries(Path::new("/usr/local")).into_iter().filter(|path| starts_with(path, "cuda")).collect();
    toolkits.sort_by(|a, b| b.cmp(a));
    toolkits.push("/opt/cuda".into());
    toolkits
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn starts_with(path: &Path, prefix: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toolkits_environments_and_the_very_folder_are_looked_into() {
        for inside in [
            "",
            "lib64",
            "targets/x86_64-linux/lib",
            "lib/python3.11/site-packages/nvidia/cu13/lib",
            "lib/python3.9/site-packages/nvidia/cuda_nvrtc/lib",
            "nvidia/cu13/lib",
        ] {
            let root = tempfile::tempdir().unwrap();
            let folder = root.path().join(inside);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("libnvrtc.so.13"), "").unwrap();
            assert_eq!(near(&[root.path().into()])[0], folder.join("libnvrtc.so.13"), "{inside}");
        }
    }

    #[test]
    fn what_is_handed_in_comes_before_the_loaders_path() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("libnvrtc.so.12"), "").unwrap();
        let found = near(&[root.path().into()]);
        assert_eq!(found[0], root.path().join("libnvrtc.so.12"));
        assert!(found[1..3].iter().all(|path| path.is_relative()), "{found:?}");
    }
}
