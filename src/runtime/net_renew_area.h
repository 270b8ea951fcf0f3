/*
 * net_renew_area: what application and renewer share (net_renew.h).
 */
#ifndef SCONE_RUNTIME_NET_RENEW_AREA_H
#define SCONE_RUNTIME_NET_RENEW_AREA_H

#include "runtime/net_renew.h"

struct net_renew_area {
	uint32_t magic;
	struct net_lock lock;
	uint32_t generation; /* two more with each text; odd: it is being written, or whoever wrote it died */
	uint32_t len; /* of text */
	uint32_t said; /* one more with each why */
	uint64_t end; /* seconds since 1970 when the first certificate ends; X509_FOREVER: none does */
	char why[ERROR_TEXT_MAX];
	uint8_t text[NET_RENEW_TEXT_MAX]; /* variables, each with its NUL */
};

/* NULL: no area. */
struct net_renew_area *net_renew_map(int fd);

#endif
