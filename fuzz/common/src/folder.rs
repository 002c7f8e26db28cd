// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A directory that is shared with the guest, with a secret beside it.

use std::fs;
use std::path::PathBuf;

use memchr::memmem;
use s390_virtio_devices::p9::{Share, ShareOptions};
use tempfile::TempDir;

const SECRET: &[u8] = b"what is outside of a share is not for its guest";

/// Is removed when it is dropped.
pub(crate) struct Folder(TempDir);

impl Folder {
    /// A directory with a file, another directory, and links that lead out.
    pub(crate) fn new() -> Self {
        let folder = Folder(tempfile::tempdir().unwrap());
        fs::write(folder.secret(), SECRET).unwrap();
        let shared = folder.shared();
        fs::create_dir_all(shared.join("dir")).unwrap();
        fs::write(shared.join("file"), [0x5a; 600]).unwrap();
        let link = |to, name| std::os::unix::fs::symlink(to, shared.join(name)).unwrap();
        link("../secret", "out");
        link("..", "up");
        folder
    }

    fn secret(&self) -> PathBuf {
        self.0.path().join("secret")
    }

    fn shared(&self) -> PathBuf {
        self.0.path().join("shared")
    }

    pub(crate) fn share(&self) -> Share {
        let options = ShareOptions {
            max_fids: 16,
            ..ShareOptions::default()
        };
        Share::open(&self.shared(), options).unwrap()
    }

    /// Whether nothing was done to what is outside of the share.
    pub(crate) fn is_whole(&self) -> bool {
        let entries = fs::read_dir(self.0.path()).unwrap();
        entries.count() == 2 && fs::read(self.secret()).is_ok_and(|secret| secret == SECRET)
    }

    /// Whether somebody knows the secret.
    pub(crate) fn is_told(&self, memory: &[u8]) -> bool {
        memmem::find(memory, SECRET).is_some()
    }
}
