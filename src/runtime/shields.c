#include "runtime/shields.h"

#include <errno.h>
#include "runtime/console.h"
#include "runtime/fd.h"
#include "runtime/net.h"
#include "runtime/net_renew.h"
#include "runtime/volumes.h"

#define MAGIC 0x53484c31u /* "SHL1" */

static struct injected_table *files;
static uint32_t lock; /* 0 free, 1 held, 2 held and waited for */

/* Not a pthread mutex: a child that shares its parent's memory uses it too. */
void shields_lock(void)
{
	uint32_t seen = 0;

	if (__atomic_compare_exchange_n(&lock, &seen, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return;
	while (__atomic_exchange_n(&lock, 2, __ATOMIC_ACQUIRE) != 0)
		host_futex_wait(&lock, 2);
}

void shields_unlock(void)
{
	if (__atomic_exchange_n(&lock, 0, __ATOMIC_RELEASE) == 2)
		host_futex_wake(&lock, 1);
}

struct injected_table *shields_files(void)
{
	return files;
}

int shields_init(struct process *p, struct injected_table *t)
{
	int ret;

	if (!t || injected_count(t) == 0) {
		injected_free(t);
		return 0;
	}
	ret = fd_init(p);
	if (ret < 0) {
		injected_free(t);
		return ret;
	}
	files = t;
	p->path_rules = true;
	return 0;
}

int shields_encode(struct process *p, struct buf *out)
{
	int ret;

	shields_lock();
	buf_put_u32be(out, MAGIC);
	ret = volumes_encode(p, out);
	if (files)
		injected_encode(files, out);
	else
		buf_put_u32be(out, 0);
	if (!out->failed && (net_encode(p, out) || console_encode(p, out)))
		out->failed = true;
	fd_encode(p, out);
	net_table_keep(true);
	net_renew_keep(true);
	console_table_keep(true);
	shields_unlock();
	return ret ? ret : out->failed ? -ENOMEM : 0;
}

int shields_decode(struct process *p, struct rd *in)
{
	struct injected_table *t;
	size_t count;
	int ret;

	if (rd_u32be(in) != MAGIC)
		return -EBADMSG;
	ret = volumes_decode(p, in);
	if (ret < 0)
		return ret;
	ret = injected_decode(in, &shields_memory, &t);
	if (ret < 0)
		return ret;
	count = injected_count(t);
	ret = shields_init(p, t);
	if (ret == 0)
		ret = net_decode(p, in);
	if (ret == 0)
		ret = console_decode(p, in);
	if (ret == 0)
		ret = fd_decode(p, in, count);
	if (ret == 0)
		net_decode_fds(p);
	if (ret == 0)
		console_decode_fds(p);
	if (ret == 0)
		volumes_exec_done(p);
	return ret;
}

int shields_clone(struct process *child, const struct process *parent)
{
	int ret;

	shields_lock();
	ret = fd_clone(child, parent);
	if (ret == 0) {
		ret = volumes_clone(child, parent);
		if (ret < 0)
			fd_free(child);
	}
	shields_unlock();
	return ret;
}

void shields_cancel(struct process *child)
{
	shields_lock();
	volumes_cancel(child);
	shields_unlock();
}

void shields_drop(struct process *child)
{
	shields_lock();
	volumes_drop(child);
	fd_free(child);
	shields_unlock();
}
