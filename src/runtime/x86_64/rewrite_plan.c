#include "runtime/x86_64/rewrite_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/x86_64/rewrite_decode.h"
#include "runtime/x86_64/rewrite_scan.h"

#define JUMP_LEN 5
#define SYSCALL_LEN 2
#define REL8_REACH 130 /* 127 forward or 128 backward of the end of a two-byte branch */
#define NR_RT_SIGRETURN 15

struct planner {
	const struct rewrite_code *code;
	const struct rewrite_text *text;
	struct decoder decoder;
	struct function fn; /* the one that holds the sites at hand */
	struct function neighbour; /* one that is asked about a branch */
	struct window_set windows;
	uint32_t outcomes[REWRITE_OUTCOMES];
};

const char *rewrite_outcome_name(enum rewrite_outcome outcome)
{
	static const char *const names[REWRITE_OUTCOMES] = {
		[REWRITE_BY_MOV] = "mov",
		[REWRITE_BY_TAIL] = "tail",
		[REWRITE_NO_FUNCTION] = "no function",
		[REWRITE_UNDECODED] = "undecoded",
		[REWRITE_UNREACHED] = "unreached",
		[REWRITE_SHORT] = "short",
		[REWRITE_BRANCH] = "branch",
		[REWRITE_INDIRECT] = "indirect jump",
		[REWRITE_ENTRY] = "entry",
		[REWRITE_SIGRETURN] = "sigreturn",
		[REWRITE_OVERLAP] = "overlap",
	};

	return outcome < REWRITE_OUTCOMES ? names[outcome] : "?";
}

static void settle(struct planner *p, size_t at, enum rewrite_outcome outcome)
{
	p->outcomes[outcome]++;
	if (p->code->trace)
		p->code->trace(p->code->ctx, p->text->vaddr + at, outcome);
}

/* The function around text offset off, if it lies wholly inside the text. */
static bool function_around(const struct planner *p, size_t off, size_t *ret_start, size_t *ret_end)
{
	uint64_t start, end, vaddr = p->text->vaddr;

	if (!p->code->function_at(p->code->ctx, vaddr + off, &start, &end))
		return false;
	if (start < vaddr || start - vaddr > off || end - vaddr <= off || end - vaddr > p->text->len)
		return false;
	*ret_start = start - vaddr;
	*ret_end = end - vaddr;
	return true;
}

/* --- the two forms --- */

static bool is_mov_imm(const uint8_t *b, size_t len)
{
	return (len == 5 && b[0] == 0xb8) || (len == 7 && b[0] == 0x48 && b[1] == 0xc7 && b[2] == 0xc0);
}

static uint32_t mov_imm(const uint8_t *b, size_t len)
{
	uint32_t v;

	memcpy(&v, b + len - 4, sizeof v);
	return v;
}

/* The instruction right before the site, if it is the load of a constant call number. */
static const struct insn *mov_before(const struct planner *p, size_t i)
{
	const struct insn *in;

	if (i == 0)
		return NULL;
	in = &p->fn.insns[i - 1];
	if (!in->reached || !is_mov_imm(p->text->bytes + in->off, in->len))
		return NULL;
	return in;
}

/* Behind a final `ret` or `jmp` at text offset `from`: are the bytes up to `to` filler that nothing runs? */
static bool is_filler(struct planner *p, size_t from, size_t to)
{
	const uint8_t *text = p->text->bytes;

	if (to > p->text->len)
		return false;
	for (size_t off = from; off < to; off++) {
		size_t start, end;

		if (function_around(p, off, &start, &end) && start != p->fn.start)
			return false;
	}
	p->neighbour.count = 0;
	function_begin(&p->neighbour, from, p->text->len);
	if (function_decode(&p->neighbour, &p->decoder, text, to) < 0 || p->neighbour.broken)
		return false;
	for (size_t i = 0; i < p->neighbour.count; i++) {
		const struct insn *in = &p->neighbour.insns[i];

		if (in->kind != INSN_NOP && text[in->off] != 0xcc)
			return false;
	}
	return true;
}

/* Length of `ret` or a direct `jmp`, with which the displaced code may end; else 0. */
static size_t ending_len(const uint8_t *p, size_t left)
{
	if (p[0] == 0xc3)
		return 1;
	if (p[0] == 0xeb && left >= 2)
		return 2;
	return p[0] == 0xe9 && left >= 5 ? 5 : 0;
}

/* The window that would begin with a `syscall` at text offset `at`, going by the bytes alone: true and *ret if there is one.
 * *ret_code: the end of its instructions, before filler if the last is a return or jump. */
