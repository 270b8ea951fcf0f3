#include "runtime/x86_64/rewrite_decode.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/x86_64/rewrite_length.h"

/* Capstone prints every instruction it decodes; the text is not wanted here, and printing is a third of the time. */
static int print_nothing(char *str, size_t size, const char *format, va_list ap)
{
	(void)format;
	(void)ap;
	if (size > 0)
		str[0] = '\0';
	return 0;
}

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void library_setup(void)
{
	cs_opt_mem mem = {malloc, calloc, realloc, free, print_nothing};

	cs_option(0, CS_OPT_MEM, (size_t)&mem);
}

void decoder_open(struct decoder *d)
{
	*d = (struct decoder){.budget = DECODE_BUDGET};
	pthread_once(&library_once, library_setup);
}

/* Most code needs no Capstone, and opening it costs as much as hundreds of instructions. False: no memory. */
static bool ready(csh *handle, cs_insn **insn, bool details)
{
	if (*insn)
		return true;
	if (!*handle && cs_open(CS_ARCH_X86, CS_MODE_64, handle) != CS_ERR_OK)
		return false;
	if (details && cs_option(*handle, CS_OPT_DETAIL, CS_OPT_ON) != CS_ERR_OK)
		return false;
	*insn = cs_malloc(*handle);
	return *insn != NULL;
}

void decoder_close(struct decoder *d)
{
	if (d->quick_insn)
		cs_free(d->quick_insn, 1);
	if (d->full_insn)
		cs_free(d->full_insn, 1);
	if (d->quick)
		cs_close(&d->quick);
	if (d->full)
		cs_close(&d->full);
	*d = (struct decoder){0};
}

