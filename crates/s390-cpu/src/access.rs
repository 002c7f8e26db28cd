// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Storage operands: the translation lookaside buffer and the paths around it.
//!
//! The fast path is one comparison and one host access. Everything that needs a second look is
//! simply not entered in the buffer: a page with decoded instructions or under low-address
//! protection is never fast to write.

mod interlocked;

use std::sync::Arc;

use vm_memory::bitmap::Bitmap;
use vm_memory::mmap::MmapRegion;
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

use crate::code_pages::CodePages;
use crate::cpu::{Cpu, Fault, Trap};
use crate::dat::{Access, Space, NEVER_FAST};
use crate::keys::StorageKeys;
use crate::vm::Error;

/// Guest memory as this CPU takes it: one region from address 0 whose bitmap finds stores to
/// decoded instructions.
pub type Memory = GuestMemoryMmap<CodePages>;

pub(crate) const PAGE_SIZE: u64 = 0x1000;
pub(crate) const PAGE_MASK: u64 = !(PAGE_SIZE - 1);
const TLB_ENTRIES: usize = 1024;
/// A tag that no address has: its address-space number is never given out.
const NO_TAG: u64 = u64::MAX;

/// The host's view of guest memory.
#[derive(Clone, Debug)]
pub(crate) struct Ram {
    base: *mut u8,
    size: u64,
    region: Arc<MmapRegion<CodePages>>,
    keys: Arc<StorageKeys>,
}

// SAFETY: `base` points into the mapping that `region` owns and keeps alive. Guest memory is
// shared between threads by design; there is never a Rust reference to it.
unsafe impl Send for Ram {}

// SAFETY: as for `Send`.
unsafe impl Sync for Ram {}

/// A value at any alignment, so that one volatile access reads it in one piece where the host can.
#[derive(Copy, Clone)]
#[repr(C, packed)]
struct Unaligned<T>(T);

impl Ram {
    /// Takes memory of a single region at address 0.
    pub(crate) fn new(memory: &Memory) -> Result<Self, Error> {
        let region = memory
            .find_region(GuestAddress(0))
            .filter(|_| memory.num_regions() == 1)
            .ok_or(Error::MemoryShape)?
            .get_mmap();
        let size = region.size() as u64;
        let keys = StorageKeys::new(size).filter(|_| region.bitmap().covers(size));
        Ok(Ram {
            base: region.as_ptr(),
            size,
            keys: Arc::new(keys.ok_or(Error::Bookkeeping(size))?),
            region,
        })
    }

    /// Bytes of storage from absolute address 0.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Whether `[abs, abs + len)` is inside storage.
    pub(crate) fn contains(&self, abs: u64, len: u64) -> bool {
        abs.checked_add(len).is_some_and(|end| end <= self.size)
    }

    pub(crate) fn keys(&self) -> &StorageKeys {
        &self.keys
    }

    pub(crate) fn code(&self) -> &CodePages {
        self.region.bitmap()
    }

    /// Host address of absolute address `abs`, of which `len` bytes will be used.
    fn host(&self, abs: u64, len: u64) -> *mut u8 {
        assert!(self.contains(abs, len), "absolute address was checked");
        self.base.wrapping_add(abs as usize)
    }

    /// The absolute address behind a host address that came from [`Ram::host`].
    fn abs(&self, host: usize) -> u64 {
        host.wrapping_sub(self.base as usize) as u64
    }

    /// Copies from absolute storage; the range must be inside storage.
    pub(crate) fn read(&self, abs: u64, buf: &mut [u8]) {
        let src = self.host(abs, buf.len() as u64);
        // SAFETY: `host` checked that the range is inside the mapping, which is readable.
        unsafe { copy_volatile(src, buf.as_mut_ptr(), buf.len()) }
    }

    /// Copies to absolute storage; the range must be inside storage. Decoded instructions that
    /// are overwritten become stale.
    pub(crate) fn write(&self, abs: u64, buf: &[u8]) {
        let dst = self.host(abs, buf.len() as u64);
        // SAFETY: `host` checked that the range is inside the mapping, which is writable.
        unsafe { copy_volatile(buf.as_ptr(), dst, buf.len()) }
        self.code().mark_dirty(abs as usize, buf.len());
    }