static bool tail_window(struct planner *p, size_t at, struct window *ret, size_t *ret_code)
{
	const uint8_t *text = p->text->bytes;
	size_t len = SYSCALL_LEN, ending = 0;
	uint16_t bounds = 1;

	while (len < JUMP_LEN && !ending) {
		size_t left, n;

		if (at + len >= p->text->len)
			return false;
		left = p->text->len - at - len;
		ending = ending_len(text + at + len, left);
		n = ending ? ending : insn_movable_len(&p->decoder, text + at + len, left);
		if (n == 0 || len + n > REWRITE_WINDOW_MAX)
			return false;
		bounds |= (uint16_t)(1u << len);
		len += n;
	}
	*ret_code = at + len;
	if (len < JUMP_LEN)
		len = JUMP_LEN;
	*ret = (struct window){.lo = (uint32_t)at,
		.hi = (uint32_t)(at + len),
		.at = (uint32_t)at,
		.bounds = bounds,
		.form = REWRITE_TAIL};
	return at + len <= p->text->len;
}

/* Do the bytes around 0f 05 fit either form? Most places where these two bytes are part of something else end here. */
static bool may_fit(struct planner *p, size_t at)
{
	const uint8_t *b = p->text->bytes + at;
	struct window w;
	size_t code;

	return (at >= 5 && is_mov_imm(b - 5, 5)) || (at >= 7 && is_mov_imm(b - 7, 7)) ||
	       tail_window(p, at, &w, &code);
}

static bool tail_fits(struct planner *p, size_t at, struct window *ret)
{
	size_t code;

	return tail_window(p, at, ret, &code) && code <= p->fn.end &&
	       (code == ret->hi || is_filler(p, code, ret->hi));
}

/* --- branches --- */

/* A byte outside the site's function looks like a short branch into the window. It is none if it is known to be part of another
 * instruction: decode the function that it lies in. */
static bool branch_is_real(struct planner *p, size_t at)
{
	size_t start, end;
	long i;

	if (!function_around(p, at, &start, &end) || end - start > REWRITE_FUNCTION_MAX)
		return true;
	if (start != p->neighbour.start || end != p->neighbour.end || p->neighbour.done <= at) {
		function_begin(&p->neighbour, start, end);
		if (function_decode(&p->neighbour, &p->decoder, p->text->bytes, at + 1) < 0)
			return true;
	}
	if (p->neighbour.broken)
		return true;
	i = function_find(&p->neighbour, at);
	return i >= 0 && p->neighbour.insns[i].target != INSN_NO_TARGET;
}

static bool short_branch_from_outside(struct planner *p, const struct window *w)
{
	size_t from = w->lo > REL8_REACH ? w->lo - REL8_REACH : 0;
	size_t to = w->hi + REL8_REACH;

	if (to > p->text->len - 1)
		to = p->text->len - 1;
	for (size_t at = from; at < to; at++) {
		if (at >= p->fn.start && at < p->fn.end) {
			at = p->fn.end - 1;
			continue;
		}
		if (scan_is_rel8_into(p->text->bytes, at, w->lo + 1, w->hi) && branch_is_real(p, at))
			return true;
	}
	return false;
}

static bool branch_from_inside(const struct function *f, const struct window *w)
{
	for (size_t i = 0; i < f->count; i++)
		if (f->insns[i].target > (int64_t)w->lo && f->insns[i].target < (int64_t)w->hi)
			return true;
	return false;
}

static enum rewrite_outcome window_refusal(struct planner *p, const struct window *w)
{
	/* What an indirect jump can hit is an instruction's start, and the form REWRITE_MOV has only one, the window's own. */
	if (w->form == REWRITE_TAIL && p->fn.jumps_any)
		return REWRITE_INDIRECT;
	if (branch_from_inside(&p->fn, w) || short_branch_from_outside(p, w))
		return REWRITE_BRANCH;
	return 0;
}

/* --- functions --- */

/* Could the bytes hold `jmp *reg`, `jmp *table(,%reg,8)` or a far jump, at whatever alignment? */
static bool may_jump_any(const uint8_t *p, size_t from, size_t end)
{
	const uint8_t *q;

	while (from + 1 < end && (q = memchr(p + from, 0xff, end - from - 1)) != NULL) {
		uint8_t reg = q[1] >> 3 & 7;

		if ((reg == 4 && (q[1] & 0xc7) != 0x05) || reg == 5)
			return true;
		from = (size_t)(q - p) + 1;
	}
	return false;
}

static bool all_sites_reached(const struct function *f)
{
	for (size_t i = 0; i < f->count; i++)
		if (f->insns[i].kind == INSN_SYSCALL && !f->insns[i].reached)
			return false;
	return true;
}

