/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The addresses and offsets of ../format.rs, for C and assembly. */
#define SLOTS		1024
#define SLOT_SIZE	64
#define SLOT_BACKWARD	0
#define SLOT_CODE	16
#define SLOT_TARGET	40
#define SLOT_FORWARD	48

#define CODE		0x01000000
#define MEMORY		0x10000000
#define MEMORY_SIZE	0x2000
#define READ_ONLY	0x10004000
#define WINDOW		0x10000f00
#define WINDOW_SIZE	512

/*
 * Where no case's register 15 points: it would be taken for a signal on top of
 * another, whose frames must not be written over.
 */
#define SIGNAL_STACK	0x2a5a5a50000
#define SIGNAL_STACK_SIZE 0x10000

#define RECORD_SIZE	896
#define RECORD_FPR	128
#define RECORD_AR	256
#define RECORD_FPC	320
#define RECORD_CC_MASK	324
#define RECORD_MODE	325

#define MODE_64		0
#define MODE_31		1

#define EXIT_NEXT	0
#define EXIT_FORWARD	1
#define EXIT_BACKWARD	2