    /// A big-endian doubleword of absolute storage, in one access; must be inside storage.
    pub(crate) fn read_u64(&self, abs: u64) -> u64 {
        let p = self.host(abs, 8).cast::<Unaligned<u64>>();
        // SAFETY: inside the mapping; `Unaligned` has alignment 1 and any bits are a value.
        u64::from_be(unsafe { p.read_volatile() }.0)
    }
}

/// Copies bytes that somebody else may be changing.
///
/// # Safety
/// `src` is readable and `dst` writable for `len` bytes.
unsafe fn copy_volatile(mut src: *const u8, mut dst: *mut u8, mut len: usize) {
    while len >= 8 {
        // SAFETY: at least 8 bytes are left of both; alignment 1.
        unsafe {
            let v = src.cast::<Unaligned<u64>>().read_volatile();
            dst.cast::<Unaligned<u64>>().write_volatile(v);
            src = src.add(8);
            dst = dst.add(8);
        }
        len -= 8;
    }
    for _ in 0..len {
        // SAFETY: at least one byte is left of both.
        unsafe {
            dst.write_volatile(src.read_volatile());
            src = src.add(1);
            dst = dst.add(1);
        }
    }
}

/// One page in the translation lookaside buffer. Aligned for a shorter address computation.
#[derive(Copy, Clone, Debug)]
#[repr(align(32))]
struct TlbEntry {
    /// Page address and address-space number where reads are fast, else [`NO_TAG`].
    read: u64,
    /// The same for writes.
    write: u64,
    /// The same where writes are permitted but need a second look.
    checked_write: u64,
    /// Host address minus virtual address.
    addend: usize,
}

impl TlbEntry {
    fn forget(&mut self) {
        self.read = NO_TAG;
        self.write = NO_TAG;
        self.checked_write = NO_TAG;
    }
}

/// Direct-mapped translation lookaside buffer. A tag holds a number for the address space in
/// its low 12 bits, so that switching spaces flushes nothing.
pub(crate) struct Tlb {
    entries: [TlbEntry; TLB_ENTRIES],
    /// Number of the space that operands are in.
    pub(crate) asn: u64,
}

impl Tlb {
    pub(crate) fn new() -> Self {
        Tlb {
            entries: [TlbEntry {
                read: NO_TAG,
                write: NO_TAG,
                checked_write: NO_TAG,
                addend: 0,
            }; TLB_ENTRIES],
            asn: 1,
        }
    }

    /// Forgets every translation.
    pub(crate) fn flush(&mut self) {
        for e in &mut self.entries {
            e.forget();
        }
    }

    /// Forgets translations of pages whose address has `page_index` in bits 44 to 51.
    pub(crate) fn flush_page_index(&mut self, page_index: u64) {
        for i in (page_index as usize & 0xff..TLB_ENTRIES).step_by(256) {
            self.entries[i].forget();
        }
    }

    /// Makes writes to the host page at `host` slow, wherever it is mapped.
    fn protect(&mut self, host: usize) {
        for e in &mut self.entries {
            if e.write != NO_TAG && (e.write as usize & !0xfff).wrapping_add(e.addend) == host {
                e.write = NO_TAG;
            }
        }
    }
}

