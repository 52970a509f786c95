//! NVRTC's functions, taken from the one library that was found. cudarc has them too, but opens the library by name alone:
//! not that of a wheel, and with a toolkit on the loader's path perhaps another than was found.
#![expect(unsafe_code, reason = "calls into NVRTC")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr;

use libloading::Library as Shared;

use crate::{CudaError, Version};

type Handle = *mut c_void;
/// `nvrtcResult`: a number, not cudarc's enum, since newer libraries know more errors.
type Code = c_int;

/// Declares the functions that are used, each with its name in the library.
macro_rules! functions {
    ($($field:ident: $name:literal ($($argument:ty),*) -> $result:ty;)*) => {
        /// The loaded library. It is never unloaded, so its functions stay valid.
        pub(super) struct Library {
            path: PathBuf,
            $($field: unsafe extern "C" fn($($argument),*) -> $result,)*
        }

        impl Library {
            fn resolve(path: &Path, shared: Shared) -> Result<Library, libloading::Error> {
                // SAFETY: the signatures are those of nvrtc.h, unchanged since CUDA 11.2, and the library stays loaded.
                let library = unsafe { Library { path: path.to_owned(), $($field: *shared.get($name)?,)* } };
                std::mem::forget(shared);
                Ok(library)
            }
        }
    };
}

functions! {
    version: b"nvrtcVersion" (*mut c_int, *mut c_int) -> Code;
    error_string: b"nvrtcGetErrorString" (Code) -> *const c_char;
    create: b"nvrtcCreateProgram" (*mut Handle, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char) -> Code;
    destroy: b"nvrtcDestroyProgram" (*mut Handle) -> Code;
    compile: b"nvrtcCompileProgram" (Handle, c_int, *const *const c_char) -> Code;
    cubin_size: b"nvrtcGetCUBINSize" (Handle, *mut usize) -> Code;
    cubin: b"nvrtcGetCUBIN" (Handle, *mut c_char) -> Code;
    log_size: b"nvrtcGetProgramLogSize" (Handle, *mut usize) -> Code;
    log: b"nvrtcGetProgramLog" (Handle, *mut c_char) -> Code;
    arch_count: b"nvrtcGetNumSupportedArchs" (*mut c_int) -> Code;
    archs: b"nvrtcGetSupportedArchs" (*mut c_int) -> Code;
}

impl Library {
    /// Loads the library at `path`, a full path or a bare name for the loader to find. Its helper, libnvrtc-builtins,
    /// lies beside it, where it looks for it itself.
    pub(super) fn open(path: &Path) -> Result<Library, CudaError> {
        let broken =
            |error: libloading::Error| CudaError::NvrtcBroken { path: path.to_owned(), why: error.to_string() };
        // SAFETY: NVRTC is loaded for its functions; what it does when it is loaded is the vendor's.
        let shared = unsafe { Shared::new(path) }.map_err(broken)?;
        Library::resolve(path, shared).map_err(broken)
    }

    /// Where it is; a bare name where the loader found it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn version(&self) -> Result<Version, String> {
        let (mut major, mut minor) = (0, 0);
        // SAFETY: two numbers are written.
        self.done(unsafe { (self.version)(&raw mut major, &raw mut minor) })?;
        Ok(Version { major: u32::try_from(major).unwrap_or(0), minor: u32::try_from(minor).unwrap_or(0) })
    }

    /// The architectures that it compiles for, as `major * 10 + minor`.
    pub(super) fn archs(&self) -> Result<Vec<c_int>, String> {
        let mut count = 0;
        // SAFETY: one number is written.
        self.done(unsafe { (self.arch_count)(&raw mut count) })?;
        let mut archs = vec![0; usize::try_from(count).unwrap_or(0)];
        // SAFETY: `count` numbers are written.
        self.done(unsafe { (self.archs)(archs.as_mut_ptr()) })?;
        Ok(archs)
    }

    /// Compiles `text` to machine code. In an error, what the compiler says.
    pub(super) fn compile(
        &self,
        name: &CStr,
        text: &CStr,
        headers: &[(CString, CString)],
        options: &[CString],
    ) -> Result<Vec<u8>, String> {
        let program = self.program(name, text, headers)?;
        let options: Vec<_> = options.iter().map(|option| option.as_ptr()).collect();
        // SAFETY: the program is alive, and `options` are as many strings that outlive the call.
        let code = unsafe { (self.compile)(program.handle, length(options.len()), options.as_ptr()) };
        self.done(code).map_err(|error| format!("{error}\n{}", program.log()))?;
        program.cubin()
    }

    fn program(&self, name: &CStr, text: &CStr, headers: &[(CString, CString)]) -> Result<Program<'_>, String> {
        let names: Vec<_> = headers.iter().map(|(name, _)| name.as_ptr()).collect();
        let texts: Vec<_> = headers.iter().map(|(_, text)| text.as_ptr()).collect();
        let mut handle = ptr::null_mut();
        // SAFETY: both lists have as many strings as is said; NVRTC copies them all.
        let code = unsafe {
            (self.create)(
                &raw mut handle,
                text.as_ptr(),
                name.as_ptr(),
                length(headers.len()),
                texts.as_ptr(),
                names.as_ptr(),
            )
        };
        self.done(code)?;
        Ok(Program { library: self, handle })
    }

    fn done(&self, code: Code) -> Result<(), String> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: any number has a name, a string that lives as long as the library.
        let name = unsafe { CStr::from_ptr((self.error_string)(code)) };
        Err(name.to_string_lossy().into_owned())
    }
}

/// NVRTC counts in `int`; no list here comes near its end.
fn length(count: usize) -> c_int {
    c_int::try_from(count).unwrap_or(c_int::MAX)
}

/// A program in NVRTC's memory.
struct Program<'a> {
    library: &'a Library,
    handle: Handle,
}

impl Program<'_> {
    fn cubin(&self) -> Result<Vec<u8>, String> {
        self.read(self.library.cubin_size, self.library.cubin)
    }

    fn log(&self) -> String {
        let bytes = self.read(self.library.log_size, self.library.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).trim_matches(['\0', '\n', ' ']).to_owned()
    }

    fn read(
        &self,
        size: unsafe extern "C" fn(Handle, *mut usize) -> Code,
        get: unsafe extern "C" fn(Handle, *mut c_char) -> Code,
    ) -> Result<Vec<u8>, String> {
        let mut bytes = 0;
        // SAFETY: the program is alive, and one number is written.
        self.library.done(unsafe { size(self.handle, &raw mut bytes) })?;
        let mut data = vec![0; bytes];
        // SAFETY: the program is alive, and `get` writes as many bytes as `size` said.
        self.library.done(unsafe { get(self.handle, data.as_mut_ptr().cast()) })?;
        Ok(data)
    }
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        // SAFETY: the program is alive, and this was its only owner.
        unsafe { (self.library.destroy)(&raw mut self.handle) };
    }
}
