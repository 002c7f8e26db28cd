// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Threaded code: sequences of decoded instructions, each of which calls the next.
//!
//! Where the compiler makes the calls into jumps, every instruction has an indirect jump of its
//! own, which the host predicts better than a common one. Where it does not, they nest as deep as
//! there are instructions, which a sequence has few of.

use std::slice::Iter;

use crate::cpu::{Cpu, Exec, Fault, Flow};
use crate::decode::Insn;
use crate::table::{execute, Op};

/// The instruction to execute, and those after it.
pub(crate) type Rest<'a> = Iter<'a, Insn>;

/// Executes the first instruction of what is left of a sequence, and those that follow it.
///
/// # Safety
/// The rest is that of a [`Sequence`] and not empty; [`Cpu::is_fast_only`].
pub(crate) type Handler = for<'a> unsafe fn(&mut Cpu, Rest<'a>) -> Left<'a>;

/// How and where a sequence was left: the outcome of its instruction `insn`, which is not
/// [`Flow::Next`].
pub(crate) struct Left<'a> {
    pub(crate) outcome: Exec,
    pub(crate) insn: &'a Insn,
}

/// Instructions to be executed one after the other. The last one is an [`Op::End`], which does not
/// go on to another.
pub(crate) struct Sequence(Box<[Insn]>);

impl Sequence {
    /// A sequence of these instructions, at least one, and an end.
    pub(crate) fn new(mut insns: Vec<Insn>) -> Self {
        let mut end = *insns.last().expect("an instruction");
        end.op = Op::End;
        insns.push(end);
        let last = insns.len() - 2;
        for (n, insn) in insns.iter_mut().enumerate() {
            insn.index = n.min(last) as u8;
            insn.handler = insn.op.handler();
        }
        Sequence(insns.into())
    }

    /// Makes the first instruction one that only says that the sequence is stale.
    pub(crate) fn make_stale(&mut self) {
        self.0[0].op = Op::Stale;
        self.0[0].handler = Op::Stale.handler();
    }

    /// Executes instructions until one does not simply go on to the next.
    #[inline(always)]
    pub(crate) fn run(&self, cpu: &mut Cpu) -> Left<'_> {
        cpu.want_fast_only();
        let all = self.0.iter();
        // SAFETY: all of a sequence, which has an end at least; fast accesses are asked for.
        unsafe { (current(&all).handler)(cpu, all) }
    }
}

/// The instruction to execute.
///
/// # Safety
/// The rest is not empty.
#[inline(always)]
pub(crate) unsafe fn current<'a>(rest: &Rest<'a>) -> &'a Insn {
    // SAFETY: required of the caller.
    unsafe { rest.as_slice().get_unchecked(0) }
}

/// Goes on after the first instruction of `rest`, whose outcome was [`Flow::Next`].
///
/// # Safety
/// As for a [`Handler`].
#[inline(always)]
pub(crate) unsafe fn go_on<'a>(cpu: &mut Cpu, mut rest: Rest<'a>) -> Left<'a> {
    rest.next();
    // SAFETY: the instruction was not the end of its sequence, for which `Flow::Next` is no
    // outcome: there is another. The rest is required of the caller.
    unsafe { (current(&rest).handler)(cpu, rest) }
}

/// Leaves the sequence at the first instruction of `rest` because of its outcome. After a trap
/// since an access was not fast, executes the instruction again instead.
///
/// # Safety
/// As for a [`Handler`].
#[inline(always)]
pub(crate) unsafe fn leave<'a>(cpu: &mut Cpu, outcome: Exec, rest: Rest<'a>) -> Left<'a> {
    if outcome.is_err() {
        // SAFETY: required of the caller.
        return unsafe { trapped(cpu, outcome, rest) };
    }
    // SAFETY: required of the caller.
    let insn = unsafe { current(&rest) };
    Left { outcome, insn }
}

/// See [`leave`].
///
/// # Safety
/// As for a [`Handler`].
#[cold]
#[inline(never)]
unsafe fn trapped<'a>(cpu: &mut Cpu, mut outcome: Exec, rest: Rest<'a>) -> Left<'a> {
    // SAFETY: required of the caller.
    let insn = unsafe { current(&rest) };
    if cpu.fault == Fault::NotFast {
        outcome = execute(cpu, insn);
        if outcome == Ok(Flow::Next) {
            // SAFETY: required of the caller.
            return unsafe { go_on(cpu, rest) };
        }
    }
    Left { outcome, insn }
}
