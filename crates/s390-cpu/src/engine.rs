// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The loop that runs blocks, and notices what must be noticed between them.

use s390_hypervisor::{Intercept, ResetKind};

use crate::block::{decode_one, BlockCache, BlockId, Place, NO_EXIT};
use crate::cpu::{Cpu, Exec, Fault, Flow};
use crate::decode::Insn;
use crate::interrupt::NoLowcore;
use crate::shared::Attention;
use crate::table::execute;
use crate::threaded::Left;

/// Instructions between two looks at the clock.
const SLICE: i64 = 1 << 14;

/// Why the engine stopped.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The host must act.
    Intercept(Intercept),
    /// Somebody kicked the CPU.
    Kicked,
    /// An interruption cannot be taken.
    Failed(NoLowcore),
}

/// What to do after a look at everything that can come between two instructions.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Execute the instruction at the PSW's address.
    Go,
    /// Something happened; look again.
    Again,
    /// Leave the engine.
    Stop(Stop),
}

/// Why a run of chained blocks ended.
enum Event {
    /// Look at interruptions, clock and PSW, then go on at the PSW's address.
    Look,
    /// Leave with the intercept.
    Intercept,
    /// A fault of the instruction at the PSW's address, of this length.
    Fault(u8),
    /// An address cannot be fetched from.
    FetchFault,
}

/// A CPU and its decoded blocks.
pub(crate) struct Engine {
    pub(crate) cpu: Box<Cpu>,
    cache: BlockCache,
}

impl Engine {
    pub(crate) fn new(cpu: Box<Cpu>) -> Self {
        cpu.ram.code().listen(cpu.shared.clone());
        Engine {
            cpu,
            cache: BlockCache::new(),
        }
    }

    /// The CPU resets. Another guest may be next, so no block is kept: the stale ones of many
    /// guests would add up.
    pub(crate) fn reset(&mut self, kind: ResetKind) {
        self.cpu.reset(kind);
        self.cache.clear();
    }

    /// Runs the guest until the host is needed.
    pub(crate) fn run(&mut self) -> Stop {
        self.cpu.enter_guest();
        let stop = loop {
            if let Look::Stop(stop) = self.step() {
                break stop;
            }
        };
        self.cpu.shared.flushes.leave();
        stop
    }

    /// Looks at everything there is to see, then runs blocks until there may be more.
    fn step(&mut self) -> Look {
        if self.cpu.shared.attention.any() {
            let bits = self.cpu.shared.attention.take();
            if bits & Attention::STALE_CODE != 0 {
                for page in self.cpu.shared.stale_pages.take() {
                    self.cache.drop_page(page);
                }
            }
            if bits & Attention::FLUSH != 0 {
                self.cpu.flush_for_others();
            }
            if bits & Attention::KICK != 0 {
                return Look::Stop(Stop::Kicked);
            }
        }
        match self.cpu.before_instruction() {
            Look::Go => {}
            other => return other,
        }
        if self.cpu.translation_changed() {
            self.cache.forget_translations();
        }
        let addr = self.cpu.psw_addr;
        // Only instructions that run alone say which access register is theirs.
        let mut event = if self.cpu.is_access_register_mode() {
            self.run_one()
        } else {
            match self.cache.find(&mut self.cpu, addr) {
                Ok(Some(id)) => self.run_blocks(id),
                Ok(None) => self.run_one(),
                Err(_) => Event::FetchFault,
            }
        };
        if matches!(event, Event::Fault(_)) && self.cpu.fault == Fault::OwnBlock {
            event = self.run_one();
        }
        match event {
            Event::Look => Look::Again,
            Event::Intercept => Look::Stop(Stop::Intercept(self.cpu.intercept)),
            Event::Fault(ilc) => self.cpu.take_program_interruption(Some(ilc)),
            Event::FetchFault => self.cpu.take_program_interruption(None),
        }
    }

