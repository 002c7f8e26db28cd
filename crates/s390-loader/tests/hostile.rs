// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Files made to break the loader: no panic, and no byte outside of RAM.

mod common;

use common::*;
use proptest::prelude::*;
use s390_loader::Image;

const RAM: u64 = 2 * MIB;

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => 0_u64..0x400,
        3 => (0_u64..0x220).prop_map(|n| n * 4096),
        1 => (0_u64..64).prop_map(|n| RAM - 32 + n),
        1 => (0_u64..64).prop_map(|n| u64::MAX - n),
        1 => any::<u64>(),
    ]
}

fn phdr() -> impl Strategy<Value = Phdr> {
    (0_u32..3, number(), number(), number(), number()).prop_map(
        |(p_type, offset, paddr, file_size, mem_size)| Phdr {
            p_type,
            offset,
            paddr,
            file_size,
            mem_size,
        },
    )
}

/// Headers that are right in most of their bytes.
fn file() -> impl Strategy<Value = Vec<u8>> {
    let headers = (number(), prop::collection::vec(phdr(), 0..5), 0_usize..2000);
    let any_elf = headers.prop_map(|(entry, phdrs, size)| {
        let mut file = elf_headers(entry, &phdrs);
        file.resize(size.max(file.len()), 7);
        file
    });
    let right = (
        number(),
        0_u64..40,
        0_u64..0x2000,
        prop::collection::vec(any::<u8>(), 2..900),
    )
        .prop_map(|(addr, skip, zeroed, contents)| {
            let entry = addr.wrapping_add(skip * 2);
            elf(entry, &[(addr & !1, &contents, zeroed)])
        });
    let raw_image = (0x10010_usize..0x11000, number()).prop_map(|(size, n)| raw(size, n));
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let cut = prop::option::weighted(0.2, any::<prop::sample::Index>());
    (prop_oneof![any_elf, right, raw_image], damage, cut).prop_map(|(mut file, damage, cut)| {
        for (at, byte) in damage {
            let at = at.index(file.len().min(200));
            file[at] = byte;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        file
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_but_ram_is_written(
        file in file(),
        initrd in prop::collection::vec(any::<u8>(), 1..5000),
        line in "[ -~]{0,1000}",
        ram in prop_oneof![Just(RAM), Just(MIB), 0_u64..RAM],
    ) {
        let Ok(image) = Image::new(file) else { return Ok(()) };
        let Ok(image) = image.with_initrd(initrd.clone()) else { return Ok(()) };
        let Ok(image) = image.with_command_line(line.as_bytes()) else { return Ok(()) };
        let mem = memory(RAM);
        let result = image.load(&mem, ram);
        let behind = (RAM + MIB - ram) as usize;
        prop_assert!(untouched(&mem, ram, behind));
        match result {
            Err(_) => prop_assert!(untouched(&mem, 0, RAM as usize), "nothing by halves"),
            Ok(boot) => {
                let at = boot.initrd.unwrap();
                prop_assert!(at.start % 4096 == 0 && at.end <= ram && at.start >= boot.kernel.end);
                prop_assert_eq!(read(&mem, at.start, initrd.len()), initrd);
                prop_assert!(boot.kernel.contains(&boot.entry) && boot.kernel.end <= ram);
                prop_assert_eq!(read_text(&mem, 0x10480), line);
                prop_assert_eq!(read_u64(&mem, 0x10408), at.start);
            }
        }
    }

    #[test]
    fn random_files_are_no_kernels(file in prop::collection::vec(any::<u8>(), 0..3000)) {
        prop_assert!(Image::new(file).is_err());
    }
}
