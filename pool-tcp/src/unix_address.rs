//! Where a Unix socket is.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The path of a Unix socket, or on Linux an abstract name.
///
/// Two paths that differ in a letter are two peers, also where both lead to one socket. Its `Debug` text, which names the
/// peer in every error, is `unix:/run/app.sock`, or `unix:@app` for an abstract name.
///
/// # Examples
///
/// ```
/// use pool_tcp::UnixAddress;
///
/// let address = UnixAddress::new("/run/app.sock");
/// assert_eq!(format!("{address:?}"), "unix:/run/app.sock");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UnixAddress(
    /// An abstract name follows a zero byte, as the kernel has it; no path contains one.
    Arc<OsStr>,
);

impl UnixAddress {
    /// The socket at a path.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self(path.as_ref().as_os_str().into())
    }

    /// The socket of an abstract name, which has no file. Only Linux has them.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    pub fn from_abstract_name(name: impl AsRef<[u8]>) -> Self {
        let bytes = [b"\0", name.as_ref()].concat();
        Self(OsStr::from_bytes(&bytes).into())
    }

    /// The path; none of an abstract name.
    pub fn path(&self) -> Option<&Path> {
        (!self.is_abstract()).then(|| Path::new(&*self.0))
    }

    fn is_abstract(&self) -> bool {
        self.0.as_bytes().starts_with(b"\0")
    }

    /// As tokio takes it.
    pub(crate) fn as_given(&self) -> &OsStr {
        &self.0
    }

    /// In bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl From<&Path> for UnixAddress {
    fn from(path: &Path) -> Self {
        Self::new(path)
    }
}

impl From<PathBuf> for UnixAddress {
    fn from(path: PathBuf) -> Self {
        Self::new(path)
    }
}

impl From<&str> for UnixAddress {
    fn from(path: &str) -> Self {
        Self::new(path)
    }
}

impl fmt::Debug for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path() {
            Some(path) => write!(f, "unix:{}", path.display()),
            None => write!(f, "unix:@{}", self.0.as_bytes()[1..].escape_ascii()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_an_address_names_its_path_or_its_abstract_name() {
        let path = UnixAddress::new("/run/app.sock");
        assert_eq!(format!("{path:?}"), "unix:/run/app.sock");
        assert_eq!(path.path(), Some(Path::new("/run/app.sock")));
        #[cfg(target_os = "linux")]
        {
            let name = UnixAddress::from_abstract_name(b"app\n");
            assert_eq!((format!("{name:?}"), name.path()), ("unix:@app\\n".to_owned(), None));
        }
    }
}
