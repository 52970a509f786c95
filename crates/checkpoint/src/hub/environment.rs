//! What the environment says about caches and the Hub: read here and nowhere else.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where downloaded models are kept, and how the Hugging Face Hub is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheDirs {
    /// The Hub's cache, with folders `models--org--repo`.
    pub hub: PathBuf,
    /// Our own cache, for what aliases fetch from elsewhere.
    pub ffai: PathBuf,
    /// How the Hub is reached.
    pub remote: Remote,
}

/// How the Hugging Face Hub is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// `scheme://host[:port]`, without a slash at the end.
    pub endpoint: String,
    /// Who we are; nobody where there is none.
    pub token: Option<Token>,
    /// Never connect: only the cache counts.
    pub offline: bool,
    /// The proxy to go through.
    pub proxy: Proxy,
    /// When to give up.
    pub patience: Patience,
}

/// How often and how long a download is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Failures in a row, without a byte arriving, after which a download is given up.
    pub attempts: u32,
    /// The pause after the first failure; it doubles with each further one.
    pub pause: Duration,
    /// The longest time to wait for a connection, an answer, or the next bytes.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { attempts: 5, pause: Duration::from_secs(1), stall: Duration::from_secs(20) }
    }
}

impl Default for Remote {
    /// The public Hub, without a token or a proxy.
    fn default() -> Remote {
        Remote {
            endpoint: "https://huggingface.co".into(),
            token: None,
            offline: false,
            proxy: Proxy::default(),
            patience: Patience::default(),
        }
    }
}

/// An access token of the Hub. It is sent to the endpoint's own host, and shown to nobody: `Debug` prints where it comes
/// from.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    secret: String,
    origin: String,
}

impl Token {
    /// A token and where it comes from (`HF_TOKEN`), for messages. Line ends and spaces around it do not count; `None`
    /// where nothing is left.
    pub fn new(secret: &str, origin: &str) -> Option<Token> {
        let secret = secret.trim();
        (!secret.is_empty()).then(|| Token { secret: secret.into(), origin: origin.into() })
    }

    /// Where it comes from.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub(super) fn secret(&self) -> &str {
        &self.secret
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(from {})", self.origin)
    }
}

/// A proxy server; none by default. `Debug` does not show its password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxy(pub(super) Option<ureq::Proxy>);

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({:?})", self.0.as_ref().map(ureq::Proxy::host))
    }
}

impl CacheDirs {
    /// Both caches under `root`, and the public Hub without a token.
    pub fn under(root: &Path) -> CacheDirs {
        CacheDirs { hub: root.join("hub"), ffai: root.join("ffai"), remote: Remote::default() }
    }

    /// As the environment says, in the way of Python's `huggingface_hub`. Empty variables count as unset.
    ///
    /// * The Hub's cache: `HF_HUB_CACHE`, else `HF_HOME`/hub, else `XDG_CACHE_HOME` or `HOME`/.cache with
    ///   `huggingface/hub`.
    /// * Our own: `FFAI_CACHE`, else `ffai` under the same cache.
    /// * The token: `HF_TOKEN`, else the file `HF_TOKEN_PATH`, else the file `HF_HOME`/token.
    /// * `HF_ENDPOINT`; `HF_HUB_OFFLINE` (1, on, yes, true); `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.
    pub fn from_env() -> CacheDirs {
        #[expect(clippy::disallowed_methods, reason = "the one place where this crate reads the environment")]
        let mut dirs = CacheDirs::from_lookup(|name| std::env::var_os(name));
        dirs.remote.proxy = Proxy(ureq::Proxy::try_from_env());
        dirs
    }

    fn from_lookup(variable: impl Fn(&str) -> Option<OsString>) -> CacheDirs {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let home = || set("HOME").map(PathBuf::from).or_else(std::env::home_dir).unwrap_or_default();
        let folder = |name: &str| set(name).map(PathBuf::from).map(|path| expand(path, home));
        let text = |name: &str| set(name).and_then(|value| value.into_string().ok());
        let cache = folder("XDG_CACHE_HOME").unwrap_or_else(|| home().join(".cache"));
        let hf_home = folder("HF_HOME").unwrap_or_else(|| cache.join("huggingface"));
        let token_file = folder("HF_TOKEN_PATH").unwrap_or_else(|| hf_home.join("token"));
        let remote = Remote {
            endpoint: text("HF_ENDPOINT")
                .map_or(Remote::default().endpoint, |endpoint| endpoint.trim().trim_end_matches('/').to_owned()),
            token: text("HF_TOKEN")
                .and_then(|token| Token::new(&token, "HF_TOKEN"))
                .or_else(|| read_token(&token_file)),
            offline: text("HF_HUB_OFFLINE").is_some_and(|value| is_true(&value)),
            ..Remote::default()
        };
        CacheDirs {
            hub: folder("HF_HUB_CACHE").unwrap_or_else(|| hf_home.join("hub")),
            ffai: folder("FFAI_CACHE").unwrap_or_else(|| cache.join("ffai")),
            remote,
        }
    }
}

