/*
 * rewrite_hooks: what the runtime's core asks of the rewriting engine (x86_64/rewrite.h).
 */
#ifndef SCONE_RUNTIME_REWRITE_HOOKS_H
#define SCONE_RUNTIME_REWRITE_HOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool rewrite_native_ip(uint64_t ip, uint64_t *ret_native);
bool rewrite_resume_ip(uint64_t native_ip, uint64_t *ret);

#endif