    /// Runs blocks from `id` on, chain after chain, until something has to be looked at.
    fn run_blocks(&mut self, mut id: BlockId) -> Event {
        let cpu = &mut *self.cpu;
        let slice = cpu.slice(SLICE);
        let mut budget = slice;
        let event = loop {
            let left;
            (id, left) = run_chain(cpu, &self.cache, id, &mut budget);
            let block = self.cache.block(id);
            let Some(Left { outcome, insn }) = left else {
                cpu.psw_addr = block.place.addr;
                break Event::Look;
            };
            let (target, exit) = match outcome {
                Ok(Flow::Taken) => (insn.imm as u64, usize::from(insn.index)),
                Ok(Flow::End) => (block.end, block.sequential_exit()),
                Ok(Flow::Jump) => (cpu.jump, NO_EXIT),
                _ => {
                    budget += i64::from(!completed(outcome));
                    break finish(cpu, outcome, insn);
                }
            };
            match self.cache.follow(cpu, id, exit, target) {
                Ok(Some(next)) => id = next,
                other => {
                    cpu.psw_addr = target;
                    break match other {
                        Ok(_) => Event::Look,
                        Err(_) => Event::FetchFault,
                    };
                }
            }
        };
        cpu.instructions += (slice - budget) as u64;
        event
    }

    /// Runs the instruction at the PSW's address alone.
    fn run_one(&mut self) -> Event {
        let cpu = &mut *self.cpu;
        let insn = match decode_one(cpu, cpu.psw_addr, 0) {
            Ok(insn) => insn,
            Err(_) => return Event::FetchFault,
        };
        cpu.place = Place {
            addr: cpu.psw_addr,
            range: (0, 0),
        };
        let outcome = execute(cpu, &insn);
        cpu.instructions += u64::from(completed(outcome));
        match outcome {
            Ok(Flow::Next) => cpu.psw_addr = cpu.next_addr(&insn),
            Ok(Flow::Taken) => cpu.psw_addr = insn.imm as u64,
            Ok(Flow::Jump) => cpu.psw_addr = cpu.jump,
            _ => return finish(cpu, outcome, &insn),
        }
        Event::Look
    }
}

/// Runs blocks from `id` on while it is known which one comes next: the inner loop of all.
/// Returns the last block and how it was left; if at all, for somebody may want attention before
/// it, or the `budget` of instructions is used up.
#[inline(never)]
fn run_chain<'a>(
    cpu: &mut Cpu,
    cache: &'a BlockCache,
    mut id: BlockId,
    budget: &mut i64,
) -> (BlockId, Option<Left<'a>>) {
    let mut instructions = *budget;
    let left = loop {
        let block = cache.block(id);
        if instructions <= 0 || cpu.shared.attention.any() {
            break None;
        }
        cpu.place = block.place;
        let left = block.code.run(cpu);
        instructions -= i64::from(left.insn.index) + 1;
        let next = match left.outcome {
            Ok(Flow::Taken) => block.leads_to(left.insn.index.into()),
            Ok(Flow::End) => block.leads_to(block.sequential_exit()),
            Ok(Flow::Jump) => cache.find_known(cpu, cpu.jump),
            _ => None,
        };
        match next {
            Some(next) => id = next,
            None => break Some(left),
        }
    };
    *budget = instructions;
    (id, left)
}

/// Whether an instruction completed, so that it counts.
fn completed(outcome: Exec) -> bool {
    !matches!(outcome, Ok(Flow::Stale | Flow::Again) | Err(_))
}

/// Puts the PSW where an instruction left it that does not simply go on.
#[cold]
fn finish(cpu: &mut Cpu, outcome: Exec, insn: &Insn) -> Event {
    match outcome {
        Ok(Flow::NewPsw) => Event::Look,
        Ok(Flow::Stale | Flow::Again) => {
            cpu.psw_addr = cpu.insn_addr(insn);
            Event::Look
        }
        Ok(Flow::Intercept) => {
            cpu.psw_addr = cpu.next_addr(insn);
            Event::Intercept
        }
        Ok(Flow::Sync | Flow::Next | Flow::End | Flow::Taken | Flow::Jump) => {
            cpu.psw_addr = cpu.next_addr(insn);
            Event::Look
        }
        Err(_) => {
            cpu.psw_addr = cpu.insn_addr(insn);
            Event::Fault(insn.ilc)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cpu, load, CODE};

    #[test]
    fn no_block_survives_a_reset() {
        let mut cpu = cpu();
        load(&mut cpu, CODE, "07fe");
        let mut engine = Engine::new(cpu);
        assert!(matches!(
            engine.cache.find(&mut engine.cpu, CODE),
            Ok(Some(_))
        ));
        assert_eq!(engine.cache.len(), 1);
        engine.reset(ResetKind::Initial);
        assert_eq!(engine.cache.len(), 0);
    }
}