/// Where the environment says that software lies which is used where it is found: CUDA toolkits (`CUDA_PATH`, `CUDA_HOME`), and
/// Python environments (`VIRTUAL_ENV`, `CONDA_PREFIX`), whose packages bring libraries.
pub fn software_roots() -> Vec<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "beside `CacheDirs::from_env`, the one place that reads the environment"
    )]
    roots_from_lookup(|name| std::env::var_os(name))
}

fn roots_from_lookup(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    ["CUDA_PATH", "CUDA_HOME", "VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(set).collect()
}

/// `~/x` is under the home folder, also where no shell has seen it.
fn expand(path: PathBuf, home: impl Fn() -> PathBuf) -> PathBuf {
    path.strip_prefix("~").map(|rest| home().join(rest)).unwrap_or(path)
}

/// No file, or one that cannot be read, is no token: most models need none.
fn read_token(file: &Path) -> Option<Token> {
    Token::new(&std::fs::read_to_string(file).ok()?, &file.display().to_string())
}

fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].iter().any(|word| value.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dirs(variables: &[(&str, &str)]) -> CacheDirs {
        CacheDirs::from_lookup(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn caches_are_under_home() {
        let dirs = dirs(&[("HOME", "/home/a"), ("HF_HOME", "")]);
        assert_eq!(dirs.hub, Path::new("/home/a/.cache/huggingface/hub"));
        assert_eq!(dirs.ffai, Path::new("/home/a/.cache/ffai"));
        assert_eq!(dirs.remote, Remote::default());
    }

    #[test]
    fn each_variable_overrides_the_ones_behind_it() {
        let mut variables = vec![("HOME", "/home/a"), ("XDG_CACHE_HOME", "/xdg")];
        assert_eq!(dirs(&variables).hub, Path::new("/xdg/huggingface/hub"));
        assert_eq!(dirs(&variables).ffai, Path::new("/xdg/ffai"));
        variables.extend([("HF_HOME", "~/hf"), ("FFAI_CACHE", "/own")]);
        assert_eq!(dirs(&variables).hub, Path::new("/home/a/hf/hub"));
        assert_eq!(dirs(&variables).ffai, Path::new("/own"));
        variables.push(("HF_HUB_CACHE", "/hub"));
        assert_eq!(dirs(&variables).hub, Path::new("/hub"));
    }

    #[test]
    fn software_is_where_the_environment_says() {
        let variables = [("VIRTUAL_ENV", "/venv"), ("CUDA_PATH", "/cuda"), ("CUDA_HOME", ""), ("PATH", "/bin")];
        let roots =
            roots_from_lookup(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()));
        assert_eq!(roots, [Path::new("/cuda"), Path::new("/venv")]);
    }

    #[test]
    fn the_token_is_the_variable_or_the_file() {
        let home = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let path = home.path().to_string_lossy().into_owned();
        assert_eq!(dirs(&[("HF_HOME", &path)]).remote.token, None);
        assert!(std::fs::write(home.path().join("token"), "hf_file\n").is_ok());
        let token = |variables: &[(&str, &str)]| dirs(variables).remote.token.map(|token| token.secret);
        assert_eq!(token(&[("HF_HOME", &path)]).as_deref(), Some("hf_file"));
        assert_eq!(token(&[("HF_HOME", &path), ("HF_TOKEN", " hf_variable\n")]).as_deref(), Some("hf_variable"));
        assert_eq!(token(&[("HF_HOME", &path), ("HF_TOKEN", "\n")]).as_deref(), Some("hf_file"));
    }

    #[test]
    fn a_token_is_never_shown() {
        let dirs = dirs(&[("HOME", "/home/a"), ("HF_TOKEN", "hf_secret")]);
        let shown = format!("{dirs:?}");
        assert!(shown.contains("Token(from HF_TOKEN)") && !shown.contains("hf_secret"), "{shown}");
    }

    #[test]
    fn the_endpoint_and_offline_are_read() {
        let dirs = dirs(&[("HOME", "/h"), ("HF_ENDPOINT", "https://mirror.example/"), ("HF_HUB_OFFLINE", "Yes")]);
        assert_eq!((dirs.remote.endpoint.as_str(), dirs.remote.offline), ("https://mirror.example", true));
        for value in ["0", "", "off"] {
            assert!(!self::dirs(&[("HF_HUB_OFFLINE", value)]).remote.offline, "{value}");
        }
    }
}
