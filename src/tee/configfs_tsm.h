/*
 * configfs_tsm: one report by the kernel's configfs-tsm interface (Linux 6.7). For the snp and tdx drivers.
 */
#ifndef SCONE_TEE_CONFIGFS_TSM_H
#define SCONE_TEE_CONFIGFS_TSM_H

#include "core/buf.h"
#include "core/error.h"
#include "evidence/verdict.h"

#define CONFIGFS_TSM_ENV "SCONE_TSM_REPORT" /* directory of reports */
#define CONFIGFS_TSM_DEFAULT "/sys/kernel/config/tsm/report"
#define CONFIGFS_TSM_SNP "sev_guest" /* what `provider` says */
#define CONFIGFS_TSM_TDX "tdx_guest"

const char *configfs_tsm_root(void);
/* outblob (replaced): what the hardware signed over inblob; auxblob (replaced): what the host gave beside it, or nothing. ERR_NOT_FOUND for another provider,
 * ERR_CONFLICT when others wrote into the report's directory every time. */
MUST_USE int configfs_tsm_report(const char *provider, const uint8_t inblob[REPORT_DATA_LEN],
	struct buf *outblob, struct buf *auxblob, struct error *err);

#endif
