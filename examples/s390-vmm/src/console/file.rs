// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Files that take what the guest prints.

use std::fs::File;
use std::io;
use std::path::Path;

use s390_virtio_devices::block::lock_image;

use crate::{Error, Result};

/// A file that takes what the guest prints. What was in it stays until [`begin`](Self::begin).
#[derive(Debug)]
pub(crate) struct OutputFile(File);

impl OutputFile {
    /// Opens the file, or makes it. A regular one is locked as images of disks are: it is none, no
    /// other output, and does not become one.
    pub(crate) fn open(kind: &'static str, path: &Path) -> Result<Self> {
        let error = |source| Error::OutputFile {
            kind,
            path: path.to_owned(),
            source,
        };
        let mut options = File::options();
        options.write(true).create(true).truncate(false);
        let file = options.open(path).map_err(error)?;
        if file.metadata().map_err(error)?.is_file() {
            match lock_image(&file, true) {
                Ok(true) => {}
                Ok(false) => {
                    let path = path.to_owned();
                    return Err(Error::OutputInUse { kind, path });
                }
                Err(error) => log::warn!("{kind} file {path:?} cannot be locked: {error}"),
            }
        }
        Ok(OutputFile(file))
    }

    /// The file, to write to.
    pub(crate) fn sink(&self) -> Result<File> {
        (self.0.try_clone()).map_err(Error::host("duplicate a file"))
    }

    /// Empties the file, before anything is printed.
    pub(crate) fn begin(&self) -> Result<()> {
        let empty = || match self.0.metadata()?.is_file() {
            true => self.0.set_len(0),
            false => Ok(()),
        };
        empty().map_err(|error: io::Error| Error::host("empty an output file")(error))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use s390_virtio_devices::block::ImageOptions;

    use super::*;

    #[test]
    fn what_is_in_use_is_not_emptied() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path();
        std::fs::write(path, [1; 512]).unwrap();
        let images = [false, true].map(|read_only| ImageOptions {
            read_only,
            ..ImageOptions::default()
        });
        for image in images {
            let disk = image.open(path).unwrap();
            let error = OutputFile::open("port", path).unwrap_err();
            let sentence = format!("port file {path:?} is in use by a disk or another output");
            assert_eq!(error.to_string(), sentence);
            drop(disk);
        }
        let output = OutputFile::open("port", path).unwrap();
        assert!(OutputFile::open("port", path).is_err());
        assert!(images.iter().all(|image| image.open(path).is_err()));
        assert_eq!(std::fs::read(path).unwrap(), [1; 512]);
        output.begin().unwrap();
        output.sink().unwrap().write_all(b"new").unwrap();
        assert_eq!(std::fs::read(path).unwrap(), b"new");
    }

    #[test]
    fn what_is_no_file_is_shared() {
        let outputs = [0; 2].map(|_| OutputFile::open("port", Path::new("/dev/null")).unwrap());
        for output in outputs {
            output.begin().unwrap();
        }
    }
}
