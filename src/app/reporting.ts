/** Task status in CKAN, where a token is given for it: hears what the records of publications are told, and tells CKAN. */
import { createCkan } from '../ckan/client.ts';
import { createReport, type Report } from '../ckan/task-status.ts';
import { redact } from '../log.ts';
import type { Records } from '../state/publications.ts';
import type { OpenPermission } from './permission.ts';
import type { World } from './context.ts';

/** Null without `CKAN_API_TOKEN`. */
export function openReport({ config, log, now }: World, permission: OpenPermission): Report | null {
  const { CKAN_API_TOKEN: token, CKAN_SITE_URL: siteUrl } = config;
  if (token === undefined || siteUrl === undefined) return null;
  return createReport({
    ckan: createCkan({ siteUrl, timeoutSeconds: config.DUMPER_CKAN_TIMEOUT_SECONDS, now: Date.now }),
    tokenHeader: config.CKAN__APITOKEN_HEADER_NAME,
    token,
    mayAnyoneRead: permission.mayAnyoneRead,
    log,
    now,
  });
}

/** The same records, whose news go to CKAN too. */
export function reported(records: Records, report: Report | null): Records {
  if (report === null) return records;
  return {
    ...records,
    noticed: async (notices, pace) => {
      const appointments = await records.noticed(notices, pace);
      for (const { id } of notices) report.tell(id, { state: 'pending' });
      return appointments;
    },
    learned: async (id, event, manifest) => {
      await records.learned(id, event, manifest);
      report.tell(id, { state: 'complete', manifest });
    },
    broke: async (id, reason) => {
      await records.broke(id, reason);
      report.tell(id, { state: 'error', reason: redact(reason) });
    },
  };
}
