#include "cas/batch.h"

#include "cas/api.h"

void batch_run(void *arg, struct http_job **jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		api_handle(arg, &jobs[i]->q, &jobs[i]->r);
}
