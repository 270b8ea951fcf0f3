/* /v1/proposals: what boards are asked, who has voted, votes. JSON shapes: docs/cas.md, "The board". */
#include <string.h>
#include <time.h>
#include "cas/api.h"
#include "cas/board.h"
#include "cas/http_parse.h"
#include "cas/proposal_json.h"
#include "core/log.h"
#include "policy/signature.h"
#include "wire/json_wipe.h"

#define VOTES "/votes"
#define TICKET_SCHEME "Attested "

static struct board_context context(struct cas *c)
{
	return (struct board_context){.store = c->store, .audit = c->audit, .now = (uint64_t)time(NULL)};
}

/* Who looks; an attested program shows its ticket. */
static int viewer(struct cas *c, const struct http_request *q, struct board_viewer *ret,
	struct board_ticket *ticket, struct error *err)
{
	*ret = (struct board_viewer){.caller = q->key};
	if (!q->authorization[0])
		return q->key ? 0
			      : error_set(err, ERR_ACCESS,
					"this call needs a client certificate or a ticket, seen none");
	if (strncmp(q->authorization, TICKET_SCHEME, strlen(TICKET_SCHEME)) != 0)
		return error_set(err, ERR_INPUT, "Authorization is not \"" TICKET_SCHEME "TICKET\"");
	if (board_ticket_read(
		    c->store, q->authorization + strlen(TICKET_SCHEME), (uint64_t)time(NULL), ticket, err))
		return -1;
	ret->ticket = ticket;
	return 0;
}

/* --- reading --- */

static int list_one(const struct board_context *x, const char *record, const struct board_viewer *who,
	json_t *list, struct error *err)
{
	enum board_sight sight;
	struct proposal p;
	int rc = 0;

	if (board_load(x, record, &p, err))
		return -1;
	sight = board_sight(x, &p, who);
	if (sight != SIGHT_NONE && json_array_append_new(list, proposal_json(x, &p, SIGHT_STATE)))
		rc = error_set(err, ERR_NOMEM, "out of memory");
	proposal_free(&p);
	return rc;
}

void api_proposal_list(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	struct board_context x = context(c);
	struct board_ticket ticket;
	struct board_viewer who;
	struct error err = {0};
	json_t *list = json_array();
	const char *session = NULL;
	char **names = NULL;
	size_t n = 0;
	int rc = viewer(c, q, &who, &ticket, &err);

	if (!rc)
		rc = http_query_value(q->query, "session", &session, &err);
	if (!rc && session)
		rc = session_name_check(session, &err);
	if (!rc)
		rc = proposal_names(c->store, session, &names, &n, &err);
	for (size_t i = 0; i < n && !rc; i++)
		rc = list_one(&x, names[i], &who, list, &err);
	proposal_names_free(names, n);
	if (rc)
		api_error(r, &err, NULL);
	else
		api_json(r, 200, json_pack("{s:O}", "proposals", list));
	json_decref(list);
}

static const char *path_rest(const struct http_request *q)
{
	return q->path + strlen(API_PROPOSALS "/");
}

/* To a stranger a proposal and none look alike. */
static int visible(const struct board_context *x, const char *id, const struct board_viewer *who,
	struct proposal *ret, enum board_sight *ret_sight, struct error *err)
{
	if (board_get(x, id, ret, err))
		return -1;
	*ret_sight = board_sight(x, ret, who);
	if (*ret_sight != SIGHT_NONE)
		return 0;
	proposal_free(ret);
	return error_set(err, ERR_NOT_FOUND, "there is no proposal %s, or it is not yours to see", id);
}

void api_proposal_read(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	struct board_context x = context(c);
	struct board_ticket ticket;
	struct board_viewer who;
	enum board_sight sight;
	struct error err = {0};
	struct proposal p;

	proposal_init(&p);
	if (viewer(c, q, &who, &ticket, &err) || visible(&x, path_rest(q), &who, &p, &sight, &err))
		api_error(r, &err, NULL);
	else
		api_json(r, 200, proposal_json(&x, &p, sight));
	proposal_free(&p);
}

/* --- asking --- */

static int ask(
	const struct board_context *x, const struct http_request *q, struct proposal *ret, struct error *err)
{
	const char *action, *session, *importer = NULL;
	json_t *j = json_loadb(q->body, q->body_len, JSON_REJECT_DUPLICATES, NULL);
	enum board_action a;
	int rc = -1;

	if (!j || json_unpack(
			  j, "{s:s,s:s,s?s!}", "action", &action, "session", &session, "importer", &importer))
		error_set(
			err, ERR_INPUT, "the body is no object of action, session and, for export, importer");
	else if (board_action_parse(action, &a) || a == BOARD_UPDATE)
		error_set(err, ERR_INPUT,
			"action \"%.32s\": delete, export or read is asked for here; an update is uploaded",
			action);
	else if ((a == BOARD_EXPORT) != (importer != NULL))
		error_set(err, ERR_INPUT, "an export has an importer, and nothing else has");
	else if (!session_name_check(session, err) && (!importer || !session_name_check(importer, err)))
		rc = board_ask(x, a, session, importer, q->key, ret, err);
	json_decref(j);
	return rc;
}

