// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Decoded blocks: found by address, chained, dropped when their storage changes.
//!
//! A block is straight-line code inside one page that may be left by branches. It is keyed by absolute and virtual address
//! (relative operands are resolved when decoding) and by what decoding depends on in the PSW and
//! the control registers. Blocks of the same page are chained directly: while no translation
//! changes, a page stays where it is.

use std::cell::Cell;
use std::collections::HashMap;
use std::num::NonZeroU32;

use crate::access::{PAGE_MASK, PAGE_SIZE};
use crate::cpu::{Cpu, Trap};
use crate::dat::{Access, Space};
use crate::decode::{decode, length, Context, Insn};
use crate::table::Attributes;
use crate::threaded::Sequence;

/// Names a block: its index plus 1.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockId(NonZeroU32);

impl BlockId {
    /// The next one after so many.
    fn after(blocks: usize) -> Self {
        BlockId(NonZeroU32::MIN.saturating_add(blocks as u32))
    }

    #[inline(always)]
    fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// From here on a conditional branch ends a block: short loops fit, and not too much is decoded
/// that may never run.
const ENOUGH_INSNS: usize = 16;
/// Bounds the time between two looks at pending interruptions.
const MAX_INSNS: usize = 64;
/// Blocks held before all are dropped; about 100 MiB.
const MAX_BLOCKS: usize = 1 << 18;
const JUMP_CACHE: usize = 4096;

pub(crate) struct Block {
    pub(crate) code: Sequence,
    pub(crate) place: Place,
    /// Virtual address after the last instruction.
    pub(crate) end: u64,
    /// The blocks that its exits lead to, where that is known. An exit for each instruction, for
    /// the case that it is a relative branch, and one for what follows the last instruction.
    links: Box<[Cell<Option<BlockId>>]>,
}

/// Stands for the exit to a computed address, which may always lead elsewhere.
pub(crate) const NO_EXIT: usize = usize::MAX;

impl Block {
    /// The exit to what follows the last instruction.
    #[inline(always)]
    pub(crate) fn sequential_exit(&self) -> usize {
        self.links.len() - 1
    }

    /// The block that an exit leads to, if it is in the same page and was run.
    #[inline(always)]
    pub(crate) fn leads_to(&self, exit: usize) -> Option<BlockId> {
        self.links.get(exit)?.get()
    }
}

/// Where a block is.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Place {
    /// Virtual address of the first instruction.
    pub(crate) addr: u64,
    /// Absolute addresses: first byte, and one past the last. Empty if the block is stale, or is
    /// no block but an instruction that runs alone.
    pub(crate) range: (u64, u64),
}

/// A block is the same only where all of this is.
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
struct Key {
    abs: u64,
    addr: u64,
    mode: u64,
}

/// Where the jump cache keeps an address.
#[inline(always)]
fn slot(addr: u64) -> usize {
    (addr >> 1) as usize % JUMP_CACHE
}

/// What was found at a virtual address last time.
#[derive(Copy, Clone)]
struct Jump {
    addr: u64,
    tag: u64,
    id: Option<BlockId>,
}

pub(crate) struct BlockCache {
    blocks: Vec<Block>,
    by_key: HashMap<Key, BlockId>,
    by_page: HashMap<u64, Vec<(Key, BlockId)>>,
    jumps: Box<[Jump; JUMP_CACHE]>,
    /// Counts how often every block was dropped.
    generation: u64,
    /// In every tag of the jump cache; counting it up forgets them all.
    epoch: u64,
}

impl BlockCache {
    pub(crate) fn new() -> Self {
        let mut cache = BlockCache {
            blocks: Vec::new(),
            by_key: HashMap::new(),
            by_page: HashMap::new(),
            jumps: Box::new(
                [Jump {
                    addr: 0,
                    tag: 0,
                    id: None,
                }; JUMP_CACHE],
            ),
            generation: 0,
            epoch: 1,
        };
        cache.clear();
        cache
    }

    /// Drops every block.
    pub(crate) fn clear(&mut self) {
        self.generation += 1;
        self.blocks.clear();
        self.by_key.clear();
        self.by_page.clear();
        self.forget_translations();
    }

    /// Blocks that take memory, stale ones among them.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// To be called when a virtual address may have got another absolute address.
    pub(crate) fn forget_translations(&mut self) {
        self.epoch += 1;
    }

    /// Drops the blocks in the absolute page with this number. Whoever still is chained to one
    /// of them finds [`Op::Stale`] there.
    pub(crate) fn drop_page(&mut self, page: u64) {
        for (key, id) in self.by_page.remove(&page).unwrap_or_default() {
            self.by_key.remove(&key);
            let block = &mut self.blocks[id.index()];
            block.place.range = (0, 0);
            block.code.make_stale();
        }
        self.forget_translations();
    }

    #[inline(always)]
    pub(crate) fn block(&self, id: BlockId) -> &Block {
        &self.blocks[id.index()]
    }

    /// The block at virtual address `addr` if it was found there a short time ago.
    #[inline(always)]
    pub(crate) fn find_known(&self, cpu: &Cpu, addr: u64) -> Option<BlockId> {
        let jump = &self.jumps[slot(addr)];
        (jump.addr == addr && jump.tag == self.tag(cpu)).then_some(jump.id)?
    }

