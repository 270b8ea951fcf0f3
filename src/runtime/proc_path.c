#include "runtime/proc_path.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/runtime.h"

/* After "NAME/" at p; NULL if p does not begin so. */
static const char *skip(const char *p, const char *name)
{
	size_t n = strlen(name);

	return !strncmp(p, name, n) && p[n] == '/' ? p + n + 1 : NULL;
}

/* After a decimal number and '/', with the number. */
static const char *skip_number(const char *p, long *ret)
{
	char *end;

	if (*p < '1' || *p > '9')
		return NULL;
	*ret = strtol(p, &end, 10);
	return *end == '/' ? end + 1 : NULL;
}

/* After "task/TID/", if p begins so. */
static const char *skip_task(const char *p)
{
	const char *task = skip(p, "task");
	long id;

	task = task ? skip_number(task, &id) : NULL;
	return task ? task : p;
}

const char *proc_path_own(const char *path)
{
	const char *p = skip(path, "/proc"), *rest;
	long id;

	if (!p)
		return NULL;
	rest = skip(p, "self");
	if (!rest)
		rest = skip(p, "thread-self");
	if (!rest) {
		rest = skip_number(p, &id);
		if (rest && id != thread_self()->proc->pid)
			rest = NULL;
	}
	if (!rest)
		return NULL;
	return skip_task(rest);
}

int proc_path_other_exe(const char *path)
{
	const char *rest = skip(path, "/proc");
	long id;

	rest = rest ? skip_number(rest, &id) : NULL;
	if (!rest || id > INT_MAX || id == thread_self()->proc->pid)
		return 0;
	return strcmp(skip_task(rest), "exe") == 0 ? (int)id : 0;
}

bool proc_path_is_exe(const char *path)
{
	const char *rest = proc_path_own(path);

	return rest && !strcmp(rest, "exe");
}