static int32_t read32(const uint8_t *p)
{
	int32_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

/* Bytes of legacy and REX prefixes. *ret_narrow: 66 without REX.W, which processors disagree about on branches. */
static size_t prefix_len(const uint8_t *p, size_t len, bool *ret_narrow)
{
	bool narrow = false;
	size_t i = 0;

	for (; i < len; i++) {
		switch (p[i]) {
		case 0x66:
			narrow = true;
			continue;
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
		case 0x64:
		case 0x65:
		case 0x67:
		case 0xf0:
		case 0xf2:
		case 0xf3:
			continue;
		}
		break;
	}
	if (i < len && (p[i] & 0xf0) == 0x40) {
		if (p[i] & 0x08)
			narrow = false;
		i++;
	}
	*ret_narrow = narrow;
	return i;
}

static enum insn_kind classify_two_byte(const uint8_t *p, size_t len, size_t op)
{
	uint8_t b = op + 1 < len ? p[op + 1] : 0;

	if (b == 0x05)
		return INSN_SYSCALL;
	if ((b & 0xf0) == 0x80)
		return INSN_BRANCH;
	if (b == 0x0b || b == 0xb9 || b == 0xff || b == 0x07 || b == 0x34 || b == 0x35)
		return INSN_STOP;
	if (b == 0x1f)
		return INSN_NOP;
	if (b == 0x1e && len == op + 3 && p[op + 2] == 0xfa && op > 0 && p[op - 1] == 0xf3)
		return INSN_ENDBR;
	return INSN_PLAIN;
}

static enum insn_kind classify_ff(uint8_t modrm)
{
	switch (modrm >> 3 & 7) {
	case 2:
	case 3:
		return INSN_CALL;
	case 4:
		return (modrm & 0xc7) == 0x05 ? INSN_JUMP_SLOT : INSN_JUMP_ANY;
	case 5:
		return INSN_JUMP_ANY;
	default:
		return INSN_PLAIN;
	}
}

/* Where control goes after the instruction of len bytes at p. Its length is Capstone's; only the opcode is looked at here. */
static enum insn_kind classify(const uint8_t *p, size_t len, bool *ret_narrow)
{
	size_t op = prefix_len(p, len, ret_narrow);
	uint8_t b = op < len ? p[op] : 0;

	switch (b) {
	case 0x0f:
		return classify_two_byte(p, len, op);
	case 0x90:
		return INSN_NOP;
	case 0xe8:
		return INSN_CALL;
	case 0xe9:
	case 0xeb:
		return INSN_JUMP;
	case 0xe0:
	case 0xe1:
	case 0xe2:
	case 0xe3:
		return INSN_BRANCH;
	case 0xc2:
	case 0xc3:
	case 0xca:
	case 0xcb:
	case 0xcf:
	case 0xcc:
	case 0xf1:
	case 0xf4:
		return INSN_STOP;
	case 0xc7:
		return op + 1 < len && p[op + 1] == 0xf8 ? INSN_BRANCH : INSN_PLAIN;
	case 0xff:
		return op + 1 < len ? classify_ff(p[op + 1]) : INSN_STOP;
	}
	return (b & 0xf0) == 0x70 ? INSN_BRANCH : INSN_PLAIN;
}

/* The relative displacement is the last 1 or 4 bytes of every direct branch. */
static int64_t branch_target(const uint8_t *p, size_t len, uint32_t off, enum insn_kind kind)
{
	bool narrow;
	size_t op = prefix_len(p, len, &narrow);
	uint8_t b = p[op];
	bool near;

	if (kind == INSN_CALL && b != 0xe8)
		return INSN_NO_TARGET;
	near = b == 0xe8 || b == 0xe9 || b == 0x0f || b == 0xc7;
	if (len < op + (near ? 5 : 2))
		return INSN_NO_TARGET;
	return (int64_t)off + (int64_t)len + (near ? read32(p + len - 4) : (int8_t)p[len - 1]);
}

void function_begin(struct function *f, size_t start, size_t end)
{
	f->start = f->done = start;
	f->end = end;
	f->count = 0;
	f->broken = f->jumps_any = false;
}

void function_free(struct function *f)
{
	free(f->insns);
	*f = (struct function){0};
}

static int function_grow(struct function *f)
{
	size_t cap = f->cap ? 2 * f->cap : 256;
	struct insn *p = realloc(f->insns, cap * sizeof *p);

	if (!p)
		return -ENOMEM;
	f->insns = p;
	f->cap = cap;
	return 0;
}

/* Go on behind the instruction at *p: by the table, or by Capstone for what is not in it. */
static bool next_insn(struct decoder *d, const uint8_t **p, size_t *left, uint64_t *address)
{
	const uint8_t *at = *p;
	size_t n = insn_length(at, *left);

	if (n == 0)
		return ready(&d->quick, &d->quick_insn, false) &&
		       cs_disasm_iter(d->quick, p, left, address, d->quick_insn) && *p > at && *p - at <= 15;
	*p += n;
	*left -= n;
	*address += n;
	return true;
}

int function_decode(struct function *f, struct decoder *d, const uint8_t *text, size_t upto)
{
	const uint8_t *p = text + f->done;
	size_t left = f->end - f->done;
	uint64_t address = f->done;

	if (upto > f->end)
		upto = f->end;
	while (f->done < upto && !f->broken) {
		struct insn in = {.off = (uint32_t)f->done, .target = INSN_NO_TARGET};
		const uint8_t *at = p;
		bool narrow;

		if (d->budget < 16 || !next_insn(d, &p, &left, &address)) {
			f->broken = true;
			break;
		}
		in.len = (uint8_t)(p - at);
		d->budget -= in.len;
		in.kind = (uint8_t)classify(at, in.len, &narrow);
		if (in.kind == INSN_JUMP || in.kind == INSN_BRANCH || in.kind == INSN_CALL) {
			in.target = branch_target(at, in.len, in.off, in.kind);
			if (in.kind != INSN_CALL && in.target == INSN_NO_TARGET)
				f->broken = true;
			if (narrow && in.target != INSN_NO_TARGET)
				f->broken = true;
		}
		if (in.kind == INSN_JUMP_ANY)
			f->jumps_any = true;
		if (f->count == f->cap && function_grow(f) < 0)
			return -ENOMEM;
		f->insns[f->count++] = in;
		f->done += in.len;
	}
	return 0;
}

long function_find(const struct function *f, size_t off)
{
	size_t lo = 0, hi = f->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (f->insns[mid].off < off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < f->count && f->insns[lo].off == off ? (long)lo : -1;
}

static bool falls_through(enum insn_kind kind)
{
	return kind <= INSN_BRANCH;
}

int function_reach(struct function *f)
{
	uint32_t *todo;
	size_t n = 0;

	if (f->count == 0)
		return 0;
	todo = malloc(f->count * sizeof *todo);
	if (!todo)
		return -ENOMEM;
	for (size_t i = 0; i < f->count; i++)
		f->insns[i].reached = false;
	f->insns[0].reached = true;
	todo[n++] = 0;
	/* An instruction is put on the list once, when it is first marked: the list never holds more than all of them. */
	while (n > 0) {
		size_t i = todo[--n];
		const struct insn *in = &f->insns[i];

		if (falls_through(in->kind) && i + 1 < f->count && !f->insns[i + 1].reached) {
			f->insns[i + 1].reached = true;
			todo[n++] = (uint32_t)(i + 1);
		}
		if (in->target >= (int64_t)f->start && in->target < (int64_t)f->done) {
			long t = function_find(f, (size_t)in->target);

			if (t < 0) {
				f->broken = true;
			} else if (!f->insns[t].reached) {
				f->insns[t].reached = true;
				todo[n++] = (uint32_t)t;
			}
		}
	}
	free(todo);
	return 0;
}

static bool is_listed(unsigned id)
{
	static const uint16_t listed[] = {X86_INS_MOV, X86_INS_MOVABS, X86_INS_MOVSXD, X86_INS_MOVSX,
		X86_INS_MOVZX, X86_INS_LEA, X86_INS_CMP, X86_INS_TEST, X86_INS_ADD, X86_INS_SUB, X86_INS_AND,
		X86_INS_OR, X86_INS_XOR, X86_INS_NEG, X86_INS_NOT, X86_INS_INC, X86_INS_DEC, X86_INS_SHL,
		X86_INS_SHR, X86_INS_SAR, X86_INS_PUSH, X86_INS_POP, X86_INS_CDQE, X86_INS_CWDE, X86_INS_XCHG,
		X86_INS_NOP, X86_INS_LEAVE, X86_INS_SETE, X86_INS_SETNE, X86_INS_CMOVE, X86_INS_CMOVNE,
		X86_INS_BT};

	for (size_t i = 0; i < sizeof listed / sizeof listed[0]; i++)
		if (listed[i] == id)
			return true;
	return false;
}

/* The two that follow nearly every call in a C library: cmp $imm32,%eax and cmp $imm32,%rax. */
static size_t error_check_len(const uint8_t *bytes, size_t len)
{
	if (len >= 5 && bytes[0] == 0x3d)
		return 5;
	return len >= 6 && bytes[0] == 0x48 && bytes[1] == 0x3d ? 6 : 0;
}

size_t insn_movable_len(struct decoder *d, const uint8_t *bytes, size_t len)
{
	const uint8_t *p = bytes;
	size_t left = len < 15 ? len : 15;
	uint64_t address = 0;
	cs_insn *in;
	size_t check = error_check_len(bytes, left);

	if (check)
		return check;
	if (!ready(&d->full, &d->full_insn, true))
		return 0;
	in = d->full_insn;
	if (!cs_disasm_iter(d->full, &p, &left, &address, in) || !is_listed(in->id))
		return 0;
	if (cs_insn_group(d->full, in, X86_GRP_JUMP) || cs_insn_group(d->full, in, X86_GRP_CALL) ||
		cs_insn_group(d->full, in, X86_GRP_RET) || cs_insn_group(d->full, in, X86_GRP_INT))
		return 0;
	for (size_t i = 0; i < in->detail->x86.op_count; i++) {
		const cs_x86_op *op = &in->detail->x86.operands[i];

		if (op->type == X86_OP_MEM && (op->mem.base == X86_REG_RIP || op->mem.base == X86_REG_EIP))
			return 0;
		if (op->type == X86_OP_REG && (op->reg == X86_REG_RIP || op->reg == X86_REG_EIP))
			return 0;
	}
	return (size_t)(p - bytes);
}
