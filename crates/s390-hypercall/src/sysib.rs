// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The system-information block 3.2.2, as far as a guest needs it to know its host.

/// What STORE SYSTEM INFORMATION stores (Principles of Operation, chapter 10): 4096 bytes on a
/// 4096-byte boundary.
#[derive(Clone, Debug)]
#[repr(C, align(4096))]
pub struct Sysib([u8; Sysib::SIZE]);

impl Sysib {
    /// Bytes in a block.
    pub const SIZE: usize = 4096;
    /// Register 0 for function code 3, selector 1 = 2 (virtual machines of the last level).
    pub const R0_VIRTUAL_MACHINES: u64 = 3 << 28 | 2;
    /// Register 1 for selector 2 = 2.
    pub const R1_VIRTUAL_MACHINES: u64 = 2;

    /// Offset of the count of virtual-machine descriptions, in the low four bits.
    const COUNT: usize = 31;
    /// Offset of the first description's control-program identifier, 16 EBCDIC characters.
    const CONTROL_PROGRAM: usize = 56;
    /// "KVM" in EBCDIC.
    const KVM: [u8; 3] = [0xd2, 0xe5, 0xd4];

    /// A block of zeros.
    pub const fn new() -> Self {
        Sysib([0; Self::SIZE])
    }

    /// A block with this content.
    pub const fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        Sysib(bytes)
    }

    /// Where STSI is to store.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr()
    }

    /// Whether the innermost host is KVM: at least one description, and the first one's control
    /// program begins with "KVM" (the rule of Linux 2.6.32 and later).
    pub fn is_kvm(&self) -> bool {
        self.0[Self::COUNT] & 15 != 0 && self.0[Self::CONTROL_PROGRAM..].starts_with(&Self::KVM)
    }
}

impl Default for Sysib {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(count: u8, name: &[u8]) -> Sysib {
        let mut bytes = [0; Sysib::SIZE];
        bytes[31] = count;
        bytes[56..56 + name.len()].copy_from_slice(name);
        Sysib::from_bytes(bytes)
    }

    #[test]
    fn knows_kvm_by_its_ebcdic_name() {
        assert!(block(1, &[0xd2, 0xe5, 0xd4, 0x61]).is_kvm());
        assert!(block(0xf2, &[0xd2, 0xe5, 0xd4]).is_kvm());
        assert!(!block(0xf0, &[0xd2, 0xe5, 0xd4]).is_kvm());
        assert!(!block(1, b"KVM").is_kvm());
        assert!(!block(1, &[0xa9, 0x61, 0xe5, 0xd4]).is_kvm());
        assert!(!Sysib::new().is_kvm());
    }

    #[test]
    fn is_aligned_as_stsi_demands() {
        assert_eq!(core::mem::align_of::<Sysib>(), 4096);
        assert_eq!(core::mem::size_of::<Sysib>(), 4096);
        assert_eq!(Sysib::R0_VIRTUAL_MACHINES, 0x3000_0002);
    }
}
