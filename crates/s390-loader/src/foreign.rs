// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Names what was given in place of an s390 kernel, by magic numbers.

/// (offset, magic, what the file is)
const MAGICS: [(usize, &[u8], &str); 12] = [
    (0x202, b"HdrS", "an x86 bzImage"),
    (0, b"MZ", "an EFI or PE image for another architecture"),
    (0, b"\x1f\x8b", "compressed with gzip, unpack it first"),
    (0, b"\xfd7zXZ\0", "compressed with xz, unpack it first"),
    (
        0,
        b"\x28\xb5\x2f\xfd",
        "compressed with zstd, unpack it first",
    ),
    (0, b"BZh", "compressed with bzip2, unpack it first"),
    (0, b"070701", "a cpio archive, an initrd perhaps"),
    (0, b"070702", "a cpio archive, an initrd perhaps"),
    (0, b"!<arch>\n", "an archive or Debian package"),
    (0, b"QFI\xfb", "a qcow2 disk image"),
    (
        0,
        b"\x27\x05\x19\x56",
        "a U-Boot image for another architecture",
    ),
    (0, b"#!", "a script"),
];

const UNKNOWN: &str = "neither ELF nor a raw image (no S390EP at 0x10008, no IPL PSW at 0)";

/// What the file seems to be, if it is known.
pub(crate) fn known(file: &[u8]) -> Option<&'static str> {
    MAGICS
        .iter()
        .find(|(at, magic, _)| file.get(*at..).is_some_and(|f| f.starts_with(magic)))
        .map(|&(_, _, what)| what)
}

/// What to say of a file that is nothing known.
pub(crate) const fn unknown() -> &'static str {
    UNKNOWN
}
