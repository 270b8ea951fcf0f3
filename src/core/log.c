#include "core/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

static const char *log_program = "scone";
static enum log_level log_level = LOG_LVL_WARN;
static void (*log_sink)(const char *line, size_t n);

static const char *const level_names[] = {
	[LOG_LVL_ERROR] = "error",
	[LOG_LVL_WARN] = "warn",
	[LOG_LVL_INFO] = "info",
	[LOG_LVL_DEBUG] = "debug",
};

int log_level_parse(const char *s, enum log_level *ret)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (strcmp(s, level_names[i]) == 0) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	return -1;
}

void log_init(const char *program)
{
	const char *s = getenv("SCONE_LOG");
	enum log_level level;

	log_program = program;
	if (!s || !*s)
		return;
	if (log_level_parse(s, &level) == 0)
		log_level = level;
	else
		log_warn("SCONE_LOG is '%s', wanted error, warn, info or debug; using %s", s,
			level_names[log_level]);
}

void log_set_level(enum log_level level)
{
	__atomic_store_n(&log_level, level, __ATOMIC_RELAXED);
}

void log_set_sink(void (*sink)(const char *line, size_t n))
{
	log_sink = sink;
}

enum log_level log_get_level(void)
{
	return __atomic_load_n(&log_level, __ATOMIC_RELAXED);
}

/* Text may quote a peer: nothing in it may start a new line or drive a terminal. */
static void make_printable(char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			s[i] = s[i] == '\n' || s[i] == '\t' ? ' ' : '?';
	}
}

static void write_line(const char *line, size_t n)
{
	while (n > 0) {
		ssize_t done = write(STDERR_FILENO, line, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return; /* nowhere left to say so */
		line += done;
		n -= (size_t)done;
	}
}

static void PRINTF_LIKE(2, 0) log_line(enum log_level level, const char *fmt, va_list ap)
{
	int saved = errno;
	char line[LINE_MAX_BYTES];
	size_t room = sizeof(line) - 1; /* for the newline */
	int head, n;
	size_t len;

	if (level > log_get_level())
		return;
	head = snprintf(line, room, "%s: %s: ", log_program, level_names[level]);
	if (head < 0 || (size_t)head >= room)
		return;
	errno = saved; /* for %m */
	n = vsnprintf(line + head, room - (size_t)head, fmt, ap);
	if (n < 0)
		return;
	len = (size_t)head + (size_t)n;
	if (len >= room) {
		len = room - 1;
		memcpy(line + len - 3, "...", 3);
	}
	make_printable(line, len);
	line[len++] = '\n';
	if (log_sink)
		log_sink(line, len);
	else
		write_line(line, len);
	errno = saved;
}

#define LOG_FUNCTION(name, level)                                                                            \
	void name(const char *fmt, ...)                                                                      \
	{                                                                                                    \
		va_list ap;                                                                                  \
                                                                                                             \
		va_start(ap, fmt);                                                                           \
		log_line(level, fmt, ap);                                                                    \
		va_end(ap);                                                                                  \
	}

LOG_FUNCTION(log_error, LOG_LVL_ERROR)
LOG_FUNCTION(log_warn, LOG_LVL_WARN)
LOG_FUNCTION(log_info, LOG_LVL_INFO)
LOG_FUNCTION(log_debug, LOG_LVL_DEBUG)
