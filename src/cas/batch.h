/*
 * batch: requests that CAS answers together, with one look at what other CAS have changed and one commit for all their changes.
 *
 * No answer goes out before the commit. When another CAS was first, all is undone and done again on what is there now. When the store or the audit log
 * cannot be written, the batch is done once more with every change refused for that reason: what only reads is answered, the others say why not.
 */
#ifndef SCONE_CAS_BATCH_H
#define SCONE_CAS_BATCH_H

#include "cas/http.h"

/* An http_runner; arg is a struct cas. */
void batch_run(void *arg, struct http_job **jobs, size_t n);

#endif
