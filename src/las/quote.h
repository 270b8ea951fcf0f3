/*
 * quote: one connection, from the peer check to the answer.
 */
#ifndef SCONE_LAS_QUOTE_H
#define SCONE_LAS_QUOTE_H

#include "las/genuine.h"
#include "las/platform.h"

#define QUOTE_TIME_MS 10000 /* for a whole request */

struct quote {
	struct platform *platform;
	struct genuine *genuine;
};

/*
 * Serve one request on a connected Unix socket with SO_PASSCRED on; the caller closes it. The peer is checked before a byte of
 * it is read, so that only a genuine runtime can keep a connection waiting. Logs what was signed and what was refused.
 */
void quote_serve(const struct quote *q, int conn);

#endif
