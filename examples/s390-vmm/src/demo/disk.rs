// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The disk of the demo: every sector differs, and the guest changes some of them in a way that
//! can be checked. The pattern is that of `examples/bare-guest`.

use std::fs;
use std::io;
use std::path::Path;

const SECTOR: usize = 512;

/// Makes an image of plain sectors.
pub(super) fn create(path: &Path, sectors: u64) -> io::Result<()> {
    let image: Vec<u8> = (0..sectors).flat_map(|n| sector(n, false)).collect();
    fs::write(path, image)
}

/// Looks at the image after the guest: of the `checked` first sectors every other one, from the
/// first on, is complemented; the rest is plain. Returns how many are complemented.
pub(super) fn verify(path: &Path, sectors: u64, checked: u64) -> Result<u64, String> {
    let image =
        fs::read(path).map_err(|error| format!("the disk image cannot be read: {error}"))?;
    let chunks = image.chunks_exact(SECTOR);
    if chunks.len() as u64 != sectors || !chunks.remainder().is_empty() {
        return Err(format!("the disk image has {} bytes", image.len()));
    }
    let mut rewritten = 0;
    for (number, content) in (0..).zip(chunks) {
        let complemented = number < checked && number % 2 == 0;
        if content != sector(number, complemented) {
            return Err(format!("sector {number} of the disk image is wrong"));
        }
        rewritten += u64::from(complemented);
    }
    Ok(rewritten)
}

/// 64 big-endian doublewords: the sector's number, and what a linear congruential generator makes
/// of it; these are inverted in a complemented sector.
fn sector(number: u64, complemented: bool) -> [u8; SECTOR] {
    let mut bytes = [0; SECTOR];
    let mut x = number;
    for (i, word) in bytes.chunks_exact_mut(8).enumerate() {
        let inverted = complemented && i > 0;
        word.copy_from_slice(&(if inverted { !x } else { x }).to_be_bytes());
        x = x
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sector_follows_its_definition() {
        let plain = sector(1, false);
        assert_eq!(plain[..8], 1u64.to_be_bytes());
        assert_eq!(plain[8..16], 7_806_831_264_735_756_412_u64.to_be_bytes());
        let complemented = sector(1, true);
        assert_eq!(complemented[..8], plain[..8]);
        assert!(complemented[8..]
            .iter()
            .zip(&plain[8..])
            .all(|(a, b)| *a == !b));
    }

    #[test]
    fn every_wrong_byte_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk");
        create(&path, 8).unwrap();
        assert_eq!(
            verify(&path, 8, 4).unwrap_err(),
            "sector 0 of the disk image is wrong"
        );
        let mut image: Vec<u8> = (0..8).flat_map(|n| sector(n, n == 0 || n == 2)).collect();
        fs::write(&path, &image).unwrap();
        assert_eq!(verify(&path, 8, 4), Ok(2));
        for byte in [512 + 100, 4095] {
            image[byte] ^= 1;
            fs::write(&path, &image).unwrap();
            assert!(verify(&path, 8, 4).is_err());
            image[byte] ^= 1;
        }
        fs::write(&path, &image[1..]).unwrap();
        assert!(verify(&path, 8, 4).is_err());
    }
}
