// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    s390_fuzz_common::rings(input);
});