/* Decode as much of the function as its sites need, the last of which is at `last`. */
static int decode_function(struct planner *p, size_t last)
{
	struct function *f = &p->fn;
	const uint8_t *text = p->text->bytes;
	int err = function_decode(f, &p->decoder, text, last + SYSCALL_LEN + REWRITE_WINDOW_MAX + REL8_REACH);

	if (err < 0)
		return err;
	if (!f->broken && f->done < f->end && may_jump_any(text, f->done, f->end))
		err = function_decode(f, &p->decoder, text, f->end);
	if (err < 0 || f->broken)
		return err;
	err = function_reach(f);
	if (err < 0 || f->broken || f->done == f->end || all_sites_reached(f))
		return err;
	err = function_decode(f, &p->decoder, text, f->end);
	if (err < 0 || f->broken)
		return err;
	return function_reach(f);
}

static int plan_site(struct planner *p, size_t i)
{
	const struct insn *site = &p->fn.insns[i], *mov = mov_before(p, i);
	struct window tail;
	int err;

	if (!site->reached) {
		settle(p, site->off, REWRITE_UNREACHED);
		return 0;
	}
	if (mov && mov_imm(p->text->bytes + mov->off, mov->len) == NR_RT_SIGRETURN) {
		settle(p, site->off, REWRITE_SIGRETURN);
		return 0;
	}
	if (mov) {
		struct window w = {.lo = mov->off,
			.hi = mov->off + mov->len,
			.at = site->off,
			.bounds = 1,
			.form = REWRITE_MOV};

		w.refusal = (uint8_t)window_refusal(p, &w);
		err = window_set_add(&p->windows, w);
		if (err < 0)
			return err;
	}
	if (!tail_fits(p, site->off, &tail)) {
		if (!mov)
			settle(p, site->off, REWRITE_SHORT);
		return 0;
	}
	tail.refusal = (uint8_t)window_refusal(p, &tail);
	return window_set_add(&p->windows, tail);
}

/* Plan all candidates of the function around `first`. *ret_next: where to look for the next candidate. */
static int plan_function(struct planner *p, size_t first, size_t limit, size_t *ret_next)
{
	size_t start, end, last = first, stop;
	int err;

	if (!may_fit(p, first)) {
		settle(p, first, REWRITE_SHORT);
		*ret_next = first + 1;
		return 0;
	}
	if (!function_around(p, first, &start, &end)) {
		settle(p, first, REWRITE_NO_FUNCTION);
		*ret_next = first + 1;
		return 0;
	}
	stop = end < limit ? end : limit;
	*ret_next = stop;
	for (size_t at = first; at < stop; at = scan_syscall(p->text->bytes, at + 1, stop))
		if (may_fit(p, at))
			last = at;
	function_begin(&p->fn, start, end);
	if (end - start <= REWRITE_FUNCTION_MAX) {
		err = decode_function(p, last);
		if (err < 0)
			return err;
	} else {
		p->fn.broken = true;
	}
	for (size_t at = first; at < stop; at = scan_syscall(p->text->bytes, at + 1, stop)) {
		long i;

		if (!may_fit(p, at)) {
			settle(p, at, REWRITE_SHORT);
			continue;
		}
		if (p->fn.broken) {
			settle(p, at, REWRITE_UNDECODED);
			continue;
		}
		i = function_find(&p->fn, at);
		if (i < 0 || p->fn.insns[i].kind != INSN_SYSCALL)
			continue;
		err = plan_site(p, (size_t)i);
		if (err < 0)
			return err;
	}
	return 0;
}

/* --- the plan --- */

static void hit_entry(void *arg, uint64_t vaddr)
{
	struct planner *p = arg;

	window_set_hit(&p->windows, (int64_t)(vaddr - p->text->vaddr), REWRITE_ENTRY);
}

static void refuse_by_raw_scan(struct planner *p)
{
	for (size_t i = 0; i < p->code->text_count; i++) {
		const struct rewrite_text *t = &p->code->texts[i];

		scan_rel32(t->bytes, t->len, (int64_t)(t->vaddr - p->text->vaddr), &p->windows);
	}
	if (p->code->entries)
		p->code->entries(p->code->ctx, hit_entry, p);
}

static void emit(struct planner *p, struct rewrite_plan *plan, const struct window *w)
{
	struct rewrite_site *s = &plan->sites[plan->count++];
	size_t keep = w->hi - w->lo + (w->form == REWRITE_MOV ? SYSCALL_LEN : 0);

	*s = (struct rewrite_site){.off = w->lo - (uint32_t)p->code->from,
		.form = w->form,
		.len = (uint8_t)(w->hi - w->lo),
		.bounds = w->bounds};
	memcpy(s->bytes, p->text->bytes + w->lo, keep);
	settle(p, w->at, w->form == REWRITE_MOV ? REWRITE_BY_MOV : REWRITE_BY_TAIL);
}