macro_rules! accessors {
    ($($read:ident $write:ident $load:ident $store:ident $t:ty;)*) => {$(
        /// Loads a big-endian value at a virtual address in the operand space.
        #[inline(always)]
        pub(crate) fn $read(&mut self, ea: u64) -> Result<$t, Trap> {
            if let Some(p) = self.fast(ea, size_of::<$t>(), false) {
                // SAFETY: `fast` says that the bytes are in one readable page of guest memory.
                // Alignment 1, any bits are a value.
                return Ok(<$t>::from_be(unsafe { p.cast::<Unaligned<$t>>().read_volatile() }.0));
            }
            let mut b = [0; size_of::<$t>()];
            self.read_slow(ea, &mut b)?;
            Ok(<$t>::from_be_bytes(b))
        }

        /// Stores a big-endian value at a virtual address in the operand space.
        #[inline(always)]
        pub(crate) fn $write(&mut self, ea: u64, value: $t) -> Result<(), Trap> {
            if let Some(p) = self.fast(ea, size_of::<$t>(), true) {
                // A volatile store of an unaligned value would go through the host's stack. The
                // jump to the next instruction keeps the compiler from leaving it out.
                // SAFETY: `fast` says that the bytes are in one page of guest memory that may
                // be written and holds no decoded instructions.
                unsafe { p.cast::<$t>().write_unaligned(value.to_be()) };
                return Ok(());
            }
            self.write_slow(ea, &value.to_be_bytes())
        }

        /// The same as the only storage access of an instruction that changed nothing yet: see
        /// [`Cpu::fast_only`].
        #[inline(always)]
        pub(crate) fn $load(&mut self, ea: u64) -> Result<$t, Trap> {
            if self.is_fast_only() && self.fast(ea, size_of::<$t>(), false).is_none() {
                return Err(self.not_fast());
            }
            self.$read(ea)
        }

        /// The same as the only storage access of an instruction that changed nothing yet: see
        /// [`Cpu::fast_only`].
        #[inline(always)]
        pub(crate) fn $store(&mut self, ea: u64, value: $t) -> Result<(), Trap> {
            if self.is_fast_only() && self.fast(ea, size_of::<$t>(), true).is_none() {
                return Err(self.not_fast());
            }
            self.$write(ea, value)
        }
    )*};
}

// Not every width needs every form.
#[allow(dead_code)]
impl Cpu {
    accessors! {
        read_u8 write_u8 load_u8 store_u8 u8;
        read_u16 write_u16 load_u16 store_u16 u16;
        read_u32 write_u32 load_u32 store_u32 u32;
        read_u64 write_u64 load_u64 store_u64 u64;
    }
}

impl Cpu {
    /// Loads `buf.len()` bytes (at most a page) from the operand space. No byte is looked at
    /// unless all may be.
    #[inline]
    pub(crate) fn read_bytes(&mut self, ea: u64, buf: &mut [u8]) -> Result<(), Trap> {
        if buf.is_empty() {
            return Ok(());
        }
        match self.fast(ea, buf.len(), false) {
            // SAFETY: `fast` says that the bytes are in one readable page of guest memory.
            Some(p) => unsafe { copy_volatile(p, buf.as_mut_ptr(), buf.len()) },
            None => self.read_slow(ea, buf)?,
        }
        Ok(())
    }

    /// Stores `buf.len()` bytes (at most a page) in the operand space. No byte is stored unless
    /// all may be.
    #[inline]
    pub(crate) fn write_bytes(&mut self, ea: u64, buf: &[u8]) -> Result<(), Trap> {
        if buf.is_empty() {
            return Ok(());
        }
        match self.fast(ea, buf.len(), true) {
            // SAFETY: `fast` says that the bytes are in one page of guest memory that may be
            // written and holds no decoded instructions.
            Some(p) => unsafe { copy_volatile(buf.as_ptr(), p, buf.len()) },
            None => self.write_slow(ea, buf)?,
        }
        Ok(())
    }

    /// Host address of `len` bytes (not 0) in the operand space if they lie in one page with a
    /// fast entry. The pointer is good until the next translation or store.
    #[inline(always)]
    pub(crate) fn fast(&self, ea: u64, len: usize, write: bool) -> Option<*mut u8> {
        let e = &self.tlb.entries[(ea >> 12) as usize % TLB_ENTRIES];
        let tag = if write { e.write } else { e.read };
        ((ea.wrapping_add(len as u64 - 1) & PAGE_MASK) | self.tlb.asn == tag
            && len as u64 <= PAGE_SIZE)
            .then(|| e.addend.wrapping_add(ea as usize) as *mut u8)
    }

