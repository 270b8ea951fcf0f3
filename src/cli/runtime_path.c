/* runtime_path: see runtime_path.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/runtime_path.h"

char *runtime_path(const char *given, struct error *err)
{
	const char *env = getenv("SCONE_RUNTIME");
	char self[4096], *path = NULL;
	ssize_t n;

	if (!given && env && *env)
		given = env;
	if (given) {
		path = strdup(given);
	} else {
		n = readlink("/proc/self/exe", self, sizeof(self) - 1);
		if (n <= 0) {
			error_set_errno(err, errno, "/proc/self/exe, beside which scone-runtime should be");
			return NULL;
		}
		self[n] = '\0';
		*strrchr(self, '/') = '\0';
		if (asprintf(&path, "%s/scone-runtime", self) < 0)
			path = NULL;
	}
	if (!path)
		error_set(err, ERR_NOMEM, "no memory");
	return path;
}
