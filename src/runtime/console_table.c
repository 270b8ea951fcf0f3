#include "runtime/console_table.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "core/secret.h"
#include "host/arena.h"
#include "host/host.h"

#define MAGIC 0x434f4e54424c3031ULL

static struct console_table *table;
static int table_fd = -1;

static int map_table(int fd)
{
	long at = host_mmap(NULL, sizeof(struct console_table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (host_failed(at))
		return (int)at;
	host_call3(SYS_madvise, at, sizeof(struct console_table), MADV_DONTDUMP);
	table = (struct console_table *)at;
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
	long ret = host_call2(SYS_ftruncate, fd, sizeof(struct console_table));

	if (!host_failed(ret))
		ret = map_table((int)fd);
	if (host_failed(ret)) {
		host_close((int)fd);
		return (int)ret;
	}
	return hide((int)fd);
}

int console_table_create(void)
{
	long fd = host_call1(SYS_memfd_secret, 0);
	int ret = host_failed(fd) ? (int)fd : create(fd);

	/* The kernel has none, or the limit of locked memory is reached. */
	if (ret < 0 && !table) {
		fd = host_call2(SYS_memfd_create, (long)"scone-console", MFD_CLOEXEC);
		ret = host_failed(fd) ? (int)fd : create(fd);
	}
	if (ret == 0) {
		table->magic = MAGIC;
		table->log = CONSOLE_REFUSED;
	}
	return ret;
}

int console_table_attach(int fd)
{
	struct stat st;
	int ret;

	if (host_failed(host_fstat(fd, &st)) || st.st_size != (off_t)sizeof(struct console_table))
		return -EBADMSG;
	ret = map_table(fd);
	if (ret < 0)
		return ret;
	return table->magic == MAGIC ? hide(fd) : -EBADMSG;
}

int console_table_fd(void)
{
	return table_fd;
}

void console_table_keep(bool over_exec)
{
	if (table_fd >= 0)
		host_call3(SYS_fcntl, table_fd, F_SETFD, over_exec ? 0 : FD_CLOEXEC);
}

struct console_table *console_table(void)
{
	return table;
}

struct console_channel *console_channel(uint32_t number)
{
	return table && number < CONSOLE_PROTECTED_MAX && table->channel[number].used
		       ? &table->channel[number]
		       : NULL;
}

long console_find(uint64_t dev, uint64_t ino)
{
	for (uint32_t i = 0; table && i < CONSOLE_PROTECTED_MAX; i++)
		if (table->channel[i].used && table->channel[i].ino == ino && table->channel[i].dev == dev)
			return (long)i;
	return -ENOENT;
}

void console_forget_key(void)
{
	for (uint32_t i = 0; i < CONSOLE_PROTECTED_MAX; i++)
		if (table->channel[i].used && table->channel[i].in && !table->channel[i].rx_begun)
			return;
	secret_wipe(table->key, sizeof(table->key));
}

/* --- who holds what --- */

static bool lives(uint32_t pid)
{
	return host_call2(SYS_kill, (long)pid, 0) != -ESRCH;
}

/* The entry of pid; make: a free one, or one of a process that is gone. NULL: there is none. */
static struct console_holder *entry_of(uint32_t pid, bool make)
{
	for (uint32_t i = 0; i < CONSOLE_HOLDERS; i++)
		if (__atomic_load_n(&table->holder[i].pid, __ATOMIC_ACQUIRE) == pid)
			return &table->holder[i];
	for (uint32_t i = 0; make && i < CONSOLE_HOLDERS; i++) {
		struct console_holder *h = &table->holder[i];
		uint32_t seen = __atomic_load_n(&h->pid, __ATOMIC_ACQUIRE);

		if (seen && lives(seen))
			continue;
		if (!__atomic_compare_exchange_n(
			    &h->pid, &seen, pid, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			continue;
		__atomic_store_n(&h->channels, 0, __ATOMIC_RELEASE);
		return h;
	}
	return NULL;
}

void console_hold_all(uint32_t pid, uint32_t channels)
{
	struct console_holder *h = table ? entry_of(pid, channels != 0) : NULL;

	if (!h)
		return;
	__atomic_store_n(&h->channels, channels, __ATOMIC_RELEASE);
	if (!channels)
		__atomic_store_n(&h->pid, 0, __ATOMIC_RELEASE);
}

void console_hold(uint32_t pid, uint32_t number)
{
	struct console_holder *h = entry_of(pid, true);

	if (h)
		__atomic_or_fetch(&h->channels, 1u << number, __ATOMIC_ACQ_REL);
}

bool console_unhold(uint32_t pid, uint32_t number)
{
	struct console_holder *own = entry_of(pid, false);

	if (own && __atomic_and_fetch(&own->channels, ~(1u << number), __ATOMIC_ACQ_REL) == 0)
		__atomic_store_n(&own->pid, 0, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < CONSOLE_HOLDERS; i++) {
		const struct console_holder *h = &table->holder[i];
		uint32_t holder = __atomic_load_n(&h->pid, __ATOMIC_ACQUIRE);

		if (holder && holder != pid &&
			(__atomic_load_n(&h->channels, __ATOMIC_ACQUIRE) >> number & 1) && lives(holder))
			return false;
	}
	return true;
}
