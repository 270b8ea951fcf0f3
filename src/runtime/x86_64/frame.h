/*
 * frame: the kernel's signal frame on x86-64 (arch/x86/include/asm/sigframe.h, uapi/asm/sigcontext.h, as facts).
 */
#ifndef SCONE_RUNTIME_FRAME_H
#define SCONE_RUNTIME_FRAME_H

#include <assert.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include "runtime/runtime.h"

enum greg {
	G_R8,
	G_R9,
	G_R10,
	G_R11,
	G_R12,
	G_R13,
	G_R14,
	G_R15,
	G_RDI,
	G_RSI,
	G_RBP,
	G_RBX,
	G_RDX,
	G_RAX,
	G_RCX,
	G_RSP,
	G_RIP,
	G_FLAGS,
	G_CSGSFS,
	G_ERR,
	G_TRAPNO,
	G_OLDMASK,
	G_CR2,
	G_COUNT
};

struct kernel_ucontext {
	uint64_t flags;
	uint64_t link;
	struct kernel_stack stack;
	uint64_t g[G_COUNT];
	uint64_t fpstate; /* address of the FXSAVE/XSAVE image, 64-byte aligned */
	uint64_t reserved[8];
	uint64_t sigmask;
};

struct kernel_frame {
	uint64_t restorer;
	struct kernel_ucontext uc;
	siginfo_t info;
};
static_assert(sizeof(struct kernel_ucontext) == 304, "kernel ABI");
static_assert(offsetof(struct kernel_frame, info) == 312 && sizeof(struct kernel_frame) == 440, "kernel ABI");

/* Inside the FXSAVE image: software-reserved bytes at 464 say how long the whole image is. */
#define FXSAVE_SIZE 512
#define FXSAVE_CWD 0
#define FXSAVE_MXCSR 24
#define FXSAVE_MAGIC1 464
#define FXSAVE_EXTENDED_SIZE 468

#endif
