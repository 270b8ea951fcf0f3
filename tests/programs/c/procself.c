/* What /proc says about the process itself. */
#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "want.h"

static ssize_t slurp(const char *path, char *buf, size_t n)
{
	int fd = open(path, O_RDONLY);
	size_t have = 0;
	ssize_t r;

	if (fd < 0)
		return -1;
	while (have < n && (r = read(fd, buf + have, n - have)) > 0)
		have += (size_t)r;
	close(fd);
	return (ssize_t)have;
}

int main(int argc, char **argv)
{
	char b[8192], name[17] = "";
	ssize_t n;

	n = slurp("/proc/self/comm", b, sizeof(b));
	printf("comm %.*s", (int)n, b);
	WANT(prctl(PR_GET_NAME, name) == 0);
	printf("name %s\n", name);
	n = slurp("/proc/self/cmdline", b, sizeof(b));
	size_t total = 0;
	for (int i = 0; i < argc; i++)
		total += strlen(argv[i]) + 1;
	WANT(n >= 0 && (size_t)n == total);
	for (ssize_t i = 0; i < n; i += (ssize_t)strlen(b + i) + 1)
		printf("cmdline <%s>\n", b + i);
	n = slurp("/proc/self/environ", b, sizeof(b) - 1);
	b[n > 0 ? n : 0] = 0;
	for (ssize_t i = 0; i < n; i += (ssize_t)strlen(b + i) + 1)
		printf("environ <%s>\n", b + i);
	WANT(prctl(PR_SET_NAME, "renamed") == 0);
	n = slurp("/proc/self/comm", b, sizeof(b));
	printf("comm %.*s", (int)n, b);
	return want_done();
}
