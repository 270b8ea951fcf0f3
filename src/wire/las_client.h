/*
 * las_client: ask the local attestation service for evidence over its Unix socket (blocking, with a deadline).
 */
#ifndef SCONE_WIRE_LAS_CLIENT_H
#define SCONE_WIRE_LAS_CLIENT_H

#include "core/buf.h"
#include "core/error.h"
#include "measure/measure.h"
#include "wire/attest.h"

#define LAS_DEFAULT_ADDR "/run/openscone/las.sock"

/* addr: path of the socket. wish: what the CAS that is to judge wants, or NULL. Evidence is appended to ret_evidence. A refusal by LAS comes with its code and text; ERR_IO: not reached or no
 * answer in time; ERR_PEER: what came is no answer. */
MUST_USE int las_client_evidence(const char *addr, const uint8_t report_data[64], const struct manifest *m,
	const struct platform_wish *wish, int timeout_ms, struct buf *ret_evidence, struct error *err);

#endif
