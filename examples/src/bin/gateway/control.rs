//! The control socket: who connects is told the state as JSON, and that is all it can do.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The listening end; its file goes with it.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Listens at `path`, for its owner only. A file that a gateway left behind when it was killed is replaced.
    pub fn listen(path: &Path) -> io::Result<Self> {
        let explain =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        if UnixStream::connect(path).is_ok() {
            return Err(explain(io::Error::other("another gateway listens there")));
        }
        match fs::symlink_metadata(path) {
            Ok(found) if std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()) => {
                fs::remove_file(path).map_err(explain)?;
            }
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(explain)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(explain)?;
        listener.set_nonblocking(true).map_err(explain)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Answers whoever waits. A reader that does not read is left behind after a moment: forwarding goes first.
    pub fn answer(&self, report: impl Fn() -> String) {
        while let Ok((mut stream, _)) = self.listener.accept() {
            let _ = stream
                .set_write_timeout(Some(Duration::from_millis(100)))
                .and_then(|()| stream.write_all(report().as_bytes()));
        }
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// What the gateway that listens at `path` says.
pub fn ask(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.read_to_string(&mut text)?;
    Ok(text)
}