    /// Moves `len` bytes (not 0) as if byte by byte from left to right, if both operands are in
    /// pages with fast entries. `false` if nothing was done.
    #[inline]
    pub(crate) fn move_fast(&mut self, to: u64, from: u64, len: usize) -> bool {
        let (Some(src), Some(dst)) = (self.fast(from, len, false), self.fast(to, len, true)) else {
            return false;
        };
        // `copy_volatile` works from left to right in pieces of 8: the destination must not
        // start inside the piece that is being read.
        if (1..8).contains(&(dst as usize).wrapping_sub(src as usize)) {
            return false;
        }
        // SAFETY: `fast` says that the bytes are in pages of guest memory that may be read and
        // written.
        unsafe { copy_volatile(src, dst, len) };
        true
    }

    /// Checks that `len` bytes (at most a page) of the operand space may be stored, without
    /// storing. Instructions that store more than once call it first where nothing may be
    /// stored unless all can be; what follows cannot trap.
    pub(crate) fn check_write(&mut self, ea: u64, len: usize) -> Result<(), Trap> {
        if len == 0 || self.fast(ea, len, true).is_some() {
            return Ok(());
        }
        self.for_pieces(ea, len, |cpu, piece_ea, piece_len| {
            let abs = cpu.locate(Space::Operand, cpu.psw_key(), piece_ea, Access::Write)?;
            cpu.check_own_block(abs, piece_len)
        })
    }

    /// Checks that `len` bytes (at most a page) of the operand space may be fetched.
    pub(crate) fn check_read(&mut self, ea: u64, len: usize) -> Result<(), Trap> {
        if len == 0 || self.fast(ea, len, false).is_some() {
            return Ok(());
        }
        self.for_pieces(ea, len, |cpu, piece_ea, _| {
            cpu.translate(piece_ea, Space::Operand, Access::Read)
                .map(drop)
        })
    }

