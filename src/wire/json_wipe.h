/*
 * json_wipe: jansson that wipes what it frees, because secrets pass through its strings.
 *
 * Every program calls it first thing; the codecs of src/wire call it too. Blocks stay ordinary malloc blocks, so free()
 * on what json_dumps returned works (without wiping: use json_free).
 */
#ifndef SCONE_WIRE_JSON_WIPE_H
#define SCONE_WIRE_JSON_WIPE_H

void json_wipe_install(void); /* idempotent, any thread */
void json_free(void *p); /* wipe and free a block that jansson allocated; NULL is allowed */

#endif
