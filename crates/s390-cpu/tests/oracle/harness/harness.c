/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The instruction oracle: executes single instructions from a given state, in
 * bulk, and tells what became of the state. It owns the batch loop, the memory
 * that cases see, and what a signal means; enter.S owns the registers. The
 * records and addresses are those that ../format.rs documents.
 *
 * A freestanding program: no C library, hence nothing that needs the access
 * registers, floating point or a stack while a case runs.
 */
#include "layout.h"

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

/* A case and its outcome have the same layout, each with fields of its own. */
struct record {
	u64 gpr[16];
	u64 fpr[16];
	u32 ar[16];
	u32 fpc;
	u8 cc_mask;		/* as SPM and IPM have it: condition code, program mask */
	u8 mode;		/* addressing mode: MODE_64 or MODE_31 */
	u8 code_length;		/* case */
	u8 target_length;	/* case */
	u16 slot;		/* case */
	u8 signal;		/* outcome */
	u8 reserved;
	u32 signal_code;	/* outcome */
	u64 psw_address;	/* outcome */
	u64 fault_address;	/* outcome */
	u8 code[16];		/* case */
	u8 target[16];		/* case */
	u8 window[WINDOW_SIZE];
};

_Static_assert(sizeof(struct record) == RECORD_SIZE, "the size of a record");
_Static_assert(__builtin_offsetof(struct record, window) == 384, "the window");

/* The part of the kernel's signal frame that is read: struct ucontext. */
struct context {
	u64 flags;
	u64 link;
	u64 stack[3];
	u64 psw_mask;
	u64 psw_address;
	u64 gpr[16];
	u32 ar[16];
	u32 fpc;
	u32 reserved;
	u64 fpr[16];
};

struct siginfo {
	int number;
	int error;
	int code;
	int reserved;
	u64 address;
};

struct sigaction {
	void (*handler)(void);
	u64 flags;
	void (*restorer)(void);
	u64 mask;
};

extern void enter(struct record *in, struct record *out);
extern void leave(void) __attribute__((noreturn));
extern void signal_entry(void);
extern void exit_next(void), exit_forward(void), exit_backward(void);
extern u8 exit_kind;
extern u64 exit_gpr[16], enter_r14;

static struct record cases[SLOTS], outcomes[SLOTS];
static struct record *current;

static long system_call(long number, long a, long b, long c, long d, long e, long f)
{
	register long r1 asm("1") = number;
	register long r2 asm("2") = a;
	register long r3 asm("3") = b;
	register long r4 asm("4") = c;
	register long r5 asm("5") = d;
	register long r6 asm("6") = e;
	register long r7 asm("7") = f;

	asm volatile("svc 0" : "+d"(r2)
		     : "d"(r1), "d"(r3), "d"(r4), "d"(r5), "d"(r6), "d"(r7)
		     : "memory", "cc");
	return r2;
}

static void die(int status)
{
	system_call(1, status, 0, 0, 0, 0, 0);
	__builtin_trap();
}

/* Reads (number 3) or writes (4) all of a buffer; 0 at the end of the file. */
static int transfer(int number, int file, void *buffer, u64 length)
{
	u64 done = 0;

	while (done < length) {
		long n = system_call(number, file, (long)buffer + done, length - done, 0, 0, 0);
		if (n == -4)	/* EINTR */
			continue;
		if (n < 0)
			die(2);
		if (n == 0)
			return 0;
		done += n;
	}
	return 1;
}

static void map(u64 address, u64 length, int protection)
{
	/* mmap takes its arguments from memory: private, fixed, anonymous. */
	long arguments[6] = { address, length, protection, 0x32, -1, 0 };

	if (system_call(90, (long)arguments, 0, 0, 0, 0, 0) != (long)address)
		die(3);
}

static void catch(int signal)
{
	/* SA_SIGINFO | SA_ONSTACK | SA_NODEFER: it does not return to the case. */
	struct sigaction action = { signal_entry, 0x4 | 0x08000000 | 0x40000000, 0, 0 };

	if (system_call(174, signal, (long)&action, 0, 8, 0, 0))
		die(4);
}

/* Called from signal_entry on the signal stack: the case has ended here. */
void handle_signal(int number, struct siginfo *info, struct context *context)
{
	struct record *out = current;
	int i;

	if (!out)
		die(5);
	for (i = 0; i < 16; i++) {
		out->gpr[i] = context->gpr[i];
		out->fpr[i] = context->fpr[i];
		out->ar[i] = context->ar[i];
	}
	out->fpc = context->fpc;
	out->cc_mask = context->psw_mask >> 40 & 0x3f;
	out->mode = context->psw_mask >> 32 & 1 ? MODE_64 : MODE_31;
	out->signal = number;
	out->signal_code = info->code;
	out->psw_address = context->psw_address;
	out->fault_address = info->address;
	leave();
}

