/*
 * log: lines on stderr from programs (never from libraries). Level from SCONE_LOG: error, warn (default), info, debug.
 * One write(2) a line: "scone-cas: info: text". Never pass a secret.
 */
#ifndef SCONE_CORE_LOG_H
#define SCONE_CORE_LOG_H

#include "core/error.h"

enum log_level { LOG_LVL_ERROR, LOG_LVL_WARN, LOG_LVL_INFO, LOG_LVL_DEBUG };

void log_init(const char *program); /* reads SCONE_LOG; program must outlive the process */
void log_set_level(enum log_level level);
/* Where lines go instead of stderr: n bytes with their newline. NULL: stderr. */
void log_set_sink(void (*sink)(const char *line, size_t n));
enum log_level log_get_level(void);
/* "error" | "warn" | "info" | "debug" -> level; -1 if none of them. */
MUST_USE int log_level_parse(const char *s, enum log_level *ret);
void log_error(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_warn(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_info(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_debug(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
