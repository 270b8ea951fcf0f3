#include <time.h>
#include "cas/api.h"

static json_t *warnings(const struct cas *c)
{
	json_t *list = json_array();

	if (!list)
		return NULL;
	trust_warnings(c->trust, (uint64_t)time(NULL), list);
	if (c->tee->type != TEE_SIM)
		return list;
	json_array_append_new(list, json_string("this CAS runs on the simulated TEE: whoever is root on its "
						"host can read what it holds"));
	if (!c->sim_platform_count)
		json_array_append_new(
			list, json_string("this CAS takes simulated evidence of any platform key: anyone can "
					  "make evidence for sessions of mode simulation"));
	return list;
}

void api_info_cas(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	api_json(r, 200,
		json_pack("{s:s,s:s,s:s,s:s,s:s,s:b,s:o}", "name", "OpenSCONE CAS", "version",
			OPENSCONE_VERSION, "key", c->identity->text, "certificate", c->identity->cert_pem,
			"tee", c->tee->name, "simulated", c->tee->type == TEE_SIM, "warnings", warnings(c)));
}

void api_info_health(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	api_json(r, 200, json_pack("{s:s}", "status", "ok"));
}
