// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The 64-bit lowcore: assigned storage locations, at real address 0 behind the prefix.
//!
//! Everything in it is big-endian.

use crate::Psw;

/// Bytes that the prefix register relocates: two pages.
pub const SIZE: usize = 0x2000;

/// Where the status save area begins: SIGP store-status-at-address stores the same layout at an
/// address of its own, so that a field is found at its offset minus this.
pub const SAVE_AREA: u16 = 0x1200;

/// Bytes in the status save area.
pub const SAVE_AREA_SIZE: usize = 0x200;

/// One assigned location.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Bytes from the beginning of the lowcore.
    pub offset: u16,
    /// Bytes in the field.
    pub size: u16,
}

impl Field {
    /// The offset of the first byte behind the field.
    pub const fn end(&self) -> u16 {
        self.offset + self.size
    }
}

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident: $offset:literal, $size:literal;)*) => {
        $($(#[$doc])* pub const $name: Field = Field { offset: $offset, size: $size };)*

        /// Every field with its name, in ascending order.
        pub const FIELDS: &[(&str, Field)] = &[$((stringify!($name), $name)),*];
    };
}

// Principles of Operation, chapter 3, "Assigned Storage Locations"; store status in chapter 4.
fields! {
    /// IPL PSW, in the 8-byte format of ESA/390; read once, by a load.
    IPL_PSW: 0x0000, 8;
    /// Address of the IPL parameter block (Linux's use of the IPL CCW area).
    IPL_PARMBLOCK: 0x0014, 4;
    /// External interruption parameter.
    EXT_PARAMS: 0x0080, 4;
    /// CPU address or subcode of an external interruption.
    EXT_SUBCODE: 0x0084, 2;
    /// External interruption code.
    EXT_CODE: 0x0086, 2;
    /// Instruction-length code of a supervisor call, in bytes.
    SVC_ILC: 0x0088, 2;
    /// Supervisor-call interruption code: the immediate operand.
    SVC_CODE: 0x008a, 2;
    /// Instruction-length code of a program interruption, in bytes.
    PGM_ILC: 0x008c, 2;
    /// Program interruption code.
    PGM_CODE: 0x008e, 2;
    /// Data-exception code, in the last byte.
    DATA_EXC_CODE: 0x0090, 4;
    /// Monitor class.
    MONITOR_CLASS: 0x0094, 2;
    /// PER code, and addressing-and-translation-mode identification.
    PER_CODE: 0x0096, 2;
    /// PER address.
    PER_ADDRESS: 0x0098, 8;
    /// Exception access identification.
    EXC_ACCESS_ID: 0x00a0, 1;
    /// PER access identification.
    PER_ACCESS_ID: 0x00a1, 1;
    /// Operand access identification.
    OP_ACCESS_ID: 0x00a2, 1;
    /// Architectural-mode identification, stored by store status.
    ARCH_MODE_ID: 0x00a3, 1;
    /// Translation-exception identification.
    TRANS_EXC_ID: 0x00a8, 8;
    /// Monitor code.
    MONITOR_CODE: 0x00b0, 8;
    /// Subsystem-identification word, first half.
    SUBCHANNEL_ID: 0x00b8, 2;
    /// Subchannel number.
    SUBCHANNEL_NR: 0x00ba, 2;
    /// I/O interruption parameter.
    IO_INT_PARAM: 0x00bc, 4;
    /// I/O interruption-identification word.
    IO_INT_WORD: 0x00c0, 4;
    /// Facility list, stored by STFL.
    STFL_LIST: 0x00c8, 4;
    /// Machine-check interruption code.
    MCCK_CODE: 0x00e8, 8;
    /// External-damage code.
    EXT_DAMAGE_CODE: 0x00f4, 4;
    /// Failing-storage address.
    FAILING_STORAGE_ADDR: 0x00f8, 8;
    /// Breaking-event address of a program interruption.
    BREAKING_EVENT_ADDR: 0x0110, 8;
    /// Restart old PSW.
    RESTART_OLD_PSW: 0x0120, 16;
    /// External old PSW.
    EXT_OLD_PSW: 0x0130, 16;
    /// Supervisor-call old PSW.
    SVC_OLD_PSW: 0x0140, 16;
    /// Program old PSW.
    PGM_OLD_PSW: 0x0150, 16;
    /// Machine-check old PSW.
    MCCK_OLD_PSW: 0x0160, 16;
    /// I/O old PSW.
    IO_OLD_PSW: 0x0170, 16;
    /// Restart new PSW.
    RESTART_NEW_PSW: 0x01a0, 16;
    /// External new PSW.
    EXT_NEW_PSW: 0x01b0, 16;
    /// Supervisor-call new PSW.
    SVC_NEW_PSW: 0x01c0, 16;
    /// Program new PSW.
    PGM_NEW_PSW: 0x01d0, 16;
    /// Machine-check new PSW.
    MCCK_NEW_PSW: 0x01e0, 16;
    /// I/O new PSW.
    IO_NEW_PSW: 0x01f0, 16;
    /// Address of the machine-check extended save area.
    MCESA_ADDR: 0x11b0, 8;
    /// 64-bit external interruption parameter (virtio token, pfault token).
    EXT_PARAMS2: 0x11b8, 8;
    /// Save area: floating-point registers.
    SAVE_FPRS: 0x1200, 128;
    /// Save area: general registers.
    SAVE_GPRS: 0x1280, 128;
    /// Save area: PSW.
    SAVE_PSW: 0x1300, 16;
    /// Save area: prefix.
    SAVE_PREFIX: 0x1318, 4;
    /// Save area: floating-point-control register.
    SAVE_FPC: 0x131c, 4;
    /// Save area: TOD programmable register.
    SAVE_TODPR: 0x1324, 4;
    /// Save area: CPU timer.
    SAVE_CPU_TIMER: 0x1328, 8;
    /// Save area: bits 0 to 55 of the clock comparator.
    SAVE_CLOCK_COMPARATOR: 0x1331, 7;
    /// Save area: access registers.
    SAVE_ACRS: 0x1340, 64;
    /// Save area: control registers.
    SAVE_CRS: 0x1380, 128;
    /// Transaction diagnostic block of a program interruption.
    PGM_TDB: 0x1800, 256;
}

/// The lowcore of one CPU.
///
/// `offset` counts from the CPU's prefix and `offset + len` never goes beyond [`SIZE`].
pub trait LowcoreAccess {
    /// Why storage cannot be accessed: the prefix designates none.
    type Error;

    /// Reads `bytes.len()` bytes at `offset`.
    ///
    /// # Errors
    ///
    /// The storage is not there.
    fn read(&self, offset: u16, bytes: &mut [u8]) -> Result<(), Self::Error>;

    /// Writes `bytes` at `offset`.
    ///
    /// # Errors
    ///
    /// The storage is not there.
    fn write(&mut self, offset: u16, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Reads a PSW.
    ///
    /// # Errors
    ///
    /// The storage is not there.
    fn read_psw(&self, field: Field) -> Result<Psw, Self::Error> {
        let mut mask = [0; 8];
        let mut addr = [0; 8];
        self.read(field.offset, &mut mask)?;
        self.read(field.offset + 8, &mut addr)?;
        Ok(Psw {
            mask: u64::from_be_bytes(mask),
            addr: u64::from_be_bytes(addr),
        })
    }

    /// Writes a PSW.
    ///
    /// # Errors
    ///
    /// The storage is not there.
    fn write_psw(&mut self, field: Field, psw: Psw) -> Result<(), Self::Error> {
        self.write(field.offset, &psw.to_bytes())
    }

    /// Writes a two-byte field.
    ///
    /// # Errors
    ///
    /// The storage is not there.
    fn write_u16(&mut self, field: Field, value: u16) -> Result<(), Self::Error> {
        self.write(field.offset, &value.to_be_bytes())
    }

    /// Writes a four-byte field.
    ///
    /// # Errors
    ///
    /// The storage is not there.
    fn write_u32(&mut self, field: Field, value: u32) -> Result<(), Self::Error> {
        self.write(field.offset, &value.to_be_bytes())
    }

    /// Writes an eight-byte field.
    ///
    /// # Errors
    ///
    /// The storage is not there.
    fn write_u64(&mut self, field: Field, value: u64) -> Result<(), Self::Error> {
        self.write(field.offset, &value.to_be_bytes())
    }
}

/// A lowcore on its own, for tests and for firmware that runs at prefix 0.
impl LowcoreAccess for [u8; SIZE] {
    type Error = core::convert::Infallible;

    fn read(&self, offset: u16, bytes: &mut [u8]) -> Result<(), Self::Error> {
        let start = usize::from(offset);
        bytes.copy_from_slice(&self[start..start + bytes.len()]);
        Ok(())
    }

    fn write(&mut self, offset: u16, bytes: &[u8]) -> Result<(), Self::Error> {
        let start = usize::from(offset);
        self[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_overlap_and_fit() {
        for pair in FIELDS.windows(2) {
            assert!(pair[0].1.end() <= pair[1].1.offset, "{pair:x?}");
        }
        assert!(FIELDS.iter().all(|(_, f)| usize::from(f.end()) <= SIZE));
    }

    #[test]
    fn every_new_psw_is_128_bytes_behind_its_old_one() {
        let pairs = [
            (RESTART_OLD_PSW, RESTART_NEW_PSW),
            (EXT_OLD_PSW, EXT_NEW_PSW),
            (SVC_OLD_PSW, SVC_NEW_PSW),
            (PGM_OLD_PSW, PGM_NEW_PSW),
            (MCCK_OLD_PSW, MCCK_NEW_PSW),
            (IO_OLD_PSW, IO_NEW_PSW),
        ];
        for (old, new) in pairs {
            assert_eq!(new.offset - old.offset, 0x80);
            assert_eq!((old.size, new.size), (16, 16));
        }
    }

    #[test]
    fn the_save_area_holds_every_saved_field() {
        let saved = FIELDS.iter().filter(|(name, _)| name.starts_with("SAVE_"));
        let mut count = 0;
        for (_, field) in saved {
            assert!(field.offset >= SAVE_AREA);
            assert!(usize::from(field.end() - SAVE_AREA) <= SAVE_AREA_SIZE);
            count += 1;
        }
        assert_eq!(count, 10);
    }

    #[test]
    fn psws_are_big_endian() {
        let mut lowcore = [0; SIZE];
        let psw = Psw {
            mask: 0x0102_0304_0506_0708,
            addr: 0x1112_1314_1516_1718,
        };
        let Ok(()) = lowcore.write_psw(IO_NEW_PSW, psw);
        assert_eq!(lowcore[0x1f0..0x1f4], [1, 2, 3, 4]);
        assert_eq!(lowcore[0x1fc..0x200], [0x15, 0x16, 0x17, 0x18]);
        assert_eq!(lowcore.read_psw(IO_NEW_PSW), Ok(psw));
    }
}
