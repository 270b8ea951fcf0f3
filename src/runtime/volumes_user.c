/* volumes_user: who calls: user, groups, capabilities, umask and limits of a process, as its volumes see them. */
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include "runtime/fd.h"
#include "runtime/volumes_shared.h"

static uint32_t capabilities(void)
{
	static const struct {
		uint32_t kernel, ours;
	} map[] = {{CAP_CHOWN, VFS_CAP_CHOWN}, {CAP_DAC_OVERRIDE, VFS_CAP_DAC_OVERRIDE},
		{CAP_DAC_READ_SEARCH, VFS_CAP_DAC_READ_SEARCH}, {CAP_FOWNER, VFS_CAP_FOWNER},
		{CAP_FSETID, VFS_CAP_FSETID}, {CAP_MKNOD, VFS_CAP_MKNOD}, {CAP_SYS_ADMIN, VFS_CAP_SYS_ADMIN}};
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};
	uint32_t ret = 0;

	if (host_call2(SYS_capget, (long)&head, (long)data))
		return 0;
	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (data[map[i].kernel / 32].effective >> (map[i].kernel % 32) & 1)
			ret |= map[i].ours;
	return ret;
}

/* A list that another thread may still be reading stays: it changes a few times in the life of a process. */
static void take_groups(struct vfs_caller *c)
{
	long n = host_call2(SYS_getgroups, 0, 0);
	uint32_t *list;

	if (n <= 0) {
		c->group_count = 0;
		return;
	}
	list = malloc((size_t)n * sizeof(*list));
	if (!list || host_call2(SYS_getgroups, n, (long)list) != n) {
		free(list);
		c->group_count = 0;
		return;
	}
	if (c->group_count == (uint32_t)n && memcmp(c->groups, list, (size_t)n * sizeof(*list)) == 0) {
		free(list);
		return;
	}
	c->group_count = 0;
	c->groups = list;
	c->group_count = (uint32_t)n;
}

void volumes_refresh(struct process *p)
{
	struct vfs_caller *c;

	if (!p->volumes)
		return;
	c = &p->volumes->caller;
	c->uid = (uint32_t)host_call1(SYS_setfsuid, -1);
	c->gid = (uint32_t)host_call1(SYS_setfsgid, -1);
	take_groups(c);
	c->caps = capabilities();
}

void volumes_limit(struct process *p, uint64_t soft, uint64_t hard)
{
	p->volumes->fsize_soft = soft;
	p->volumes->fsize_hard = hard;
	p->volumes->caller.file_size_limit = soft == RLIM_INFINITY ? 0 : soft ? soft : 1;
}

/* What the runtime writes for a volume, and its memory files, are no files of the program. */
static void take_limit(struct process *p)
{
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY}, raised;

	host_call4(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&limit);
	raised = (struct rlimit){limit.rlim_max, limit.rlim_max};
	host_call4(SYS_prlimit64, 0, RLIMIT_FSIZE, (long)&raised, 0);
	volumes_limit(p, limit.rlim_cur, limit.rlim_max);
}

int volumes_user_new(struct process *p)
{
	long mask;

	p->volumes = calloc(1, sizeof(*p->volumes));
	if (!p->volumes)
		return -ENOMEM;
	p->volumes->born = 1;
	p->volumes->caller.pid = (uint32_t)host_call0(SYS_getpid);
	volumes_refresh(p);
	mask = host_call1(SYS_umask, 077);
	host_call1(SYS_umask, mask);
	p->volumes->caller.umask = (uint32_t)mask;
	take_limit(p);
	p->path_rules = true;
	return fd_init(p);
}
