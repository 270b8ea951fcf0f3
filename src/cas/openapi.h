/*
 * openapi: docs/openapi.yaml as JSON, put in by the build.
 */
#ifndef SCONE_CAS_OPENAPI_H
#define SCONE_CAS_OPENAPI_H

#include <stddef.h>

extern const char openapi_document[];
extern const size_t openapi_document_len;

#endif
