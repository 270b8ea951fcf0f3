/*
 * graft: templates in the places of a session that hold configuration (attestation, platforms, security): what they stand for is put into the
 * tree, before the readers of those blocks see it (session language 5.2 config-fragment, 6).
 */
#ifndef SCONE_POLICY_GRAFT_H
#define SCONE_POLICY_GRAFT_H

#include "policy/schema.h"

/* Append the tree as YAML on one line that is JSON, too: maps with sorted keys, every scalar a string but null. */
void ynode_flow(const struct ynode *n, struct buf *out);

/* n and what is below it. A template that cannot be resolved here and now leaves its scalar marked open. *ret_written: the tree as it was
 * written, in flow form, if there is any template in it; the caller's. Reports what is wrong with the templates. n may be NULL. */
void graft_templates(struct parse *p, const struct ynode *n, char **ret_written);

/* Is the template of this name, name and suffix together len bytes at name in the text of n, all of that text? */
bool template_is_all(const struct ynode *n, const char *name, size_t len);

#endif