void api_proposal_ask(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	struct board_context x = context(c);
	struct error err = {0};
	struct proposal p;

	proposal_init(&p);
	if (ask(&x, q, &p, &err))
		api_error(r, &err, NULL);
	else
		api_json(r, p.state == PROPOSAL_OPEN ? 202 : 200, proposal_json(&x, &p, SIGHT_STATE));
	proposal_free(&p);
}

/* --- voting --- */

struct vote {
	const char *proposal, *signer, *signature; /* of j */
	enum board_choice choice;
};

static int read_vote(const json_t *j, const char *id, struct vote *ret, struct error *err)
{
	const char *format, *choice;

	*ret = (struct vote){0};
	if (json_unpack((json_t *)j, "{s:s,s:s,s:s,s?s,s?s!}", "format", &format, "proposal", &ret->proposal,
		    "choice", &choice, "signer", &ret->signer, "signature", &ret->signature))
		return error_set(err, ERR_INPUT,
			"the body is no vote: an object of format, proposal, choice and, of a person, signer "
			"and signature");
	if (strcmp(format, VOTE_FORMAT) != 0)
		return error_set(err, ERR_INPUT, "format \"%.64s\", wanted " VOTE_FORMAT, format);
	if (strcmp(ret->proposal, id) != 0)
		return error_set(err, ERR_INPUT, "the vote is on proposal \"%.80s\", sent to %.80s",
			ret->proposal, id);
	if (!strcmp(choice, "approve"))
		ret->choice = CHOICE_APPROVE;
	else if (!strcmp(choice, "reject"))
		ret->choice = CHOICE_REJECT;
	else
		return error_set(err, ERR_INPUT, "choice \"%.32s\": approve or reject is wanted", choice);
	if (!ret->signer != !ret->signature)
		return error_set(err, ERR_INPUT, "signer and signature belong together");
	return 0;
}

static int cast(struct cas *c, const struct board_context *x, const struct http_request *q, const char *id,
	const json_t *j, struct proposal *ret, struct error *err)
{
	struct board_ticket ticket;
	struct board_viewer who;
	struct vote v;

	if (read_vote(j, id, &v, err))
		return -1;
	if (v.signer)
		return board_vote_signed(x, id, v.choice, v.signer, v.signature, ret, err);
	if (viewer(c, q, &who, &ticket, err))
		return -1;
	if (!who.ticket)
		return error_set(err, ERR_ACCESS,
			"a vote has a signature, or an attested program's ticket; seen neither [E-BOARD]");
	return board_vote_program(x, id, v.choice, who.ticket, ret, err);
}

void api_proposal_vote(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	struct board_context x = context(c);
	const char *rest = path_rest(q), *end = strstr(rest, VOTES);
	char id[PROPOSAL_ID_HEX + 1] = "";
	struct error err = {0};
	struct proposal p;
	json_t *j;

	if (!end || strcmp(end, VOTES) != 0 || end - rest != PROPOSAL_ID_HEX) {
		http_reply_error(r, 404, "NOT_FOUND", "there is no such path here");
		return;
	}
	memcpy(id, rest, PROPOSAL_ID_HEX);
	proposal_init(&p);
	j = json_loadb(q->body, q->body_len, JSON_REJECT_DUPLICATES, NULL);
	if (cast(c, &x, q, id, j, &p, &err)) {
		log_info("vote on proposal %s refused: %s: %.300s", id, error_code_name(err.code), err.text);
		api_error(r, &err, NULL);
	} else {
		api_json(r, 200, proposal_json(&x, &p, SIGHT_STATE));
	}
	json_decref(j);
	proposal_free(&p);
}

void api_proposal_withdraw(struct cas *c, const struct http_request *q, struct http_reply *r)
{
	struct board_context x = context(c);
	struct board_viewer who = {.caller = q->key};
	enum board_sight sight;
	struct error err = {0};
	struct proposal p, seen;

	proposal_init(&p);
	proposal_init(&seen);
	if (visible(&x, path_rest(q), &who, &seen, &sight, &err) ||
		board_withdraw(&x, path_rest(q), q->key, &p, &err))
		api_error(r, &err, NULL);
	else
		api_json(r, 200, proposal_json(&x, &p, SIGHT_STATE));
	proposal_free(&seen);
	proposal_free(&p);
}