/* BRCL 15: a jump to an exit, which tells by its name from where. */
static void jump(u8 *at, void (*to)(void))
{
	int halfwords = ((long)to - (long)at) / 2;

	at[0] = 0xc0;
	at[1] = 0xf4;
	__builtin_memcpy(at + 2, &halfwords, 4);
}

/*
 * Makes the slot's code: LG 14 as the last step of loading the registers, the
 * case's instructions, and the jumps on which it can land. Everything else is
 * zero, which is no instruction. A slot that is right already is not written:
 * an emulator keeps its translation.
 */
static void prepare(const struct record *in)
{
	u8 *slot = (u8 *)CODE + in->slot * SLOT_SIZE;
	/* Built where it will stand, since the jumps are relative. */
	static u8 image[SLOT_SIZE] __attribute__((aligned(8)));
	u32 r14 = (u32)(u64)&enter_r14;
	long offset = slot - image;
	u64 *from = (u64 *)image, *to = (u64 *)slot;
	int i, same = 1;

	__builtin_memset(image, 0, SLOT_SIZE);
	jump(image + SLOT_BACKWARD, (void (*)(void))((long)exit_backward - offset));
	image[SLOT_CODE - 6] = 0xe3;
	image[SLOT_CODE - 5] = 0xe0;
	image[SLOT_CODE - 4] = r14 >> 8 & 0xf;
	image[SLOT_CODE - 3] = r14;
	image[SLOT_CODE - 2] = r14 >> 12;
	image[SLOT_CODE - 1] = 0x04;
	for (i = 0; i < in->code_length; i++)
		image[SLOT_CODE + i] = in->code[i];
	jump(image + SLOT_CODE + i, (void (*)(void))((long)exit_next - offset));
	for (i = 0; i < in->target_length; i++)
		image[SLOT_TARGET + i] = in->target[i];
	jump(image + SLOT_FORWARD, (void (*)(void))((long)exit_forward - offset));

	for (i = 0; i < SLOT_SIZE / 8; i++)
		same &= from[i] == to[i];
	if (!same)
		for (i = 0; i < SLOT_SIZE / 8; i++)
			to[i] = from[i];
}

static void execute(struct record *in, struct record *out)
{
	u64 slot = CODE + in->slot * SLOT_SIZE;
	int i;

	__builtin_memcpy((void *)WINDOW, in->window, WINDOW_SIZE);
	enter_r14 = in->gpr[14];
	in->gpr[14] = slot + SLOT_CODE - 6;
	out->signal = 0;
	out->signal_code = 0;
	out->fault_address = 0;
	current = out;
	enter(in, out);
	current = 0;
	if (!out->signal) {
		for (i = 0; i < 16; i++)
			out->gpr[i] = exit_gpr[i];
		if (exit_kind == EXIT_NEXT)
			out->psw_address = slot + SLOT_CODE + in->code_length;
		else if (exit_kind == EXIT_FORWARD)
			out->psw_address = slot + SLOT_FORWARD;
		else
			out->psw_address = slot + SLOT_BACKWARD;
	}
	__builtin_memcpy(out->window, (void *)WINDOW, WINDOW_SIZE);
}

void start(void)
{
	/* stack_t: pointer, flags, size. */
	u64 stack[3] = { SIGNAL_STACK, 0, SIGNAL_STACK_SIZE };
	u32 count, i;

	map(CODE, SLOTS * SLOT_SIZE, 7);
	map(MEMORY, MEMORY_SIZE, 3);
	map(READ_ONLY, 4096, 1);
	map(SIGNAL_STACK, SIGNAL_STACK_SIZE, 3);
	if (system_call(186, (long)stack, 0, 0, 0, 0, 0))
		die(4);
	catch(4);		/* SIGILL */
	catch(5);		/* SIGTRAP */
	catch(7);		/* SIGBUS */
	catch(8);		/* SIGFPE */
	catch(11);		/* SIGSEGV */

	/* A batch is a count and as many cases; the answer as many outcomes. */
	while (transfer(3, 0, &count, sizeof(count))) {
		if (count > SLOTS || !transfer(3, 0, cases, count * sizeof(cases[0])))
			die(6);
		for (i = 0; i < count; i++) {
			if (cases[i].slot >= SLOTS || cases[i].code_length > 16 ||
			    cases[i].target_length > 6)
				die(6);
			prepare(&cases[i]);
		}
		for (i = 0; i < count; i++)
			execute(&cases[i], &outcomes[i]);
		transfer(4, 1, outcomes, count * sizeof(outcomes[0]));
	}
	die(0);
}