    /// The block at virtual address `addr`, decoded if need be. `None` where it cannot be kept
    /// since its first instruction crosses into another page.
    pub(crate) fn find(&mut self, cpu: &mut Cpu, addr: u64) -> Result<Option<BlockId>, Trap> {
        if let Some(id) = self.find_known(cpu, addr) {
            return Ok(Some(id));
        }
        let id = self.find_slow(cpu, addr)?;
        let tag = self.tag(cpu);
        self.jumps[slot(addr)] = Jump { addr, tag, id };
        Ok(id)
    }

    #[inline(always)]
    fn tag(&self, cpu: &Cpu) -> u64 {
        cpu.fetch_tag ^ self.epoch << 32
    }

    /// The block at `target`, which block `from` was left for; see [`BlockCache::find`].
    pub(crate) fn follow(
        &mut self,
        cpu: &mut Cpu,
        from: BlockId,
        exit: usize,
        target: u64,
    ) -> Result<Option<BlockId>, Trap> {
        let generation = self.generation;
        let found = self.find(cpu, target)?;
        let block = self.blocks.get(from.index());
        if let Some(block) = block.filter(|_| generation == self.generation) {
            // Only inside a page do blocks follow each other whatever is mapped where.
            if (block.place.addr ^ target) & PAGE_MASK == 0 {
                if let Some(link) = block.links.get(exit) {
                    link.set(found);
                }
            }
        }
        Ok(found)
    }

    #[cold]
    fn find_slow(&mut self, cpu: &mut Cpu, addr: u64) -> Result<Option<BlockId>, Trap> {
        if addr & 1 != 0 {
            return Err(cpu.specification());
        }
        let abs = cpu.translate(addr, Space::Instruction, Access::Fetch)?;
        let key = Key {
            abs,
            addr,
            mode: cpu.decode_mode(),
        };
        if let Some(&id) = self.by_key.get(&key) {
            return Ok(Some(id));
        }
        if self.blocks.len() >= MAX_BLOCKS {
            self.clear();
        }
        let insns = decode_block(cpu, addr, abs);
        let Some(last) = insns.last() else {
            return Ok(None);
        };
        let len = last.offset() + u64::from(last.ilc);
        let id = BlockId::after(self.blocks.len());
        self.blocks.push(Block {
            place: Place {
                addr,
                range: (abs, abs + len),
            },
            end: addr.wrapping_add(len) & cpu.addr_mask,
            links: vec![Cell::new(None); insns.len() + 1].into(),
            code: Sequence::new(insns),
        });
        self.by_key.insert(key, id);
        self.by_page.entry(abs >> 12).or_default().push((key, id));
        Ok(Some(id))
    }
}

/// Decodes from `addr` (at absolute address `abs`) to the end of the block. Empty if the first
/// instruction crosses into the next page.
fn decode_block(cpu: &mut Cpu, addr: u64, abs: u64) -> Vec<Insn> {
    let page_left = (PAGE_SIZE - (abs & !PAGE_MASK)) as usize;
    let window = page_left.min(MAX_INSNS * 6);
    let mut text = [0; MAX_INSNS * 6 + 8];
    cpu.watch_code(abs, window);
    cpu.ram.read(abs, &mut text[..window]);
    let mut insns = Vec::with_capacity(16);
    let mut at = 0;
    while at < window && insns.len() < MAX_INSNS {
        let len = usize::from(length(text[at]));
        if at + len > window {
            break;
        }
        let mut ctx = cpu.decode_context(addr.wrapping_add(at as u64));
        ctx.addr &= cpu.addr_mask;
        let mut insn = decode(first_48_bits(&text[at..]), &ctx, |bit| cpu.model.has(bit));
        insn.halfwords = (at / 2) as u8;
        insns.push(insn);
        at += len;
        let attributes = insn.op.entry().attributes;
        let branch = attributes.contains(Attributes::BRANCH);
        if attributes.contains(Attributes::END) || branch && insns.len() >= ENOUGH_INSNS {
            break;
        }
    }
    insns
}

/// Decodes the instruction at `addr` alone, wherever its bytes are. `modifier` is ORed into its
/// second byte, as EXECUTE does.
pub(crate) fn decode_one(cpu: &mut Cpu, addr: u64, modifier: u8) -> Result<Insn, Trap> {
    if addr & 1 != 0 {
        return Err(cpu.specification());
    }
    let mut text = [0; 8];
    if addr & !PAGE_MASK <= PAGE_SIZE - 6 {
        cpu.read_space(Space::Instruction, addr, &mut text[..6])?;
    } else {
        // The next page must not be asked for what is not needed of it.
        cpu.read_space(Space::Instruction, addr, &mut text[..2])?;
        for at in (2..usize::from(length(text[0]))).step_by(2) {
            let addr = addr.wrapping_add(at as u64) & cpu.addr_mask;
            cpu.read_space(Space::Instruction, addr, &mut text[at..at + 2])?;
        }
    }
    text[1] |= modifier;
    let ctx: Context = cpu.decode_context(addr);
    Ok(decode(first_48_bits(&text), &ctx, |bit| cpu.model.has(bit)))
}

/// The first 6 of at least 8 bytes as text for the decoder. What lies behind a shorter
/// instruction does not matter.
fn first_48_bits(bytes: &[u8]) -> u64 {
    let text = u64::from_be_bytes(bytes[..8].try_into().expect("8 bytes"));
    let text = text >> 16;
    match length(bytes[0]) {
        2 => text & 0xffff_0000_0000,
        4 => text & 0xffff_ffff_0000,
        _ => text,
    }
}
