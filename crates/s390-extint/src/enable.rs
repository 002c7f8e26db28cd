// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! When a CPU takes an external interruption, and which of several first.

use crate::{ExternalInterrupt, Psw};

/// The subclass-mask bit in control register 0 that must be one for this interruption code
/// (Principles of Operation, chapter 6, "External Interruption"); zero for a code that the
/// architecture does not assign, which no CPU ever takes.
///
/// Virtio and pfault share the service signal's bit: the guest's driver opens it, and hosts up
/// to Linux 3.19 insist on it. Later ones do not, which no guest can tell from a guest that has
/// it open.
pub const fn cr0_subclass(code: u16) -> u64 {
    match code {
        ExternalInterrupt::MALFUNCTION_ALERT => 0x8000,
        ExternalInterrupt::EMERGENCY_SIGNAL => 0x4000,
        ExternalInterrupt::EXTERNAL_CALL => 0x2000,
        ExternalInterrupt::CLOCK_COMPARATOR => 0x0800,
        ExternalInterrupt::CPU_TIMER => 0x0400,
        ExternalInterrupt::SERVICE_SIGNAL | ExternalInterrupt::VIRTIO => 0x0200,
        ExternalInterrupt::INTERRUPT_KEY => 0x0040,
        ExternalInterrupt::MEASUREMENT_ALERT => 0x0020,
        ExternalInterrupt::TIMING_ALERT => 0x0010,
        _ => 0,
    }
}

/// Whether a CPU with this PSW mask and control register 0 takes an interruption with this code.
pub const fn is_enabled(code: u16, psw_mask: u64, cr0: u64) -> bool {
    psw_mask & Psw::EXTERNAL != 0 && cr0 & cr0_subclass(code) != 0
}

/// The place of this code among simultaneous external interruptions: the lowest goes first
/// (Principles of Operation, chapter 6, "External Interruption"; the control program's own come
/// last, as in KVM).
pub const fn priority(code: u16) -> u8 {
    match code {
        ExternalInterrupt::INTERRUPT_KEY => 0,
        ExternalInterrupt::MALFUNCTION_ALERT => 1,
        ExternalInterrupt::EMERGENCY_SIGNAL => 2,
        ExternalInterrupt::EXTERNAL_CALL => 3,
        ExternalInterrupt::CLOCK_COMPARATOR => 4,
        ExternalInterrupt::CPU_TIMER => 5,
        ExternalInterrupt::TIMING_ALERT => 6,
        ExternalInterrupt::MEASUREMENT_ALERT => 7,
        ExternalInterrupt::SERVICE_SIGNAL => 8,
        ExternalInterrupt::VIRTIO => 9,
        _ => u8::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODES: [u16; 10] = [
        0x0040, 0x1200, 0x1201, 0x1202, 0x1004, 0x1005, 0x1406, 0x1407, 0x2401, 0x2603,
    ];

    #[test]
    fn subclass_bits() {
        let bits = CODES.map(cr0_subclass);
        let expected = [
            0x40, 0x8000, 0x4000, 0x2000, 0x800, 0x400, 0x10, 0x20, 0x200, 0x200,
        ];
        assert_eq!(bits, expected);
    }

    #[test]
    fn both_masks_must_be_open() {
        for code in CODES {
            let bit = cr0_subclass(code);
            assert!(is_enabled(code, Psw::EXTERNAL, bit));
            assert!(!is_enabled(code, !Psw::EXTERNAL, bit));
            assert!(!is_enabled(code, Psw::EXTERNAL, !bit));
        }
        assert!(!is_enabled(0x7777, u64::MAX, u64::MAX));
    }

    #[test]
    fn priorities_follow_the_architecture() {
        assert!(CODES.windows(2).all(|w| priority(w[0]) < priority(w[1])));
        assert!(priority(0x2603) < priority(0x7777));
    }
}
