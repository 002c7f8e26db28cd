/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Starts as a Linux process does: the stack holds the arguments. Ends with SVC 1, exit. */
	.globl _start
_start:	lg	%r2, 0(%r15)
	la	%r3, 8(%r15)
	aghi	%r15, -160
	brasl	%r14, compute
	svc	1

	.section .note.GNU-stack, "", @progbits
