// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Kernel files of any contents.

use s390_loader::Image;
use vm_memory::bitmap::{AtomicBitmap, Bitmap};
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

use crate::cursor::Cursor;

const MIB: usize = 1 << 20;
/// What lies behind RAM, and must stay as it is.
const BEHIND: usize = 1 << 16;

/// Loads a file with an initrd and a command line as the first bytes say; returns whether it was
/// loaded.
pub fn loader(input: &[u8]) -> bool {
    let mut input = Cursor::new(input);
    let ram = MIB << (input.u8() % 3);
    let initrd = usize::from(input.u8()) << (input.u8() % 16);
    let line_len = usize::from(input.u8());
    let line = input.bytes(line_len);
    let Ok(mut image) = Image::new(input.rest().to_vec()) else {
        return false;
    };
    if initrd > 0 {
        image = image.with_initrd(vec![0xaa; initrd]).unwrap();
    }
    if line_len > 0 {
        match image.clone().with_command_line(line) {
            Ok(with_line) => image = with_line,
            Err(_) => assert!(
                !line.is_ascii() || line.contains(&0) || line.len() > image.command_line_limit()
            ),
        }
    }
    let mem =
        GuestMemoryMmap::<AtomicBitmap>::from_ranges(&[(GuestAddress(0), ram + BEHIND)]).unwrap();
    let loaded = image.load(&mem, ram as u64);
    let region = mem.find_region(GuestAddress(0)).unwrap();
    let bitmap = region.bitmap();
    let first_clean = if loaded.is_ok() { ram } else { 0 };
    assert!(
        (first_clean..ram + BEHIND)
            .step_by(4096)
            .all(|at| !bitmap.dirty_at(at)),
        "wrote where it must not: {loaded:?}"
    );
    let Ok(boot) = loaded else {
        return false;
    };
    assert!(boot.entry % 2 == 0 && boot.entry < ram as u64);
    assert!(boot.kernel.end <= ram as u64);
    if let Some(range) = boot.initrd {
        assert_eq!((range.end - range.start) as usize, initrd);
        assert!(range.start >= boot.kernel.end && range.end <= ram as u64);
    }
    true
}