    /// Splits a range at the page boundary, in the wrap-around of the addressing mode.
    fn for_pieces(
        &mut self,
        ea: u64,
        len: usize,
        mut f: impl FnMut(&mut Self, u64, usize) -> Result<(), Trap>,
    ) -> Result<(), Trap> {
        let first = len.min((PAGE_SIZE - (ea & !PAGE_MASK)) as usize);
        f(self, ea, first)?;
        if first < len {
            f(
                self,
                ea.wrapping_add(first as u64) & self.addr_mask,
                len - first,
            )?;
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn read_slow(&mut self, ea: u64, buf: &mut [u8]) -> Result<(), Trap> {
        self.read_space(Space::Operand, ea, buf)
    }

    #[cold]
    #[inline(never)]
    fn write_slow(&mut self, ea: u64, buf: &[u8]) -> Result<(), Trap> {
        self.write_space(Space::Operand, ea, buf)
    }

    /// Loads at most a page from any address space.
    pub(crate) fn read_space(&mut self, space: Space, ea: u64, buf: &mut [u8]) -> Result<(), Trap> {
        self.read_with_key(space, self.psw_key(), ea, buf)
    }

    /// Loads at most a page from any address space with an access key.
    pub(crate) fn read_with_key(
        &mut self,
        space: Space,
        key: u8,
        ea: u64,
        buf: &mut [u8],
    ) -> Result<(), Trap> {
        let mut pieces = [(0, 0); 2];
        let mut n = 0;
        self.for_pieces(ea, buf.len(), |cpu, piece_ea, len| {
            pieces[n] = (cpu.locate(space, key, piece_ea, Access::Read)?, len);
            n += 1;
            Ok(())
        })?;
        let (first, second) = buf.split_at_mut(pieces[0].1);
        self.ram.read(pieces[0].0, first);
        if n == 2 {
            self.ram.read(pieces[1].0, second);
        }
        Ok(())
    }

    /// Stores at most a page in any address space.
    pub(crate) fn write_space(&mut self, space: Space, ea: u64, buf: &[u8]) -> Result<(), Trap> {
        self.write_with_key(space, self.psw_key(), ea, buf)
    }

    /// Stores at most a page in any address space with an access key.
    pub(crate) fn write_with_key(
        &mut self,
        space: Space,
        key: u8,
        ea: u64,
        buf: &[u8],
    ) -> Result<(), Trap> {
        let mut pieces = [(0, 0); 2];
        let mut n = 0;
        self.for_pieces(ea, buf.len(), |cpu, piece_ea, len| {
            let abs = cpu.locate(space, key, piece_ea, Access::Write)?;
            cpu.check_own_block(abs, len)?;
            pieces[n] = (abs, len);
            n += 1;
            Ok(())
        })?;
        let (first, second) = buf.split_at(pieces[0].1);
        self.ram.write(pieces[0].0, first);
        if n == 2 {
            self.ram.write(pieces[1].0, second);
        }
        Ok(())
    }

    /// The absolute address behind `ea`: from the buffer, or translated and entered there.
    fn locate(&mut self, space: Space, key: u8, ea: u64, access: Access) -> Result<u64, Trap> {
        let asn = match self.resolve(space) {
            Space::Access(_) => NEVER_FAST,
            _ if space == Space::Operand && key == self.psw_key() => self.tlb.asn,
            _ => self.asn(space, key),
        };
        if asn == NEVER_FAST || !self.is_same_in_page(ea, access, key) {
            return self.translate_with_key(ea, space, access, key);
        }
        let e = &self.tlb.entries[(ea >> 12) as usize % TLB_ENTRIES];
        let tag = ea & PAGE_MASK | asn;
        let hit = match access {
            Access::Write => e.checked_write == tag && !self.is_low_protected_page(ea),
            _ => e.read == tag,
        };
        if hit {
            return Ok(self.ram.abs(e.addend.wrapping_add(ea as usize)));
        }
        // Only 512 bytes of a page under low-address protection are protected: the rest, which
        // holds most of a kernel's lowcore, is found here.
        if access == Access::Write && e.checked_write == tag && ea & 0xfff >= 0x200 {
            return Ok(self.ram.abs(e.addend.wrapping_add(ea as usize)));
        }
        let abs = self.translate_with_key(ea, space, access, key)?;
        self.enter(asn, ea, abs, access == Access::Write);
        Ok(abs)
    }

    /// Stops a store into the block that is running before anything happened: the instruction
    /// is then executed alone, so that the ones after it are decoded anew.
    fn check_own_block(&mut self, abs: u64, len: usize) -> Result<(), Trap> {
        let (start, end) = self.place.range;
        if abs < end && start < abs + len as u64 {
            return Err(self.trap(Fault::OwnBlock));
        }
        Ok(())
    }

    /// Enters the page in the buffer.
    fn enter(&mut self, asn: u64, ea: u64, abs: u64, write: bool) {
        let (page, abs_page) = (ea & PAGE_MASK, abs & PAGE_MASK);
        if !self.ram.contains(abs_page, PAGE_SIZE) {
            return;
        }
        let host = self.ram.host(abs_page, PAGE_SIZE) as usize;
        let fast_write =
            write && !self.ram.code().has_code(abs) && !self.is_low_protected_page(page);
        let e = &mut self.tlb.entries[(ea >> 12) as usize % TLB_ENTRIES];
        let tag = page | asn;
        let addend = host.wrapping_sub(page as usize);
        if e.read != tag || e.addend != addend {
            e.forget();
        }
        e.read = tag;
        e.addend = addend;
        if write {
            e.checked_write = tag;
        }
        if fast_write {
            e.write = tag;
        }
    }

    /// Before instructions at `[abs, abs + len)`, in one page, are decoded: from now on stores
    /// there are noticed.
    pub(crate) fn watch_code(&mut self, abs: u64, len: usize) {
        if self.ram.code().watch(abs, len) {
            let host = self.ram.host(abs & PAGE_MASK, PAGE_SIZE) as usize;
            self.tlb.protect(host);
            self.flush_others();
        }
    }
}
