/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Loads all registers for a case, jumps to it, and stores them afterwards. What
 * must be reached while no register is free lies in .state, which is linked low
 * enough for a 20-bit displacement without a base register.
 */
#include "layout.h"

	.text
	.globl _start, enter, leave, signal_entry
	.globl exit_next, exit_forward, exit_backward

_start:	lghi	%r11, 0
	aghi	%r15, -160
	brasl	%r14, start

/* enter(in, out): returns when the case has ended, one way or another. */
enter:	stmg	%r6, %r15, 48(%r15)
	stg	%r15, saved_stack(%r0)
	stg	%r3, saved_out(%r0)
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	ld	%f\n, RECORD_FPR+8*\n(%r2)
	.endr
	lfpc	RECORD_FPC(%r2)
	lam	%a0, %a15, RECORD_AR(%r2)
	llgc	%r1, RECORD_CC_MASK(%r2)
	sllg	%r1, %r1, 24
	cli	RECORD_MODE(%r2), MODE_31
	je	1f
	spm	%r1
	lmg	%r0, %r15, 0(%r2)	/* R14: where the case's code starts */
	br	%r14
1:	sam31
	spm	%r1
	lmg	%r0, %r15, 0(%r2)
	br	%r14

exit_next:
	mviy	exit_kind(%r0), EXIT_NEXT
	j	exit
exit_forward:
	mviy	exit_kind(%r0), EXIT_FORWARD
	j	exit
exit_backward:
	mviy	exit_kind(%r0), EXIT_BACKWARD
exit:	stmg	%r0, %r15, exit_gpr(%r0)
	ipm	%r1
	lhi	%r2, MODE_64
	tam
	jo	1f
	lhi	%r2, MODE_31
1:	sam64
	lg	%r3, saved_out(%r0)
	srl	%r1, 24
	stc	%r1, RECORD_CC_MASK(%r3)
	stc	%r2, RECORD_MODE(%r3)
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	std	%f\n, RECORD_FPR+8*\n(%r3)
	.endr
	stfpc	RECORD_FPC(%r3)
	stam	%a0, %a15, RECORD_AR(%r3)
leave:	lg	%r15, saved_stack(%r0)
	lmg	%r6, %r15, 48(%r15)
	br	%r14

/* The case's own addressing mode may still be in force. */
signal_entry:
	sam64
	aghi	%r15, -160
	brasl	%r14, handle_signal

	.section .state, "aw", @progbits
	.globl	exit_kind, exit_gpr, enter_r14
	.balign	8
exit_gpr:	.skip	128
enter_r14:	.skip	8
saved_stack:	.skip	8
saved_out:	.skip	8
exit_kind:	.skip	1

	.section .note.GNU-stack, "", @progbits
