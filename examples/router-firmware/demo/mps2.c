/* The machine is QEMU's mps2-an386, a Cortex-M4: start-up, semihosting, a measure of instructions and stack. */
#include "platform.h"

#include <stdint.h>

/* ---- start-up ---- */

extern uint32_t data_start[], data_end[], data_load[], bss_start[], bss_end[], stack_bottom[], stack_top[];

int main(void);
void reset(void);
_Noreturn void abort(void);

__attribute__((section(".vectors"), used)) static const struct {
	uint32_t *stack;
	void (*handlers[15])(void);
} vectors = {
	stack_top,
	{ reset, abort, abort, abort, abort, abort, abort, abort, abort, abort, abort, abort, abort, abort, abort },
};

#define CPACR (*(volatile uint32_t *)0xe000ed88)
#define SYSTICK ((volatile uint32_t *)0xe000e010) /* control, reload, current */
#define SYSTICK_MASK 0xffffffu

#define STACK_PAINT 0x5afe57acu
#define STACK_MEASURED (64 * 1024 / 4) /* words below the top */

static _Noreturn void end(int failed);

__attribute__((noinline)) static void paint_stack(void)
{
	volatile uint32_t *here = (volatile uint32_t *)__builtin_frame_address(0);

	for (volatile uint32_t *at = stack_top - STACK_MEASURED; at < here - 16; at++)
		*at = STACK_PAINT;
}

void reset(void)
{
	for (uint32_t *to = data_start, *from = data_load; to < data_end;)
		*to++ = *from++;
	for (uint32_t *to = bss_start; to < bss_end;)
		*to++ = 0;
	CPACR |= 0xfu << 20; /* the floating point unit: the ABI has its registers */
	__asm volatile("dsb\n\tisb");
	SYSTICK[1] = SYSTICK_MASK;
	SYSTICK[2] = 0;
	SYSTICK[0] = 5; /* on, by the processor's clock, without interrupts */
	paint_stack();
	end(main());
}

/* ---- semihosting ---- */

enum { SYS_WRITE0 = 0x04, SYS_EXIT = 0x18 };
enum { EXIT_SUCCESS_ = 0x20026, EXIT_FAILURE_ = 0x20023 };

static void semihost(uint32_t operation, uintptr_t argument)
{
	register uint32_t r0 __asm("r0") = operation;
	register uintptr_t r1 __asm("r1") = argument;

	__asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static _Noreturn void end(int failed)
{
	semihost(SYS_EXIT, failed ? EXIT_FAILURE_ : EXIT_SUCCESS_);
	for (;;)
		;
}

void platform_print(const char *text)
{
	semihost(SYS_WRITE0, (uintptr_t)text);
}

/* What a panic or a fault calls. A device restarts. */
_Noreturn void abort(void)
{
	platform_print("aborted\n");
	end(1);
}

/* ---- what the machine has not ---- */

/* NOT RANDOM: QEMU's board has no generator. A device reads its own here. */
void platform_random(void *bytes, size_t length)
{
	static uint64_t state = 0x9e3779b97f4a7c15;
	uint8_t *to = bytes;

	while (length-- > 0) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		*to++ = (uint8_t)(state >> 32);
	}
}

/* ---- measures ---- */

/* With `-icount shift=0` an instruction takes a nanosecond, and a tick of the 25 MHz clock forty of them. */
uint32_t platform_instructions(void)
{
	static uint32_t before = SYSTICK_MASK;
	uint32_t now = SYSTICK[2], ticks = (before - now) & SYSTICK_MASK;

	before = now;
	return ticks * 40;
}

uint32_t platform_stack(void)
{
	const volatile uint32_t *at = stack_top - STACK_MEASURED;

	while (at < stack_top && *at == STACK_PAINT)
		at++;
	return (uint32_t)(stack_top - at) * 4;
}
