/*
 * server: accept connections, one thread each, until a stop signal.
 */
#ifndef SCONE_LAS_SERVER_H
#define SCONE_LAS_SERVER_H

#include "las/quote.h"

#define SERVER_CONNECTIONS 64

/* Serve until one of the signals in the signalfd stop arrives; then end the open connections and wait for their threads. */
MUST_USE int server_run(const struct quote *q, int listen_fd, int stop, struct error *err);

#endif
