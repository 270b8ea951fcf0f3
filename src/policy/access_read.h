/*
 * access_read: parts of the block access_policy that other blocks and the templates of rules share. For src/policy only.
 *
 * A struct parse without a session (s NULL) reads a fragment: the value of a config-fragment, in which no template may stand.
 */
#ifndef SCONE_POLICY_ACCESS_READ_H
#define SCONE_POLICY_ACCESS_READ_H

#include "policy/schema.h"

/* True if n holds a template: *ret is it as written, or NULL and reported if it is not all of n, or has no place here. */
bool access_read_template(struct parse *p, const struct ynode *n, char **ret);
/* A public key that can sign, at a scalar; E-PEM, E-KIND. */
bool access_read_signer(struct parse *p, const struct ynode *n, uint8_t ret[32]);
/* E-KIND if the template's secret is known to be of a kind that gives no signer, or no certificate. */
void access_warn_kind(struct parse *p, const struct ynode *n, const char *template, bool signer);
/* CREATOR, a key hash or a certificate. */
bool access_read_word(const char *text, size_t n, struct access_entry *ret, struct error *err);
void access_read_rule(struct parse *p, const struct ynode *n, enum access_op op, struct access_rule *rule);
/* The four rules of s. */
void access_read_map(struct parse *p, const struct ynode *n, struct session *s);

/* The value of the config-fragment that a template names, as a tree of its own (ynode_free). NULL: it does not resolve. */
struct ynode *access_fragment(const char *template, template_lookup lookup, void *arg);
/* The block board; *b is zeroed. */
void board_read_block(struct parse *p, const struct ynode *n, struct board *b);

#endif
