/*
 * rules: what the console shield does with descriptors that a program is started with, from variables of its service's environment.
 *
 *   SCONE_CONSOLE_SHIELD                         disabled, unprotected (what no rule names passes) or protected (it is refused)
 *   SCONE_CONSOLE_SHIELD_STDIN, _STDOUT, _STDERR protected, unprotected or refuse
 *   SCONE_CONSOLE_SHIELD_FD_N                    likewise, N from 3 to 1023: a pipe or socket that the program inherits under this number
 *   SCONE_CONSOLE_SHIELD_FIFOS, _TERMINALS       unprotected or refuse: those that the program opens by a name
 *   SCONE_CONSOLE_SHIELD_ATTACH                  required: the program starts when `scone console attach` is at the other end; or no
 *   SCONE_CONSOLE_SHIELD_KEY                     64 hexadecimal digits; needed where anything is protected
 *
 * No I/O. The key is a secret and is wiped with the rules.
 */
#ifndef SCONE_SHIELD_CONSOLE_RULES_H
#define SCONE_SHIELD_CONSOLE_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/error.h"
#include "shield/console/stream.h"

#define CONSOLE_RULES_PREFIX "SCONE_CONSOLE_SHIELD"
#define CONSOLE_FDS_MAX 1024 /* numbers that rules can name */
#define CONSOLE_PROTECTED_MAX 16 /* descriptors that may be protected */

enum console_mode { CONSOLE_DISABLED, CONSOLE_UNPROTECTED, CONSOLE_PROTECTED };
enum console_action { CONSOLE_UNNAMED, CONSOLE_PASS, CONSOLE_PROTECT, CONSOLE_REFUSE };

struct console_rules {
	enum console_mode mode;
	uint8_t fd[CONSOLE_FDS_MAX]; /* enum console_action */
	enum console_action fifos, terminals; /* PASS or REFUSE */
	bool attach;
	bool has_key;
	uint8_t key[CONSOLE_KEY_LEN];
};

/* Is this (NAME=VALUE) one of the variables above? */
bool console_rules_owns(const char *variable);
/* The variables in a text of lines NAME=VALUE; empty lines and those of '#' are left out. console_rules_lines_free. ERR_INPUT names the line. */
MUST_USE int console_rules_lines(const char *text, size_t n, char ***ret, struct error *err);
void console_rules_lines_free(char **env); /* wipes; NULL is fine */
/* env: NAME=VALUE, NULL-terminated; others are left alone. ERR_INPUT and ERR_CONFLICT name variable, value seen (never of the key) and values wanted. */
MUST_USE int console_rules_parse(char *const *env, struct console_rules *ret, struct error *err);
void console_rules_wipe(struct console_rules *r);
/* What holds for the descriptor: never UNNAMED. */
enum console_action console_rules_decide(const struct console_rules *r, int fd);
/* "stdin", "stdout", "stderr" or "fd7". */
void console_fd_name(int fd, char ret[CONSOLE_NAME_MAX + 1]);

#endif
