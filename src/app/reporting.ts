/** Task status in CKAN, where a token is given for it: hears what the records of publications are told, and tells CKAN. */
import { createCkan } from '../ckan/client.ts';
import { createTaskStatusReporter, type TaskStatusReporter } from '../ckan/task-status.ts';
import { redact } from '../log.ts';
import type { Publications } from '../state/publications.ts';
import type { AppPermission } from './permission.ts';
import type { AppContext } from './context.ts';

/** Null without `CKAN_API_TOKEN`. */
export function openTaskStatus(
  { config, log, now }: AppContext,
  permission: AppPermission,
): TaskStatusReporter | null {
  const { CKAN_API_TOKEN: token, CKAN_SITE_URL: siteUrl } = config;
  if (token === undefined || siteUrl === undefined) return null;
  return createTaskStatusReporter({
    ckan: createCkan({ siteUrl, timeoutSeconds: config.DUMPER_CKAN_TIMEOUT_SECONDS, now: Date.now }),
    tokenHeader: config.CKAN__APITOKEN_HEADER_NAME,
    token,
    mayAnyoneRead: permission.isPublic,
    log,
    now,
  });
}

/** The same records, whose news go to CKAN too. */
export function withTaskStatus(records: Publications, report: TaskStatusReporter | null): Publications {
  if (report === null) return records;
  return {
    ...records,
    recordChanges: async (notices, pace) => {
      const appointments = await records.recordChanges(notices, pace);
      for (const { id } of notices) report.enqueueStatus(id, { state: 'pending' });
      return appointments;
    },
    recordPublished: async (id, event, manifest) => {
      await records.recordPublished(id, event, manifest);
      report.enqueueStatus(id, { state: 'complete', manifest });
    },
    recordFailure: async (id, reason) => {
      await records.recordFailure(id, reason);
      report.enqueueStatus(id, { state: 'error', reason: redact(reason) });
    },
  };
}
