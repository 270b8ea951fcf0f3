/*
 * yaml: a YAML text as a tree of nodes that keeps what the session language needs: each scalar's text and style, and where it stood.
 *
 * Profile (session language 1.2): UTF-8, one document, no aliases, anchors or merge keys, scalar keys, no key twice in one map, no tags but
 * !cas and !akv. No I/O. A node's path (services[1].command[0]) follows from its parents.
 */
#ifndef SCONE_POLICY_YAML_H
#define SCONE_POLICY_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include "core/buf.h"
#include "core/error.h"
#include "policy/diag.h"

#define YAML_TEXT_MAX (1024 * 1024)
#define YAML_DEPTH_MAX 64
#define YAML_NODES_MAX 10000

enum ynode_kind { YNODE_SCALAR, YNODE_LIST, YNODE_MAP };

struct ynode {
	enum ynode_kind kind;
	bool plain; /* scalar without quotes and without | or > */
	bool bad; /* an error was reported for it; readers stay silent */
	bool hidden; /* its text came from a secret: no message repeats it */
	bool open; /* a template that is not resolved stands in it (graft.h) */
	char *tag; /* "!cas", "!akv" or NULL; owned */
	int line, column;
	size_t start, end; /* source range, in characters (code points), end excluded */
	char *text; /* scalar: len bytes and a NUL; owned, wiped */
	size_t len;
	struct ynode **items; /* list and map: children in source order; owned */
	size_t count;
	struct ynode *parent; /* NULL at the root */
	size_t index; /* place in parent->items */
	char *key; /* child of a map: key_len bytes and a NUL; owned */
	size_t key_len;
	int key_line, key_column;
};

/* 0: *ret is the root, owned by the caller; d may still hold errors of the profile. -1: no tree, d says why. */
MUST_USE int yaml_load(const char *text, size_t n, struct ynode **ret, struct diag *d);
/* Bytes of a leading UTF-8 byte order mark, which yaml_load passes over: 0 or 3. Positions count from behind it. */
size_t yaml_bom(const char *text, size_t n);
void ynode_free(struct ynode *n);

/* The value under a key of a map, or NULL. */
const struct ynode *ynode_get(const struct ynode *map, const char *key);
/* A plain scalar `~`, `null` or nothing. */
bool ynode_null(const struct ynode *n);
/* "map", "list", "null" or "scalar". */
const char *ynode_kind_name(const struct ynode *n);
/* Append the node's path to out ("" for the root). */
void ynode_path(const struct ynode *n, struct buf *out);

/* diag_add with path and place of the node, or of its key. */
void ynode_diag(struct diag *d, const struct ynode *n, const char *name, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
void ynode_diag_key(struct diag *d, const struct ynode *n, const char *name, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

#endif
