//! GGUF models in several files.

use std::path::Path;

use ffai_checkpoint::Checkpoint;

use super::gguf_file::GgufFile;

const F32: u32 = 0;

/// Part `no` (from 0) of three, with a tensor of its own.
fn part(no: u32) -> GgufFile {
    let file = if no == 0 { GgufFile::llama() } else { GgufFile::new() };
    file.u32("split.no", no).u32("split.count", 3).u32("split.tensors.count", 3).tensor(
        &format!("t{no}"),
        &[1],
        F32,
        &(no as f32).to_le_bytes(),
    )
}

fn name(number: usize) -> String {
    format!("m-{number:05}-of-00003.gguf")
}

fn write(folder: &Path, parts: &[GgufFile]) {
    for (i, part) in parts.iter().enumerate() {
        std::fs::write(folder.join(name(i + 1)), part.bytes()).unwrap();
    }
}

fn error_of(parts: &[GgufFile], open: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), parts);
    let error = Checkpoint::open(&folder.path().join(open)).unwrap_err();
    error.to_string().replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn the_first_part_or_the_folder_opens_all() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[part(0), part(1), part(2)]);
    for path in [folder.path().join(name(1)), folder.path().to_owned()] {
        let checkpoint = Checkpoint::open(&path).unwrap();
        let names: Vec<_> = checkpoint.entries().map(|entry| entry.name.as_str()).collect();
        assert_eq!((names, checkpoint.hparams().model_type()), (vec!["t0", "t1", "t2"], "llama"));
        assert!(checkpoint.entry("t2").unwrap().file.ends_with(name(3)));
    }
}

#[test]
fn parts_that_are_missing_or_contradict_are_named() {
    let first = name(1);
    let cases = [
        (error_of(&[part(0), part(1)], &first), "m-00003-of-00003.gguf: part 3 of 3 is missing"),
        (
            error_of(&[part(0), part(1), part(2)], &name(2)),
            "m-00002-of-00003.gguf: part 2 of 3; give the path of the first",
        ),
        (error_of(&[part(0), part(2), part(1)], &first), "m-00002-of-00003.gguf: `split.no` is U32(2), expected 1"),
        (
            error_of(&[part(0), GgufFile::new().u32("split.no", 1), part(2)], &first),
            "m-00002-of-00003.gguf: `split.count` is absent, expected 3",
        ),
        (
            error_of(&[part(0), part(1), part(2).tensor("t0", &[1], F32, &[0; 4])], &first),
            "m-00003-of-00003.gguf: tensor `t0`: also in m-00001-of-00003.gguf",
        ),
        (
            error_of(&[part(0), part(1), part(2).tensor("t9", &[1], F32, &[0; 4])], &first),
            "m-00001-of-00003.gguf: its 3 parts hold 4 tensors, it announces 3",
        ),
    ];
    for (error, expected) in cases {
        assert!(error.starts_with(expected), "{error}\n{expected}");
    }
}

#[test]
fn a_first_part_of_another_name_says_what_it_has_to_be() {
    assert!(part(0).error().contains("so its name has to end in -00001-of-00003.gguf"), "{}", part(0).error());
}

#[test]
fn two_models_in_a_folder_are_not_one() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[part(0), part(1), part(2)]);
    std::fs::write(folder.path().join("n-00001-of-00003.gguf"), part(0).bytes()).unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("4 .gguf files: give the path of one"), "{error}");
}
