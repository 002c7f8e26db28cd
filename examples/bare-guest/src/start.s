# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# Entry, interruption handlers, and what cannot be said in Rust. Included by start.rs.

# What a loader of Linux images looks for: the entry at 0x10000, the magic behind it, and at
# 0x10400 the parameter area with the command line at 0x10480, which the loader fills in.
        .section .head,"awx",@progbits
        .globl  _start
_start:
        brcl    15,start
        .org    _start+0x8
        .ascii  "S390EP"
        .byte   0,1
        .org    _start+0x400
        .org    _start+0x1000

        .section .text.start,"ax",@progbits
        .p2align 4
# Entered in the 64-bit mode, DAT and interruptions off.
start:
        larl    %r15,__stack_top
        aghi    %r15,-160               # the register save area that a caller owes
        xc      0(8,%r15),0(%r15)       # end of the chain of stack frames
        larl    %r2,__bss_start
        larl    %r3,__bss_end
        lghi    %r4,0
0:      clgr    %r2,%r3
        brc     10,1f                   # not below: done
        stg     %r4,0(%r2)
        aghi    %r2,8
        brc     15,0b
1:      brasl   %r14,rust_main
        brc     15,.

# One handler a class: all registers to a save area in the lowcore, a stack of its own, Rust,
# and back by the old PSW, which Rust may have changed.
        .macro  handler name,save,old,stack,callee
        .globl  \name
        .p2align 4
\name:
        stmg    %r0,%r15,\save(%r0)
        larl    %r15,\stack
        aghi    %r15,-160
        xc      0(8,%r15),0(%r15)
        brasl   %r14,\callee
        lmg     %r0,%r15,\save(%r0)
        lpswe   \old(%r0)
        .endm

        handler external_handler,0x400,0x130,__interrupt_stack_top,rust_external
        handler svc_handler,0x480,0x140,__interrupt_stack_top,rust_svc
        handler program_handler,0x500,0x150,__check_stack_top,rust_program

# Waits for an external interruption; its handler comes back here with interruptions off again.
        .globl  enabled_wait
        .p2align 4
enabled_wait:
        larl    %r1,wait_psw
        lpswe   0(%r1)
wait_done:
        br      %r14

# Loads a word from the real address in %r2, which may not be there. Result 1 if it is, 0 if not:
# the handler for program interruptions goes on at probe_failed.
        .globl  probe_real
        .p2align 4
probe_real:
        .insn   rre,0xb24b0000,%r3,%r2  # LURA
        .globl  probe_next
probe_next:
        lghi    %r2,1
        br      %r14
        .globl  probe_failed
        .p2align 1
probe_failed:
        lghi    %r2,0
        br      %r14

        .section .data.psw,"aw",@progbits
        .p2align 3
wait_psw:
        .quad   0x0102000180000000,wait_done
