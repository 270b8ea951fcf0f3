#include "runtime/net_table.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include "core/secret.h"
#include "host/arena.h"
#include "host/host.h"
#include "runtime/runtime.h"

#define MAGIC 0x4e45543154424c31ULL
#define LOCK_WAITED 0x80000000u
#define STAT_STATE 3 /* fields of /proc/PID/stat, from 1 */
#define STAT_THREADS 20
#define LOCK_LOOK_NS                                                                                         \
	1000000L /* after that, see whether it is free, or its holder dead; then twice as long, as far as */
#define LOCK_LOOK_MAX_NS 64000000L

struct table {
	uint64_t magic;
	uint32_t used; /* one more than the highest slot that ever was in use */
	uint32_t pad[13];
	struct net_conn conn[NET_CONNS];
};

static struct table *table;
static int table_fd = -1;

static int map_table(int fd)
{
	long at = host_mmap(NULL, sizeof(struct table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (host_failed(at))
		return (int)at;
	host_call3(SYS_madvise, at, sizeof(struct table), MADV_DONTDUMP);
	table = (struct table *)at;
	return 0;
}

static int hide(int fd)
{
	int hidden = arena_hide(fd);

	if (hidden < 0)
		return hidden;
	table_fd = hidden;
	return 0;
}

static int create(long fd)
{
	long ret = host_call2(SYS_ftruncate, fd, sizeof(struct table));

	if (!host_failed(ret))
		ret = map_table((int)fd);
	if (host_failed(ret)) {
		host_close((int)fd);
		return (int)ret;
	}
	return hide((int)fd);
}

int net_table_create(void)
{
	long fd = host_call1(SYS_memfd_secret, 0);
	int ret = host_failed(fd) ? (int)fd : create(fd);

	/* The kernel has none, or the limit of locked memory is reached. */
	if (ret < 0 && !table) {
		fd = host_call2(SYS_memfd_create, (long)"scone-net", MFD_CLOEXEC);
		ret = host_failed(fd) ? (int)fd : create(fd);
	}
	if (ret == 0)
		table->magic = MAGIC;
	return ret;
}

int net_table_attach(int fd)
{
	struct stat st;
	int ret;

	if (host_failed(host_fstat(fd, &st)) || st.st_size != (off_t)sizeof(struct table))
		return -EBADMSG;
	ret = map_table(fd);
	if (ret < 0)
		return ret;
	return table->magic == MAGIC ? hide(fd) : -EBADMSG;
}

int net_table_fd(void)
{
	return table_fd;
}

void net_table_keep(bool over_exec)
{
	if (table_fd >= 0)
		host_call3(SYS_fcntl, table_fd, F_SETFD, over_exec ? 0 : FD_CLOEXEC);
}

struct net_conn *net_conn_of(uint32_t slot)
{
	return table && slot < NET_CONNS ? &table->conn[slot] : NULL;
}

/* Has a process ended whose parent has not asked for its status yet? It still has a number. One whose first thread alone has ended goes on. */
static bool is_zombie(uint32_t id)
{
	char path[32], text[512], state, *p;
	long fd, n;

	snprintf(path, sizeof(path), "/proc/%u/stat", id);
	fd = host_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (host_failed(fd))
		return false;
	n = host_read((int)fd, text, sizeof(text) - 1);
	host_close((int)fd);
	text[n > 0 ? n : 0] = '\0';
	p = strrchr(text, ')');
	if (!p || p[1] != ' ')
		return false;
	state = p[2];
	p += 2;
	for (int i = STAT_STATE; p && i < STAT_THREADS; i++)
		p = (p = strchr(p, ' ')) ? p + 1 : NULL;
	return (state == 'Z' || state == 'X') && p && (*p == '0' || (*p == '1' && p[1] == ' '));
}

/* A thread, or the first thread of a process. */
static bool lives(uint32_t id)
{
	return host_call2(SYS_tkill, (long)id, 0) != -ESRCH && !is_zombie(id);
}

static bool take_slot(uint32_t slot, uint64_t ino, uint32_t pid)
{
	struct net_conn *c = &table->conn[slot];
	uint32_t seen = NET_FREE, used = __atomic_load_n(&table->used, __ATOMIC_RELAXED);

	if (__atomic_load_n(&c->state, __ATOMIC_RELAXED) != NET_FREE ||
		!__atomic_compare_exchange_n(
			&c->state, &seen, NET_FRESH, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return false;
	c->ino = ino;
	c->holders[0] = pid;
	__atomic_add_fetch(&c->generation, 1, __ATOMIC_RELEASE);
	while (slot >= used && !__atomic_compare_exchange_n(&table->used, &used, slot + 1, false,
				       __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
	return true;
}

/* Slots of processes that ended without closing. */
static void collect(void)
{
	for (uint32_t i = 0; i < NET_CONNS; i++) {
		struct net_conn *c = &table->conn[i];
		bool held = c->state == NET_FREE;

		for (int h = 0; !held && h < NET_HOLDERS; h++)
			held = c->holders[h] && lives(c->holders[h]);
		if (!held)
			net_conn_free(c);
	}
}

long net_conn_new(uint64_t ino, uint32_t pid)
{
	static uint32_t hint;

	for (int round = 0; round < 2; round++) {
		uint32_t start = __atomic_load_n(&hint, __ATOMIC_RELAXED);

		for (uint32_t i = 0; i < NET_CONNS; i++) {
			uint32_t slot = (start + i) % NET_CONNS;

			if (take_slot(slot, ino, pid)) {
				/* Low numbers first, so that few pages are in use. */
				__atomic_store_n(&hint, slot + 1 < 1024 ? 0 : slot - 512, __ATOMIC_RELAXED);
				return (long)slot;
			}
		}
		collect();
	}
	return -ENFILE;
}

long net_conn_find(uint64_t ino)
{
	uint32_t used = table ? __atomic_load_n(&table->used, __ATOMIC_ACQUIRE) : 0;

	for (uint32_t i = 0; i < used; i++)
		if (table->conn[i].state != NET_FREE && table->conn[i].ino == ino)
			return (long)i;
	return -ENOENT;
}

void net_conn_free(struct net_conn *c)
{
	uint32_t generation = c->generation + 1;

	secret_wipe(&c->keys, sizeof(c->keys));
	memset((uint8_t *)c + sizeof(c->state), 0, sizeof(*c) - sizeof(c->state));
	c->generation = generation;
	__atomic_store_n(&c->state, NET_FREE, __ATOMIC_RELEASE);
}

void net_hold(struct net_conn *c, uint32_t pid)
{
	for (int i = 0; i < NET_HOLDERS; i++)
		if (__atomic_load_n(&c->holders[i], __ATOMIC_RELAXED) == pid)
			return;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < NET_HOLDERS; i++) {
			uint32_t seen = __atomic_load_n(&c->holders[i], __ATOMIC_RELAXED);

			if ((seen == 0 || (round && !lives(seen))) &&
				__atomic_compare_exchange_n(&c->holders[i], &seen, pid, false,
					__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
				return;
		}
	}
	c->many_holders = true;
}

bool net_unhold(struct net_conn *c, uint32_t pid)
{
	bool held = c->many_holders || c->in_transit;

	for (int i = 0; i < NET_HOLDERS; i++) {
		uint32_t seen = __atomic_load_n(&c->holders[i], __ATOMIC_ACQUIRE);

		if (seen == 0)
			continue;
		if (seen == pid || !lives(seen))
			__atomic_compare_exchange_n(
				&c->holders[i], &seen, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
		else
			held = true;
	}
	return !held;
}

/* --- locks --- */

/* The thread's number. That of a program's thread is known without a call; a thread of the runtime's own may have inherited the GS base of the one that
 * made it, but has an FS base of its own. */
static uint32_t own_id(void)
{
	const struct thread *t;

	__asm__ volatile("rdgsbase %0" : "=r"(t));
	if (t && t->host_fs == (uint64_t)__builtin_thread_pointer())
		return (uint32_t)t->tid;
	return (uint32_t)host_call0(SYS_gettid);
}

bool net_trylock(struct net_lock *l)
{
	uint32_t seen = 0;

	return __atomic_compare_exchange_n(
		&l->word, &seen, own_id(), false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

/* The kernel cannot find memory of memfd_secret by what it is, only by where it is in one process (a shared futex there is EFAULT): threads of the
 * process that gives it back are woken, those of others look again by themselves. */
bool net_lock(struct net_lock *l)
{
	struct timespec patience = {.tv_nsec = LOCK_LOOK_NS};
	uint32_t self = own_id(), seen = 0;

	if (__atomic_compare_exchange_n(&l->word, &seen, self, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return false;
	for (;;) {
		if (seen == 0) {
			if (__atomic_compare_exchange_n(&l->word, &seen, self | LOCK_WAITED, false,
				    __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
				return false;
			continue;
		}
		if (!(seen & LOCK_WAITED)) {
			if (!__atomic_compare_exchange_n(&l->word, &seen, seen | LOCK_WAITED, false,
				    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
				continue;
			seen |= LOCK_WAITED;
		}
		if (host_call4(SYS_futex, (long)&l->word, FUTEX_WAIT_PRIVATE, seen, (long)&patience) ==
			-ETIMEDOUT) {
			if (!lives(seen & ~LOCK_WAITED) &&
				__atomic_compare_exchange_n(&l->word, &seen, self | LOCK_WAITED, false,
					__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
				return true;
			if (patience.tv_nsec < LOCK_LOOK_MAX_NS)
				patience.tv_nsec *= 2;
		}
		seen = __atomic_load_n(&l->word, __ATOMIC_RELAXED);
	}
}

void net_unlock(struct net_lock *l)
{
	if (__atomic_exchange_n(&l->word, 0, __ATOMIC_RELEASE) & LOCK_WAITED)
		host_call3(SYS_futex, (long)&l->word, FUTEX_WAKE_PRIVATE, 1);
}
