// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Taking an external interruption: what is stored, and the PSW swap.

use crate::lowcore::{EXT_CODE, EXT_NEW_PSW, EXT_OLD_PSW, EXT_PARAMS, EXT_PARAMS2, EXT_SUBCODE};
use crate::{ExternalInterrupt, LowcoreAccess, Psw};

/// Stores `interrupt` and the PSW `old` into the lowcore and returns the new PSW for the CPU to
/// load. Loading it ends a wait.
///
/// The order is that of KVM: code, subcode, old PSW, new PSW, then the parameters that this code
/// has. Nothing of it may be visible to another instruction of the same CPU in between.
///
/// # Errors
///
/// The lowcore is not accessible; part of it may have been written. The CPU's own state is as it
/// was.
pub fn deliver<L: LowcoreAccess + ?Sized>(
    lowcore: &mut L,
    interrupt: &ExternalInterrupt,
    old: Psw,
) -> Result<Psw, L::Error> {
    lowcore.write_u16(EXT_CODE, interrupt.code)?;
    lowcore.write_u16(EXT_SUBCODE, interrupt.subcode)?;
    lowcore.write_psw(EXT_OLD_PSW, old)?;
    let new = lowcore.read_psw(EXT_NEW_PSW)?;
    if interrupt.stores_params() {
        lowcore.write_u32(EXT_PARAMS, interrupt.params)?;
    }
    if interrupt.stores_params2() {
        lowcore.write_u64(EXT_PARAMS2, interrupt.params2)?;
    }
    Ok(new)
}

impl ExternalInterrupt {
    /// Reads back what [`deliver`] stored: what a guest's handler sees. Parameters that the code
    /// does not store read as zero.
    ///
    /// # Errors
    ///
    /// The lowcore is not accessible.
    pub fn read_from<L: LowcoreAccess + ?Sized>(lowcore: &L) -> Result<Self, L::Error> {
        let mut halfword = [0; 2];
        lowcore.read(EXT_CODE.offset, &mut halfword)?;
        let code = u16::from_be_bytes(halfword);
        lowcore.read(EXT_SUBCODE.offset, &mut halfword)?;
        let mut interrupt = ExternalInterrupt {
            code,
            subcode: u16::from_be_bytes(halfword),
            params: 0,
            params2: 0,
        };
        if interrupt.stores_params() {
            let mut word = [0; 4];
            lowcore.read(EXT_PARAMS.offset, &mut word)?;
            interrupt.params = u32::from_be_bytes(word);
        }
        if interrupt.stores_params2() {
            let mut doubleword = [0; 8];
            lowcore.read(EXT_PARAMS2.offset, &mut doubleword)?;
            interrupt.params2 = u64::from_be_bytes(doubleword);
        }
        Ok(interrupt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lowcore::SIZE;
    use crate::VirtioEvent;

    const OLD: Psw = Psw {
        mask: 0x0702_0001_8000_0000,
        addr: 0x1234,
    };
    const NEW: Psw = Psw {
        mask: 0x0000_0001_8000_0000,
        addr: 0x5678,
    };

    fn lowcore() -> [u8; SIZE] {
        let mut lowcore = [0xee; SIZE];
        let Ok(()) = lowcore.write_psw(EXT_NEW_PSW, NEW);
        lowcore
    }

    #[test]
    fn stores_a_virtio_interruption_where_guests_look() {
        let mut lowcore = lowcore();
        let interrupt = ExternalInterrupt::virtio(VirtioEvent::ConfigChanged {
            token: 0x1122_3344_5566_7788,
        });
        assert_eq!(deliver(&mut lowcore, &interrupt, OLD), Ok(NEW));
        assert_eq!(lowcore[0x80..0x88], [0, 0, 0, 1, 0x0d, 0, 0x26, 0x03]);
        assert_eq!(
            lowcore[0x11b8..0x11c0],
            0x1122_3344_5566_7788_u64.to_be_bytes()
        );
        assert_eq!(lowcore.read_psw(EXT_OLD_PSW), Ok(OLD));
        assert_eq!(ExternalInterrupt::read_from(&lowcore), Ok(interrupt));
    }

    #[test]
    fn touches_nothing_else() {
        let mut lowcore = lowcore();
        let before = lowcore;
        let Ok(_) = deliver(&mut lowcore, &ExternalInterrupt::emergency_signal(1), OLD);
        for (i, (before, after)) in before.iter().zip(&lowcore).enumerate() {
            let stored = (0x84..0x88).contains(&i) || (0x130..0x140).contains(&i);
            assert!(stored || before == after, "{i:#x}");
        }
    }

    #[test]
    fn a_service_signal_has_no_64_bit_parameter() {
        let mut lowcore = lowcore();
        let Ok(_) = deliver(&mut lowcore, &ExternalInterrupt::service(0x9000, true), OLD);
        assert_eq!(lowcore[0x80..0x88], [0, 0, 0x90, 1, 0, 0, 0x24, 0x01]);
        assert_eq!(lowcore[0x11b8..0x11c0], [0xee; 8]);
    }

    /// Records the order of accesses, and fails from the `limit`th on.
    struct Recorder {
        writes: [u16; 8],
        count: usize,
        limit: usize,
    }

    impl LowcoreAccess for Recorder {
        type Error = ();

        fn read(&self, _: u16, bytes: &mut [u8]) -> Result<(), ()> {
            bytes.fill(0);
            if self.count < self.limit {
                Ok(())
            } else {
                Err(())
            }
        }

        fn write(&mut self, offset: u16, _: &[u8]) -> Result<(), ()> {
            if self.count >= self.limit {
                return Err(());
            }
            self.writes[self.count] = offset;
            self.count += 1;
            Ok(())
        }
    }

    #[test]
    fn stores_in_the_order_of_kvm_and_passes_errors_on() {
        let interrupt = ExternalInterrupt::virtio(VirtioEvent::Vring { token: 8 });
        for limit in 0..=5 {
            let mut recorder = Recorder {
                writes: [0; 8],
                count: 0,
                limit,
            };
            let result = deliver(&mut recorder, &interrupt, OLD);
            assert_eq!(result.is_ok(), limit == 5);
            let order = [0x86, 0x84, 0x130, 0x80, 0x11b8];
            assert_eq!(recorder.writes[..recorder.count], order[..recorder.count]);
        }
    }
}