/* First every good REWRITE_MOV window, then each REWRITE_TAIL whose site has none and that touches no other. */
static void choose(struct planner *p, struct rewrite_plan *plan)
{
	struct window *v = p->windows.v;
	size_t n = p->windows.count, covered = 0;

	for (size_t i = 0; i < n; i++) {
		struct window *w = &v[i], *next = i + 1 < n ? &v[i + 1] : NULL;
		/* A site's two windows are neighbours here: the mov's comes first, and the tail begins where it ended plus nothing. */
		bool pair_first = next && w->form == REWRITE_MOV && next->at == w->at;
		bool pair_second = i > 0 && v[i - 1].form == REWRITE_MOV && v[i - 1].at == w->at;
		bool fits = w->lo >= covered && w->hi - w->lo >= JUMP_LEN;

		if (pair_second && !v[i - 1].refusal)
			continue;
		/* A tail must leave the next site's mov alone: that form is the better one. */
		if (w->form == REWRITE_TAIL && next && next->form == REWRITE_MOV && !next->refusal &&
			next->lo < w->hi)
			fits = false;
		if (!w->refusal && !fits)
			w->refusal = REWRITE_OVERLAP;
		if (w->refusal) {
			if (!pair_first)
				settle(p, w->at, w->refusal);
			continue;
		}
		emit(p, plan, w);
		covered = w->form == REWRITE_MOV ? w->hi + SYSCALL_LEN : w->hi;
	}
}

static bool in_range(const struct rewrite_code *c, const struct window *w)
{
	size_t hi = w->form == REWRITE_MOV ? w->hi + SYSCALL_LEN : w->hi;

	return w->lo >= c->from && hi <= c->to;
}

static int make_plan(struct planner *p, struct rewrite_plan **ret)
{
	const struct rewrite_code *c = p->code;
	struct rewrite_plan *plan;
	size_t kept = 0, at;
	int err;

	for (at = scan_syscall(p->text->bytes, c->from, c->to); at < c->to;
		at = scan_syscall(p->text->bytes, at, c->to)) {
		err = plan_function(p, at, c->to, &at);
		if (err < 0)
			return err;
	}
	for (size_t i = 0; i < p->windows.count; i++)
		if (in_range(c, &p->windows.v[i]))
			p->windows.v[kept++] = p->windows.v[i];
	p->windows.count = kept;
	if (kept > 0) {
		err = window_set_index(&p->windows, p->text->len);
		if (err < 0)
			return err;
		refuse_by_raw_scan(p);
	}
	plan = calloc(1, sizeof *plan + kept * sizeof plan->sites[0]);
	if (!plan)
		return -ENOMEM;
	plan->len = c->to - c->from;
	choose(p, plan);
	memcpy(plan->outcomes, p->outcomes, sizeof plan->outcomes);
	*ret = plan;
	return 0;
}

int rewrite_plan_code(const struct rewrite_code *code, struct rewrite_plan **ret)
{
	struct planner p = {.code = code};
	int err;

	if (code->which >= code->text_count)
		return -EINVAL;
	p.text = &code->texts[code->which];
	if (p.text->len > REWRITE_TEXT_MAX || code->from > code->to || code->to > p.text->len)
		return -EINVAL;
	decoder_open(&p.decoder);
	err = make_plan(&p, ret);
	decoder_close(&p.decoder);
	function_free(&p.fn);
	function_free(&p.neighbour);
	window_set_free(&p.windows);
	return err;
}

int rewrite_plan_look(const uint8_t *bytes, size_t len, size_t from, size_t *ret)
{
	struct rewrite_text text = {.bytes = bytes, .len = len};
	struct planner p = {.text = &text};

	decoder_open(&p.decoder);
	from = scan_syscall(bytes, from, len);
	while (from < len && !may_fit(&p, from))
		from = scan_syscall(bytes, from + 1, len);
	*ret = from;
	decoder_close(&p.decoder);
	return 0;
}

int rewrite_plan_is_site(const uint8_t *function, size_t len, size_t at)
{
	struct function f = {0};
	struct decoder d;
	long i;
	int err;

	decoder_open(&d);
	function_begin(&f, 0, len);
	err = function_decode(&f, &d, function, at + 1);
	if (err == 0) {
		i = function_find(&f, at);
		err = i >= 0 && f.insns[i].kind == INSN_SYSCALL;
	}
	function_free(&f);
	decoder_close(&d);
	return err;
}
