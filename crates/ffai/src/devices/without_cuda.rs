//! What stands for `cuda.rs` in a build without the feature `cuda`.

use std::error::Error;

use ffai_program::Backend;

use super::Finding;

pub(super) fn backend(_ordinal: Option<usize>) -> Result<Box<dyn Backend>, Box<dyn Error + Send + Sync>> {
    Err("this program was built without CUDA: build it with the feature `cuda`, or run on the cpu".into())
}

pub(super) fn is_present() -> bool {
    false
}

pub(super) fn findings() -> Vec<Finding> {
    vec![Finding { name: "CUDA".to_owned(), value: "not built in (the feature `cuda`)".to_owned(), advice: None }]
}
