/*
 * options_file: the options of scone-cas from a file: a YAML map from an option's name, without its dashes, to its value. An option that
 * may be given again takes a list; one without a value takes true or false.
 */
#ifndef SCONE_CAS_OPTIONS_FILE_H
#define SCONE_CAS_OPTIONS_FILE_H

#include "core/error.h"

#define OPTIONS_FILE_MAX (64 * 1024) /* bytes */

struct option_setting {
	char *name, *value; /* value of a list: one setting for each item */
	int line; /* from 1 */
};

struct options_file {
	struct option_setting *settings; /* in the order of the file */
	size_t count;
};

/* ERR_INPUT: not such a file, with file, line and column of every fault; ERR_IO. On failure *ret is empty. */
MUST_USE int options_file_read(const char *path, struct options_file *ret, struct error *err);
/* The same of a text; path names it in errors. */
MUST_USE int options_file_parse(
	const char *text, size_t n, const char *path, struct options_file *ret, struct error *err);
void options_file_free(struct options_file *f);

#endif
