//! A writer of small GGUF files, right or deliberately wrong.

use std::path::{Path, PathBuf};

pub(crate) const U32: u32 = 4;
pub(crate) const F32: u32 = 6;
const BOOL: u32 = 7;
pub(crate) const STRING: u32 = 8;
pub(crate) const ARRAY: u32 = 9;

/// Pieces of a file; [`GgufFile::bytes`] puts them together.
#[derive(Clone)]
pub(crate) struct GgufFile {
    pub(crate) magic: [u8; 4],
    pub(crate) version: u32,
    pub(crate) alignment: usize,
    pairs: Vec<u8>,
    pair_count: u64,
    tensors: Vec<u8>,
    tensor_count: u64,
    data: Vec<u8>,
}

impl GgufFile {
    pub(crate) fn new() -> GgufFile {
        GgufFile {
            magic: *b"GGUF",
            version: 3,
            alignment: 32,
            pairs: Vec::new(),
            pair_count: 0,
            tensors: Vec::new(),
            tensor_count: 0,
            data: Vec::new(),
        }
    }

    pub(crate) fn llama() -> GgufFile {
        GgufFile::new().text("general.architecture", "llama")
    }

    /// A pair with the bytes of its value.
    pub(crate) fn pair(mut self, key: &str, kind: u32, value: &[u8]) -> GgufFile {
        self.pairs.extend(string(key));
        self.pairs.extend(kind.to_le_bytes());
        self.pairs.extend(value);
        self.pair_count += 1;
        self
    }

    pub(crate) fn text(self, key: &str, value: &str) -> GgufFile {
        self.pair(key, STRING, &string(value))
    }

    pub(crate) fn u32(self, key: &str, value: u32) -> GgufFile {
        self.pair(key, U32, &value.to_le_bytes())
    }

    pub(crate) fn f32(self, key: &str, value: f32) -> GgufFile {
        self.pair(key, F32, &value.to_le_bytes())
    }

    pub(crate) fn strings(self, key: &str, values: &[&str]) -> GgufFile {
        let mut bytes = Vec::from(STRING.to_le_bytes());
        bytes.extend((values.len() as u64).to_le_bytes());
        bytes.extend(values.iter().flat_map(|value| string(value)));
        self.pair(key, ARRAY, &bytes)
    }

    pub(crate) fn bools(self, key: &str, values: &[bool]) -> GgufFile {
        let values: Vec<u8> = values.iter().map(|value| u8::from(*value)).collect();
        self.array(key, BOOL, values.len(), &values)
    }

    pub(crate) fn u32s(self, key: &str, values: &[u32]) -> GgufFile {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.array(key, U32, values.len(), &bytes)
    }

    fn array(self, key: &str, kind: u32, count: usize, values: &[u8]) -> GgufFile {
        let head = kind.to_le_bytes().into_iter().chain((count as u64).to_le_bytes());
        self.pair(key, ARRAY, &head.chain(values.iter().copied()).collect::<Vec<u8>>())
    }

    /// A tensor behind the ones before it; `ne` has the innermost dimension first.
    pub(crate) fn tensor(mut self, name: &str, ne: &[u64], kind: u32, bytes: &[u8]) -> GgufFile {
        self.data.resize(self.data.len().next_multiple_of(self.alignment), 0);
        let offset = self.data.len() as u64;
        self.data.extend(bytes);
        self.declare(name, ne, kind, offset)
    }

    /// A tensor whose bytes lie at `offset` of the data, wherever that is.
    pub(crate) fn declare(mut self, name: &str, ne: &[u64], kind: u32, offset: u64) -> GgufFile {
        self.tensors.extend(string(name));
        self.tensors.extend((ne.len() as u32).to_le_bytes());
        self.tensors.extend(ne.iter().flat_map(|dim| dim.to_le_bytes()));
        self.tensors.extend(kind.to_le_bytes());
        self.tensors.extend(offset.to_le_bytes());
        self.tensor_count += 1;
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut file = Vec::from(self.magic);
        file.extend(self.version.to_le_bytes());
        file.extend(self.tensor_count.to_le_bytes());
        file.extend(self.pair_count.to_le_bytes());
        file.extend(&self.pairs);
        file.extend(&self.tensors);
        if self.tensor_count > 0 {
            file.resize(file.len().next_multiple_of(self.alignment), 0);
        }
        file.extend(&self.data);
        file
    }

    pub(crate) fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join("model.gguf");
        std::fs::write(&path, self.bytes()).expect("the folder can be written");
        path
    }

    pub(crate) fn open(&self) -> ffai_checkpoint::Result<ffai_checkpoint::Checkpoint> {
        let folder = tempfile::tempdir().expect("a folder for the test");
        ffai_checkpoint::Checkpoint::open(&self.write(folder.path()))
    }

    /// What opening says, without the folder.
    pub(crate) fn error(&self) -> String {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let error = ffai_checkpoint::Checkpoint::open(&self.write(folder.path())).expect_err("the file is wrong");
        error.to_string().replace(&format!("{}/", folder.path().display()), "")
    }
}

fn string(text: &str) -> Vec<u8> {
    let mut bytes = Vec::from((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes
}
